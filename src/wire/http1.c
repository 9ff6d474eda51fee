/* HTTP/1.1 parsing: a strict filter over the lines of heads, llhttp, and checks over the finished head. */
#include "wire/http1.h"

#include <llhttp.h>
#include <stdlib.h>

#define LEADING_LINES_MAX 2 /* empty lines before a request: RFC 9112, 2.2 */

enum phase { BEFORE, HEAD, BODY };

struct span {
    uint32_t start, n;
};

struct raw_header {
    struct span name, value;
};

struct http1 {
    llhttp_t parser;
    enum http1_role role;
    enum phase phase;
    struct http_limits limits;
    const struct http1_callbacks *cb;
    void *arg;
    bool head_request; /* clients: the answer has no body */
    bool failed, ended, skip_message, keep_alive;

    /* the filter over raw lines */
    size_t head_bytes, line_bytes, leading_lines;
    bool after_cr, after_line;
    uint64_t body_bytes, body_bytes_fed, overhead_bytes;

    /* the head being read: all text in one buffer */
    struct buf text;
    struct span target;
    struct raw_header *raw;
    size_t raw_count, raw_capacity;
    bool in_value;
    struct http_header *headers;
    struct error *err; /* of the running feed */
};

static const llhttp_settings_t settings;

static int refuse(struct http1 *h, enum error_code code, const char *why)
{
    if (!h->failed)
        fail(h->err, code, "%s", why);
    h->failed = true;
    return -1;
}

static void begin_message(struct http1 *h)
{
    llhttp_init(&h->parser, h->role == HTTP1_SERVER ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    h->parser.data = h;
    h->phase = BEFORE;
    h->head_bytes = h->line_bytes = h->leading_lines = 0;
    h->body_bytes = h->overhead_bytes = 0;
    h->after_cr = h->after_line = false;
    h->ended = h->skip_message = false;
    h->raw_count = 0;
    h->in_value = false;
    h->target = (struct span){ 0 };
}

/* What one message needed is given back: thousands of connections are idle. */
static void free_message(struct http1 *h)
{
    buf_done(&h->text);
    free(h->raw);
    free(h->headers);
    h->raw = NULL;
    h->headers = NULL;
    h->raw_count = h->raw_capacity = 0;
}

struct http1 *http1_new(enum http1_role role, const struct http_limits *limits, const struct http1_callbacks *cb,
                        void *arg)
{
    struct http1 *h = xnew(struct http1);

    h->role = role;
    h->limits = http_limits_or_default(limits);
    h->cb = cb;
    h->arg = arg;
    h->text.max = h->limits.head_max_bytes;
    begin_message(h);
    return h;
}

void http1_free(struct http1 *h)
{
    if (!h)
        return;
    free_message(h);
    free(h);
}

void http1_expect(struct http1 *h, struct str method)
{
    h->head_request = str_is(method, "HEAD");
}

bool http1_in_message(const struct http1 *h)
{
    return h->phase != BEFORE;
}

bool http1_in_head(const struct http1 *h)
{
    return h->phase == HEAD;
}

bool http1_keep_alive(const struct http1 *h)
{
    return h->keep_alive && !h->failed;
}

/* --- the finished head --- */

static struct str span_str(const struct http1 *h, struct span s)
{
    return (struct str){ h->text.p + s.start, s.n };
}

static void lower_case(struct http1 *h, struct span s)
{
    for (uint32_t i = s.start; i < s.start + s.n; i++)
        if (h->text.p[i] >= 'A' && h->text.p[i] <= 'Z')
            h->text.p[i] = (char)(h->text.p[i] + ('a' - 'A'));
}

struct framing {
    struct str host;
    size_t hosts, lengths, codings;
    bool chunked, upgrade, expect_continue;
    size_t headers_count; /* without Host */
};

static int collect_headers(struct http1 *h, struct framing *f)
{
    h->headers = xcalloc(MAX(h->raw_count, (size_t)1), sizeof(*h->headers));
    for (size_t i = 0; i < h->raw_count; i++) {
        struct http_header header;

        lower_case(h, h->raw[i].name);
        header = (struct http_header){ span_str(h, h->raw[i].name), str_trim(span_str(h, h->raw[i].value)) };
        if (!http_is_token(header.name) || !http_is_field_value(header.value))
            return refuse(h, ERR_BAD_REQUEST, "a header has bytes that do not belong there");
        if (str_is(header.name, "host")) {
            f->hosts++;
            f->host = header.value;
            continue;
        }
        if (str_is(header.name, "content-length")) {
            f->lengths++;
        } else if (str_is(header.name, "transfer-encoding")) {
            f->codings++;
            f->chunked = str_eq_nocase(header.value, STR("chunked"));
        } else if (str_is(header.name, "upgrade")) {
            f->upgrade = true;
        } else if (str_is(header.name, "expect")) {
            f->expect_continue = str_eq_nocase(header.value, STR("100-continue"));
        }
        h->headers[f->headers_count++] = header;
    }
    return 0;
}

static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c >= 0x7f || strchr("/\\@?#\"<>,;`|^{}", c))
            return false;
    }
    return true;
}

