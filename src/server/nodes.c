/* The agents' tunnels and what they say about their nodes. */
#define LOG_PART "server"
#include "server/nodes.h"

#include "base/log.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "server/nodes_internal.h"
#include "server/server_internal.h"

#include <stdlib.h>

#define STATUS_RETRY_MS   250
#define LOOK_MS           1000
#define SILENT_REPEAT_MS  TUNNEL_PING_MS
#define SILENT_REPEAT_MAX 240 /* a minute of repeats; then readers count by themselves */

/* One tunnel; it may outlive its place in the node when a newer one took over. */
struct connection {
    struct node *node; /* NULL: replaced, or the nodes are gone */
    struct tunnel *tunnel;
    struct http_call *status; /* the status stream; NULL between two tries */
    struct loop_timer retry;
    struct buf line;
};

int64_t node_heard_first_hand_ms(const struct node *n)
{
    return n->connection ? tunnel_heard_ms(n->connection->tunnel) : n->heard_ms;
}

static void settled(void *arg)
{
    struct nodes *nodes = arg;
    struct str name;
    void *n;
    nodes->settled = true;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &n);)
        if (((struct node *)n)->silent)
            nodes_tell(nodes, n);
    nodes_tell(nodes, NULL);
}

/* The time since the node was heard, without what we slept through ourselves. */
static int64_t unheard_ms(const struct node *n)
{
    nodes_look_at_clock(n->nodes);
    return loop_now_ms(n->nodes->loop) - MAX(node_heard_first_hand_ms(n), n->nodes->floor_ms);
}

/* Without a connection: silent from TUNNEL_SILENT_MS on. */
static void silence(void *arg)
{
    struct node *n = arg;
    if (n->connection)
        return;
    if (!n->silent && unheard_ms(n) < TUNNEL_SILENT_MS) {
        loop_timer_start(&n->timer, TUNNEL_SILENT_MS - unheard_ms(n));
        return;
    }
    n->silent = true;
    nodes_tell(n->nodes, n);
    if (++n->repeats < SILENT_REPEAT_MAX)
        loop_timer_start(&n->timer, SILENT_REPEAT_MS);
}

/* --- the status stream -------------------------------------------------------------------------------------------- */

static void status_line(struct node *n, struct str line)
{
    AUTO_ARENA struct arena a = { 0 };
    bool bad;
    if (node_report_read(&n->report, value_parse(&a, line, NULL, NULL), loop_now_ms(n->nodes->loop), &bad))
        nodes_tell(n->nodes, n);
    else if (bad)
        log_warn("a node's status line cannot be read", KV("node", "%s", n->name));
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
    if (!c->node)
        return;
    c->node->report.speaks = false; /* until it says anew whom it hears */
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
        n->report.speaks = false;
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
        nodes_tell(c->node->nodes, c->node);
}

static void on_alive(UNUSED struct tunnel *t, void *arg)
{
    struct connection *c = arg;
    if (!c->node)
        return;
    c->node->silent = false;
    c->node->repeats = 0;
    nodes_tell(c->node->nodes, c->node);
}

static void on_closed(UNUSED struct tunnel *t, const struct error *err, void *arg)
{
    struct connection *c = arg;
    struct node *n = c->node;
    connection_end(c);
    if (n) {
        int64_t age_ms = unheard_ms(n);
        log_info("node disconnected", KV("node", "%s", n->name), KV("why", "%s", err ? error_text(err) : "closed"));
        loop_timer_start(&n->timer, MAX(TUNNEL_SILENT_MS - age_ms, (int64_t)0));
        nodes_tell(n->nodes, n);
    }
    buf_done(&c->line);
    free(c);
}

