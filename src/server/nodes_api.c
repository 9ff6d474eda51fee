/* GET /klein/v1/nodes, its watch, and the tunnels themselves: sections 2 and 4 of docs/reference/agent-protocol.md. */
#define LOG_PART "server"
#include "server/nodes_internal.h"

#include "base/codec.h"
#include "server/authz.h"
#include "server/nodes_removal.h"
#include "server/seams.h"

#include <stdlib.h>

#define HEARTBEAT_MS     1000
#define QUEUED_MAX_BYTES MIB /* a reader that is further behind is dropped */

static void add_bool(struct buf *to, const char *name, bool value)
{
    buf_addf(to, ",\"%s\":%s", name, value ? "true" : "false");
}

static void add_item(struct buf *to, const struct node_facts *f, int64_t now_ms)
{
    buf_add_text(to, "{\"name\":");
    json_write_str(to, f->name);
    add_bool(to, "connected", f->connected);
    add_bool(to, "silent", f->silent);
    buf_addf(to, ",\"silentMs\":%lld,\"applied\":", (long long)f->last_seen_age_ms);
    buf_add(to, f->applied_json);
    if (f->confirmed)
        add_bool(to, "confirmed", true);
    if (f->fenced)
        add_bool(to, "fenced", true);
    node_report_write(f->report, now_ms, to);
    buf_add_char(to, '}');
}

/* --- list --------------------------------------------------------------------------------------------------------- */

struct listing {
    struct buf *to;
    int64_t now_ms;
};

static void list_item(void *arg, const struct node_facts *f)
{
    struct listing *l = arg;
    if (l->to->p[l->to->n - 1] != '[')
        buf_add_char(l->to, ',');
    add_item(l->to, f, l->now_ms);
}

static enum phase_result list(struct request *r, struct nodes *nodes)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * MIB);
    buf_addf(&text, "{\"settled\":%s,\"items\":[", nodes_settled(nodes) ? "true" : "false");
    nodes_each(nodes, list_item, &(struct listing){ &text, loop_now_ms(server_loop(r->server)) });
    buf_add_text(&text, "]}");
    return request_answer(r, 200, STR("application/json"), buf_str(&text));
}

/* --- watch -------------------------------------------------------------------------------------------------------- */

struct reader {
    struct http_exchange *exchange;
    struct nodes *nodes;
    struct nodes_watch *watch;
    struct loop_timer heartbeat;
    bool first_hand; /* for other servers: what they told us is not told back */
};

static void reader_end(struct reader *w)
{
    nodes_watch_free(w->watch);
    loop_timer_stop(&w->heartbeat);
    http_exchange_abort(w->exchange);
    free(w);
}

static bool reader_write(struct reader *w, struct str line)
{
    if (http_exchange_queued_bytes(w->exchange) > QUEUED_MAX_BYTES) {
        reader_end(w);
        return false;
    }
    http_exchange_write_copy(w->exchange, line);
    loop_timer_start(&w->heartbeat, HEARTBEAT_MS);
    return true;
}

static void reader_change(void *arg, const struct node_facts *f)
{
    struct reader *w = arg;
    AUTO_BUF struct buf line = BUF_MAX(64 * KIB);
    struct node_facts own;
    if (f && w->first_hand && !nodes_get_first_hand(w->nodes, f->name, &own))
        return;
    if (f)
        add_item(&line, w->first_hand ? &own : f, loop_now_ms(w->exchange->loop));
    else
        buf_addf(&line, "{\"settled\":%s}", nodes_settled(w->nodes) ? "true" : "false");
    buf_add_char(&line, '\n');
    reader_write(w, buf_str(&line));
}

static void reader_first(void *arg, const struct node_facts *f)
{
    struct listing *l = arg;
    add_item(l->to, f, l->now_ms);
    buf_add_char(l->to, '\n');
}

static void reader_heartbeat(void *arg)
{
    reader_write(arg, STR("\n"));
}

static void reader_gone(UNUSED struct http_exchange *x, void *user)
{
    reader_end(user);
}

