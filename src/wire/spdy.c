/* SPDY/3.1: frames and streams. */
#include "wire/spdy_internal.h"
#include "base/list.h"

#include <stdlib.h>

#define FRAME_MAX_BYTES  (1 * MIB) /* control frames; data frames are delivered as they come */
#define OUTPUT_MAX_BYTES (64 * MIB)
#define DATA_FRAME_BYTES (32 * KIB)
#define WINDOW_BYTES     (64 * KIB) /* what the draft gives each stream at first */
#define SETTINGS_MAX     32

enum frame_type {
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    HEADERS = 8,
    WINDOW_UPDATE = 9
};
#define FLAG_FIN 0x01

struct spdy_stream {
    struct list link;
    uint32_t id;
    bool theirs_ended, ours_ended, replied;
    uint32_t consumed; /* since the last window update */
};

struct spdy {
    enum spdy_role role;
    struct spdy_options options;
    const struct spdy_callbacks *cb;
    void *arg;
    struct spdy_headers headers;
    struct list streams;
    size_t streams_count;
    uint32_t next_id, last_peer_id, next_ping;
    bool failed, going;
    struct buf in;               /* a frame that has not come whole */
    uint32_t data_id, data_left; /* inside a data frame */
    uint8_t data_flags;
    struct buf out;
};

struct spdy *spdy_new(enum spdy_role role, const struct spdy_options *o, const struct spdy_callbacks *cb, void *arg)
{
    struct spdy *s = xnew(struct spdy);

    s->role = role;
    if (o)
        s->options = *o;
    s->options.streams_max = s->options.streams_max ? s->options.streams_max : 100;
    s->options.window_bytes = s->options.window_bytes ? s->options.window_bytes : WINDOW_BYTES;
    s->cb = cb;
    s->arg = arg;
    s->next_id = role == SPDY_CLIENT ? 1 : 2;
    s->next_ping = s->next_id;
    s->in.max = FRAME_MAX_BYTES;
    s->out.max = OUTPUT_MAX_BYTES;
    list_init(&s->streams);
    spdy_headers_init(&s->headers, s->options.header_block_max_bytes ? s->options.header_block_max_bytes : 16 * KIB);
    return s;
}

void spdy_free(struct spdy *s)
{
    if (!s)
        return;
    list_each (&s->streams, struct spdy_stream, link, it)
        free(it);
    spdy_headers_done(&s->headers);
    buf_done(&s->in);
    buf_done(&s->out);
    free(s);
}

struct buf *spdy_output(struct spdy *s)
{
    return &s->out;
}

static struct spdy_stream *find(const struct spdy *s, uint32_t id)
{
    list_each (&s->streams, struct spdy_stream, link, it)
        if (it->id == id)
            return it;
    return NULL;
}

static struct spdy_stream *stream_new(struct spdy *s, uint32_t id)
{
    struct spdy_stream *it = xnew(struct spdy_stream);

    it->id = id;
    list_add_tail(&s->streams, &it->link);
    s->streams_count++;
    return it;
}

static void stream_free(struct spdy *s, struct spdy_stream *it)
{
    list_del(&it->link);
    s->streams_count--;
    free(it);
}

static void free_when_over(struct spdy *s, struct spdy_stream *it)
{
    if (it->theirs_ended && it->ours_ended)
        stream_free(s, it);
}

bool spdy_stream_is_open(const struct spdy *s, uint32_t id)
{
    return find(s, id) != NULL;
}

size_t spdy_streams_count(const struct spdy *s)
{
    return s->streams_count;
}

/* --- writing --- */

static void put32(struct buf *to, uint32_t n)
{
    const unsigned char bytes[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                                     (unsigned char)n };

    buf_add_bytes(to, bytes, sizeof(bytes));
}

static void put_control(struct buf *to, enum frame_type type, uint8_t flags, size_t length)
{
    put32(to, 0x80030000u | type);
    put32(to, (uint32_t)flags << 24 | (uint32_t)length);
}

