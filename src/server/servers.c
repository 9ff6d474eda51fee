/* The servers of the cluster: entries under /klein/servers/, and this one's own. */
#include "base/time.h"
#include "server/rbac_bootstrap.h"
#include "server/servers_internal.h"

#define LOG_PART "servers"
#include "base/log.h"

#include <signal.h>
#include <stdlib.h>

#define AGAIN_MS 500

struct servers_watch {
    struct list link;
    loop_fn *fn;
    void *arg;
};

/* --- entries -------------------------------------------------------------------------------------------------------------- */

static struct str own_name(const struct servers *v)
{
    return str_of(v->server->config.name ? v->server->config.name : "server");
}

struct str servers_own_name(struct server *s)
{
    struct servers *v = servers_of(s);

    return v ? own_name(v) : STR_NONE;
}

static struct server_entry own_entry(struct servers *v, struct arena *a)
{
    struct servers_local *l = v->local;

    return (struct server_entry){ .name = own_name(v),
                                  .zone = l ? str_of(l->record.zone) : STR_NONE,
                                  .url = bootstrap_api_url(v->server, a),
                                  .etcd_peer_url = l ? str_of(l->peer_url) : STR_NONE,
                                  .etcd_client_url = l ? str_of(l->client_url) : STR_NONE,
                                  .version = STR(KLEIN_VERSION),
                                  .own = true };
}

static void put(struct arena *a, struct value *o, const char *name, struct str text)
{
    value_put_str(a, o, str_of(name), value_str(a, text));
}

void servers_write_own(struct servers *v, struct buf *to)
{
    AUTO_ARENA struct arena a = { 0 };
    struct server_entry e = own_entry(v, &a);
    struct value *o = value_object(&a);
    char started[TIME_TEXT_SIZE];

    time_format(v->server->started_wall_ms, started);
    put(&a, o, "name", e.name);
    put(&a, o, "zone", e.zone);
    put(&a, o, "url", e.url);
    put(&a, o, "etcdPeerUrl", e.etcd_peer_url);
    put(&a, o, "etcdClientUrl", e.etcd_client_url);
    put(&a, o, "version", e.version);
    put(&a, o, "started", str_of(started));
    value_write(to, o);
}

struct walk {
    struct servers *servers;
    servers_each_fn *fn;
    void *arg;
    struct arena *arena;
    bool own_told, stopped;
};

static bool tell(struct walk *w, const struct server_entry *e)
{
    w->stopped = !w->fn(w->arg, e);
    return !w->stopped;
}

static bool walk_key(void *arg, const struct raw_value *key)
{
    struct walk *w = arg;
    struct str name = str_from(key->key, SERVERS_KEYS.n), own = own_name(w->servers);

    if (str_find(name, '/') >= 0)
        return true;
    if (!w->own_told && str_cmp(own, name) <= 0) {
        struct server_entry e = own_entry(w->servers, w->arena);
        w->own_told = true;
        if (!tell(w, &e))
            return false;
    }
    if (str_eq(own, name))
        return true;
    const struct value *o = value_parse(w->arena, key->value, NULL, NULL);
    struct server_entry e = { .name = name,
                              .zone = value_to_str(value_get_str(o, STR("zone"))),
                              .url = value_to_str(value_get_str(o, STR("url"))),
                              .etcd_peer_url = value_to_str(value_get_str(o, STR("etcdPeerUrl"))),
                              .etcd_client_url = value_to_str(value_get_str(o, STR("etcdClientUrl"))),
                              .version = value_to_str(value_get_str(o, STR("version"))) };
    return !o || tell(w, &e);
}

void servers_each(struct server *s, servers_each_fn *fn, void *arg)
{
    AUTO_ARENA struct arena a = { 0 };
    struct walk w = { .servers = servers_of(s), .fn = fn, .arg = arg, .arena = &a };

    raw_each(server_state(s), SERVERS_KEYS, walk_key, &w);
    if (!w.own_told && !w.stopped) {
        struct server_entry e = own_entry(w.servers, &a);
        fn(arg, &e);
    }
}

static bool count_one(void *arg, UNUSED const struct server_entry *e)
{
    ++*(size_t *)arg;
    return true;
}

size_t servers_known(struct server *s)
{
    size_t n = 0;

    servers_each(s, count_one, &n);
    return n;
}

/* --- registration ----------------------------------------------------------------------------------------------------------- */

static void register_own(struct servers *v);

static void on_registered(void *arg, UNUSED uint64_t revision, const struct error *err)
{
    struct servers *v = arg;

    v->registering = false;
    v->registered = !err;
    if (err) {
        log_warn("this server could not write itself down; trying again", KV_ERR(err));
        loop_timer_start(&v->progress, AGAIN_MS);
    }
}

static void register_own(struct servers *v)
{
    AUTO_BUF struct buf key = BUF_MAX(STORE_KEY_MAX);
    AUTO_BUF struct buf value = BUF_MAX(4 * KIB);

    buf_add(&key, SERVERS_KEYS);
    buf_add(&key, own_name(v));
    servers_write_own(v, &value);
    v->registering = true;
    struct raw_write w = {
        .type = STORE_PUT, .key = buf_str(&key), .value = buf_str(&value), .expect = STORE_EXPECT_ANY
    };
    raw_write(server_state(v->server), &w, on_registered, v);
}

