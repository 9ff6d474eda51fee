/* HTTP/2 sessions against each other, and against floods. */
#include "test.h"
#include "wire/http2.h"

#include <nghttp2/nghttp2.h>

struct end {
    struct http2 *h;
    struct buf seen, body; /* events; the body to send */
    size_t sent, received;
    bool body_ended, hold; /* hold: do not consume */
    int64_t now_ms;
};

static struct end client, server;

static void on_request(void *arg, int32_t id, const struct http_request *r, bool end)
{
    struct end *e = arg;

    buf_addf(&e->seen, "%d:%.*s %.*s@%.*s %.*s%s ", id, STR_ARG(r->method), STR_ARG(r->target), STR_ARG(r->host),
             STR_ARG(http_request_header(r, STR("accept"))), end ? "." : "");
}

static void on_response(void *arg, int32_t id, void *user, const struct http_response *r, bool end)
{
    struct end *e = arg;

    buf_addf(&e->seen, "%d:%d %s%s ", id, r->status, user ? (const char *)user : "", end ? "." : "");
}

static void on_data(void *arg, int32_t id, void *user, struct str bytes)
{
    struct end *e = arg;

    (void)user;
    e->received += bytes.n;
    if (!e->hold)
        http2_consume(e->h, id, bytes.n);
}

static void on_end(void *arg, int32_t id, void *user)
{
    struct end *e = arg;

    (void)user;
    buf_addf(&e->seen, "%d:end ", id);
}

static void on_closed(void *arg, int32_t id, void *user, uint32_t code)
{
    struct end *e = arg;

    (void)user;
    buf_addf(&e->seen, "%d:closed(%u) ", id, code);
}

static void on_goaway(void *arg, int32_t last, uint32_t code)
{
    struct end *e = arg;

    (void)last;
    buf_addf(&e->seen, "goaway(%u) ", code);
}

static void on_pong(void *arg, uint64_t payload)
{
    struct end *e = arg;

    buf_addf(&e->seen, "pong(%llu) ", (unsigned long long)payload);
}

static size_t read_body(void *arg, int32_t id, void *user, char *to, size_t n, bool *ret_end)
{
    struct end *e = arg;
    size_t fit = MIN(n, e->body.n - e->sent);

    (void)id, (void)user;
    if (fit)
        memcpy(to, e->body.p + e->sent, fit);
    e->sent += fit;
    *ret_end = e->body_ended && e->sent == e->body.n;
    return fit;
}

static const struct http2_callbacks callbacks = { on_request, on_response, on_data, on_end,
                                                  on_closed,  on_goaway,   on_pong, read_body };

static void end(void)
{
    struct end *both[] = { &client, &server };

    for (int i = 0; i < 2; i++) {
        http2_free(both[i]->h);
        buf_done(&both[i]->seen);
        buf_done(&both[i]->body);
        *both[i] = (struct end){ .seen = BUF_MAX(MIB), .body = BUF_MAX(64 * MIB) };
    }
}

static void begin(const struct http2_options *o)
{
    end();
    client.h = http2_new(HTTP2_CLIENT, o, &callbacks, &client);
    server.h = http2_new(HTTP2_SERVER, o, &callbacks, &server);
}

static int move(struct end *from, struct end *to, struct error *err)
{
    int moved = 0;
    struct str bytes;

    while (http2_pull(from->h, &bytes, err) == 0 && bytes.n) {
        if (http2_feed(to->h, bytes, to->now_ms, err) < 0)
            return -1;
        moved = 1;
    }
    return moved;
}

static int pump(struct error *err)
{
    for (int a = 1, b = 1; a || b;) {
        a = move(&client, &server, err);
        b = a < 0 ? 0 : move(&server, &client, err);
        if (a < 0 || b < 0)
            return -1;
    }
    return 0;
}

static int32_t get(const char *target)
{
    struct http_header headers[] = { { STR("accept"), STR("x/y") }, { STR("connection"), STR("close") } };
    struct http_request r = { .method = STR("GET"),
                              .target = str_of(target),
                              .host = STR("h"),
                              .headers = headers,
                              .headers_count = 2,
                              .content_length = -1 };

    return http2_request(client.h, &r, true, (void *)(uintptr_t) "mine");
}

TEST("requests and answers share one connection")
{
    AUTO_ERROR struct error err = { 0 };

    begin(NULL);
    ASSERT_INT(get("/a"), 1);
    ASSERT_INT(get("/b?x=1"), 3);
    ASSERT_OK(pump(&err), &err);
    ASSERT_STR(server.seen, "1:GET /a@h x/y. 1:end 3:GET /b?x=1@h x/y. 3:end ");
    buf_add_text(&server.body, "hello");
    server.body_ended = true;
    http2_respond(server.h, 3, &(struct http_response){ .status = 404, .content_length = -1 }, true);
    http2_respond(server.h, 1, &(struct http_response){ .status = 200, .content_length = 5 }, false);
    ASSERT_OK(pump(&err), &err);
    ASSERT_CONTAINS(client.seen, "3:404 mine. 3:end 3:closed(0)");
    ASSERT_CONTAINS(client.seen, "1:200 mine 1:end 1:closed(0)");
    ASSERT_INT(client.received, 5);
    end();
}

