/* GET /klein/v1/servers, DELETE /klein/v1/servers/NAME. */
#include "base/time.h"
#include "server/servers_internal.h"
#include "server/servers_plan.h"

#define LOG_PART "servers"
#include "base/log.h"

#define ASK_MS       800 /* another server that says nothing for so long is told as not answering */
#define ITEM_MAX     (64 * KIB)
#define PATH_SERVERS "/klein/v1/servers"

static void put(struct arena *a, struct value *o, const char *name, struct str text)
{
    value_put_str(a, o, str_of(name), value_str(a, text));
}

static void put_number(struct arena *a, struct value *o, const char *name, int64_t n)
{
    value_put_str(a, o, str_of(name), value_int(a, n));
}

static void put_bool(struct arena *a, struct value *o, const char *name, bool b)
{
    value_put_str(a, o, str_of(name), value_bool(a, b));
}

static struct value *basic_item(struct arena *a, const struct server_entry *e)
{
    struct value *o = value_object(a);

    put(a, o, "name", arena_str(a, e->name));
    put(a, o, "zone", arena_str(a, e->zone));
    put(a, o, "url", arena_str(a, e->url));
    return o;
}

/* --- this server's own health --------------------------------------------------------------------------------------------------- */

static struct value *store_health(struct servers *v, struct arena *a)
{
    const struct servers_health *h = &v->health;
    struct value *o = value_object(a);
    struct store_etcd_health engine = { 0 };
    struct store_stats stats = { 0 };
    bool is_etcd = v->local && v->local->is_etcd;
    bool answers = servers_store_answers(v->server);

    store_stats(v->server->store, &stats);
    if (is_etcd)
        store_etcd_health(v->server->store, &engine);
    struct str error = h->error[0] ? str_of(h->error) : answers ? STR_NONE : engine.error;
    if (!error.n && (v->refusing || stats.read_only))
        error = STR("the disks are almost full: writes are refused until space is free");
    put_bool(a, o, "healthy", answers && !h->error[0] && !stats.read_only && !v->refusing);
    put(a, o, "kind", !v->local ? STR("memory") : is_etcd ? STR("etcd") : STR("sqlite"));
    put_number(a, o, "members", (int64_t)servers_known(v->server));
    put_number(a, o, "diskFreeBytes", (int64_t)(is_etcd ? h->disk_free_bytes : stats.disk_free_bytes));
    put_number(a, o, "diskTotalBytes", (int64_t)h->disk_total_bytes);
    put_number(a, o, "dbBytes", is_etcd ? h->db_bytes : (int64_t)stats.disk_bytes);
    value_put_str(a, o, STR("fsyncP99Ms"), value_double(a, h->fsync_p99_ms));
    put_number(a, o, "etcdPid", is_etcd && v->local->process ? etcd_process_pid(v->local->process) : 0);
    put(a, o, "error", arena_str(a, error));
    return o;
}

struct own {
    struct arena *arena;
    struct value *item;
};

static bool take_own(void *arg, const struct server_entry *e)
{
    struct own *own = arg;

    if (e->own)
        own->item = basic_item(own->arena, e);
    return !e->own;
}

static struct value *own_item(struct servers *v, struct arena *a)
{
    struct own own = { .arena = a };

    servers_each(v->server, take_own, &own);
    put_bool(a, own.item, "ready", server_is_ready(v->server) && servers_store_answers(v->server));
    put_bool(a, own.item, "leader", servers_leads(v));
    put_bool(a, own.item, "storeLeader", !v->local || !v->local->is_etcd || v->health.store_leader);
    put_number(a, own.item, "revision", (int64_t)state_revision(server_state(v->server)));
    put_number(a, own.item, "lag", v->health.lag);
    value_put_str(a, own.item, STR("store"), store_health(v, a));
    return own.item;
}

/* --- all servers ----------------------------------------------------------------------------------------------------------------- */

struct listing {
    struct request *request;
    struct value *items;
    size_t waiting;
    struct str only; /* one of them; empty: all */
};

struct question {
    struct listing *listing;
    struct value *item; /* what is known without an answer */
};

static void add_warning(void *arg, const char *sentence)
{
    struct own *list = arg;

    value_append(list->arena, list->item, value_strf(list->arena, "%s", sentence));
}

static struct value *warnings(const struct value *items, struct arena *a)
{
    struct own list = { .arena = a, .item = value_array(a) };
    struct str zones[SERVERS_MAX];
    size_t n = 0;

    for (uint32_t i = 0; i < items->items_count && n < SERVERS_MAX; i++)
        zones[n++] = value_to_str(value_get_str(items->items[i], STR("zone")));
    servers_plan_warnings(zones, n, add_warning, &list);
    return list.item;
}

