/* The bytes of a gRPC health check. */
#include "node/check_grpc.h"

#define FRAME_HEAD       9
#define FRAME_DATA       0
#define FRAME_HEADERS    1
#define FRAME_RST_STREAM 3
#define FRAME_SETTINGS   4
#define FRAME_GOAWAY     7
#define FLAG_END_STREAM  1
#define FLAG_END_HEADERS 4
#define FLAG_PADDED      8

static void write_frame(struct buf *to, int type, int flags, uint32_t stream, struct str payload)
{
    const char head[FRAME_HEAD] = {
        (char)(payload.n >> 16), (char)(payload.n >> 8), (char)payload.n,     (char)type,  (char)flags,
        (char)(stream >> 24),    (char)(stream >> 16),   (char)(stream >> 8), (char)stream
    };
    buf_add_bytes(to, head, sizeof(head));
    buf_add(to, payload);
}

/* An HPACK integer with a 7 bit prefix. RFC 7541, 5.1. */
static void write_length(struct buf *to, size_t n)
{
    if (n < 127) {
        buf_add_char(to, (char)n);
        return;
    }
    buf_add_char(to, 127);
    for (n -= 127; n >= 128; n >>= 7)
        buf_add_char(to, (char)(0x80 | (n & 0x7f)));
    buf_add_char(to, (char)n);
}

static void write_header(struct buf *to, const char *name, struct str value)
{
    buf_add_char(to, 0); /* literal, not indexed, new name */
    write_length(to, strlen(name));
    buf_add_text(to, name);
    write_length(to, value.n);
    buf_add(to, value);
}

/* HealthCheckRequest { string service = 1; } in a gRPC message. */
static void write_message(struct buf *to, struct str service)
{
    AUTO_BUF struct buf body = BUF_MAX(4096);

    if (service.n) {
        buf_add_char(&body, 0x0a);
        size_t n = service.n;
        for (; n >= 128; n >>= 7)
            buf_add_char(&body, (char)(0x80 | (n & 0x7f)));
        buf_add_char(&body, (char)n);
        buf_add(&body, service);
    }
    const char head[5] = { 0, (char)(body.n >> 24), (char)(body.n >> 16), (char)(body.n >> 8), (char)body.n };
    buf_add_bytes(to, head, sizeof(head));
    buf_add(to, buf_str(&body));
}

void grpc_health_request(struct buf *to, struct str authority, struct str service)
{
    AUTO_BUF struct buf headers = BUF_MAX(4096);
    AUTO_BUF struct buf message = BUF_MAX(4096);

    write_header(&headers, ":method", STR("POST"));
    write_header(&headers, ":scheme", STR("http"));
    write_header(&headers, ":path", STR("/grpc.health.v1.Health/Check"));
    write_header(&headers, ":authority", authority);
    write_header(&headers, "content-type", STR("application/grpc"));
    write_header(&headers, "te", STR("trailers"));
    write_header(&headers, "user-agent", STR("kube-probe/1.36"));
    write_message(&message, service);
    buf_add_text(to, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    write_frame(to, FRAME_SETTINGS, 0, 0, STR_NONE);
    write_frame(to, FRAME_SETTINGS, 1, 0, STR_NONE); /* the server's settings are accepted, whatever they say */
    write_frame(to, FRAME_HEADERS, FLAG_END_HEADERS, 1, buf_str(&headers));
    write_frame(to, FRAME_DATA, FLAG_END_STREAM, 1, buf_str(&message));
}

/* HealthCheckResponse { ServingStatus status = 1; }, SERVING = 1. */
static enum grpc_health read_message(struct str data)
{
    if (data.n < 5)
        return GRPC_MORE;
    const unsigned char *p = (const unsigned char *)data.p;
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (p[0] != 0 || n > GRPC_ANSWER_MAX)
        return GRPC_BROKEN;
    if (data.n < 5 + n)
        return GRPC_MORE;
    return n >= 2 && p[5] == 0x08 && p[6] == 1 ? GRPC_SERVING : GRPC_NOT_SERVING;
}

enum grpc_health grpc_health_answer(struct str received)
{
    AUTO_BUF struct buf data = BUF_MAX(GRPC_ANSWER_MAX + 64);

    while (received.n >= FRAME_HEAD) {
        const unsigned char *p = (const unsigned char *)received.p;
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        int type = p[3], flags = p[4];
        if (n > GRPC_ANSWER_MAX)
            return GRPC_BROKEN;
        if (received.n < FRAME_HEAD + n)
            return GRPC_MORE;
        struct str payload = str_part(received, FRAME_HEAD, n);
        received = str_from(received, FRAME_HEAD + n);
        if (type == FRAME_RST_STREAM || type == FRAME_GOAWAY)
            return GRPC_BROKEN;
        if (type == FRAME_DATA && (flags & FLAG_PADDED) && payload.n)
            payload = str_part(payload, 1, payload.n - MIN(payload.n, 1 + (size_t)(unsigned char)payload.p[0]));
        if (type == FRAME_DATA) {
            buf_add(&data, payload);
            enum grpc_health h = read_message(buf_str(&data));
            if (h != GRPC_MORE)
                return h;
        }
        if ((type == FRAME_DATA || type == FRAME_HEADERS) && (flags & FLAG_END_STREAM))
            return GRPC_NOT_SERVING; /* the end without a message: an error in trailers */
    }
    return GRPC_MORE;
}