struct node *nodes_make(struct nodes *nodes, struct str name, struct error *err)
{
    struct node *n = map_get(&nodes->by_name, name);
    if (n)
        return n;
    if (nodes->by_name.count >= NODES_MAX)
        return fail_null(err, ERR_TOO_MANY_REQUESTS, "more than %d nodes", NODES_MAX);
    n = xnew(struct node);
    n->nodes = nodes;
    n->name = str_dup(name);
    n->heard_ms = nodes->floor_ms;
    n->silent = true; /* here; until it connects */
    loop_timer_init(&n->timer, nodes->loop, silence, n);
    map_put(&nodes->by_name, name, n);
    return n;
}

int nodes_accept(struct nodes *nodes, struct str name, struct http_exchange *x, struct error *err)
{
    static const struct tunnel_callbacks callbacks = { .on_silent = on_silent,
                                                       .on_alive = on_alive,
                                                       .on_closed = on_closed };
    struct node *n = nodes_make(nodes, name, err);
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
    c->line = (struct buf)BUF_MAX(NODES_LINE_MAX_BYTES);
    loop_timer_init(&c->retry, nodes->loop, status_open, c);
    n->connection = c;
    n->silent = false;
    n->repeats = 0;
    memcpy(n->key, key, sizeof(key));
    loop_timer_stop(&n->timer);
    log_info("node connected", KV("node", "%s", n->name));
    status_open(c);
    nodes_tell(nodes, n);
    return 0;
}

/* --- the door ----------------------------------------------------------------------------------------------------- */

struct nodes *nodes_new(struct loop *loop)
{
    struct nodes *nodes = xnew(struct nodes);
    nodes->loop = loop;
    nodes_facts_init(nodes);
    loop_timer_init(&nodes->look, loop, NULL, NULL);
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
        node_report_done(&n->report);
        for (size_t k = 0; k < NODES_SERVERS_MAX; k++)
            node_report_done(&n->words[k].report);
        free(n->name);
        free(n);
    }
    nodes_facts_done(nodes);
    loop_timer_stop(&nodes->settle);
    loop_timer_stop(&nodes->look);
    map_done(&nodes->by_name);
    free(nodes);
}

bool nodes_settled(const struct nodes *nodes)
{
    return nodes->settled;
}

struct http_client *nodes_client(struct nodes *nodes, struct str name, struct error *err)
{
    const struct node *n = map_get(&nodes->by_name, name);
    if (n && n->connection)
        return tunnel_client(n->connection->tunnel);
    return fail_null(err, ERR_UNAVAILABLE, "node '%.*s' is not connected", STR_ARG(name));
}

/* --- the part ----------------------------------------------------------------------------------------------------- */

/*
 * Nodes of the API that never connected since the start are judged as well: they may be heard by others. They get an entry when they had
 * time to come.
 */
static bool know_node(void *arg, const struct object *object)
{
    struct nodes *nodes = arg;
    int64_t created_ms = 0;
    if (map_has(&nodes->by_name, object_name(object)))
        return true;
    time_parse(view_str_at(object_root(object), F_NODE_METADATA, F_OBJECT_META_CREATION_TIMESTAMP), &created_ms);
    if (env_wall_ms(loop_env(nodes->loop)) - created_ms < NODES_RECONNECT_WINDOW_MS)
        return true;
    struct node *n = nodes_make(nodes, object_name(object), NULL);
    if (n)
        nodes_tell(nodes, n);
    return true;
}

static void look_for_nodes(void *arg)
{
    struct server *s = arg;
    struct nodes *nodes = server_nodes(s);
    if (nodes->settled)
        state_each(server_state(s), &kind_node, STR_NONE, know_node, nodes);
    loop_timer_start(&nodes->look, LOOK_MS);
}

int nodes_init(struct server *s, UNUSED struct error *err)
{
    struct nodes *nodes = nodes_new(server_loop(s));
    server_part_set(s, SERVER_PART_nodes, nodes);
    loop_timer_init(&nodes->look, server_loop(s), look_for_nodes, s);
    loop_timer_start(&nodes->look, LOOK_MS);
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
