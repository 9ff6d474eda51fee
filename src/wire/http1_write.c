/* HTTP/1.1 heads as text. */
#include "wire/http1.h"

/* Framing is ours: a second Content-Length or Connection from above would be smuggling by accident. */
static bool is_ours(struct str name)
{
    return str_is(name, "content-length") || str_is(name, "transfer-encoding") || str_is(name, "keep-alive");
}

static void write_headers(struct buf *to, const struct http_header *headers, size_t count, bool upgrade)
{
    for (size_t i = 0; i < count; i++) {
        if (is_ours(headers[i].name) || !http_is_token(headers[i].name) || !http_is_field_value(headers[i].value))
            continue;
        if (!upgrade && str_is(headers[i].name, "connection"))
            continue;
        buf_add(to, headers[i].name);
        buf_add(to, STR(": "));
        buf_add(to, headers[i].value);
        buf_add(to, STR("\r\n"));
    }
}

static void write_length(struct buf *to, int64_t n)
{
    buf_add(to, STR("content-length: "));
    buf_add_i64(to, n);
    buf_add(to, STR("\r\n"));
}

void http1_write_request(struct buf *to, const struct http_request *r, bool chunked)
{
    buf_add(to, r->method);
    buf_add_char(to, ' ');
    buf_add(to, r->target);
    buf_add(to, STR(" HTTP/1.1\r\nhost: "));
    buf_add(to, r->host);
    buf_add(to, STR("\r\n"));
    write_headers(to, r->headers, r->headers_count, r->upgrade);
    if (chunked)
        buf_add(to, STR("transfer-encoding: chunked\r\n"));
    else if (r->content_length > 0 || str_is(r->method, "POST") || str_is(r->method, "PUT") ||
             str_is(r->method, "PATCH"))
        write_length(to, MAX(r->content_length, 0));
    buf_add(to, STR("\r\n"));
}

void http1_write_response(struct buf *to, const struct http_response *r, bool chunked, bool close)
{
    buf_add(to, STR("HTTP/1.1 "));
    buf_add_i64(to, r->status);
    buf_add_char(to, ' ');
    buf_add_text(to, http_status_text(r->status));
    buf_add(to, STR("\r\n"));
    write_headers(to, r->headers, r->headers_count, r->status == 101);
    if (chunked)
        buf_add(to, STR("transfer-encoding: chunked\r\n"));
    else if (r->content_length >= 0 && r->status >= 200 && r->status != 204)
        write_length(to, r->content_length);
    if (close)
        buf_add(to, STR("connection: close\r\n"));
    buf_add(to, STR("\r\n"));
}

void http1_write_chunk_head(struct buf *to, size_t n)
{
    buf_addf(to, "%zx\r\n", n);
}
