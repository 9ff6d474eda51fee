/* The agents' tunnels and what they say about their nodes. */
#define LOG_PART "server"
#include "server/nodes.h"

#include "base/log.h"
#include "base/map.h"
#include "object/value.h"
#include "server/server_internal.h"

#include <stdlib.h>

#define LINE_MAX_BYTES    4096
#define STATUS_RETRY_MS   250
#define SILENT_REPEAT_MS  TUNNEL_PING_MS
#define SILENT_REPEAT_MAX 240 /* a minute of repeats; then readers count by themselves */

struct node {
    struct nodes *nodes;
    char *name;
    struct connection *connection; /* NULL: not connected */
    int64_t heard_ms;              /* loop time; of the last connection when there is none */
    bool silent;
    unsigned repeats;
    uint64_t applied_endpointslices;
    char *applied_json;
    char key[65];
    struct loop_timer timer; /* without a connection: when it falls silent, and repeats */
};

/* One tunnel; it may outlive its place in the node when a newer one took over. */
struct connection {
    struct node *node; /* NULL: replaced, or the nodes are gone */
    struct tunnel *tunnel;
    struct http_call *status; /* the status stream; NULL between two tries */
    struct loop_timer retry;
    struct buf line;
};

struct nodes_watch {
    struct list link;
    nodes_each_fn *fn;
    void *arg;
    bool dead;
};

struct nodes {
    struct loop *loop;
    struct map by_name; /* -> struct node */
    struct list watches;
    unsigned telling; /* depth of tell(): dead watches are freed at depth 0 */
    struct loop_timer settle;
    bool settled;
};

/* --- facts -------------------------------------------------------------------------------------------------------- */

static int64_t heard_ms(const struct node *n)
{
    return n->connection ? tunnel_heard_ms(n->connection->tunnel) : n->heard_ms;
}

static struct node_facts facts_of(const struct node *n)
{
    return (struct node_facts){
        .name = str_of(n->name),
        .connected = n->connection != NULL,
        .silent = n->silent && n->nodes->settled,
        .last_seen_age_ms = MAX(loop_now_ms(n->nodes->loop) - heard_ms(n), (int64_t)0),
        .applied_endpointslices = n->applied_endpointslices,
        .applied_json = n->applied_json ? str_of(n->applied_json) : STR("{}"),
        .key_sha256 = str_of(n->key),
    };
}

static void sweep(struct nodes *nodes)
{
    list_each (&nodes->watches, struct nodes_watch, link, w)
        if (w->dead) {
            list_del(&w->link);
            free(w);
        }
}

static void tell(struct nodes *nodes, const struct node *n)
{
    struct node_facts facts = { 0 };
    if (n)
        facts = facts_of(n);
    nodes->telling++;
    list_each (&nodes->watches, struct nodes_watch, link, w)
        if (!w->dead)
            w->fn(w->arg, n ? &facts : NULL);
    if (--nodes->telling == 0)
        sweep(nodes);
}

static void settled(void *arg)
{
    struct nodes *nodes = arg;
    struct str name;
    void *n;
    nodes->settled = true;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &n);)
        if (((struct node *)n)->silent)
            tell(nodes, n);
    tell(nodes, NULL);
}

/* Without a connection: silent from TUNNEL_SILENT_MS on. */
static void silence(void *arg)
{
    struct node *n = arg;
    if (n->connection)
        return;
    n->silent = true;
    tell(n->nodes, n);
    if (++n->repeats < SILENT_REPEAT_MAX)
        loop_timer_start(&n->timer, SILENT_REPEAT_MS);
}

/* --- the status stream -------------------------------------------------------------------------------------------- */

static void status_line(struct node *n, struct str line)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf json = BUF_MAX(LINE_MAX_BYTES);
    struct value *report = value_parse(&a, line, NULL, NULL);
    struct value *applied = value_get_str(report, STR("applied"));
    if (value_type(applied) != VALUE_OBJECT) {
        log_warn("a node's status line cannot be read", KV("node", "%s", n->name));
        return;
    }
    int64_t revision = value_to_int(value_get_str(applied, STR("endpointslices")), 0);
    value_write(&json, applied);
    if (n->applied_json && str_is(buf_str(&json), n->applied_json))
        return;
    n->applied_endpointslices = revision > 0 ? (uint64_t)revision : 0;
    free(n->applied_json);
    n->applied_json = str_dup(buf_str(&json));
    tell(n->nodes, n);
}

