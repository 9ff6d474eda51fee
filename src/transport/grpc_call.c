/* gRPC calls: a POST with framed messages in both bodies, its status in the trailers. */
#include "transport/grpc_call.h"

#include <stdlib.h>

#define MESSAGE_MAX_DEFAULT (4 * MIB) /* gRPC's own default */

struct grpc_call {
    struct http_call *http;
    const struct grpc_call_callbacks *cb;
    void *arg;
    struct grpc_reader reader;
    int64_t timeout_ms;
    int status; /* of a head that was the whole answer */
    bool told;  /* inside on_message: a cancel must not free under us */
    bool cancelled;
    struct error error;
};

static void call_done(struct grpc_call *g)
{
    grpc_reader_done(&g->reader);
    error_done(&g->error);
    free(g);
}

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct grpc_call *g = arg;

    (void)call;
    if (head->status != 200)
        fail(&g->error, head->status == 503 || head->status == 502 ? ERR_UNAVAILABLE : ERR_INTERNAL,
             "gRPC: the server answered with HTTP status %d", head->status);
    else if (!str_starts(http_response_header(head, STR("content-type")), STR("application/grpc")))
        fail(&g->error, ERR_INTERNAL, "gRPC: the server answered something else");
    else if (http_response_header(head, STR("grpc-status")).n)
        g->status = grpc_status_read(head->headers, head->headers_count, &g->error);
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    struct grpc_call *g = arg;
    struct str message;

    (void)call;
    if (g->error.code || grpc_reader_feed(&g->reader, bytes, &g->error) < 0)
        return; /* on_done tells */
    g->told = true;
    while (!g->cancelled && grpc_reader_next(&g->reader, &message))
        if (g->cb->on_message)
            g->cb->on_message(g, message, g->arg);
    g->told = false;
    if (g->cancelled)
        call_done(g);
}

static void on_done(struct http_call *call, const struct error *err, void *arg)
{
    struct grpc_call *g = arg;
    AUTO_ERROR struct error failure = { 0 };
    size_t count;
    const struct http_header *trailers = http_call_trailers(call, &count);
    int status = GRPC_NO_STATUS;

    if (g->status > GRPC_OK) {
        status = g->status;
        error_move(&failure, &g->error);
    } else if (g->error.code) {
        error_move(&failure, &g->error);
    } else if (err) {
        status = http_call_was_sent(call) ? GRPC_NO_STATUS : GRPC_NOT_SENT;
        fail(&failure, err->code, "%s", error_text(err));
    } else if (g->status == GRPC_NO_STATUS) {
        status = grpc_status_read(trailers, count, &failure);
    } else {
        status = GRPC_OK;
    }
    if (status == GRPC_OK && !grpc_reader_is_between(&g->reader)) {
        fail(&failure, ERR_INTERNAL, "gRPC: the answer ended inside a message");
        status = GRPC_INTERNAL;
    }
    g->cb->on_done(g, status, failure.code ? &failure : NULL, g->arg);
    call_done(g);
}

static const struct http_call_callbacks callbacks = { .on_head = on_head, .on_body = on_body, .on_done = on_done };

static void frame(struct buf *to, struct str message)
{
    char *p = grpc_frame(to, message.n);

    if (p && message.n)
        memcpy(p, message.p, message.n);
}

struct grpc_call *grpc_call_new(struct http_client *c, const struct grpc_call_request *r,
                                const struct grpc_call_callbacks *cb, void *arg)
{
    struct grpc_call *g = xnew(struct grpc_call);
    char timeout[GRPC_TIMEOUT_SIZE];
    AUTO_BUF struct buf body = BUF_MAX(SIZE_MAX / 2);
    struct http_header headers[4] = {
        { STR("content-type"), STR("application/grpc") },
        { STR("te"), STR("trailers") },
        { STR("user-agent"), STR("klein/" KLEIN_VERSION) },
    };
    size_t n = 3;

    g->cb = cb;
    g->arg = arg;
    g->status = GRPC_NO_STATUS;
    grpc_reader_init(&g->reader, r->message_max ? r->message_max : MESSAGE_MAX_DEFAULT);
    if (r->timeout_ms)
        headers[n++] = (struct http_header){ STR("grpc-timeout"), str_of(grpc_timeout_text(r->timeout_ms, timeout)) };
    if (!r->stream)
        frame(&body, r->message);
    g->http = http_client_call(c,
                               &(struct http_call_request){
                                   .method = STR("POST"),
                                   .target = str_of(r->method),
                                   .headers = headers,
                                   .headers_count = n,
                                   .body = buf_str(&body),
                                   .stream_body = r->stream,
                                   .timeout_ms = r->head_timeout_ms ? r->head_timeout_ms : r->timeout_ms,
                                   .total_timeout_ms = r->timeout_ms,
                               },
                               &callbacks, g);
    if (r->stream && r->message.n)
        grpc_call_send(g, r->message);
    return g;
}

void grpc_call_send(struct grpc_call *g, struct str message)
{
    struct buf framed = BUF_MAX(SIZE_MAX / 2);
    size_t n;

    frame(&framed, message);
    n = framed.n;
    char *bytes = buf_take(&framed, &n);
    http_call_write(g->http, (struct http_bytes){ .bytes = { bytes, n }, .release = free, .owner = bytes });
}

void grpc_call_end(struct grpc_call *g)
{
    http_call_end(g->http);
}

void grpc_call_cancel(struct grpc_call *g)
{
    if (!g)
        return;
    http_call_cancel(g->http);
    g->cancelled = true;
    if (!g->told)
        call_done(g);
}
