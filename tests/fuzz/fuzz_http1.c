/* HTTP/1.1, both roles: the same input, whole and in pieces, gives the same messages or the same refusal. */
#include "wire/http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note_headers(struct buf *to, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!http_is_token(headers[i].name) || !http_is_field_value(headers[i].value))
            abort();
        buf_addf(to, "%.*s=%.*s;", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    }
}

static void on_request(void *arg, const struct http_request *r)
{
    if (!r->target.n || (r->target.p[0] != '/' && !str_is(r->target, "*")))
        abort();
    buf_addf(arg, "[%.*s %.*s %.*s %lld ", STR_ARG(r->method), STR_ARG(r->target), STR_ARG(r->host),
             (long long)r->content_length);
    note_headers(arg, r->headers, r->headers_count);
}

static void on_response(void *arg, const struct http_response *r)
{
    buf_addf(arg, "[%d %lld ", r->status, (long long)r->content_length);
    note_headers(arg, r->headers, r->headers_count);
}

static void on_body(void *arg, struct str bytes)
{
    buf_add(arg, bytes);
}

static void on_end(void *arg)
{
    buf_add_text(arg, "]");
}

static const struct http1_callbacks callbacks = { on_request, on_response, on_body, on_end };

static int parse(enum http1_role role, struct str input, size_t piece, struct buf *seen)
{
    struct http1 *h = http1_new(role, NULL, &callbacks, seen);
    int r = 0;

    for (size_t at = 0; at < input.n && r == 0;) {
        struct str bytes = str_part(input, at, piece);
        size_t used = 0;

        r = http1_feed(h, bytes, &used, NULL);
        if (used > bytes.n || (r == 0 && used == 0))
            abort();
        at += used;
    }
    if (r == 0)
        http1_finish(h, NULL);
    http1_free(h);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = { (const char *)data, size };

    for (int role = HTTP1_SERVER; role <= HTTP1_CLIENT; role++) {
        AUTO_BUF struct buf whole = BUF_MAX(4 * MIB), cut = BUF_MAX(4 * MIB);
        int a = parse(role, input, size ? size : 1, &whole), b = parse(role, input, 1, &cut);

        /* A refused input may have been delivered a little further when it came in one piece; never differently. */
        if (a != b || (a == 0 && !str_eq(buf_str(&whole), buf_str(&cut))))
            abort();
    }
    return 0;
}
