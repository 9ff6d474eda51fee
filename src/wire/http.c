/* Heads of HTTP messages: look-ups, tokens, queries, copies. */
#include "wire/http.h"
#include "base/codec.h"

struct http_limits http_limits_or_default(const struct http_limits *l)
{
    struct http_limits r = l ? *l : (struct http_limits){ 0 };

    if (!r.head_max_bytes)
        r.head_max_bytes = 64 * KIB;
    if (!r.headers_max)
        r.headers_max = 100;
    if (!r.target_max_bytes)
        r.target_max_bytes = 16 * KIB;
    return r;
}

struct str http_header_get(const struct http_header *headers, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(headers[i].name, name))
            return headers[i].value;
    return STR_NONE;
}

bool http_value_has_token(struct str value, struct str token)
{
    struct str part;

    while (str_next(&value, ',', &part))
        if (str_eq_nocase(str_trim(part), token))
            return true;
    return false;
}

static struct str decode(struct arena *arena, struct str text, bool *ret_ok)
{
    AUTO_BUF struct buf b = BUF_MAX(text.n + 1);

    percent_decode(&b, text, true, ret_ok);
    return arena_str(arena, buf_str(&b));
}

bool http_query_next(struct str *query, struct arena *arena, struct str *ret_name, struct str *ret_value)
{
    struct str part, name;
    bool ok_name, ok_value;

    while (str_next(query, '&', &part)) {
        if (!part.n)
            continue;
        str_cut(&part, '=', &name);
        *ret_name = decode(arena, name, &ok_name);
        *ret_value = decode(arena, part, &ok_value);
        if (ok_name && ok_value)
            return true;
        /* Go's url.ParseQuery, which API servers use, drops pairs that do not decode. */
    }
    return false;
}

bool http_query_get(struct str query, struct arena *arena, struct str name, struct str *ret_value)
{
    struct str n;

    while (http_query_next(&query, arena, &n, ret_value))
        if (str_eq(n, name))
            return true;
    return false;
}

bool http_query_has(struct str query, struct str name)
{
    AUTO_ARENA struct arena arena = { 0 };
    struct str value;

    return http_query_get(query, &arena, name, &value);
}

static bool is_token_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_byte((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

bool http_is_field_value(struct str s)
{
    if (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        { 100, "Continue" },
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

bool http_status_has_body(int status, struct str request_method)
{
    return status >= 200 && status != 204 && status != 304 && !str_is(request_method, "HEAD");
}

struct http_header *http_headers_copy(struct arena *a, const struct http_header *headers, size_t count)
{
    struct http_header *copy = arena_alloc_array(a, MAX(count, (size_t)1), sizeof(*copy));

    for (size_t i = 0; i < count; i++)
        copy[i] = (struct http_header){ arena_str(a, headers[i].name), arena_str(a, headers[i].value) };
    return copy;
}

struct http_request *http_request_copy(struct arena *a, const struct http_request *r)
{
    struct http_request *copy = arena_new(a, struct http_request);

    *copy = *r;
    copy->method = arena_str(a, r->method);
    copy->target = arena_str(a, r->target);
    copy->path = str_part(copy->target, 0, r->path.n);
    copy->query = str_from(copy->target, MIN(copy->target.n, r->path.n + 1));
    copy->host = arena_str(a, r->host);
    copy->headers = http_headers_copy(a, r->headers, r->headers_count);
    return copy;
}

void http_request_set_target(struct http_request *r, struct str target)
{
    r->target = target;
    r->query = target;
    str_cut(&r->query, '?', &r->path);
}