static void status_body(struct http_call *call, struct str bytes, void *arg)
{
    struct connection *c = arg;
    struct str rest = bytes, line;
    while (!str_empty(rest)) {
        bool whole = str_cut(&rest, '\n', &line);
        buf_add(&c->line, line);
        if (c->line.full) {
            log_warn("a node's status line is too long; the connection ends",
                     KV("node", "%s", c->node ? c->node->name : ""));
            c->status = NULL;
            http_call_cancel(call);
            tunnel_close(c->tunnel);
            return;
        }
        if (!whole)
            return;
        if (c->node && c->line.n)
            status_line(c->node, buf_str(&c->line));
        buf_clear(&c->line);
    }
}

static void status_done(UNUSED struct http_call *call, UNUSED const struct error *err, void *arg)
{
    struct connection *c = arg;
    c->status = NULL;
    if (c->node)
        loop_timer_start(&c->retry, STATUS_RETRY_MS);
}

static void status_open(void *arg)
{
    static const struct http_call_callbacks callbacks = { .on_body = status_body, .on_done = status_done };
    struct connection *c = arg;
    buf_clear(&c->line);
    c->status = http_client_call(tunnel_client(c->tunnel),
                                 &(struct http_call_request){ .method = STR("GET"), .target = STR("/status-stream") },
                                 &callbacks, c);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static void connection_end(struct connection *c)
{
    struct node *n = c->node;
    if (c->status)
        http_call_cancel(TAKE(c->status));
    loop_timer_stop(&c->retry);
    c->node = NULL;
    if (n && n->connection == c) {
        n->heard_ms = tunnel_heard_ms(c->tunnel);
        n->connection = NULL;
    }
}

static void on_silent(UNUSED struct tunnel *t, UNUSED int64_t silent_ms, void *arg)
{
    struct connection *c = arg;
    if (!c->node)
        return;
    c->node->silent = true;
    if (c->node->repeats++ < SILENT_REPEAT_MAX)
        tell(c->node->nodes, c->node);
}

static void on_alive(UNUSED struct tunnel *t, void *arg)
{
    struct connection *c = arg;
    if (!c->node)
        return;
    c->node->silent = false;
    c->node->repeats = 0;
    tell(c->node->nodes, c->node);
}

static void on_closed(UNUSED struct tunnel *t, const struct error *err, void *arg)
{
    struct connection *c = arg;
    struct node *n = c->node;
    connection_end(c);
    if (n) {
        int64_t age_ms = loop_now_ms(n->nodes->loop) - n->heard_ms;
        log_info("node disconnected", KV("node", "%s", n->name), KV("why", "%s", err ? error_text(err) : "closed"));
        loop_timer_start(&n->timer, MAX(TUNNEL_SILENT_MS - age_ms, (int64_t)0));
        tell(n->nodes, n);
    }
    buf_done(&c->line);
    free(c);
}

static struct node *node_make(struct nodes *nodes, struct str name, struct error *err)
{
    struct node *n = map_get(&nodes->by_name, name);
    if (n)
        return n;
    if (nodes->by_name.count >= NODES_MAX)
        return fail_null(err, ERR_TOO_MANY_REQUESTS, "more than %d nodes", NODES_MAX);
    n = xnew(struct node);
    n->nodes = nodes;
    n->name = str_dup(name);
    n->heard_ms = loop_now_ms(nodes->loop);
    loop_timer_init(&n->timer, nodes->loop, silence, n);
    map_put(&nodes->by_name, name, n);
    return n;
}

int nodes_accept(struct nodes *nodes, struct str name, struct http_exchange *x, struct error *err)
{
    static const struct tunnel_callbacks callbacks = { .on_silent = on_silent,
                                                       .on_alive = on_alive,
                                                       .on_closed = on_closed };
    struct node *n = node_make(nodes, name, err);
    char key[65] = "";
    if (!n)
        return -1;
    if (x->peer->certificate_der_sha256.n < sizeof(key))
        memcpy(key, x->peer->certificate_der_sha256.p ? x->peer->certificate_der_sha256.p : "",
               x->peer->certificate_der_sha256.n);
    if (n->connection && !n->silent && strcmp(key, n->key))
        return fail(err, ERR_CONFLICT, "node '%s' is connected with another certificate", n->name);
    struct connection *c = xnew(struct connection);
    c->tunnel = tunnel_accept(x, NULL, &callbacks, c);
    if (!c->tunnel) {
        free(c);
        return fail(err, ERR_BAD_REQUEST, "the request does not ask for an upgrade to %s", TUNNEL_PROTOCOL);
    }
    if (n->connection) {
        struct connection *old = n->connection;
        connection_end(old);
        tunnel_close(old->tunnel);
    }
    c->node = n;
    c->line = (struct buf)BUF_MAX(LINE_MAX_BYTES);
    loop_timer_init(&c->retry, nodes->loop, status_open, c);
    n->connection = c;
    n->silent = false;
    n->repeats = 0;
    memcpy(n->key, key, sizeof(key));
    loop_timer_stop(&n->timer);
    log_info("node connected", KV("node", "%s", n->name));
    status_open(c);
    tell(nodes, n);
    return 0;
}

/* --- the door ----------------------------------------------------------------------------------------------------- */

struct nodes *nodes_new(struct loop *loop)
{
    struct nodes *nodes = xnew(struct nodes);
    nodes->loop = loop;
    list_init(&nodes->watches);
    loop_timer_init(&nodes->settle, loop, settled, nodes);
    loop_timer_start(&nodes->settle, NODES_RECONNECT_WINDOW_MS);
    return nodes;
}

void nodes_free(struct nodes *nodes)
{
    struct str name;
    void *value;
    if (!nodes)
        return;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);) {
        struct node *n = value;
        struct connection *c = n->connection;
        if (c) {
            connection_end(c);
            tunnel_close(c->tunnel);
        }
        loop_timer_stop(&n->timer);
        free(n->name);
        free(n->applied_json);
        free(n);
    }
    list_each (&nodes->watches, struct nodes_watch, link, w)
        free(w);
    loop_timer_stop(&nodes->settle);
    map_done(&nodes->by_name);
    free(nodes);
}