static enum phase_result watch(struct request *r, struct nodes *nodes, bool first_hand)
{
    static const struct http_exchange_callbacks callbacks = { .on_gone = reader_gone };
    static const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("application/x-ndjson") },
                                                  { STR_INIT("cache-control"), STR_INIT("no-cache") } };
    AUTO_BUF struct buf first = BUF_MAX(64 * MIB);
    if (!r->exchange)
        return request_fail(r, ERR_BAD_REQUEST, "watching nodes needs HTTP");
    struct reader *w = xnew(struct reader);
    w->exchange = TAKE(r->exchange);
    w->nodes = nodes;
    w->first_hand = first_hand;
    loop_timer_init(&w->heartbeat, w->exchange->loop, reader_heartbeat, w);
    http_exchange_set_callbacks(w->exchange, &callbacks, w);
    http_exchange_start(w->exchange, &(struct http_response){
                                         .status = 200, .headers = headers, .headers_count = ARRAY_SIZE(headers) });
    w->watch = (first_hand ? nodes_on_change_first_hand : nodes_on_change)(nodes, reader_change, w);
    (first_hand ? nodes_each_first_hand : nodes_each)(nodes, reader_first,
                                                      &(struct listing){ &first, loop_now_ms(w->exchange->loop) });
    buf_addf(&first, "{\"settled\":%s}\n", nodes_settled(nodes) ? "true" : "false");
    reader_write(w, buf_str(&first));
    return PHASE_ANSWERED;
}

static bool query_is_true(struct request *r, const char *name)
{
    struct str wanted = STR_NONE;
    if (!r->exchange || !http_query_get(r->exchange->request->query, &r->arena, str_of(name), &wanted))
        return false;
    return str_is(wanted, "true") || str_is(wanted, "1");
}

enum phase_result nodes_list(struct request *r)
{
    struct nodes *nodes = server_nodes(r->server);
    if (!str_is(r->info.verb, "get"))
        return request_fail(r, ERR_METHOD_NOT_ALLOWED,
                            "the server does not allow this method on the requested resource");
    return query_is_true(r, "watch") ? watch(r, nodes, query_is_true(r, "firstHand")) : list(r, nodes);
}

/* --- below a node's name ------------------------------------------------------------------------------------------- */

static enum phase_result tunnel(struct request *r, struct str name)
{
    /* Authorised before on the path; here once more, for a system:masters caller is no agent. */
    if (!str_eq(authz_node_name(&r->identity), name))
        return request_fail(r, ERR_FORBIDDEN, "only node \"%.*s\" itself may open its tunnel", STR_ARG(name));
    if (!r->exchange)
        return request_fail(r, ERR_BAD_REQUEST, "a tunnel needs HTTP");
    if (nodes_accept(server_nodes(r->server), name, r->exchange, &r->err) < 0)
        return PHASE_FAILED;
    r->exchange = NULL;
    return PHASE_ANSWERED;
}

/* Authorised on the path: the node itself, or an administrator. */
static enum phase_result peer_key(struct request *r)
{
    AUTO_BUF struct buf text = BUF_MAX(KIB);
    unsigned char key[32];
    ca_peer_key(server_ca(r->server), key);
    buf_add_text(&text, "{\"key\":\"");
    hex_encode(&text, (struct str){ (const char *)key, sizeof(key) });
    buf_add_text(&text, "\"}");
    enum phase_result result = request_answer(r, 200, STR("application/json"), buf_str(&text));
    explicit_bzero(key, sizeof(key));
    explicit_bzero(text.p, text.n);
    return result;
}

enum phase_result nodes_below(struct request *r)
{
    struct str rest = str_from(r->info.path, STR("/klein/v1/nodes/").n), name;
    if (str_cut(&rest, '/', &name) && str_is(r->info.verb, "get")) {
        if (str_is(rest, "tunnel"))
            return tunnel(r, name);
        if (str_is(rest, "removal"))
            return nodes_removal(r);
        if (str_is(rest, "peer-key"))
            return peer_key(r);
    }
    return request_fail(r, ERR_NOT_FOUND, "the server could not find the requested resource");
}
