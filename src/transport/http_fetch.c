/* Calls whose answer is collected; and the blocking form for command-line tools. */
#include "transport/client_internal.h"

#include <stdlib.h>

struct fetch {
    struct arena arena;
    struct http_response head;
    bool head_arrived;
    struct buf body;
    http_fetched *done;
    void *arg;
};

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct fetch *f = arg;

    (void)call;
    f->head = *head;
    f->head.headers = http_headers_copy(&f->arena, head->headers, head->headers_count);
    f->head_arrived = true;
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    struct fetch *f = arg;

    (void)call;
    buf_add(&f->body, bytes);
}

static void on_done(struct http_call *call, const struct error *err, void *arg)
{
    struct fetch *f = arg;
    AUTO_ERROR struct error too_large = { 0 };

    (void)call;
    if (!err && f->body.full) {
        fail(&too_large, ERR_TOO_LARGE, "the answer is longer than %zu bytes", f->body.max);
        err = &too_large;
    }
    f->done(f->arg, err || !f->head_arrived ? NULL : &f->head, err ? STR_NONE : buf_str(&f->body), err);
    buf_done(&f->body);
    arena_done(&f->arena);
    free(f);
}

static const struct http_call_callbacks callbacks = { .on_head = on_head, .on_body = on_body, .on_done = on_done };

static void free_fetch(void *arg)
{
    struct fetch *f = arg;

    buf_done(&f->body);
    arena_done(&f->arena);
    free(f);
}

struct http_call *http_client_fetch(struct http_client *c, const struct http_call_request *request,
                                    size_t body_max_bytes, http_fetched *done, void *arg)
{
    struct fetch *f = xnew(struct fetch);
    struct http_call *call;

    f->body.max = body_max_bytes;
    f->done = done;
    f->arg = arg;
    call = http_client_call(c, request, &callbacks, f);
    call->on_cancelled = free_fetch;
    return call;
}

struct blocking {
    struct loop *loop;
    int *status;
    struct buf *body;
    struct error *err;
    int result;
};

static void on_fetched(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct blocking *b = arg;

    if (err) {
        b->result = fail(b->err, err->code, "%s", error_text(err));
    } else {
        if (b->status)
            *b->status = head->status;
        if (b->body)
            buf_add(b->body, body);
    }
    loop_stop(b->loop);
}

int http_fetch_blocking(const struct http_client_options *options, const struct http_call_request *request,
                        int *ret_status, struct buf *ret_body, struct error *err)
{
    struct blocking b = { .status = ret_status, .body = ret_body, .err = err };
    struct http_client *c;

    b.loop = loop_new_system(env_system());
    c = http_client_new(b.loop, options, err);
    if (!c) {
        loop_free(b.loop);
        return -1;
    }
    http_client_fetch(c, request, ret_body ? ret_body->max : 16 * MIB, on_fetched, &b);
    loop_run(b.loop);
    http_client_free(c);
    loop_free(b.loop);
    return b.result;
}