static int check_framing(struct http1 *h, const struct framing *f)
{
    bool old = h->parser.http_minor == 0;

    if (h->parser.http_major != 1 || h->parser.http_minor > 1)
        return refuse(h, ERR_BAD_REQUEST, "the version is neither HTTP/1.0 nor HTTP/1.1");
    if (f->codings && old)
        return refuse(h, ERR_BAD_REQUEST, "Transfer-Encoding does not exist in HTTP/1.0");
    if (f->codings && f->lengths)
        return refuse(h, ERR_BAD_REQUEST, "Transfer-Encoding and Content-Length together");
    if (f->codings > 1 || (f->codings && !f->chunked))
        return refuse(h, ERR_BAD_REQUEST, "Transfer-Encoding other than chunked");
    if (f->lengths > 1)
        return refuse(h, ERR_BAD_REQUEST, "more than one Content-Length");
    if (h->role == HTTP1_CLIENT)
        return 0;
    if (f->hosts > 1 || (!f->hosts && !old))
        return refuse(h, ERR_BAD_REQUEST, f->hosts ? "more than one Host" : "no Host");
    if (!is_host(f->host))
        return refuse(h, ERR_BAD_REQUEST, "Host is not a host");
    return 0;
}

static bool is_target(struct str t, struct str method)
{
    if (str_is(t, "*"))
        return str_is(method, "OPTIONS");
    if (!t.n || t.p[0] != '/')
        return false;
    for (size_t i = 0; i < t.n; i++)
        if ((unsigned char)t.p[i] <= ' ' || (unsigned char)t.p[i] >= 0x7f || t.p[i] == '#')
            return false;
    return true;
}

static int deliver_request(struct http1 *h, const struct framing *f)
{
    struct http_request r = { 0 };

    r.method = str_of(llhttp_method_name(h->parser.method));
    http_request_set_target(&r, span_str(h, h->target));
    if (h->parser.method == HTTP_CONNECT || !is_target(r.target, r.method))
        return refuse(h, ERR_BAD_REQUEST, "the target does not start with a slash");
    r.host = f->host;
    r.headers = h->headers;
    r.headers_count = f->headers_count;
    r.version = h->parser.http_minor ? HTTP_1_1 : HTTP_1_0;
    r.content_length = f->chunked ? -1 : f->lengths ? (int64_t)h->parser.content_length : 0;
    r.upgrade = f->upgrade && r.version == HTTP_1_1 &&
                http_value_has_token(http_header_get(r.headers, r.headers_count, STR("connection")), STR("upgrade"));
    r.expect_continue = f->expect_continue && r.version == HTTP_1_1;
    h->cb->on_request(h->arg, &r);
    return 0;
}

