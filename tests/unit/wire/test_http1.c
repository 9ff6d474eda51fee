/* HTTP/1.1: what is understood, what is refused (request smuggling), and that cuts in the input change nothing. */
#include "test.h"
#include "wire/http1.h"

static struct buf seen = BUF_MAX(MIB);

static void note_headers(const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(&seen, " %.*s=%.*s", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
}

static void on_request(void *arg, const struct http_request *r)
{
    (void)arg;
    buf_addf(&seen, "[%.*s %.*s?%.*s @%.*s %lld%s%s", STR_ARG(r->method), STR_ARG(r->path), STR_ARG(r->query),
             STR_ARG(r->host), (long long)r->content_length, r->upgrade ? " upgrade" : "",
             r->expect_continue ? " expect" : "");
    note_headers(r->headers, r->headers_count);
    buf_add_text(&seen, "]");
}

static void on_response(void *arg, const struct http_response *r)
{
    (void)arg;
    buf_addf(&seen, "[%d %lld", r->status, (long long)r->content_length);
    note_headers(r->headers, r->headers_count);
    buf_add_text(&seen, "]");
}

static void on_body(void *arg, struct str bytes)
{
    (void)arg;
    buf_add(&seen, bytes);
}

static void on_end(void *arg)
{
    (void)arg;
    buf_add_text(&seen, "|");
}

static const struct http1_callbacks callbacks = { on_request, on_response, on_body, on_end };

/* All messages in the input, in pieces of so many bytes. */
static int parse(enum http1_role role, struct str method, struct str input, size_t piece, bool finish,
                 struct error *err)
{
    struct http1 *h = http1_new(role, NULL, &callbacks, NULL);
    int r = 0;

    buf_clear(&seen);
    http1_expect(h, method);
    for (size_t at = 0; at < input.n && r == 0;) {
        struct str bytes = str_part(input, at, piece);
        size_t used;

        r = http1_feed(h, bytes, &used, err);
        at += used;
    }
    if (r == 0 && finish)
        r = http1_finish(h, err);
    http1_free(h);
    return r;
}

static void expect(enum http1_role role, const char *method, const char *input, bool finish, const char *transcript)
{
    static const size_t pieces[] = { 100000, 1, 2, 7 };

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        AUTO_ERROR struct error err = { 0 };

        ASSERT_OK(parse(role, str_of(method), str_of(input), pieces[i], finish, &err), &err);
        ASSERT_STR(seen, transcript);
    }
    buf_done(&seen);
}

TEST("requests are understood, wherever the input is cut")
{
    static const char *const cases[][2] = {
        { "GET /api/v1/pods?watch=1&limit=5 HTTP/1.1\r\nHost: a:6443\r\nAccept: application/json\r\n\r\n",
          "[GET /api/v1/pods?watch=1&limit=5 @a:6443 0 accept=application/json]|" },
        { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "[POST /? @a 5 content-length=5]hello|" },
        { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
          "[POST /? @a -1 transfer-encoding=chunked]abcde|" },
        { "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nTrailer: x\r\nHost: evil\r\n\r\n",
          "[PUT /? @a -1 transfer-encoding=Chunked]|" },
        { "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n", "[GET /a? @a 0]|[GET /b? @b 0]|" },
        { "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "[GET /? @a 0]|" },
        { "GET / HTTP/1.0\r\n\r\n", "[GET /? @ 0]|" },
        { "GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\nSpaces:   x y  \r\n\r\n", "[GET /? @a 0 empty= spaces=x y]|" },
        { "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n",
          "[POST /exec? @a 0 upgrade connection=Upgrade upgrade=SPDY/3.1 content-length=0]|" },
        { "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
          "[POST /? @a 2 expect expect=100-continue content-length=2]hi|" },
        { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "[OPTIONS *? @a 0]|" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect(HTTP1_SERVER, "", cases[i][0], false, cases[i][1]);
}

TEST("what proxies read differently is refused")
{
    static const char *const cases[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nFolded: x\r\n y\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\rb\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / HTTX/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "G\001T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\001b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
        "\026\003\001\002",
    };
    static const size_t pieces[] = { 100000, 1 };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(pieces); j++) {
            AUTO_ERROR struct error err = { 0 };

            if (parse(HTTP1_SERVER, STR(""), str_of(cases[i]), pieces[j], false, &err) == 0)
                FAIL("accepted: %s as %.*s", cases[i], STR_ARG(buf_str(&seen)));
            ASSERT_INT(err.code, ERR_BAD_REQUEST);
        }
    }
    buf_done(&seen);
}

TEST("a zero byte in the head is refused")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_FAILS(parse(HTTP1_SERVER, STR(""), STR("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"), 1000, false, &err),
                 &err, ERR_BAD_REQUEST, "zero");
    buf_done(&seen);
}

