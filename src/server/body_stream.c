/* Bodies of answers: whole ones, and streams that gather, compress and respect back-pressure. */
#include "server/response.h"

#include "server/negotiate.h"

#include <stdlib.h>
#include <zlib.h>

#define CHUNK_BYTES (32 * KIB)
#define HEADERS_MAX 64

struct body_stream {
    struct request *request;
    struct str content_type;
    struct buf plain; /* gathered, not yet sent */
    z_stream zip;
    bool zipping, started;
};

static struct http_header header(const char *name, struct str value)
{
    return (struct http_header){ str_of(name), value };
}

/* RFC 9111, 5.5 (obsolete, but the API's way): 299 - "text". Source: apimachinery/pkg/util/net NewWarningHeader. */
static struct str warning_value(struct arena *a, struct str text)
{
    AUTO_BUF struct buf b = BUF_MAX(4 * KIB);
    buf_add_text(&b, "299 - \"");
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 || c == 0x7f)
            continue;
        if (c == '"' || c == '\\')
            buf_add_char(&b, '\\');
        buf_add_char(&b, (char)c);
    }
    buf_add_char(&b, '"');
    return arena_str(a, buf_str(&b));
}

struct http_response response_head(struct request *r, int status, struct str content_type,
                                   const struct http_header *extra, size_t extra_count)
{
    size_t warnings = r->warnings ? r->warnings->items_count : 0, n = 0;
    struct http_header *headers = arena_alloc_array(&r->arena, HEADERS_MAX + warnings, sizeof(*headers));
    headers[n++] = header("content-type", content_type);
    headers[n++] = header("audit-id", str_of(r->id));
    headers[n++] = header("cache-control", STR("no-cache, private"));
    for (size_t i = 0; i < extra_count && n < HEADERS_MAX; i++)
        headers[n++] = extra[i];
    for (size_t i = 0; i < warnings; i++)
        headers[n++] = header("warning", warning_value(&r->arena, value_to_str(r->warnings->items[i])));
    r->core.answered_status = status;
    return (struct http_response){ .status = status, .headers = headers, .headers_count = n };
}

static void free_bytes(void *p)
{
    free(p);
}

static struct http_bytes take_bytes(struct buf *b)
{
    size_t n;
    char *p = buf_take(b, &n);
    return (struct http_bytes){ { p, n }, free_bytes, p };
}

static void zip_init(z_stream *z)
{
    /* Level 1 as upstream; 15 + 16: a gzip header around it. */
    if (deflateInit2(z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
}

static void zip_add(z_stream *z, struct str in, int flush, struct buf *to)
{
    z->next_in = (unsigned char *)(uintptr_t)in.p;
    z->avail_in = (unsigned)in.n;
    do {
        char *room = buf_reserve(to, CHUNK_BYTES);
        if (!room)
            return;
        z->next_out = (unsigned char *)room;
        z->avail_out = CHUNK_BYTES;
        deflate(z, flush);
        to->n += CHUNK_BYTES - z->avail_out;
    } while (z->avail_out == 0);
}

void response_send(struct request *r, int status, struct str content_type, struct buf *body,
                   const struct http_header *extra, size_t extra_count)
{
    struct http_response head = response_head(r, status, content_type, extra, extra_count);
    struct http_exchange *x = TAKE(r->exchange);
    if (body->n >= GZIP_FROM_BYTES && x->request &&
        http_value_has_token(http_request_header(x->request, STR("accept-encoding")), STR("gzip"))) {
        AUTO_BUF struct buf zipped = BUF_MAX(RESPONSE_BYTES_MAX);
        z_stream z = { 0 };
        zip_init(&z);
        zip_add(&z, buf_str(body), Z_FINISH, &zipped);
        deflateEnd(&z);
        struct http_header *headers = (struct http_header *)(uintptr_t)head.headers;
        headers[head.headers_count++] = header("content-encoding", STR("gzip"));
        headers[head.headers_count++] = header("vary", STR("Accept-Encoding"));
        buf_done(body);
        http_exchange_respond(x, &head, take_bytes(&zipped));
        return;
    }
    http_exchange_respond(x, &head, take_bytes(body));
}

struct body_stream *body_stream_new(struct request *r, struct str content_type)
{
    struct body_stream *b = xnew(struct body_stream);
    b->request = r;
    b->content_type = content_type;
    b->plain.max = RESPONSE_BYTES_MAX;
    return b;
}

struct buf *body_stream_buf(struct body_stream *b)
{
    return &b->plain;
}

static void start(struct body_stream *b)
{
    struct http_header gzip[] = { header("content-encoding", STR("gzip")), header("vary", STR("Accept-Encoding")) };
    b->zipping = negotiate_wants_gzip(b->request);
    if (b->zipping)
        zip_init(&b->zip);
    struct http_response head = response_head(b->request, 200, b->content_type, gzip, b->zipping ? 2 : 0);
    http_exchange_start(b->request->exchange, &head);
    b->started = true;
}

static bool send_gathered(struct body_stream *b, int flush)
{
    struct http_exchange *x = b->request->exchange;
    if (!b->zipping)
        return b->plain.n ? http_exchange_write(x, take_bytes(&b->plain)) : true;
    AUTO_BUF struct buf zipped = BUF_MAX(RESPONSE_BYTES_MAX);
    zip_add(&b->zip, buf_str(&b->plain), flush, &zipped);
    buf_clear(&b->plain);
    return zipped.n ? http_exchange_write(x, take_bytes(&zipped)) : true;
}

bool body_stream_flush(struct body_stream *b)
{
    if (b->plain.n < CHUNK_BYTES)
        return true;
    /* Short lists are answered whole: the first chunk may grow to what gzip would need before it pays. */
    if (!b->started && b->plain.n < GZIP_FROM_BYTES)
        return true;
    if (!b->started)
        start(b);
    return send_gathered(b, Z_NO_FLUSH);
}

static void stream_free(struct body_stream *b)
{
    if (b->zipping)
        deflateEnd(&b->zip);
    buf_done(&b->plain);
    free(b);
}

void body_stream_end(struct body_stream *b)
{
    if (!b->started) {
        response_send(b->request, 200, b->content_type, &b->plain, NULL, 0);
    } else {
        send_gathered(b, Z_FINISH);
        http_exchange_end(TAKE(b->request->exchange));
    }
    stream_free(b);
}

void body_stream_abort(struct body_stream *b)
{
    if (b)
        stream_free(b);
}
