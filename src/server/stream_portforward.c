/*
 * pods/portforward over SPDY/3.1: pairs of streams, each pair one connection into the pod.
 * Source: kubelet/pkg/cri/streaming/portforward/httpstream.go; KEP-4006's WebSocket form is refused, and clients fall back.
 */
#define LOG_PART "server"
#include "server/nodes.h"
#include "server/stream.h"

#include "base/list.h"
#include "base/log.h"
#include "wire/spdy.h"

#include <stdlib.h>

#define PROTOCOL          "portforward.k8s.io"
#define PAIRS_MAX         100
#define PENDING_MAX_BYTES (256 * KIB)       /* from the client before the pod is connected */
#define IDLE_TIMEOUT_MS   (4 * 3600 * 1000) /* upstream: streamingConnectionIdleTimeout */

struct forward {
    struct channel *client;
    struct spdy *machine;
    struct nodes *nodes; /* the agent is looked up for each connection: it may come back in between */
    char *node;
    char *path; /* "/portForward/NS/POD?uid=UID" */
    struct list pairs;
    size_t pairs_count;
    bool client_full;
    struct loop_timer idle;
};

struct pair {
    struct list link;
    struct forward *forward; /* NULL: the session has ended */
    char *id;                /* requestID */
    uint32_t error_id, data_id;
    struct http_call *call;
    struct channel *channel;
    struct buf pending, refusal;
    bool fin; /* the client has ended its data */
    int status;
};

/* --- the client ---------------------------------------------------------------------------------------------------- */

static void flush(struct forward *w)
{
    struct buf *output = spdy_output(w->machine);
    if (w->client && output->n && !channel_write(w->client, buf_str(output)))
        w->client_full = true;
    buf_clear(output);
    loop_timer_start(&w->idle, IDLE_TIMEOUT_MS);
}

static void pair_free(struct pair *p)
{
    if (p->call || p->channel)
        return;
    if (p->forward) {
        list_del(&p->link);
        p->forward->pairs_count--;
    }
    buf_done(&p->pending);
    buf_done(&p->refusal);
    free(p->id);
    free(p);
}

/* Tell the client why, end both streams. */
static void pair_end(struct pair *p, struct str why)
{
    struct forward *w = p->forward;
    if (w) {
        if (p->error_id)
            spdy_data(w->machine, p->error_id, why, true);
        if (p->data_id)
            spdy_data(w->machine, p->data_id, STR_NONE, true);
        flush(w);
    }
    pair_free(p);
}

/* --- the pod ------------------------------------------------------------------------------------------------------- */

static void pod_read(struct channel *c, struct str bytes, void *arg)
{
    struct pair *p = arg;
    struct forward *w = p->forward;
    if (!w)
        return;
    spdy_data(w->machine, p->data_id, bytes, false);
    flush(w);
    if (w->client_full)
        channel_pause(c);
}

/*
 * Also the end of what the pod says (there is no on_eof): it ends the pair, as upstream. kubectl before 1.23 closes its side only
 * after the error stream has ended, so waiting for the client first would be waiting for ever.
 */
static void pod_closed(UNUSED struct channel *c, const struct error *err, void *arg)
{
    struct pair *p = arg;
    p->channel = NULL;
    pair_end(p, err ? str_of(error_text(err)) : STR_NONE);
}

static void call_head(struct http_call *call, const struct http_response *head, void *arg)
{
    static const struct channel_callbacks callbacks = { .on_read = pod_read, .on_closed = pod_closed };
    struct pair *p = arg;
    p->status = head->status;
    if (head->status != 200) {
        http_call_end(call);
        return;
    }
    p->channel = http_call_channel(call);
    channel_set_callbacks(p->channel, &callbacks, p);
    if (p->pending.n)
        channel_write(p->channel, buf_str(&p->pending));
    buf_done(&p->pending);
    if (p->fin)
        channel_shutdown(p->channel);
}

static void call_body(UNUSED struct http_call *call, struct str bytes, void *arg)
{
    buf_add(&((struct pair *)arg)->refusal, bytes);
}

static void call_done(UNUSED struct http_call *call, const struct error *err, void *arg)
{
    struct pair *p = arg;
    p->call = NULL;
    if (p->channel)
        return; /* its own end follows */
    pair_end(p, p->status == 200 && !err ? STR_NONE : err ? str_of(error_text(err)) : buf_str(&p->refusal));
}

static void pair_connect(struct pair *p, struct str port)
{
    static const struct http_call_callbacks callbacks = { .on_head = call_head,
                                                          .on_body = call_body,
                                                          .on_done = call_done };
    AUTO_BUF struct buf target = BUF_MAX(4 * KIB);
    AUTO_ERROR struct error err = { 0 };
    struct http_client *agent = nodes_client(p->forward->nodes, str_of(p->forward->node), &err);
    if (!agent) {
        pair_end(p, str_of(error_text(&err)));
        return;
    }
    buf_add_text(&target, p->forward->path);
    stream_add_query(&target, "port", port);
    p->call = http_client_call(
        agent, &(struct http_call_request){ .method = STR("POST"), .target = buf_str(&target), .stream_body = true },
        &callbacks, p);
}

/* --- streams ------------------------------------------------------------------------------------------------------- */