static enum phase_result answer(struct listing *l)
{
    struct request *r = l->request;
    AUTO_BUF struct buf text = BUF_MAX(4 * MIB);
    struct value *o = value_object(&r->arena);

    value_put_str(&r->arena, o, STR("items"), l->items);
    value_put_str(&r->arena, o, STR("warnings"), warnings(l->items, &r->arena));
    value_write(&text, l->only.n ? l->items->items[0] : o);
    return request_answer(r, 200, STR("application/json"), buf_str(&text));
}

static void one_answered(struct listing *l)
{
    if (--l->waiting == 0)
        request_resume(l->request, answer(l));
}

static void on_item(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct question *q = arg;
    struct arena *a = &q->listing->request->arena;
    const struct value *got = !err && head->status == 200 ? value_parse(a, arena_str(a, body), NULL, NULL) : NULL;

    if (value_type(got) == VALUE_OBJECT) {
        *q->item = *got;
    } else {
        struct value *store = value_get_str(q->item, STR("store"));
        value_put_str(a, store, STR("error"),
                      err ? value_strf(a, "the server does not answer: %s", error_text(err))
                          : value_strf(a, "the server answered %d", head->status));
    }
    one_answered(q->listing);
}

static bool take_item(void *arg, const struct server_entry *e)
{
    struct listing *l = arg;
    struct request *r = l->request;
    struct arena *a = &r->arena;
    struct servers *v = servers_of(r->server);

    if (l->only.n && !str_eq(l->only, e->name))
        return true;
    if (e->own) {
        value_append(a, l->items, own_item(v, a));
        return true;
    }
    struct question *q = arena_new(a, struct question);
    struct value *store = value_object(a);
    *q = (struct question){ l, basic_item(a, e) };
    for (const char *const *name = (const char *const[]){ "ready", "leader", "storeLeader", NULL }; *name; name++)
        put_bool(a, q->item, *name, false);
    put_number(a, q->item, "revision", 0);
    put_number(a, q->item, "lag", 0);
    put_bool(a, store, "healthy", false);
    put(a, store, "error", STR_NONE);
    value_put_str(a, q->item, STR("store"), store);
    value_append(a, l->items, q->item);
    return true;
}

static void ask_others(struct listing *l)
{
    struct request *r = l->request;

    for (uint32_t i = 0; i < l->items->items_count; i++) {
        struct value *item = l->items->items[i];
        struct str name = value_to_str(value_get_str(item, STR("name")));
        struct http_client *client = servers_reach(r->server, name);
        if (!client)
            continue;
        struct question *q = arena_new(&r->arena, struct question);
        *q = (struct question){ l, item };
        struct http_call_request call = { .method = STR("GET"),
                                          .target = arena_printf(&r->arena, PATH_SERVERS "/%.*s", STR_ARG(name)),
                                          .timeout_ms = ASK_MS,
                                          .total_timeout_ms = ASK_MS };
        l->waiting++;
        http_client_fetch(client, &call, ITEM_MAX, on_item, q);
    }
}

static enum phase_result list_with_health(struct request *r, struct str only)
{
    struct listing *l = arena_new(&r->arena, struct listing);

    *l = (struct listing){ .request = r, .items = value_array(&r->arena), .only = only };
    servers_each(r->server, take_item, l);
    if (only.n && !l->items->items_count)
        return request_fail(r, ERR_NOT_FOUND, "there is no server \"%.*s\"", STR_ARG(only));
    l->waiting = 1;
    ask_others(l);
    return --l->waiting ? PHASE_WAIT : answer(l);
}

static bool take_basic(void *arg, const struct server_entry *e)
{
    struct listing *l = arg;

    value_append(&l->request->arena, l->items, basic_item(&l->request->arena, e));
    return true;
}

static bool may_see_health(struct request *r)
{
    struct authz_attributes a = { .identity = &r->identity,
                                  .verb = STR("get"),
                                  .path = arena_printf(&r->arena, PATH_SERVERS "/%.*s",
                                                       STR_ARG(servers_own_name(r->server))) };

    return authz_allows(r->server, &r->arena, &a, NULL);
}

enum phase_result servers_list(struct request *r)
{
    struct listing l = { .request = r, .items = value_array(&r->arena) };

    if (!str_is(r->info.verb, "get"))
        return request_fail(r, ERR_METHOD_NOT_ALLOWED,
                            "the server does not allow this method on the requested resource");
    if (may_see_health(r))
        return list_with_health(r, STR_NONE);
    servers_each(r->server, take_basic, &l);
    return answer(&l);
}

/* --- taking one out --------------------------------------------------------------------------------------------------------------- */

struct removal {
    struct request *request;
    struct servers *servers;
    struct str name;
    uint64_t id;
    bool force;
};

