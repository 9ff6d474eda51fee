/* SPDY header blocks: names and values, deflated with the protocol's dictionary. */
#include "wire/spdy_internal.h"

#define HEADERS_MAX 100

void spdy_headers_init(struct spdy_headers *h, size_t max_bytes)
{
    struct str dictionary = spdy_dictionary();
    int r;

    *h = (struct spdy_headers){ .max_bytes = max_bytes };
    /* Window of 2 KiB and memory level 1: headers are a few hundred bytes, connections may be many. */
    r = deflateInit2(&h->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY);
    assert(r == Z_OK);
    deflateSetDictionary(&h->deflate, (const Bytef *)dictionary.p, (uInt)dictionary.n);
    r = inflateInit(&h->inflate);
    assert(r == Z_OK);
}

void spdy_headers_done(struct spdy_headers *h)
{
    deflateEnd(&h->deflate);
    inflateEnd(&h->inflate);
}

static void put32(struct buf *to, uint32_t n)
{
    const unsigned char bytes[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                                     (unsigned char)n };

    buf_add_bytes(to, bytes, sizeof(bytes));
}

static void put_text(struct buf *to, struct str text, bool lower)
{
    put32(to, (uint32_t)text.n);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        buf_add_char(to, lower && c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c);
    }
}

void spdy_headers_write(struct spdy_headers *h, const struct http_header *headers, size_t count, struct buf *to)
{
    AUTO_BUF struct buf plain = BUF_MAX(64 * KIB);
    unsigned char out[1024];

    put32(&plain, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_text(&plain, headers[i].name, true);
        put_text(&plain, headers[i].value, false);
    }
    h->deflate.next_in = (Bytef *)plain.p;
    h->deflate.avail_in = (uInt)plain.n;
    do {
        h->deflate.next_out = out;
        h->deflate.avail_out = sizeof(out);
        deflate(&h->deflate, Z_SYNC_FLUSH);
        buf_add_bytes(to, out, sizeof(out) - h->deflate.avail_out);
    } while (h->deflate.avail_out == 0);
}

static int inflate_block(struct spdy_headers *h, struct str block, struct buf *plain, struct error *err)
{
    struct str dictionary = spdy_dictionary();
    unsigned char out[1024];

    h->inflate.next_in = (Bytef *)(uintptr_t)block.p;
    h->inflate.avail_in = (uInt)block.n;
    do {
        int r;

        h->inflate.next_out = out;
        h->inflate.avail_out = sizeof(out);
        r = inflate(&h->inflate, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT &&
            inflateSetDictionary(&h->inflate, (const Bytef *)dictionary.p, (uInt)dictionary.n) == Z_OK)
            r = inflate(&h->inflate, Z_SYNC_FLUSH);
        if (r != Z_OK && r != Z_BUF_ERROR)
            return fail(err, ERR_BAD_REQUEST, "SPDY: a header block does not inflate");
        buf_add_bytes(plain, out, sizeof(out) - h->inflate.avail_out);
        if (plain->full)
            return fail(err, ERR_TOO_LARGE, "SPDY: a header block has more than %zu bytes", h->max_bytes);
        if (r == Z_BUF_ERROR)
            break;
    } while (h->inflate.avail_in || h->inflate.avail_out == 0);
    return 0;
}

static bool take32(struct str *from, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)from->p;

    if (from->n < 4)
        return false;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *from = str_from(*from, 4);
    return true;
}

static bool take_text(struct str *from, struct arena *a, struct str *ret)
{
    uint32_t n;

    if (!take32(from, &n) || n > from->n)
        return false;
    *ret = arena_str(a, str_part(*from, 0, n));
    *from = str_from(*from, n);
    return true;
}

int spdy_headers_read(struct spdy_headers *h, struct str block, struct arena *a, struct http_header **ret,
                      size_t *ret_count, struct error *err)
{
    AUTO_BUF struct buf plain = BUF_MAX(h->max_bytes);
    struct http_header *headers;
    struct str rest;
    uint32_t count;

    if (inflate_block(h, block, &plain, err) < 0)
        return -1;
    rest = buf_str(&plain);
    if (!take32(&rest, &count) || count > HEADERS_MAX)
        return fail(err, ERR_BAD_REQUEST, "SPDY: a header block without its count, or with too many headers");
    headers = arena_alloc_array(a, MAX(count, 1u), sizeof(*headers));
    for (uint32_t i = 0; i < count; i++)
        if (!take_text(&rest, a, &headers[i].name) || !take_text(&rest, a, &headers[i].value) || !headers[i].name.n)
            return fail(err, ERR_BAD_REQUEST, "SPDY: a header block is cut");
    if (rest.n)
        return fail(err, ERR_BAD_REQUEST, "SPDY: bytes after a header block");
    *ret = headers;
    *ret_count = count;
    return 0;
}