TEST("heads, targets and header counts have limits")
{
    for (int i = 0; i < 4; i++) {
        AUTO_ERROR struct error err = { 0 };
        AUTO_BUF struct buf input = BUF_MAX(MIB);

        buf_add_text(&input, "GET /");
        buf_add_repeat(&input, 'x', i == 0 ? 17 * KIB : 1);
        buf_add_text(&input, " HTTP/1.1\r\nHost: a\r\n");
        for (int n = 0; i == 1 && n < 101; n++)
            buf_add_text(&input, "x: y\r\n");
        if (i == 2)
            buf_add_text(&input, "x: ");
        buf_add_repeat(&input, 'y', i == 2 ? 65 * KIB : 0);
        if (i == 3)
            buf_add_repeat(&input, 'z', 65 * KIB);
        buf_add_text(&input, "\r\n\r\n");
        ASSERT_FAILS(parse(HTTP1_SERVER, STR(""), buf_str(&input), 1000, false, &err), &err, ERR_TOO_LARGE, "");
    }
    buf_done(&seen);
}

TEST("a body hidden in chunk extensions or trailers ends somewhere")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf input = BUF_MAX(MIB);

    buf_add_text(&input, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 20000; i++)
        buf_add_text(&input, "x: y\r\n");
    ASSERT_FAILS(parse(HTTP1_SERVER, STR(""), buf_str(&input), 1000, false, &err), &err, ERR_TOO_LARGE, "chunk");
    buf_done(&seen);
}

TEST("responses are understood: lengths, chunks, until the end, without a body")
{
    expect(HTTP1_CLIENT, "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, "[200 2 content-length=2]hi|");
    expect(HTTP1_CLIENT, "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false,
           "[200 -1 transfer-encoding=chunked]hi|");
    expect(HTTP1_CLIENT, "GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", true, "[200 -1]until the end|");
    expect(HTTP1_CLIENT, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, "[200 0 content-length=2]|");
    expect(HTTP1_CLIENT, "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, "[204 0]|");
    expect(HTTP1_CLIENT, "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false,
           "[200 0 content-length=0]|");
    expect(HTTP1_CLIENT, "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false,
           "[101 0 connection=Upgrade upgrade=x]|");
}

TEST("a connection that ends inside a message is an error")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_FAILS(
        parse(HTTP1_CLIENT, STR("GET"), STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi"), 1000, true, &err), &err,
        ERR_UNAVAILABLE, "inside a message");
    ASSERT_FAILS(parse(HTTP1_CLIENT, STR("GET"), STR("HTTP/1.1 200 OK\r\nCont"), 1000, true, &err), &err,
                 ERR_UNAVAILABLE, "inside a message");
    buf_done(&seen);
}

TEST("written heads have one framing, and no header can bring its own line")
{
    AUTO_BUF struct buf out = BUF_MAX(4096);
    struct http_header headers[] = {
        { STR("content-type"), STR("text/plain") },
        { STR("content-length"), STR("7") },
        { STR("bad"), STR("a\r\nx: y") },
        { STR("connection"), STR("close") },
    };
    struct http_response response = { .status = 404, .headers = headers, .headers_count = 4, .content_length = 3 };
    struct http_request request = { .method = STR("POST"),
                                    .target = STR("/x"),
                                    .host = STR("h"),
                                    .headers = headers,
                                    .headers_count = 4,
                                    .content_length = -1 };

    http1_write_response(&out, &response, false, true);
    ASSERT_STR(out,
               "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\n");
    buf_clear(&out);
    http1_write_request(&out, &request, true);
    ASSERT_STR(out, "POST /x HTTP/1.1\r\nhost: h\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n");
}

TEST("queries decode like Go's")
{
    AUTO_ARENA struct arena a = { 0 };
    struct str value;

    ASSERT(http_query_get(STR("a=1&labelSelector=app%3Dx+y&a=2"), &a, STR("labelSelector"), &value));
    ASSERT_STR(value, "app=x y");
    ASSERT(http_query_get(STR("a=1&a=2"), &a, STR("a"), &value));
    ASSERT_STR(value, "1");
    ASSERT(http_query_has(STR("x=1&watch"), STR("watch")));
    ASSERT(!http_query_has(STR("bad=%zz"), STR("bad")));
    ASSERT(http_value_has_token(STR("keep-alive, Upgrade"), STR("upgrade")));
    ASSERT(!http_value_has_token(STR("keep-alive, Upgraded"), STR("upgrade")));
}