/* Returns llhttp's wish: 0 a body as the head says, 1 no body, 2 no body and the rest is another protocol. */
static int deliver_response(struct http1 *h, const struct framing *f)
{
    struct http_response r = { .status = h->parser.status_code,
                               .headers = h->headers,
                               .headers_count = f->headers_count };

    if (r.status < 100 || r.status > 599)
        return refuse(h, ERR_BAD_REQUEST, "the status is not between 100 and 599");
    if (r.status < 200 && r.status != 101) {
        h->skip_message = true;
        return 1;
    }
    r.content_length = f->lengths ? (int64_t)h->parser.content_length : -1;
    if (h->head_request || !http_status_has_body(r.status, STR_NONE))
        r.content_length = 0;
    h->cb->on_response(h->arg, &r);
    if (r.status == 101)
        return 2;
    return h->head_request ? 1 : 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http1 *h = parser->data;
    struct framing f = { 0 };
    int r;

    if (collect_headers(h, &f) < 0 || check_framing(h, &f) < 0)
        return -1;
    h->keep_alive = llhttp_should_keep_alive(parser);
    h->phase = BODY;
    if (h->role == HTTP1_CLIENT)
        return deliver_response(h, &f);
    r = deliver_request(h, &f);
    parser->upgrade = 0; /* whether the bytes change hands is the server's decision, not the parser's */
    return r;
}

/* --- llhttp's callbacks --- */

static int add_text(struct http1 *h, struct span *s, const char *at, size_t n)
{
    if (!s->n)
        s->start = (uint32_t)h->text.n;
    buf_add_bytes(&h->text, at, n);
    if (h->text.full)
        return refuse(h, ERR_TOO_LARGE, "the head is too large");
    s->n += (uint32_t)n;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
    struct http1 *h = parser->data;

    if (h->target.n + n > h->limits.target_max_bytes)
        return refuse(h, ERR_TOO_LARGE, "the target is too long");
    return add_text(h, &h->target, at, n);
}

static int on_header_field(llhttp_t *parser, const char *at, size_t n)
{
    struct http1 *h = parser->data;

    if (h->phase == BODY)
        return 0; /* trailers */
    if (h->in_value || !h->raw_count) {
        if (h->raw_count == h->limits.headers_max)
            return refuse(h, ERR_TOO_LARGE, "too many headers");
        GROW(h->raw, h->raw_count, h->raw_capacity);
        h->raw[h->raw_count++] = (struct raw_header){ 0 };
        h->in_value = false;
    }
    return add_text(h, &h->raw[h->raw_count - 1].name, at, n);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t n)
{
    struct http1 *h = parser->data;

    if (h->phase == BODY)
        return 0;
    h->in_value = true;
    return add_text(h, &h->raw[h->raw_count - 1].value, at, n);
}

/* An empty value gives no on_header_value with bytes; the next name must not be taken for more of this one. */
static int on_header_value_complete(llhttp_t *parser)
{
    struct http1 *h = parser->data;

    h->in_value = true;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct http1 *h = parser->data;

    h->body_bytes_fed += n;
    h->cb->on_body(h->arg, (struct str){ at, n });
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http1 *h = parser->data;

    h->ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- the filter: how far the head reaches in these bytes, refusing lines that proxies read differently --- */

static int filter_byte(struct http1 *h, char c, bool *ret_end)
{
    if (h->after_cr) {
        if (c != '\n')
            return refuse(h, ERR_BAD_REQUEST, "a carriage return without a line feed");
        h->after_cr = false;
        *ret_end = h->line_bytes == 0;
        h->after_line = true;
        h->line_bytes = 0;
        return 0;
    }
    if (c == '\n')
        return refuse(h, ERR_BAD_REQUEST, "a line feed without a carriage return");
    if (c == '\0')
        return refuse(h, ERR_BAD_REQUEST, "a zero byte in the head");
    if (c == '\r') {
        h->after_cr = true;
        return 0;
    }
    if (h->after_line && (c == ' ' || c == '\t'))
        return refuse(h, ERR_BAD_REQUEST, "a header folded over lines");
    h->after_line = false;
    h->line_bytes++;
    return 0;
}

/* How many bytes from the start belong to the head; -1 when it is refused. */
static ptrdiff_t filter_head(struct http1 *h, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        bool end = false;

        if (++h->head_bytes > h->limits.head_max_bytes)
            return refuse(h, ERR_TOO_LARGE, "the head is too large");
        if (filter_byte(h, bytes.p[i], &end) < 0)
            return -1;
        if (end)
            return (ptrdiff_t)i + 1;
    }
    return (ptrdiff_t)bytes.n;
}

