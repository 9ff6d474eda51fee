/* exec and attach over SPDY/3.1, as kubectl before 1.31 and all clients as a fallback speak it.
 * Source: k8s.io/apimachinery/pkg/util/remotecommand (versions), kubelet/pkg/cri/streaming/remotecommand/httpstream.go. */
#include "server/stream.h"

#include "wire/spdy.h"

#include <stdlib.h>

#define RESIZE_MAX_BYTES 256

struct spdy_front {
    struct spdy *machine;
    uint32_t ids[CHANNEL_RESIZE + 1]; /* stream of each channel; 0: not opened */
    int version;                      /* of the protocol: 1 to 4 */
    size_t expected, opened;
    struct buf resize;
};

static void flush(struct exec_session *e)
{
    struct spdy_front *f = e->front_data;
    exec_to_client(e, spdy_output(f->machine));
}

static struct str header_of(const struct http_header *headers, size_t count, const char *name)
{
    return http_header_get(headers, count, str_of(name));
}

static int channel_of(struct str type)
{
    static const struct {
        const char *type;
        enum stream_channel channel;
    } rows[] = { { "stdin", CHANNEL_STDIN },
                 { "stdout", CHANNEL_STDOUT },
                 { "stderr", CHANNEL_STDERR },
                 { "error", CHANNEL_RESULT },
                 { "resize", CHANNEL_RESIZE } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (str_is(type, rows[i].type))
            return (int)rows[i].channel;
    return -1;
}

static bool is_expected(const struct exec_session *e, int channel)
{
    const struct spdy_front *f = e->front_data;
    switch (channel) {
    case CHANNEL_STDIN:
        return e->options.stdin_;
    case CHANNEL_STDOUT:
        return e->options.stdout_;
    case CHANNEL_STDERR:
        return e->options.stderr_;
    case CHANNEL_RESIZE:
        return e->options.tty && f->version >= 3;
    default:
        return channel == CHANNEL_RESULT;
    }
}

static void on_stream(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, UNUSED bool fin,
                      void *arg)
{
    struct exec_session *e = arg;
    struct spdy_front *f = e->front_data;
    int channel = channel_of(header_of(headers, count, "streamtype"));
    if (channel < 0 || f->ids[channel] || !is_expected(e, channel)) {
        spdy_reset(s, id, SPDY_REFUSED_STREAM);
        return;
    }
    f->ids[channel] = id;
    spdy_reply(s, id, NULL, 0, false);
    if (++f->opened == f->expected)
        exec_ready(e);
}

/* Terminal sizes: JSON objects one after the other, in pieces of any size. */
static void on_resize(struct exec_session *e, struct spdy_front *f, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        buf_add_char(&f->resize, bytes.p[i]);
        if (f->resize.full) {
            exec_fail(e);
            return;
        }
        if (bytes.p[i] == '}') {
            exec_to_agent(e, CHANNEL_RESIZE, str_trim(buf_str(&f->resize)));
            buf_clear(&f->resize);
        }
    }
}

static void on_data(struct spdy *s, uint32_t id, struct str bytes, bool fin, void *arg)
{
    struct exec_session *e = arg;
    struct spdy_front *f = e->front_data;
    if (id == f->ids[CHANNEL_STDIN]) {
        if (bytes.n)
            exec_to_agent(e, CHANNEL_STDIN, bytes);
        if (fin)
            exec_to_agent(e, CHANNEL_CLOSE, STR_NONE);
    } else if (id == f->ids[CHANNEL_RESIZE]) {
        on_resize(e, f, bytes);
    }
    spdy_consume(s, id, bytes.n);
}

static void on_reset(UNUSED struct spdy *s, uint32_t id, UNUSED uint32_t status, void *arg)
{
    struct exec_session *e = arg;
    struct spdy_front *f = e->front_data;
    if (id == f->ids[CHANNEL_STDIN])
        exec_to_agent(e, CHANNEL_CLOSE, STR_NONE);
}