/* Where our watch is, and whether our disk is: the leader compacts behind the slowest, all refuse writes when disks are full. */
static void write_progress(struct servers *v)
{
    AUTO_BUF struct buf key = BUF_MAX(STORE_KEY_MAX);
    AUTO_BUF struct buf value = BUF_MAX(KIB);

    buf_add(&key, SERVERS_KEYS);
    buf_add(&key, own_name(v));
    buf_add_text(&key, "/progress");
    buf_addf(&value, "{\"revision\":%llu,\"diskLow\":%s}", (unsigned long long)state_revision(server_state(v->server)),
             v->health.disk_low ? "true" : "false");
    struct raw_write w = {
        .type = STORE_PUT, .key = buf_str(&key), .value = buf_str(&value), .expect = STORE_EXPECT_ANY
    };
    raw_write(server_state(v->server), &w, NULL, NULL);
}

static void progress(void *arg)
{
    struct servers *v = arg;

    if (v->removed)
        return;
    loop_timer_start(&v->progress, PROGRESS_EVERY_MS);
    if (!v->registered && !v->registering)
        register_own(v);
    else if (v->registered)
        write_progress(v);
}

void servers_progress_now(struct servers *v)
{
    if (v->local && v->local->is_etcd)
        loop_timer_start(&v->progress, 0);
}

/* --- changes ----------------------------------------------------------------------------------------------------------------- */

struct gathered {
    struct str endpoints[SERVERS_MAX];
    struct arena arena;
    size_t count;
};

static bool gather_endpoint(void *arg, const struct server_entry *e)
{
    struct gathered *g = arg;

    if (!e->own && e->etcd_client_url.n && g->count < SERVERS_MAX)
        g->endpoints[g->count++] = arena_str(&g->arena, e->etcd_client_url);
    return true;
}

static void on_changed(void *arg)
{
    struct servers *v = arg;
    struct gathered g = { 0 };

    if (v->local && v->local->is_etcd) {
        servers_each(v->server, gather_endpoint, &g);
        servers_local_set_endpoints(v->local, g.endpoints, g.count);
        arena_done(&g.arena);
    }
    list_each (&v->watches, struct servers_watch, link, w)
        w->fn(w->arg);
}

static void ended(void *arg)
{
    struct servers *v = arg;

    v->local->process = NULL;
    log_info("etcd ended; so does this server");
    raise(SIGTERM);
}

/* Somebody took this server out of the cluster, or it asked for that itself. */
void servers_end_removed(struct servers *v)
{
    AUTO_ERROR struct error err = { 0 };
    struct servers_local *l = v->local;

    if (v->removed)
        return;
    v->removed = true;
    log_warn("this server was removed from the cluster: it ends",
             KV("to join again", "remove %s and start with --join and --token", v->server->config.data_folder));
    l->record.removed = true;
    if (server_record_save(v->server->config.data_folder, &l->record, &err) < 0)
        log_error("that could not be noted", KV_ERR(&err));
    if (l->process)
        etcd_process_stop(l->process, ended, v);
    else
        raise(SIGTERM);
}

static void key_changed(void *arg, const struct raw_value *now, bool gone)
{
    struct servers *v = arg;
    struct str name = str_from(now->key, SERVERS_KEYS.n);

    if (str_find(name, '/') >= 0)
        return;
    if (gone && v->registered && str_eq(name, own_name(v)))
        servers_end_removed(v);
    else
        loop_defer(v->server->loop, &v->changed);
}

struct servers_watch *servers_on_change(struct server *s, loop_fn *fn, void *arg)
{
    struct servers_watch *w = xnew(struct servers_watch);

    w->fn = fn;
    w->arg = arg;
    list_add_tail(&servers_of(s)->watches, &w->link);
    return w;
}

void servers_watch_free(struct servers_watch *w)
{
    if (!w)
        return;
    list_del(&w->link);
    free(w);
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

int servers_init(struct server *s, UNUSED struct error *err)
{
    struct servers *v = xnew(struct servers);

    v->server = s;
    v->local = servers_local(s);
    list_init(&v->watches);
    list_init(&v->peers);
    list_init(&v->learners);
    v->changed = (struct loop_task){ .fn = on_changed, .arg = v };
    loop_timer_init(&v->progress, s->loop, progress, v);
    server_part_set(s, SERVER_PART_servers, v);
    v->listener = raw_listen(server_state(s), SERVERS_KEYS, key_changed, v);
    servers_health_start(v);
    if (v->local && v->local->is_etcd) {
        loop_timer_start(&v->progress, 0);
        loop_defer(s->loop, &v->changed);
    }
    servers_upkeep_start(v);
    return 0;
}

void servers_done(struct server *s)
{
    struct servers *v = servers_of(s);

    if (!v)
        return;
    raw_unlisten(v->listener);
    loop_timer_stop(&v->progress);
    loop_defer_cancel(&v->changed);
    if (v->local)
        servers_local_end_admin(v->local); /* open calls end here, while everybody is there to hear it */
    servers_upkeep_stop(v);
    servers_health_stop(v);
    servers_members_stop(v);
    servers_peers_stop(v);
    list_each (&v->watches, struct servers_watch, link, w)
        servers_watch_free(w);
    free(v);
    server_part_set(s, SERVER_PART_servers, NULL);
}