/* Empty lines before a message are skipped; returns how many bytes. */
static ptrdiff_t skip_leading(struct http1 *h, struct str bytes)
{
    size_t i = 0;

    for (; i < bytes.n && (bytes.p[i] == '\r' || bytes.p[i] == '\n'); i++)
        if (++h->leading_lines > 2 * LEADING_LINES_MAX)
            return refuse(h, ERR_BAD_REQUEST, "empty lines instead of a message");
    if (i < bytes.n)
        h->phase = HEAD;
    return (ptrdiff_t)i;
}

static int parse(struct http1 *h, struct str bytes, size_t *used)
{
    llhttp_errno_t e = llhttp_execute(&h->parser, bytes.p, bytes.n);

    if (e == HPE_OK) {
        *used += bytes.n;
        return 0;
    }
    if (e != HPE_PAUSED && e != HPE_PAUSED_UPGRADE)
        return refuse(h, ERR_BAD_REQUEST, llhttp_errno_name(e));
    h->ended = true;
    *used += (size_t)(llhttp_get_error_pos(&h->parser) - bytes.p);
    return 0;
}

/* Chunk sizes, their extensions and trailers are not body: what is not body must stay in proportion to it. */
static int parse_body(struct http1 *h, struct str bytes, size_t *used)
{
    size_t before = *used;

    h->body_bytes_fed = 0;
    if (parse(h, bytes, used) < 0)
        return -1;
    h->overhead_bytes += *used - before - h->body_bytes_fed;
    h->body_bytes += h->body_bytes_fed;
    if (h->overhead_bytes > h->limits.head_max_bytes + 16 * h->body_bytes)
        return refuse(h, ERR_TOO_LARGE, "more chunk headers than body");
    return 0;
}

static void end_message(struct http1 *h)
{
    bool skip = h->skip_message;

    begin_message(h);
    free_message(h);
    h->text.max = h->limits.head_max_bytes;
    if (!skip)
        h->cb->on_end(h->arg);
}

int http1_feed(struct http1 *h, struct str bytes, size_t *ret_used, struct error *err)
{
    size_t used = 0;
    int r = h->failed ? fail(err, ERR_BAD_REQUEST, "the connection has failed before") : 0;

    h->err = err;
    while (r == 0 && used < bytes.n && !h->ended) {
        struct str rest = str_from(bytes, used);
        ptrdiff_t n;

        if (h->phase == BEFORE) {
            n = skip_leading(h, rest);
            r = n < 0 ? -1 : 0;
            used += r == 0 ? (size_t)n : 0;
        } else if (h->phase == HEAD) {
            n = filter_head(h, rest);
            r = n < 0 ? -1 : parse(h, str_part(rest, 0, (size_t)n), &used);
        } else {
            r = parse_body(h, rest, &used);
        }
    }
    h->err = NULL;
    *ret_used = used;
    if (r < 0) {
        h->failed = true;
        return -1;
    }
    if (h->ended)
        end_message(h);
    return 0;
}

int http1_finish(struct http1 *h, struct error *err)
{
    if (h->phase == BEFORE)
        return 0;
    h->err = err;
    if (h->phase == BODY)
        llhttp_finish(&h->parser);
    h->err = NULL;
    if (h->ended) {
        end_message(h);
        h->keep_alive = false;
        return 0;
    }
    h->failed = true;
    return fail(err, ERR_UNAVAILABLE, "the connection ended inside a message");
}
