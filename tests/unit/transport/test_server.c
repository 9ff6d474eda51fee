/* What the server does with clients that are slow, rude, cut off, or not who they should be. */
#include "http_test.h"
#include "loop/sim.h"
#include "wire/http2.h"

#include <stdio.h>

struct raw {
    struct stream *s;
    struct buf got;
    bool open, eof, closed, any;
};

static void on_open(struct stream *s, void *arg)
{
    (void)s;
    ((struct raw *)arg)->open = true;
}

static void on_read(struct stream *s, struct str bytes, void *arg)
{
    struct raw *r = arg;

    (void)s;
    buf_add(&r->got, bytes);
    r->any = true;
}

static void on_eof(struct stream *s, void *arg)
{
    (void)s;
    ((struct raw *)arg)->eof = true;
}

static void on_closed(struct stream *s, const struct error *err, void *arg)
{
    struct raw *r = arg;

    (void)s, (void)err;
    r->s = NULL;
    r->closed = r->eof = true;
}

static const struct stream_callbacks raw_callbacks = {
    .on_open = on_open, .on_read = on_read, .on_eof = on_eof, .on_closed = on_closed
};

static void raw_connect(struct fixture *f, struct raw *r)
{
    *r = (struct raw){ .got = BUF_MAX(MIB) };
    r->s = stream_connect(f->loop, &f->bound, NULL, &raw_callbacks, r);
    RUN_UNTIL(f->loop, r->open);
}

static void raw_done(struct fixture *f, struct raw *r)
{
    if (r->s) {
        stream_close(r->s);
        RUN_UNTIL(f->loop, r->closed);
    }
    buf_done(&r->got);
}

static void raw_send(struct raw *r, const char *text)
{
    stream_write(r->s, str_of(text));
}

TEST("a head that trickles is cut off at its deadline, however often a byte comes")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct raw r;
    int64_t began_ms;

    raw_connect(f, &r);
    began_ms = f->sim.now_ms;
    raw_send(&r, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 60 && !r.eof; i++) {
        raw_send(&r, "x: y\r\n");
        loop_sim_advance(f->loop, 1000);
    }
    ASSERT(r.eof);
    ASSERT(f->sim.now_ms - began_ms <= 12000);
    ASSERT_INT(state.handled, 0);
    raw_done(f, &r);
    fixture_free(f);
}

TEST("an idle connection is closed, one with a watch is not")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct raw idle, watching;

    raw_connect(f, &idle);
    raw_connect(f, &watching);
    raw_send(&watching, "GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    loop_sim_advance(f->loop, 170000);
    ASSERT(!idle.eof);
    loop_sim_advance(f->loop, 3600 * 1000);
    ASSERT(idle.eof);
    ASSERT(!watching.eof);
    raw_done(f, &idle);
    raw_done(f, &watching);
    fixture_free(f);
}

TEST("a body that stops coming is answered with 504")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct raw r;

    raw_connect(f, &r);
    raw_send(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    loop_sim_advance(f->loop, 29000);
    ASSERT(!r.any);
    loop_sim_advance(f->loop, 2000);
    ASSERT_CONTAINS(r.got, "HTTP/1.1 504");
    raw_done(f, &r);
    fixture_free(f);
}

TEST("a reader that never reads is cut off, and its answer's bytes are released")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct raw r;

    raw_connect(f, &r);
    stream_pause(r.s);
    raw_send(&r, "GET /big?1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    loop_sim_advance(f->loop, 50000);
    ASSERT_INT(state.released, 0);
    loop_sim_advance(f->loop, 80000);
    ASSERT_INT(state.released, 1);
    raw_done(f, &r);
    fixture_free(f);
}

TEST("a client that leaves in the middle of a body is told to the handler")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct raw r;

    raw_connect(f, &r);
    raw_send(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    loop_sim_advance(f->loop, 10);
    stream_close(r.s);
    loop_sim_advance(f->loop, 10);
    ASSERT_INT(http_server_stats(f->server).open_connections, 0);
    ASSERT_INT(http_server_stats(f->server).open_exchanges, 0);
    raw_done(f, &r);
    fixture_free(f);
}

TEST("pipelined requests are answered one after the other, in order")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    AUTO_BUF struct buf all = BUF_MAX(MIB);
    struct raw r;
    size_t at = 0;

    raw_connect(f, &r);
    for (int i = 0; i < 500; i++)
        buf_addf(&all, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n<%03d>", i);
    stream_write(r.s, buf_str(&all));
    loop_sim_advance(f->loop, 100);
    for (int i = 0; i < 500; i++) {
        char body[8];
        const char *found;

        snprintf(body, sizeof(body), "<%03d>", i);
        found = memmem(r.got.p + at, r.got.n - at, body, 5);
        ASSERT(found);
        at = (size_t)(found - r.got.p);
    }
    raw_done(f, &r);
    fixture_free(f);
}