bool nodes_settled(const struct nodes *nodes)
{
    return nodes->settled;
}

bool nodes_get(const struct nodes *nodes, struct str name, struct node_facts *ret)
{
    const struct node *n = map_get(&nodes->by_name, name);
    if (n)
        *ret = facts_of(n);
    return n != NULL;
}

void nodes_each(const struct nodes *nodes, nodes_each_fn *fn, void *arg)
{
    struct str name;
    void *value;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);) {
        struct node_facts facts = facts_of(value);
        fn(arg, &facts);
    }
}

struct http_client *nodes_client(struct nodes *nodes, struct str name, struct error *err)
{
    const struct node *n = map_get(&nodes->by_name, name);
    if (n && n->connection)
        return tunnel_client(n->connection->tunnel);
    return fail_null(err, ERR_UNAVAILABLE, "node '%.*s' is not connected", STR_ARG(name));
}

struct nodes_watch *nodes_on_change(struct nodes *nodes, nodes_each_fn *fn, void *arg)
{
    struct nodes_watch *w = xnew(struct nodes_watch);
    w->fn = fn;
    w->arg = arg;
    list_add_tail(&nodes->watches, &w->link);
    return w;
}

/* Freed by the next tell(): the list may be under iteration now. */
void nodes_watch_free(struct nodes_watch *w)
{
    if (w)
        w->dead = true;
}

/* --- the part ----------------------------------------------------------------------------------------------------- */

int nodes_init(struct server *s, UNUSED struct error *err)
{
    server_part_set(s, SERVER_PART_nodes, nodes_new(server_loop(s)));
    return 0;
}

void nodes_done(struct server *s)
{
    nodes_free(server_part(s, SERVER_PART_nodes));
    server_part_set(s, SERVER_PART_nodes, NULL);
}

struct nodes *server_nodes(struct server *s)
{
    return server_part(s, SERVER_PART_nodes);
}
