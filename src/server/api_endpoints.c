/*
 * Where the Service default/kubernetes leads with several servers: to each that answers. The leader asks the others every half second and
 * keeps the Service's Endpoints and EndpointSlice; a server that missed two answers in a row is out until it answers again. With one server
 * bootstrap_objects() has said all there is to say.
 */
#include "kinds/fields.h"
#include "loop/address.h"
#include "server/leader.h"
#include "server/rbac_bootstrap.h"
#include "server/server_internal.h"
#include "server/servers.h"

#define LOG_PART "server"
#include "base/log.h"

#include <stdlib.h>

#define LOOK_MS      500
#define MISSES_MAX   2
#define ANSWER_BYTES (64 * KIB)

struct other {
    struct list link;
    struct api_endpoints *all;
    char *name;
    struct bootstrap_address address;
    struct http_call *call;
    int misses;
    bool listed;
};

struct api_endpoints {
    struct server *server;
    struct api *api;
    struct loop_timer look;
    struct list others;
    bool writing;
};

static struct api_endpoints *part_of(struct server *s)
{
    return server_part(s, SERVER_PART_api_endpoints);
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static void other_free(struct other *o)
{
    if (o->call)
        http_call_cancel(o->call);
    list_del(&o->link);
    free(o->name);
    free(o);
}

static void on_answer(void *arg, const struct http_response *head, UNUSED struct str body, const struct error *err)
{
    struct other *o = arg;

    o->call = NULL;
    if (!err && head->status == 200)
        o->misses = 0;
    else if (o->misses < MISSES_MAX && ++o->misses == MISSES_MAX)
        log_warn("a server does not answer: the Service default/kubernetes leads there no more",
                 KV("server", "%s", o->name));
}

static void ask(struct other *o)
{
    struct http_client *client = servers_reach(o->all->server, str_of(o->name));
    struct http_call_request r = {
        .method = STR("GET"), .target = STR("/readyz"), .timeout_ms = LOOK_MS, .total_timeout_ms = LOOK_MS
    };

    if (client && !o->call)
        o->call = http_client_fetch(client, &r, ANSWER_BYTES, on_answer, o);
}

/* "https://10.1.1.2:6443" */
static bool read_address(struct str url, struct bootstrap_address *ret)
{
    struct address at;
    struct str authority;

    if (!str_starts(url, STR("https://")))
        return false;
    url = str_from(url, STR("https://").n);
    str_next(&url, '/', &authority);
    if (address_parse(authority, &at, NULL) < 0)
        return false;
    address_format_ip(&at, ret->ip);
    ret->port = address_port(&at);
    return true;
}

static bool take_entry(void *arg, const struct server_entry *e)
{
    struct api_endpoints *p = arg;
    struct bootstrap_address at;

    if (e->own || !read_address(e->url, &at))
        return true;
    list_each (&p->others, struct other, link, o)
        if (str_is(e->name, o->name)) {
            o->address = at;
            o->listed = true;
            return true;
        }
    struct other *o = xnew(struct other);
    *o = (struct other){ .all = p, .name = str_dup(e->name), .address = at, .misses = MISSES_MAX, .listed = true };
    list_add_tail(&p->others, &o->link);
    return true;
}

static void follow_list(struct api_endpoints *p)
{
    list_each (&p->others, struct other, link, o)
        o->listed = false;
    servers_each(p->server, take_entry, p);
    list_each (&p->others, struct other, link, o)
        if (!o->listed)
            other_free(o);
}

/* --- what they lead to --------------------------------------------------------------------------------------------- */

static size_t living(struct api_endpoints *p, struct bootstrap_address *to, size_t max)
{
    size_t n = 0;

    bootstrap_api_address(p->server, to[n].ip, &to[n].port);
    n++;
    list_each (&p->others, struct other, link, o)
        if (o->misses < MISSES_MAX && n < max && o->address.port == to[0].port)
            to[n++] = o->address;
    return n;
}

static void on_written(void *arg, UNUSED const struct object *result, const struct error *err)
{
    struct api_endpoints *p = arg;

    p->writing = false;
    if (err && err->code != ERR_CONFLICT && err->code != ERR_ALREADY_EXISTS)
        log_warn("the endpoints of the Service default/kubernetes could not be written; trying again", KV_ERR(err));
}

static void keep(struct api_endpoints *p, struct arena *a, const struct bootstrap_item *item)
{
    AUTO_ERROR struct error err = { 0 };
    const struct object *now = state_get(server_state(p->server), item->kind, STR("default"), STR("kubernetes"));
    const struct value *tree = now ? bootstrap_repair(a, item->kind, item->wanted, now) : item->wanted;
    AUTO_OBJECT struct object *body = tree && !p->writing ? object_new(tree, &err) : NULL;

    if (!body)
        return;
    p->writing = true; /* one after the other: the second follows at the next look */
    api_call(p->api,
             &(struct api_call){ .verb = now ? API_UPDATE : API_CREATE,
                                 .kind = item->kind,
                                 .namespace_ = STR("default"),
                                 .name = STR("kubernetes"),
                                 .body = body,
                                 .field_manager = STR("klein-server"),
                                 .epoch = leader_epoch(server_leader(p->server)),
                                 .grace_seconds = -1 },
             on_written, p);
}

static void on_look(void *arg)
{
    AUTO_ARENA struct arena a = { 0 };
    struct api_endpoints *p = arg;
    struct bootstrap_address addresses[BOOTSTRAP_ADDRESSES_MAX];
    struct bootstrap_items items = { 0 };

    loop_timer_start(&p->look, LOOK_MS);
    if (servers_known(p->server) < 2 || !leader_is_me(server_leader(p->server)) || !server_is_ready(p->server))
        return;
    follow_list(p);
    bootstrap_add_kubernetes_endpoints(&a, &items, addresses, living(p, addresses, ARRAY_SIZE(addresses)));
    for (size_t i = 0; i < items.count; i++)
        keep(p, &a, &items.items[i]);
    free(items.items);
    list_each (&p->others, struct other, link, o)
        ask(o);
}

/* --- the part ----------------------------------------------------------------------------------------------------- */

int api_endpoints_init(struct server *s, UNUSED struct error *err)
{
    struct api_endpoints *p = xnew(struct api_endpoints);

    p->server = s;
    p->api = server_api(s, &identity_server);
    list_init(&p->others);
    loop_timer_init(&p->look, server_loop(s), on_look, p);
    loop_timer_start(&p->look, LOOK_MS);
    server_part_set(s, SERVER_PART_api_endpoints, p);
    return 0;
}

void api_endpoints_done(struct server *s)
{
    struct api_endpoints *p = part_of(s);

    if (!p)
        return;
    list_each (&p->others, struct other, link, o)
        other_free(o);
    loop_timer_stop(&p->look);
    p->api->ops->free(p->api);
    free(p);
    server_part_set(s, SERVER_PART_api_endpoints, NULL);
}