static void finish(struct removal *m, const struct error *err)
{
    struct request *r = m->request;

    if (err) {
        request_resume(r, request_fail(r, err->code, "%s", error_text(err)));
        return;
    }
    log_info("server removed from the cluster", KV_STR("server", m->name), KV_STR("by", r->identity.user));
    request_resume(r, request_answer(r, 200, STR("application/json"), STR("{\"removed\":true}")));
}

static void on_entry_gone(void *arg, UNUSED uint64_t revision, const struct error *err)
{
    finish(arg, err && err->code != ERR_NOT_FOUND ? err : NULL);
}

static void delete_entry(struct removal *m)
{
    struct arena *a = &m->request->arena;
    struct state *state = server_state(m->request->server);
    struct raw_write w = { .type = STORE_DELETE,
                           .key = arena_printf(a, "/klein/servers/%.*s/progress", STR_ARG(m->name)),
                           .expect = STORE_EXPECT_ANY };

    raw_write(state, &w, NULL, NULL);
    w.key = arena_printf(a, "/klein/servers/%.*s", STR_ARG(m->name));
    raw_write(state, &w, on_entry_gone, m);
}

static void on_member_gone(void *arg, UNUSED uint64_t id, UNUSED const struct etcd_member *members, UNUSED size_t count,
                           const struct error *err)
{
    struct removal *m = arg;

    if (err && err->code != ERR_NOT_FOUND)
        finish(m, err);
    else
        delete_entry(m);
}

static void on_moved(void *arg, UNUSED const struct error *err)
{
    struct removal *m = arg;

    /* Without it the others elect one when the leader is gone: slower, no worse. */
    etcd_admin_member_remove(m->servers->local->admin, m->id, on_member_gone, m);
}

static void remove_member(struct removal *m, const struct plan_member *plan, const struct etcd_member *etcd,
                          size_t count)
{
    uint64_t to = 0;
    struct str leader_url = STR_NONE;

    for (size_t i = 0; i < count; i++) {
        if (plan[i].id == m->id && plan[i].leader && etcd[i].client_urls_count)
            leader_url = etcd[i].client_urls[0];
        else if (plan[i].id != m->id && plan[i].healthy && !plan[i].learner)
            to = plan[i].id;
    }
    if (leader_url.n && to)
        etcd_admin_move_leader(m->servers->local->admin, leader_url, to, on_moved, m);
    else
        on_moved(m, NULL);
}

static bool has_entry(struct removal *m)
{
    struct str key = arena_printf(&m->request->arena, "/klein/servers/%.*s", STR_ARG(m->name));
    struct raw_value value;

    return raw_get(server_state(m->request->server), key, &value);
}

static void on_members(void *arg, const struct plan_member *plan, const struct etcd_member *etcd, size_t count,
                       const struct error *failed)
{
    struct removal *m = arg;
    AUTO_ERROR struct error err = { 0 };

    if (failed) {
        finish(m, failed);
        return;
    }
    struct servers_plan next = servers_plan_remove(m->name, plan, count, m->force, &err);
    m->id = next.id;
    if (next.step == SERVERS_REMOVE)
        remove_member(m, plan, etcd, count);
    else if (err.code == ERR_NOT_FOUND && has_entry(m))
        delete_entry(m); /* an interrupted removal came so far */
    else
        finish(m, &err);
}

static enum phase_result remove_server(struct request *r, struct str name)
{
    struct servers *v = servers_of(r->server);
    struct removal *m = arena_new(&r->arena, struct removal);
    struct str force = STR_NONE;

    if (!v->local || !v->local->is_etcd)
        return request_fail(r, ERR_CONFLICT,
                            "this cluster has one server, with a store of its own: it cannot be removed");
    if (r->exchange && !http_query_get(r->exchange->request->query, &r->arena, STR("force"), &force))
        force = STR_NONE;
    *m = (struct removal){ .request = r, .servers = v, .name = name, .force = str_is(force, "true") };
    if (!v->local->external) {
        servers_members_ask(v, on_members, m);
        return PHASE_WAIT;
    }
    if (!has_entry(m))
        return request_fail(r, ERR_NOT_FOUND, "there is no server \"%.*s\"", STR_ARG(name));
    delete_entry(m);
    return PHASE_WAIT;
}

enum phase_result servers_below(struct request *r)
{
    struct str name = str_from(r->info.path, STR(PATH_SERVERS "/").n);

    if (!servers_name_is_good(name))
        return request_fail(r, ERR_NOT_FOUND, "the server could not find the requested resource");
    if (str_is(r->info.verb, "get"))
        return list_with_health(r, name);
    if (str_is(r->info.verb, "delete"))
        return remove_server(r, name);
    return request_fail(r, ERR_METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource");
}