/* The newest version both know; 0: none. Clients send one header a version, or a list. */
static int choose_version(const struct http_request *q, struct str *ret_name)
{
    static const struct {
        struct str name;
        int version;
    } rows[] = { { STR_INIT("v4.channel.k8s.io"), 4 },
                 { STR_INIT("v3.channel.k8s.io"), 3 },
                 { STR_INIT("v2.channel.k8s.io"), 2 },
                 { STR_INIT("channel.k8s.io"), 1 } };
    bool any = false;
    for (size_t v = 0; v < ARRAY_SIZE(rows); v++)
        for (size_t i = 0; i < q->headers_count; i++) {
            if (!str_is(q->headers[i].name, "x-stream-protocol-version"))
                continue;
            any = true;
            if (http_value_has_token(q->headers[i].value, rows[v].name)) {
                *ret_name = rows[v].name;
                return rows[v].version;
            }
        }
    *ret_name = STR_NONE;
    return any ? 0 : 1; /* the oldest clients name none */
}

static struct channel *upgrade(struct exec_session *e, struct http_exchange *x)
{
    static const struct spdy_callbacks callbacks = { .on_stream = on_stream, .on_data = on_data, .on_reset = on_reset };
    struct str name;
    int version = choose_version(x->request, &name);
    struct http_header chosen = { STR("x-stream-protocol-version"), name };
    struct channel *c = version ? http_exchange_upgrade(x, STR("SPDY/3.1"), &chosen, str_empty(name) ? 0 : 1) : NULL;
    if (!c)
        return NULL;
    struct spdy_front *f = xnew(struct spdy_front);
    f->version = version;
    f->resize = (struct buf)BUF_MAX(RESIZE_MAX_BYTES);
    f->machine = spdy_new(SPDY_SERVER, NULL, &callbacks, e);
    e->front_data = f;
    for (int channel = CHANNEL_STDIN; channel <= CHANNEL_RESIZE; channel++)
        f->expected += is_expected(e, channel);
    return c;
}

static void received(struct exec_session *e, struct str bytes)
{
    struct spdy_front *f = e->front_data;
    AUTO_ERROR struct error err = { 0 };
    int rc = spdy_feed(f->machine, bytes, &err);
    flush(e);
    if (rc < 0)
        exec_fail(e);
}

static void send_output(struct exec_session *e, enum stream_channel channel, struct str bytes)
{
    struct spdy_front *f = e->front_data;
    if (!f->ids[channel])
        return;
    spdy_data(f->machine, f->ids[channel], bytes, false);
    flush(e);
}

/* Versions below 4 have no structure: a failure is its message. */
static struct str plain_result(struct arena *a, struct str status)
{
    struct value *v = value_parse(a, status, NULL, NULL);
    if (str_is(value_to_str(value_get_str(v, STR("status"))), "Success"))
        return STR_NONE;
    return value_to_str(value_get_str(v, STR("message")));
}

static void result(struct exec_session *e, struct str status)
{
    struct spdy_front *f = e->front_data;
    AUTO_ARENA struct arena a = { 0 };
    if (f->ids[CHANNEL_STDOUT])
        spdy_data(f->machine, f->ids[CHANNEL_STDOUT], STR_NONE, true);
    if (f->ids[CHANNEL_STDERR])
        spdy_data(f->machine, f->ids[CHANNEL_STDERR], STR_NONE, true);
    if (f->ids[CHANNEL_RESULT])
        spdy_data(f->machine, f->ids[CHANNEL_RESULT], f->version >= 4 ? status : plain_result(&a, status), true);
    flush(e);
}

static void done(struct exec_session *e)
{
    struct spdy_front *f = e->front_data;
    spdy_free(f->machine);
    buf_done(&f->resize);
    free(f);
}

const struct exec_front exec_front_spdy = {
    .upgrade = upgrade,
    .received = received,
    .send = send_output,
    .result = result,
    .done = done,
};
