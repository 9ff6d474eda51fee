/* exec and attach over WebSocket: one message carries a channel number and its bytes.
 * Source: k8s.io/apimachinery/pkg/util/httpstream/wsstream, KEP-4006 (v5 closes stdin by channel 255). */
#include "server/stream.h"

#include "base/codec.h"
#include "wire/websocket.h"

#include <stdlib.h>

#define MESSAGE_MAX_BYTES MIB

struct websocket_front {
    struct websocket *machine;
    const char *protocol;
    bool base64, closes; /* closes: v5 */
    struct buf message;  /* gathers a base64 message; binary ones go through in pieces */
    int channel;         /* of the message that is coming in; -1: not known yet */
};

static const char *const protocols[] = { "v5.channel.k8s.io",     "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
                                         "base64.channel.k8s.io", "channel.k8s.io",    NULL };

static void flush(struct exec_session *e)
{
    struct websocket_front *f = e->front_data;
    exec_to_client(e, ws_output(f->machine));
}

static void deliver(struct exec_session *e, int channel, struct str bytes)
{
    const struct websocket_front *f = e->front_data;
    if (channel == CHANNEL_STDIN && e->options.stdin_ && bytes.n)
        exec_to_agent(e, CHANNEL_STDIN, bytes);
    else if (channel == CHANNEL_RESIZE && e->options.tty && bytes.n)
        exec_to_agent(e, CHANNEL_RESIZE, bytes);
    else if (channel == CHANNEL_CLOSE && f->closes && bytes.n == 1 && bytes.p[0] == CHANNEL_STDIN)
        exec_to_agent(e, CHANNEL_CLOSE, STR_NONE);
}

static void on_base64(struct exec_session *e, struct websocket_front *f, struct str bytes, bool first, bool last)
{
    if (first)
        buf_clear(&f->message);
    buf_add(&f->message, bytes);
    if (!last || f->message.full || !f->message.n)
        return;
    AUTO_BUF struct buf plain = BUF_MAX(MESSAGE_MAX_BYTES);
    if (base64_decode(&plain, str_from(buf_str(&f->message), 1)))
        deliver(e, f->message.p[0] - '0', buf_str(&plain));
}

/* Sizes and the closing of stdin must be whole; stdin goes through in pieces. */
static void on_binary(struct exec_session *e, struct websocket_front *f, struct str bytes, bool first, bool last)
{
    if (first) {
        f->channel = -1;
        buf_clear(&f->message);
    }
    if (f->channel < 0 && bytes.n) {
        f->channel = (unsigned char)bytes.p[0];
        bytes = str_from(bytes, 1);
    }
    if (f->channel == CHANNEL_STDIN) {
        deliver(e, f->channel, bytes);
        return;
    }
    buf_add(&f->message, bytes);
    if (last && f->channel >= 0 && !f->message.full)
        deliver(e, f->channel, buf_str(&f->message));
}

static void on_message(UNUSED struct websocket *ws, UNUSED bool text, struct str bytes, bool first, bool last,
                       void *arg)
{
    struct exec_session *e = arg;
    struct websocket_front *f = e->front_data;
    if (f->base64)
        on_base64(e, f, bytes, first, last);
    else
        on_binary(e, f, bytes, first, last);
}

static void send_message(struct exec_session *e, int channel, struct str bytes)
{
    struct websocket_front *f = e->front_data;
    char head = (char)(f->base64 ? '0' + channel : channel);
    AUTO_BUF struct buf text = BUF_MAX(2 * MESSAGE_MAX_BYTES);
    if (f->base64) {
        base64_encode(&text, bytes);
        bytes = buf_str(&text);
    }
    ws_send_parts(f->machine, f->base64, (struct str){ &head, 1 }, bytes);
    flush(e);
}

static void greet(struct exec_session *e)
{
    /* Upstream tells so that the connection stands: an empty message on the lowest channel that will be written. */
    send_message(e,
                 e->options.stdout_   ? CHANNEL_STDOUT
                 : e->options.stderr_ ? CHANNEL_STDERR
                                      : CHANNEL_RESULT,
                 STR_NONE);
    exec_ready(e);
}

static struct channel *upgrade(struct exec_session *e, struct http_exchange *x)
{
    static const struct ws_callbacks callbacks = { .on_message = on_message };
    struct str offered = http_request_header(x->request, STR("sec-websocket-protocol"));
    const char *protocol = ws_choose_protocol(offered, protocols);
    char accept[WS_ACCEPT_SIZE];
    if (!ws_accept_key(http_request_header(x->request, STR("sec-websocket-key")), accept) ||
        !str_is(http_request_header(x->request, STR("sec-websocket-version")), "13") ||
        (!protocol && !str_empty(offered)))
        return NULL;
    struct http_header headers[2] = { { STR("sec-websocket-accept"), str_of(accept) },
                                      { STR("sec-websocket-protocol"), str_of(protocol) } };
    struct channel *c = http_exchange_upgrade(x, STR("websocket"), headers, protocol ? 2 : 1);
    if (!c)
        return NULL;
    struct websocket_front *f = xnew(struct websocket_front);
    f->protocol = protocol ? protocol : "channel.k8s.io";
    f->base64 = str_contains(str_of(f->protocol), STR("base64"));
    f->closes = str_is(str_of(f->protocol), "v5.channel.k8s.io");
    f->channel = -1;
    f->message = (struct buf)BUF_MAX(MESSAGE_MAX_BYTES);
    f->machine = ws_new(WS_SERVER, NULL, &callbacks, e, e->env);
    e->front_data = f;
    return c;
}

static void received(struct exec_session *e, struct str bytes)
{
    struct websocket_front *f = e->front_data;
    AUTO_ERROR struct error err = { 0 };
    int rc = ws_feed(f->machine, bytes, &err);
    flush(e);
    if (rc < 0 || ws_state(f->machine) == WS_CLOSED)
        exec_fail(e);
}

static void send_output(struct exec_session *e, enum stream_channel channel, struct str bytes)
{
    send_message(e, channel, bytes);
}

static void result(struct exec_session *e, struct str status)
{
    struct websocket_front *f = e->front_data;
    bool structured = str_starts(str_of(f->protocol), STR("v"));
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = structured ? NULL : value_parse(&a, status, NULL, NULL);
    struct str plain = str_is(value_to_str(value_get_str(v, STR("status"))), "Success")
                           ? STR_NONE
                           : value_to_str(value_get_str(v, STR("message")));
    send_message(e, CHANNEL_RESULT, structured ? status : plain);
    ws_close(f->machine, WS_NORMAL, STR_NONE);
    flush(e);
}

static void done(struct exec_session *e)
{
    struct websocket_front *f = e->front_data;
    ws_free(f->machine);
    buf_done(&f->message);
    free(f);
}

const struct exec_front exec_front_websocket = {
    .upgrade = upgrade,
    .started = greet,
    .received = received,
    .send = send_output,
    .result = result,
    .done = done,
};
