/* One HTTP exchange answered by an agent: head and bodies go through, with back-pressure both ways. */
#include "server/response.h"
#include "server/stream.h"

#include <stdlib.h>

#define HEADERS_MAX 64

struct relay {
    struct http_exchange *exchange;
    struct http_call *call;
    struct str content_type;
    bool started;
};

void stream_respond_error(struct http_exchange *x, const struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);
    value_write(&text, status_of_error(&a, err));
    http_exchange_respond_bytes(x, error_http_status(err->code), STR("application/json"), buf_str(&text));
}

void stream_respond_agent(struct http_exchange *x, int status, struct str content_type, struct str body)
{
    http_exchange_respond_bytes(x, status, str_empty(content_type) ? STR("text/plain") : content_type, body);
}

static bool is_hop_by_hop(struct str name)
{
    static const char *const names[] = { "connection",
                                         "keep-alive",
                                         "proxy-authenticate",
                                         "proxy-authorization",
                                         "proxy-connection",
                                         "te",
                                         "trailer",
                                         "transfer-encoding",
                                         "upgrade",
                                         "content-length",
                                         "date" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

static void on_head(UNUSED struct http_call *call, const struct http_response *head, void *arg)
{
    struct relay *w = arg;
    struct http_header headers[HEADERS_MAX];
    size_t count = 0;
    bool typed = head->status == 200 && !str_empty(w->content_type);
    for (size_t i = 0; i < head->headers_count && count < HEADERS_MAX - 1; i++)
        if (!is_hop_by_hop(head->headers[i].name) && !(typed && str_is(head->headers[i].name, "content-type")))
            headers[count++] = head->headers[i];
    if (typed)
        headers[count++] = (struct http_header){ STR("content-type"), w->content_type };
    w->started = true;
    http_exchange_start(w->exchange,
                        &(struct http_response){ .status = head->status, .headers = headers, .headers_count = count });
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    struct relay *w = arg;
    if (!http_exchange_write_copy(w->exchange, bytes))
        http_call_pause(call);
}

static void on_done(UNUSED struct http_call *call, const struct error *err, void *arg)
{
    struct relay *w = arg;
    if (!w->started) {
        AUTO_ERROR struct error why = { 0 };
        fail(&why, err && err->code == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, "the node did not answer: %s",
             error_text(err));
        stream_respond_error(w->exchange, &why);
    } else if (err) {
        http_exchange_abort(w->exchange);
    } else {
        http_exchange_end(w->exchange);
    }
    free(w);
}

static void on_call_drained(UNUSED struct http_call *call, void *arg)
{
    http_exchange_resume_body(((struct relay *)arg)->exchange);
}

static void on_exchange_drained(UNUSED struct http_exchange *x, void *user)
{
    http_call_resume(((struct relay *)user)->call);
}

static void on_exchange_gone(struct http_exchange *x, void *user)
{
    struct relay *w = user;
    http_call_cancel(w->call);
    http_exchange_abort(x);
    free(w);
}

static void on_piece(struct http_exchange *x, struct str bytes, bool end, void *arg)
{
    struct relay *w = arg;
    if (bytes.n) {
        char *copy = xmalloc(bytes.n);
        memcpy(copy, bytes.p, bytes.n);
        if (!http_call_write(w->call, (struct http_bytes){ { copy, bytes.n }, free, copy }))
            http_exchange_pause_body(x);
    }
    if (end)
        http_call_end(w->call);
}

enum phase_result stream_relay(struct request *r, const struct stream_relay *how)
{
    static const struct http_call_callbacks call_callbacks = {
        .on_head = on_head, .on_body = on_body, .on_done = on_done, .on_drained = on_call_drained
    };
    static const struct http_exchange_callbacks exchange_callbacks = { .on_drained = on_exchange_drained,
                                                                       .on_gone = on_exchange_gone };
    struct relay *w = xnew(struct relay);
    w->exchange = TAKE(r->exchange);
    w->content_type = arena_str(w->exchange->arena, how->content_type);
    w->call = http_client_call(how->agent,
                               &(struct http_call_request){ .method = how->method,
                                                            .target = how->target,
                                                            .headers = how->headers,
                                                            .headers_count = how->headers_count,
                                                            .stream_body = how->with_body },
                               &call_callbacks, w);
    http_exchange_set_callbacks(w->exchange, &exchange_callbacks, w);
    if (how->with_body)
        http_exchange_stream_body(w->exchange, on_piece, w);
    return PHASE_ANSWERED;
}