TEST("bytes that arrive while earlier ones wait do not overtake them")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    AUTO_BUF struct buf all = BUF_MAX(MIB);
    struct raw r;
    size_t answers = 0;

    raw_connect(f, &r);
    for (int i = 0; i < 400; i++)
        buf_add_text(&all, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    for (size_t at = 0; at < all.n; at += 1001) /* cuts through requests */
        stream_write(r.s, str_part(buf_str(&all), at, 1001));
    loop_sim_advance(f->loop, 100);
    for (struct str rest = buf_str(&r.got); rest.n;) {
        const char *found = memmem(rest.p, rest.n, "HTTP/1.1 200", 12);
        if (!found)
            break;
        answers++;
        rest = str_from(rest, (size_t)(found + 12 - rest.p));
    }
    ASSERT_INT(answers, 400);
    raw_done(f, &r);
    fixture_free(f);
}

TEST("a smuggled request is refused with 400, and nothing after it is read")
{
    static const char *const attacks[] = {
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hello "
        "HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: "
        "a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
        struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
        struct raw r;

        raw_connect(f, &r);
        raw_send(&r, attacks[i]);
        loop_sim_advance(f->loop, 100);
        ASSERT_CONTAINS(r.got, "HTTP/1.1 400");
        ASSERT(r.eof);
        ASSERT_INT(state.handled, 0);
        raw_done(f, &r);
        fixture_free(f);
    }
}

TEST("100-continue is sent when the handler wants the body, not before")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct raw r;

    raw_connect(f, &r);
    raw_send(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    loop_sim_advance(f->loop, 10);
    ASSERT_STR(r.got, "HTTP/1.1 100 Continue\r\n\r\n");
    raw_send(&r, "hi");
    loop_sim_advance(f->loop, 10);
    ASSERT_CONTAINS(r.got, "200 OK");
    buf_clear(&r.got);
    raw_send(&r, "POST /refuse HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    loop_sim_advance(f->loop, 10);
    ASSERT_CONTAINS(r.got, "HTTP/1.1 401");
    raw_done(f, &r);
    fixture_free(f);
}

TEST("HTTP/1.0 gets its answer and the end of the connection")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct raw r;

    raw_connect(f, &r);
    raw_send(&r, "GET /hello HTTP/1.0\r\n\r\n");
    loop_sim_advance(f->loop, 10);
    ASSERT_CONTAINS(r.got, "connection: close\r\n\r\nhello");
    ASSERT(r.eof);
    raw_done(f, &r);
    fixture_free(f);
}

TEST("connections past the maximum wait until one has gone")
{
    struct http_server_options o = { .connections_max = 2 };
    struct fixture *f = fixture_new(WAY_PLAIN, &o, fixture_handler);
    struct raw r[3];
    bool never = false;

    for (int i = 0; i < 3; i++) {
        raw_connect(f, &r[i]);
        raw_send(&r[i], "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    RUN_UNTIL(f->loop, r[1].any);
    run_until(f->loop, run_until_flag, &never, 30);
    ASSERT(!r[2].any);
    raw_done(f, &r[0]);
    RUN_UNTIL(f->loop, r[2].any);
    raw_done(f, &r[1]);
    raw_done(f, &r[2]);
    fixture_free(f);
}

/* --- HTTP/2 by hand, on a plain connection --- */

static size_t no_body(void *arg, int32_t id, void *user, char *to, size_t n, bool *ret_end)
{
    (void)arg, (void)id, (void)user, (void)to, (void)n;
    *ret_end = true;
    return 0;
}

static void ignore_closed(void *arg, int32_t id, void *user, uint32_t code)
{
    (void)arg, (void)id, (void)user, (void)code;
}

static const struct http2_callbacks hand_callbacks = { .on_closed = ignore_closed, .read_body = no_body };

static void hand_flush(struct http2 *h, struct raw *r)
{
    struct str bytes;

    while (http2_pull(h, &bytes, NULL) == 0 && bytes.n)
        if (r->s)
            stream_write(r->s, bytes);
}

TEST("rapid reset ends the connection before the handlers have worked much")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct http2 *h = http2_new(HTTP2_CLIENT, NULL, &hand_callbacks, NULL);
    struct http_request get = { .method = STR("GET"), .target = STR("/hello"), .host = STR("a"), .content_length = -1 };
    struct raw r;

    raw_connect(f, &r);
    hand_flush(h, &r);
    loop_sim_advance(f->loop, 1);
    for (int i = 0; i < 5000 && !r.eof; i++) {
        int32_t id = http2_request(h, &get, true, NULL);

        hand_flush(h, &r);
        http2_reset(h, id, HTTP2_CANCEL);
        hand_flush(h, &r);
        if (i % 100 == 0)
            loop_sim_advance(f->loop, 1);
    }
    loop_sim_advance(f->loop, 100);
    ASSERT(r.eof);
    ASSERT(state.handled < 2000);
    http2_free(h);
    raw_done(f, &r);
    fixture_free(f);
}

TEST("an HTTP/2 connection without requests is idle, pings do not keep it")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    struct http2 *h = http2_new(HTTP2_CLIENT, NULL, &hand_callbacks, NULL);
    struct raw r;

    raw_connect(f, &r);
    for (int i = 0; i < 400 && !r.eof; i++) {
        http2_ping(h, 1);
        hand_flush(h, &r);
        loop_sim_advance(f->loop, 1000);
    }
    ASSERT(r.eof);
    http2_free(h);
    raw_done(f, &r);
    fixture_free(f);
}