static struct pair *pair_by_id(struct forward *w, struct str id)
{
    list_each (&w->pairs, struct pair, link, p)
        if (str_is(id, p->id))
            return p;
    if (w->pairs_count >= PAIRS_MAX)
        return NULL;
    struct pair *p = xnew(struct pair);
    p->forward = w;
    p->id = str_dup(id);
    p->pending = (struct buf)BUF_MAX(PENDING_MAX_BYTES);
    p->refusal = (struct buf)BUF_MAX(4 * KIB);
    list_add_tail(&w->pairs, &p->link);
    w->pairs_count++;
    return p;
}

static void on_stream(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, UNUSED bool fin,
                      void *arg)
{
    struct str type = http_header_get(headers, count, STR("streamtype")),
               port = http_header_get(headers, count, STR("port"));
    struct str request = http_header_get(headers, count, STR("requestid"));
    bool data = str_is(type, "data");
    uint64_t number;
    struct pair *p = NULL;
    if ((data || str_is(type, "error")) && str_to_u64(port, &number) && number > 0 && number < 65536 && request.n < 128)
        p = pair_by_id(arg, request);
    if (!p || (data ? p->data_id : p->error_id)) {
        spdy_reset(s, id, SPDY_REFUSED_STREAM);
        return;
    }
    spdy_reply(s, id, NULL, 0, false);
    if (!data) {
        p->error_id = id;
        return;
    }
    p->data_id = id;
    pair_connect(p, port);
}

static void on_data(struct spdy *s, uint32_t id, struct str bytes, bool fin, void *arg)
{
    struct forward *w = arg;
    list_each (&w->pairs, struct pair, link, p) {
        if (p->data_id != id)
            continue;
        if (p->channel)
            channel_write(p->channel, bytes);
        else
            buf_add(&p->pending, bytes);
        p->fin |= fin;
        if (fin && p->channel)
            channel_shutdown(p->channel);
        if (p->pending.full)
            spdy_reset(s, id, SPDY_FLOW_CONTROL_ERROR);
    }
    spdy_consume(s, id, bytes.n);
}

static void on_reset(UNUSED struct spdy *s, uint32_t id, UNUSED uint32_t status, void *arg)
{
    struct forward *w = arg;
    list_each (&w->pairs, struct pair, link, p)
        if (p->data_id == id && p->channel)
            channel_close(p->channel);
}

/* --- the session ---------------------------------------------------------------------------------------------------- */

static void client_read(UNUSED struct channel *c, struct str bytes, void *arg)
{
    struct forward *w = arg;
    AUTO_ERROR struct error err = { 0 };
    int rc = spdy_feed(w->machine, bytes, &err);
    flush(w);
    if (rc < 0)
        channel_close_after_write(w->client, 1000);
}

static void client_drained(UNUSED struct channel *c, void *arg)
{
    struct forward *w = arg;
    w->client_full = false;
    list_each (&w->pairs, struct pair, link, p)
        if (p->channel)
            channel_resume(p->channel);
}

static void client_closed(UNUSED struct channel *c, UNUSED const struct error *err, void *arg)
{
    struct forward *w = arg;
    list_each (&w->pairs, struct pair, link, p) {
        list_del(&p->link);
        p->forward = NULL;
        if (p->channel)
            channel_close(p->channel);
        else if (p->call)
            http_call_cancel(TAKE(p->call));
        pair_free(p);
    }
    loop_timer_stop(&w->idle);
    spdy_free(w->machine);
    free(w->path);
    free(w->node);
    free(w);
}

static void idle(void *arg)
{
    channel_close(((struct forward *)arg)->client);
}

enum phase_result stream_portforward(struct request *r)
{
    static const struct spdy_callbacks spdy = { .on_stream = on_stream, .on_data = on_data, .on_reset = on_reset };
    static const struct channel_callbacks channel = { .on_read = client_read,
                                                      .on_drained = client_drained,
                                                      .on_closed = client_closed };
    static const struct http_header version = { STR_INIT("x-stream-protocol-version"), STR_INIT(PROTOCOL) };
    struct stream_target target = { 0 };
    AUTO_BUF struct buf path = BUF_MAX(4 * KIB);
    if (!r->exchange || !r->exchange->request->upgrade ||
        !str_eq_nocase(request_header(r, "upgrade"), STR("SPDY/3.1")) ||
        !http_value_has_token(request_header(r, "x-stream-protocol-version"), STR(PROTOCOL)))
        return request_fail(r, ERR_BAD_REQUEST, "Upgrade request required");
    if (stream_find_pod(r, r->info.namespace_, r->info.name, &target, &r->err) < 0)
        return PHASE_FAILED;
    stream_path(&path, "portForward", &target);
    struct channel *client = http_exchange_upgrade(r->exchange, STR("SPDY/3.1"), &version, 1);
    if (!client)
        return request_fail(r, ERR_BAD_REQUEST, "Upgrade request required");
    r->exchange = NULL;
    struct forward *w = xnew(struct forward);
    w->client = client;
    w->nodes = server_nodes(r->server);
    w->node = str_dup(target.node);
    w->path = str_dup(buf_str(&path));
    w->machine = spdy_new(SPDY_SERVER, &(struct spdy_options){ .streams_max = 2 * PAIRS_MAX }, &spdy, w);
    list_init(&w->pairs);
    loop_timer_init(&w->idle, server_loop(r->server), idle, w);
    loop_timer_start(&w->idle, IDLE_TIMEOUT_MS);
    channel_set_callbacks(client, &channel, w);
    return PHASE_ANSWERED;
}
