/* WebSocket frames: RFC 6455. */
#include "wire/websocket.h"

#include <stdlib.h>

#define OUTPUT_MAX_BYTES (64 * MIB)
#define CONTROL_MAX      125

enum opcode { OP_CONTINUE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct websocket {
    enum ws_role role;
    enum ws_state state;
    struct ws_options options;
    const struct ws_callbacks *cb;
    void *arg;
    struct env *env;
    struct buf out;
    bool close_sent;

    /* the frame being read */
    unsigned char head[14];
    size_t head_n, head_wanted;
    bool in_payload, fin;
    enum opcode opcode;
    uint64_t left;
    unsigned char mask[4];
    size_t mask_at;
    unsigned char control[CONTROL_MAX];
    size_t control_n;

    /* the message being read */
    bool in_message, text, first;
    uint64_t message_bytes;
    uint32_t utf8_code, utf8_min; /* an unfinished character of a text message */
    int utf8_left;
};

struct websocket *ws_new(enum ws_role role, const struct ws_options *o, const struct ws_callbacks *cb, void *arg,
                         struct env *env)
{
    struct websocket *ws = xnew(struct websocket);

    ws->role = role;
    if (o)
        ws->options = *o;
    ws->cb = cb;
    ws->arg = arg;
    ws->env = env;
    ws->out.max = ws->options.output_max_bytes ? ws->options.output_max_bytes : OUTPUT_MAX_BYTES;
    ws->head_wanted = 2;
    return ws;
}

void ws_free(struct websocket *ws)
{
    if (!ws)
        return;
    buf_done(&ws->out);
    free(ws);
}

enum ws_state ws_state(const struct websocket *ws)
{
    return ws->state;
}

struct buf *ws_output(struct websocket *ws)
{
    return &ws->out;
}

/* --- writing --- */

static void put_length(struct buf *to, unsigned char masked, uint64_t n)
{
    unsigned char bytes[9] = { masked };
    size_t size = 1;

    if (n < 126) {
        bytes[0] |= (unsigned char)n;
    } else if (n <= UINT16_MAX) {
        bytes[0] |= 126;
        size = 3;
    } else {
        bytes[0] |= 127;
        size = 9;
    }
    for (size_t i = size; i > 1; i--, n >>= 8)
        bytes[i - 1] = (unsigned char)n;
    buf_add_bytes(to, bytes, size);
}

static void put_frame(struct websocket *ws, enum opcode opcode, struct str head, struct str body)
{
    unsigned char mask[4];
    size_t at;

    if (ws->close_sent)
        return;
    buf_add_char(&ws->out, (char)(0x80 | opcode));
    put_length(&ws->out, ws->role == WS_CLIENT ? 0x80 : 0, head.n + body.n);
    if (ws->role == WS_CLIENT) {
        ws->env->random(ws->env, mask, sizeof(mask));
        buf_add_bytes(&ws->out, mask, sizeof(mask));
    }
    at = ws->out.n;
    buf_add(&ws->out, head);
    buf_add(&ws->out, body);
    if (ws->role == WS_CLIENT && !ws->out.full)
        for (size_t i = at; i < ws->out.n; i++)
            ws->out.p[i] = (char)(ws->out.p[i] ^ mask[(i - at) % 4]);
    if (ws->out.full)
        ws->state = WS_CLOSED;
}

void ws_send_parts(struct websocket *ws, bool text, struct str head, struct str body)
{
    if (ws->state == WS_OPEN)
        put_frame(ws, text ? OP_TEXT : OP_BINARY, head, body);
}

void ws_send(struct websocket *ws, bool text, struct str bytes)
{
    ws_send_parts(ws, text, STR_NONE, bytes);
}

void ws_ping(struct websocket *ws, struct str payload)
{
    if (ws->state == WS_OPEN)
        put_frame(ws, OP_PING, STR_NONE, str_part(payload, 0, CONTROL_MAX));
}

static void send_close(struct websocket *ws, uint16_t code, struct str reason)
{
    char bytes[2] = { (char)(code >> 8), (char)code };

    if (ws->close_sent)
        return;
    if (code == WS_NO_STATUS)
        put_frame(ws, OP_CLOSE, STR_NONE, STR_NONE);
    else
        put_frame(ws, OP_CLOSE, (struct str){ bytes, 2 }, str_part(reason, 0, CONTROL_MAX - 2));
    ws->close_sent = true;
}

void ws_close(struct websocket *ws, uint16_t code, struct str reason)
{
    if (ws->state != WS_OPEN)
        return;
    send_close(ws, code, reason);
    ws->state = WS_CLOSING;
}

/* --- reading --- */

static int protocol_error(struct websocket *ws, uint16_t code, struct error *err, const char *why)
{
    send_close(ws, code, str_of(why));
    ws->state = WS_CLOSED;
    return fail(err, code == WS_TOO_BIG ? ERR_TOO_LARGE : ERR_BAD_REQUEST, "WebSocket: %s", why);
}

/* RFC 3629, over pieces; `end`: the message is complete. */
static bool check_utf8(struct websocket *ws, struct str bytes, bool end)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];

        if (ws->utf8_left) {
            if ((c & 0xc0) != 0x80)
                return false;
            ws->utf8_code = ws->utf8_code << 6 | (c & 0x3f);
            if (--ws->utf8_left == 0 && (ws->utf8_code < ws->utf8_min || ws->utf8_code > 0x10ffff ||
                                         (ws->utf8_code >= 0xd800 && ws->utf8_code <= 0xdfff)))
                return false;
        } else if (c >= 0x80) {
            ws->utf8_left = (c & 0xe0) == 0xc0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : (c & 0xf8) == 0xf0 ? 3 : 0;
            if (!ws->utf8_left)
                return false;
            ws->utf8_code = c & (0x3fu >> ws->utf8_left);
            ws->utf8_min = ws->utf8_left == 1 ? 0x80 : ws->utf8_left == 2 ? 0x800 : 0x10000;
        }
    }
    return !end || !ws->utf8_left;
}

