/* One watch of etcd. */
#include "store/etcd_stream.h"

#include "store/etcd_value.h"

#include <stdlib.h>

#define OPEN_FOREVER_MS INT64_C(1000000000)

struct etcd_stream {
    struct grpc_call *grpc;
    const struct etcd_stream_callbacks *cb;
    void *arg;
    int64_t from;
    struct loop_timer open_timer;
    char *url;
    bool open, telling, closed;
    bool failed, compacted; /* the end has been seen: told in on_done or by the timer */
    struct error error;
};

static void stream_free(struct etcd_stream *s)
{
    loop_timer_stop(&s->open_timer);
    error_done(&s->error);
    free(s->url);
    free(s);
}

static void end(struct etcd_stream *s)
{
    const struct etcd_stream_callbacks *cb = s->cb;
    void *arg = s->arg;
    bool compacted = s->compacted;
    AUTO_ERROR struct error err = { 0 };

    error_move(&err, &s->error);
    stream_free(s);
    cb->on_end(arg, compacted, &err);
}

/* Ends in a later round: we may be inside the call's own call-back. */
static void fail_stream(struct etcd_stream *s)
{
    s->failed = true;
    loop_timer_start(&s->open_timer, 0);
}

static void on_timer(void *arg)
{
    struct etcd_stream *s = arg;

    if (!s->failed)
        fail(&s->error, ERR_TIMEOUT, "%s: the watch was not opened in time", s->url);
    grpc_call_cancel(s->grpc);
    end(s);
}

static void take_events(struct etcd_stream *s, const Etcdpb__WatchResponse *m)
{
    for (size_t i = 0; i < m->n_events && !s->closed; i++)
        s->cb->on_event(s->arg, m->events[i]);
    if (m->n_events && !m->fragment && !s->closed)
        s->cb->on_pause(s->arg);
}

static void take(struct etcd_stream *s, const Etcdpb__WatchResponse *m)
{
    if (m->canceled || m->compact_revision) {
        s->compacted = m->compact_revision > 0;
        fail(&s->error, s->compacted ? ERR_EXPIRED : ERR_UNAVAILABLE, "%s: the watch was ended: %s", s->url,
             m->cancel_reason && *m->cancel_reason ? m->cancel_reason : "the changes it needs have been compacted");
        fail_stream(s);
        return;
    }
    if (m->created && !s->open) {
        /* A watch from a future revision may be told older events (etcd issue 20221): never ask for one. */
        if (m->header && m->header->revision < s->from) {
            fail(&s->error, ERR_UNAVAILABLE, "%s: the member is behind", s->url);
            fail_stream(s);
            return;
        }
        s->open = true;
        loop_timer_stop(&s->open_timer);
        s->cb->on_open(s->arg);
    }
    if (!s->closed)
        take_events(s, m);
}

static void on_message(struct grpc_call *grpc, struct str message, void *arg)
{
    struct etcd_stream *s = arg;
    AUTO_ARENA struct arena arena = { 0 };
    Etcdpb__WatchResponse *m;

    (void)grpc;
    if (s->failed || s->closed)
        return;
    m = (Etcdpb__WatchResponse *)etcd_unpack(&etcdpb__watch_response__descriptor, message, &arena, &s->error);
    if (!m) {
        fail_stream(s);
        return;
    }
    s->telling = true;
    take(s, m);
    s->telling = false;
    if (s->closed)
        stream_free(s);
}

static void on_done(struct grpc_call *grpc, int status, const struct error *err, void *arg)
{
    struct etcd_stream *s = arg;

    (void)grpc, (void)status;
    if (!s->failed)
        fail(&s->error, err ? err->code : ERR_UNAVAILABLE, "%s: %s", s->url, err ? error_text(err) : "the watch ended");
    end(s);
}

static const struct grpc_call_callbacks callbacks = { .on_message = on_message, .on_done = on_done };

struct etcd_stream *etcd_stream_open(struct etcd_client *c, size_t endpoint, struct str prefix, int64_t from,
                                     int64_t open_timeout_ms, const struct etcd_stream_callbacks *cb, void *arg)
{
    struct etcd_stream *s = xnew(struct etcd_stream);
    Etcdpb__WatchRequest request = ETCDPB__WATCH_REQUEST__INIT;
    Etcdpb__WatchCreateRequest create = ETCDPB__WATCH_CREATE_REQUEST__INIT;
    AUTO_BUF struct buf packed = BUF_MAX(64 * KIB), range_end = BUF_MAX(4 * KIB);
    struct http_client *http = etcd_client_http(c, endpoint);

    *s = (struct etcd_stream){ .cb = cb, .arg = arg, .from = from };
    s->url = str_dup(etcd_client_url(c, endpoint));
    etcd_prefix_end(&range_end, prefix);
    create.key = etcd_bytes(prefix);
    create.range_end = etcd_bytes(buf_str(&range_end));
    create.start_revision = from;
    create.prev_kv = true;
    create.fragment = true;
    request.request_union_case = ETCDPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    etcd_pack(&request.base, &packed);
    loop_timer_init(&s->open_timer, http_client_loop(http), on_timer, s);
    loop_timer_start(&s->open_timer, open_timeout_ms);
    s->grpc = grpc_call_new(http,
                            &(struct grpc_call_request){ .method = "/etcdserverpb.Watch/Watch",
                                                         .message = buf_str(&packed),
                                                         .stream = true,
                                                         .message_max = ETCD_ANSWER_MAX,
                                                         .head_timeout_ms = OPEN_FOREVER_MS },
                            &callbacks, s);
    return s;
}

void etcd_stream_close(struct etcd_stream *s)
{
    if (!s || s->closed)
        return;
    s->closed = true;
    grpc_call_cancel(s->grpc);
    if (s->telling)
        loop_timer_stop(&s->open_timer);
    else
        stream_free(s);
}