static void put_headers_frame(struct spdy *s, enum frame_type type, uint32_t id, const struct http_header *headers,
                              size_t count, bool fin)
{
    AUTO_BUF struct buf block = BUF_MAX(128 * KIB);

    spdy_headers_write(&s->headers, headers, count, &block);
    put_control(&s->out, type, fin ? FLAG_FIN : 0, block.n + (type == SYN_STREAM ? 10 : 4));
    put32(&s->out, id);
    if (type == SYN_STREAM) {
        put32(&s->out, 0);
        buf_add_bytes(&s->out, "\0", 2); /* priority, slot */
    }
    buf_add(&s->out, buf_str(&block));
}

uint32_t spdy_open(struct spdy *s, const struct http_header *headers, size_t count, bool fin)
{
    struct spdy_stream *it;

    if (s->failed || s->going || s->streams_count >= s->options.streams_max || s->next_id > INT32_MAX - 2)
        return 0;
    it = stream_new(s, s->next_id);
    s->next_id += 2;
    it->ours_ended = fin;
    put_headers_frame(s, SYN_STREAM, it->id, headers, count, fin);
    return it->id;
}

void spdy_reply(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, bool fin)
{
    struct spdy_stream *it = find(s, id);

    if (!it || it->replied || it->ours_ended)
        return;
    it->replied = true;
    put_headers_frame(s, SYN_REPLY, id, headers, count, fin);
    it->ours_ended = fin;
    free_when_over(s, it);
}

bool spdy_data(struct spdy *s, uint32_t id, struct str bytes, bool fin)
{
    struct spdy_stream *it = find(s, id);

    if (!it || it->ours_ended || s->failed)
        return false;
    do {
        struct str part = str_part(bytes, 0, DATA_FRAME_BYTES);
        bool last = part.n == bytes.n;

        if (part.n || fin) {
            put32(&s->out, id);
            put32(&s->out, (fin && last ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)part.n);
            buf_add(&s->out, part);
        }
        bytes = str_from(bytes, part.n);
    } while (bytes.n);
    it->ours_ended = fin;
    if (fin)
        free_when_over(s, it);
    return true;
}

void spdy_consume(struct spdy *s, uint32_t id, size_t n)
{
    struct spdy_stream *it = find(s, id);

    if (!it || it->theirs_ended)
        return;
    it->consumed += (uint32_t)MIN(n, (size_t)INT32_MAX);
    if (it->consumed < s->options.window_bytes / 2)
        return;
    put_control(&s->out, WINDOW_UPDATE, 0, 8);
    put32(&s->out, id);
    put32(&s->out, it->consumed);
    it->consumed = 0;
}

static void put_reset(struct spdy *s, uint32_t id, uint32_t status)
{
    put_control(&s->out, RST_STREAM, 0, 8);
    put32(&s->out, id);
    put32(&s->out, status);
}

void spdy_reset(struct spdy *s, uint32_t id, enum spdy_reset status)
{
    struct spdy_stream *it = find(s, id);

    if (!it)
        return;
    put_reset(s, id, status);
    stream_free(s, it);
}

void spdy_ping(struct spdy *s)
{
    put_control(&s->out, PING, 0, 4);
    put32(&s->out, s->next_ping);
    s->next_ping += 2;
}

static void put_goaway(struct spdy *s, uint32_t status)
{
    if (s->going)
        return;
    s->going = true;
    put_control(&s->out, GOAWAY, 0, 8);
    put32(&s->out, s->last_peer_id);
    put32(&s->out, status);
}

void spdy_goaway(struct spdy *s)
{
    put_goaway(s, 0);
}

/* --- reading --- */