TEST("a reader that does not consume stops the sender at its window, and no other stream")
{
    AUTO_ERROR struct error err = { 0 };

    begin(&(struct http2_options){ .stream_window_bytes = 100000 });
    client.hold = true;
    server.body_ended = true;
    buf_add_repeat(&server.body, 'x', 1000000);
    get("/a");
    ASSERT_OK(pump(&err), &err);
    http2_respond(server.h, 1, &(struct http_response){ .status = 200, .content_length = -1 }, false);
    ASSERT_OK(pump(&err), &err);
    ASSERT_INT(client.received, 100000);
    get("/b");
    ASSERT_OK(pump(&err), &err);
    http2_respond(server.h, 3, &(struct http_response){ .status = 204, .content_length = -1 }, true);
    ASSERT_OK(pump(&err), &err);
    ASSERT_CONTAINS(client.seen, "3:204");
    client.hold = false;
    http2_consume(client.h, 1, 100000);
    ASSERT_OK(pump(&err), &err);
    ASSERT_INT(client.received, 1000000);
    end();
}

TEST("a body that has nothing yet goes on after http2_resume()")
{
    AUTO_ERROR struct error err = { 0 };

    begin(NULL);
    get("/watch");
    ASSERT_OK(pump(&err), &err);
    http2_respond(server.h, 1, &(struct http_response){ .status = 200, .content_length = -1 }, false);
    ASSERT_OK(pump(&err), &err);
    ASSERT_INT(client.received, 0);
    buf_add_text(&server.body, "event");
    http2_resume(server.h, 1);
    ASSERT_OK(pump(&err), &err);
    ASSERT_INT(client.received, 5);
    http2_reset(client.h, 1, HTTP2_CANCEL);
    ASSERT_OK(pump(&err), &err);
    ASSERT_CONTAINS(server.seen, "1:closed(8)");
    end();
}

TEST("rapid reset ends the connection (CVE-2023-44487)")
{
    AUTO_ERROR struct error err = { 0 };
    int opened = 0, r = 0;

    begin(NULL);
    ASSERT_OK(pump(&err), &err);
    for (; opened < 5000 && r >= 0; opened++) {
        int32_t id = get("/a");

        r = move(&client, &server, &err);
        http2_reset(client.h, id, HTTP2_CANCEL);
        if (r >= 0)
            r = move(&client, &server, &err);
        server.now_ms++;
    }
    ASSERT_INT(r, -1);
    ASSERT(opened < 2000);
    move(&server, &client, NULL);
    ASSERT_CONTAINS(client.seen, "goaway(11)");
    end();
}

TEST("as many resets over a longer time are a busy client, not an attack")
{
    AUTO_ERROR struct error err = { 0 };

    begin(NULL);
    server.now_ms = 1;
    for (int i = 0; i < 1000; i++) {
        int32_t id = get("/a");

        ASSERT_OK(pump(&err), &err);
        http2_reset(client.h, id, HTTP2_CANCEL);
        ASSERT_OK(pump(&err), &err);
        server.now_ms += 20;
    }
    end();
}

TEST("a flood of pings ends the connection")
{
    AUTO_ERROR struct error err = { 0 };
    int r = 0;

    begin(NULL);
    for (int i = 0; i < 5000 && r >= 0; i++) {
        http2_ping(client.h, 1);
        r = move(&client, &server, &err);
    }
    ASSERT_INT(r, -1);
    ASSERT_INT(err.code, ERR_TOO_MANY_REQUESTS);
    end();
}

TEST("a ping is answered with its payload")
{
    AUTO_ERROR struct error err = { 0 };

    begin(NULL);
    http2_ping(client.h, 42);
    ASSERT_OK(pump(&err), &err);
    ASSERT_CONTAINS(client.seen, "pong(42)");
    end();
}

TEST("a head that is too large is answered with 431, a bad target with a reset")
{
    AUTO_ERROR struct error err = { 0 };

    begin(&(struct http2_options){ .limits = { .head_max_bytes = 200 } });
    for (int i = 0; i < 2; i++) {
        AUTO_BUF struct buf target = BUF_MAX(4096);

        buf_add_text(&target, i == 0 ? "/" : "x");
        buf_add_repeat(&target, 'x', i == 0 ? 300 : 3);
        buf_add_char(&target, 0);
        get(target.p);
    }
    ASSERT_OK(pump(&err), &err);
    ASSERT_STR(server.seen, "");
    ASSERT_CONTAINS(client.seen, "1:431");
    end();
}

TEST("after GOAWAY open streams finish and new ones are refused")
{
    AUTO_ERROR struct error err = { 0 };

    begin(NULL);
    get("/a");
    ASSERT_OK(pump(&err), &err);
    http2_goaway(server.h);
    ASSERT_OK(pump(&err), &err);
    ASSERT_CONTAINS(client.seen, "goaway(0)");
    get("/b");
    ASSERT_OK(pump(&err), &err);
    ASSERT_CONTAINS(client.seen, "closed(7)");
    http2_respond(server.h, 1, &(struct http_response){ .status = 200, .content_length = 0 }, true);
    ASSERT_OK(pump(&err), &err);
    ASSERT_CONTAINS(client.seen, "1:200 mine.");
    ASSERT(http2_wants_close(server.h));
    end();
}

TEST("what is not HTTP/2 is an error")
{
    AUTO_ERROR struct error err = { 0 };

    begin(NULL);
    ASSERT_FAILS(http2_feed(server.h, STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0, &err), &err, ERR_BAD_REQUEST,
                 "HTTP/2");
    end();
    buf_done(&client.seen);
}