/* --- who is there --- */

TEST("expired and foreign client certificates reach the handler with the reason")
{
    for (int way = WAY_TLS_HTTP2; way <= WAY_TLS_HTTP1; way++) {
        struct fixture *f = fixture_new(way, NULL, fixture_handler);
        AUTO_IDENTITY struct identity other = ca_make("other");
        AUTO_IDENTITY struct identity foreign = identity_make(&other, "alice", "admins", PKI_CLIENT, HOUR_MS);
        AUTO_IDENTITY struct identity expired = identity_make(&f->ca, "old", "admins", PKI_CLIENT, -MINUTE_MS);
        const struct identity *shown[] = { &foreign, &expired, NULL };
        const char *const expected[] = { "error=unable to get local issuer", "error=certificate has expired",
                                         "cert=0" };
        CLEANUP(answer_done) struct answer a = { 0 };

        for (int i = 0; i < 3; i++) {
            struct tls_context *tls = client_context(&f->ca, shown[i]);
            struct str url = str_of(f->url);
            struct http_client *kept = f->client;

            f->client = http_client_new(
                f->loop,
                &(struct http_client_options){
                    .servers = &url, .servers_count = 1, .tls = tls, .http1_only = way == WAY_TLS_HTTP1 },
                NULL);
            fetch(f, "GET", "/whoami", STR_NONE, &a);
            ASSERT_INT(a.status, 200);
            ASSERT_CONTAINS(a.body, expected[i]);
            http_client_free(f->client);
            f->client = kept;
            tls_context_unref(tls);
        }
        fixture_free(f);
    }
}

/* --- shutdown --- */

static void stopped(void *arg)
{
    *(bool *)arg = true;
}

TEST("a shutdown lets answers finish, tells watches, and refuses new requests")
{
    for (int way = WAY_TLS_HTTP2; way <= WAY_SIM; way++) {
        struct fixture *f = fixture_new(way, NULL, fixture_handler);
        CLEANUP(answer_done) struct answer watch = { 0 };
        CLEANUP(answer_done) struct answer after = { 0 };
        bool done = false;

        fetch_start(f, "GET", "/watch", STR_NONE, &watch);
        while (!state.held)
            run_until(f->loop, run_until_flag, &watch.done, 2);
        http_server_shutdown(f->server, 5000, stopped, &done);
        f->server = NULL;
        RUN_UNTIL(f->loop, done);
        RUN_UNTIL(f->loop, watch.done);
        ASSERT_INT(state.gone, 1);
        ASSERT_INT(watch.status, 200);
        ASSERT_STR(watch.body, "first");
        fetch(f, "GET", "/hello", STR_NONE, &after);
        ASSERT_INT(after.code, ERR_UNAVAILABLE);
        fixture_free(f);
    }
}

TEST("a shutdown does not wait longer than it was told")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    CLEANUP(answer_done) struct answer a = { 0 };
    bool done = false;

    fetch_start(f, "GET", "/never", STR_NONE, &a);
    loop_sim_advance(f->loop, 10);
    http_server_shutdown(f->server, 3000, stopped, &done);
    f->server = NULL;
    loop_sim_advance(f->loop, 2900);
    ASSERT(!done);
    loop_sim_advance(f->loop, 200);
    ASSERT(done);
    RUN_UNTIL(f->loop, a.done);
    ASSERT_INT(a.code, ERR_UNAVAILABLE);
    fixture_free(f);
}

TEST("a server that drains serves everybody, and every connection ends with its answer")
{
    for (int way = WAY_TLS_HTTP2; way <= WAY_SIM; way++) {
        struct fixture *f = fixture_new(way, NULL, fixture_handler);

        for (int i = 0; i < 6; i++) {
            CLEANUP(answer_done) struct answer a = { 0 };
            if (i == 3) {
                ASSERT_INT(http_server_stats(f->server).connections, 1);
                http_server_drain(f->server);
            }
            fetch(f, "GET", "/hello", STR_NONE, &a);
            ASSERT_INT(a.status, 200);
        }
        ASSERT(http_server_stats(f->server).connections > 1);
        ASSERT(http_server_stats(f->server).open_connections <= 1);
        fixture_free(f);
    }
}