static uint32_t get32(const char *from)
{
    const unsigned char *p = (const unsigned char *)from;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int bad_frame(struct error *err, const char *what)
{
    return fail(err, ERR_BAD_REQUEST, "SPDY: bad %s frame", what);
}

static void end_theirs(struct spdy *s, struct spdy_stream *it)
{
    it->theirs_ended = true;
    free_when_over(s, it);
}

static int on_syn_stream(struct spdy *s, uint8_t flags, struct str body, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct http_header *headers;
    size_t count;
    uint32_t id, wanted_parity = s->role == SPDY_SERVER ? 1 : 0;

    if (body.n < 10)
        return bad_frame(err, "SYN_STREAM");
    id = get32(body.p) & 0x7fffffff;
    /* Read in any case: the compression has a state. */
    if (spdy_headers_read(&s->headers, str_from(body, 10), &a, &headers, &count, err) < 0)
        return -1;
    if (id <= s->last_peer_id || id % 2 != wanted_parity)
        return fail(err, ERR_BAD_REQUEST, "SPDY: stream %u out of order", id);
    s->last_peer_id = id;
    if (s->going || s->streams_count >= s->options.streams_max) {
        put_reset(s, id, SPDY_REFUSED_STREAM);
        return 0;
    }
    stream_new(s, id)->theirs_ended = flags & FLAG_FIN;
    if (s->cb->on_stream)
        s->cb->on_stream(s, id, headers, count, flags & FLAG_FIN, s->arg);
    else
        spdy_reset(s, id, SPDY_REFUSED_STREAM);
    return 0;
}

static int on_reply(struct spdy *s, uint8_t flags, struct str body, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct spdy_stream *it;
    struct http_header *headers;
    size_t count;

    if (body.n < 4)
        return bad_frame(err, "SYN_REPLY");
    if (spdy_headers_read(&s->headers, str_from(body, 4), &a, &headers, &count, err) < 0)
        return -1;
    it = find(s, get32(body.p) & 0x7fffffff);
    if (!it || it->replied || it->theirs_ended)
        return 0;
    it->replied = true;
    if (s->cb->on_reply)
        s->cb->on_reply(s, it->id, headers, count, flags & FLAG_FIN, s->arg);
    it = find(s, get32(body.p) & 0x7fffffff);
    if (it && (flags & FLAG_FIN))
        end_theirs(s, it);
    return 0;
}

static int on_headers(struct spdy *s, uint8_t flags, struct str body, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct spdy_stream *it;
    struct http_header *headers;
    size_t count;

    if (body.n < 4)
        return bad_frame(err, "HEADERS");
    if (spdy_headers_read(&s->headers, str_from(body, 4), &a, &headers, &count, err) < 0)
        return -1;
    it = find(s, get32(body.p) & 0x7fffffff);
    if (it && !it->theirs_ended && (flags & FLAG_FIN)) {
        if (s->cb->on_data)
            s->cb->on_data(s, it->id, STR_NONE, true, s->arg);
        it = find(s, get32(body.p) & 0x7fffffff);
        if (it)
            end_theirs(s, it);
    }
    return 0;
}

static int on_rst(struct spdy *s, struct str body, struct error *err)
{
    struct spdy_stream *it;

    if (body.n != 8)
        return bad_frame(err, "RST_STREAM");
    it = find(s, get32(body.p) & 0x7fffffff);
    if (!it)
        return 0;
    stream_free(s, it);
    if (s->cb->on_reset)
        s->cb->on_reset(s, get32(body.p) & 0x7fffffff, get32(body.p + 4), s->arg);
    return 0;
}

static int on_control(struct spdy *s, uint16_t type, uint8_t flags, struct str body, struct error *err)
{
    switch (type) {
    case SYN_STREAM:
        return on_syn_stream(s, flags, body, err);
    case SYN_REPLY:
        return on_reply(s, flags, body, err);
    case HEADERS:
        return on_headers(s, flags, body, err);
    case RST_STREAM:
        return on_rst(s, body, err);
    case SETTINGS:
        if (body.n < 4 || get32(body.p) > SETTINGS_MAX || body.n != 4 + 8 * (size_t)get32(body.p))
            return bad_frame(err, "SETTINGS");
        return 0;
    case PING:
        if (body.n != 4)
            return bad_frame(err, "PING");
        /* Ours have our parity and are answers. */
        if (get32(body.p) % 2 != s->next_ping % 2) {
            put_control(&s->out, PING, 0, 4);
            put32(&s->out, get32(body.p));
        }
        return 0;
    case GOAWAY:
        if (body.n != 8)
            return bad_frame(err, "GOAWAY");
        if (s->cb->on_goaway)
            s->cb->on_goaway(s, get32(body.p) & 0x7fffffff, s->arg);
        return 0;
    case WINDOW_UPDATE:
        return body.n == 8 ? 0 : bad_frame(err, "WINDOW_UPDATE");
    default:
        return 0; /* unknown control frames are ignored: draft 3.1, 2.2.1 */
    }
}

/* A part of a data frame; `end`: its last. */
static void deliver(struct spdy *s, struct str bytes, bool end)
{
    struct spdy_stream *it = find(s, s->data_id);
    bool fin = end && (s->data_flags & FLAG_FIN);

    if (!it || it->theirs_ended) {
        if (end && !it && s->data_id)
            put_reset(s, s->data_id, SPDY_INVALID_STREAM);
        return;
    }
    if ((bytes.n || fin) && s->cb->on_data)
        s->cb->on_data(s, s->data_id, bytes, fin, s->arg);
    it = find(s, s->data_id);
    if (it && fin)
        end_theirs(s, it);
}

/* Data is not gathered: what came of a frame is delivered. Returns how much was used. */
static size_t feed_data(struct spdy *s, struct str bytes)
{
    struct str part = str_part(bytes, 0, s->data_left);

    s->data_left -= (uint32_t)part.n;
    deliver(s, part, s->data_left == 0);
    return part.n;
}

/* One step; returns how much was used, or -1. */
static ptrdiff_t step(struct spdy *s, struct str bytes, struct error *err)
{
    uint32_t first, second;
    size_t take, wanted = 8;

    if (s->data_left)
        return (ptrdiff_t)feed_data(s, bytes);
    if (s->in.n >= 8)
        wanted += get32(s->in.p + 4) & 0xffffff;
    take = MIN(bytes.n, wanted - s->in.n);
    buf_add(&s->in, str_part(bytes, 0, take));
    if (s->in.n < wanted || s->in.n < 8)
        return (ptrdiff_t)take;
    first = get32(s->in.p);
    second = get32(s->in.p + 4);
    if (!(first & 0x80000000u)) {
        s->data_id = first;
        s->data_flags = (uint8_t)(second >> 24);
        s->data_left = second & 0xffffff;
        buf_clear(&s->in);
        if (!s->data_left)
            deliver(s, STR_NONE, true);
        return (ptrdiff_t)take;
    }
    if ((first >> 16 & 0x7fff) != 3)
        return fail(err, ERR_BAD_REQUEST, "SPDY: version %u instead of 3", first >> 16 & 0x7fff);
    if ((second & 0xffffff) + 8 > FRAME_MAX_BYTES)
        return fail(err, ERR_TOO_LARGE, "SPDY: a control frame has %u bytes", second & 0xffffff);
    if (s->in.n < 8 + (second & 0xffffff))
        return (ptrdiff_t)take;
    if (on_control(s, (uint16_t)first, (uint8_t)(second >> 24), str_from(buf_str(&s->in), 8), err) < 0)
        return -1;
    buf_clear(&s->in);
    return (ptrdiff_t)take;
}

int spdy_feed(struct spdy *s, struct str bytes, struct error *err)
{
    if (s->failed)
        return fail(err, ERR_BAD_REQUEST, "SPDY: the connection has failed before");
    while (bytes.n) {
        ptrdiff_t used = step(s, bytes, err);

        if (used < 0) {
            s->failed = true;
            put_goaway(s, 1);
            return -1;
        }
        bytes = str_from(bytes, (size_t)used);
    }
    if (!s->in.n)
        buf_done(&s->in);
    return 0;
}