static bool is_close_code(uint16_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static int on_close_frame(struct websocket *ws, struct error *err)
{
    struct str payload = { (const char *)ws->control, ws->control_n };
    uint16_t code = WS_NO_STATUS;

    if (payload.n == 1)
        return protocol_error(ws, WS_PROTOCOL_ERROR, err, "a close frame of one byte");
    if (payload.n >= 2) {
        code = (uint16_t)(ws->control[0] << 8 | ws->control[1]);
        payload = str_from(payload, 2);
        if (!is_close_code(code))
            return protocol_error(ws, WS_PROTOCOL_ERROR, err, "a close code that must not be sent");
        if (!str_is_utf8(payload))
            return protocol_error(ws, WS_INVALID_DATA, err, "a close reason that is not UTF-8");
    } else {
        payload = STR_NONE;
    }
    send_close(ws, code, STR_NONE);
    ws->state = WS_CLOSED;
    if (ws->cb->on_close)
        ws->cb->on_close(ws, code, payload, ws->arg);
    return 0;
}

static int on_control_frame(struct websocket *ws, struct error *err)
{
    struct str payload = { (const char *)ws->control, ws->control_n };

    switch (ws->opcode) {
    case OP_PING:
        put_frame(ws, OP_PONG, STR_NONE, payload);
        return 0;
    case OP_PONG:
        if (ws->cb->on_pong)
            ws->cb->on_pong(ws, payload, ws->arg);
        return 0;
    default:
        return on_close_frame(ws, err);
    }
}

/* A part of a data frame's payload, unmasked; `end`: the frame's last. */
static int on_payload(struct websocket *ws, struct str bytes, bool end, struct error *err)
{
    bool last = end && ws->fin, first = ws->first;

    ws->message_bytes += bytes.n;
    if (ws->options.message_max_bytes && ws->message_bytes > ws->options.message_max_bytes)
        return protocol_error(ws, WS_TOO_BIG, err, "a message that is too long");
    if (ws->text && !check_utf8(ws, bytes, last))
        return protocol_error(ws, WS_INVALID_DATA, err, "a text message that is not UTF-8");
    if (!bytes.n && !last && !(first && end))
        return 0;
    ws->first = false;
    if (last)
        ws->in_message = false;
    if (ws->state == WS_OPEN)
        ws->cb->on_message(ws, ws->text, bytes, first, last, ws->arg);
    return 0;
}

static int begin_data_frame(struct websocket *ws, struct error *err)
{
    if (ws->opcode == OP_CONTINUE)
        return ws->in_message ? 0 : protocol_error(ws, WS_PROTOCOL_ERROR, err, "a continuation of nothing");
    if (ws->in_message)
        return protocol_error(ws, WS_PROTOCOL_ERROR, err, "a new message inside a message");
    ws->in_message = ws->first = true;
    ws->text = ws->opcode == OP_TEXT;
    ws->message_bytes = 0;
    ws->utf8_left = 0;
    return 0;
}

/* The first two bytes are there: how long is the head? */
static int read_head_start(struct websocket *ws, struct error *err)
{
    unsigned char length = ws->head[1] & 0x7f;
    bool masked = ws->head[1] & 0x80;

    ws->fin = ws->head[0] & 0x80;
    ws->opcode = ws->head[0] & 0x0f;
    if (ws->head[0] & 0x70)
        return protocol_error(ws, WS_PROTOCOL_ERROR, err, "reserved bits");
    if (masked != (ws->role == WS_SERVER))
        return protocol_error(ws, WS_PROTOCOL_ERROR, err,
                              masked ? "a masked frame from a server" : "an unmasked frame");
    if (ws->opcode > OP_PONG || (ws->opcode > OP_BINARY && ws->opcode < OP_CLOSE))
        return protocol_error(ws, WS_PROTOCOL_ERROR, err, "an unknown opcode");
    if (ws->opcode >= OP_CLOSE && (!ws->fin || length > CONTROL_MAX))
        return protocol_error(ws, WS_PROTOCOL_ERROR, err, "a control frame that is cut or too long");
    ws->head_wanted = 2u + (length == 126 ? 2 : length == 127 ? 8 : 0) + (masked ? 4 : 0);
    return 0;
}

static int read_head_end(struct websocket *ws, struct error *err)
{
    unsigned char length = ws->head[1] & 0x7f;
    size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;

    ws->left = extra ? 0 : length;
    for (size_t i = 0; i < extra; i++)
        ws->left = ws->left << 8 | ws->head[2 + i];
    if (ws->left >> 63 || (length == 126 && ws->left < 126) || (length == 127 && ws->left <= UINT16_MAX))
        return protocol_error(ws, WS_PROTOCOL_ERROR, err, "a length that is not the shortest");
    if (ws->role == WS_SERVER)
        memcpy(ws->mask, ws->head + 2 + extra, sizeof(ws->mask));
    ws->mask_at = ws->control_n = 0;
    ws->in_payload = true;
    return ws->opcode < OP_CLOSE ? begin_data_frame(ws, err) : 0;
}

static int feed_head(struct websocket *ws, struct str *bytes, struct error *err)
{
    size_t n = MIN(bytes->n, ws->head_wanted - ws->head_n);

    memcpy(ws->head + ws->head_n, bytes->p, n);
    ws->head_n += n;
    *bytes = str_from(*bytes, n);
    if (ws->head_n == 2 && ws->head_wanted == 2 && read_head_start(ws, err) < 0)
        return -1;
    return ws->head_n == ws->head_wanted ? read_head_end(ws, err) : 0;
}

static int feed_payload(struct websocket *ws, struct str *bytes, struct error *err)
{
    char plain[4096];
    struct str part = str_part(*bytes, 0, (size_t)MIN(ws->left, (uint64_t)sizeof(plain)));
    bool end;

    for (size_t i = 0; i < part.n; i++)
        plain[i] = ws->role == WS_SERVER ? (char)(part.p[i] ^ ws->mask[ws->mask_at++ % 4]) : part.p[i];
    *bytes = str_from(*bytes, part.n);
    ws->left -= part.n;
    end = ws->left == 0;
    if (end) {
        ws->in_payload = false;
        ws->head_n = 0;
        ws->head_wanted = 2;
    }
    if (ws->opcode < OP_CLOSE)
        return on_payload(ws, (struct str){ plain, part.n }, end, err);
    memcpy(ws->control + ws->control_n, plain, part.n);
    ws->control_n += part.n;
    return end ? on_control_frame(ws, err) : 0;
}

int ws_feed(struct websocket *ws, struct str bytes, struct error *err)
{
    while (bytes.n && ws->state != WS_CLOSED) {
        if (!ws->in_payload && feed_head(ws, &bytes, err) < 0)
            return -1;
        if (ws->in_payload && (bytes.n || !ws->left) && feed_payload(ws, &bytes, err) < 0)
            return -1;
    }
    return 0;
}
