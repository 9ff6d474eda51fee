/* SPDY/3.1: streams as kubectl opens them, both ways, cut anywhere; limits. */
#include "test.h"
#include "wire/spdy.h"
#include "wire/spdy_internal.h"

struct end {
    struct spdy *s;
    struct buf seen;
    bool refuse, quiet;
    size_t data_bytes;
};

static struct end client, server;

static void note_headers(struct end *e, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(&e->seen, " %.*s=%.*s", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
}

static void on_stream(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, bool fin, void *arg)
{
    struct end *e = arg;

    buf_addf(&e->seen, "[open %u%s", id, fin ? " fin" : "");
    note_headers(e, headers, count);
    buf_add_text(&e->seen, "]");
    if (e->refuse)
        spdy_reset(s, id, SPDY_REFUSED_STREAM);
    else
        spdy_reply(s, id, NULL, 0, false);
}

static void on_reply(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, bool fin, void *arg)
{
    struct end *e = arg;

    (void)s;
    buf_addf(&e->seen, "[reply %u%s", id, fin ? " fin" : "");
    note_headers(e, headers, count);
    buf_add_text(&e->seen, "]");
}

static void on_data(struct spdy *s, uint32_t id, struct str bytes, bool fin, void *arg)
{
    struct end *e = arg;

    e->data_bytes += bytes.n;
    if (!e->quiet)
        buf_addf(&e->seen, "{%u:%.*s%s}", id, STR_ARG(bytes), fin ? " fin" : "");
    spdy_consume(s, id, bytes.n);
}

static void on_reset(struct spdy *s, uint32_t id, uint32_t status, void *arg)
{
    struct end *e = arg;

    (void)s;
    buf_addf(&e->seen, "[reset %u %u]", id, status);
}

static void on_goaway(struct spdy *s, uint32_t last_id, void *arg)
{
    struct end *e = arg;

    (void)s;
    buf_addf(&e->seen, "[goaway %u]", last_id);
}

static const struct spdy_callbacks callbacks = { on_stream, on_reply, on_data, on_reset, on_goaway };

static void end(void)
{
    struct end *both[] = { &client, &server };

    for (int i = 0; i < 2; i++) {
        spdy_free(both[i]->s);
        buf_done(&both[i]->seen);
        *both[i] = (struct end){ .seen = BUF_MAX(MIB) };
    }
}

static void begin(const struct spdy_options *o)
{
    end();
    client.s = spdy_new(SPDY_CLIENT, o, &callbacks, &client);
    server.s = spdy_new(SPDY_SERVER, o, &callbacks, &server);
}

static int move(struct end *from, struct end *to, size_t piece, struct error *err)
{
    AUTO_BUF struct buf bytes = BUF_MAX(64 * MIB);

    buf_add(&bytes, buf_str(spdy_output(from->s)));
    buf_clear(spdy_output(from->s));
    for (size_t at = 0; at < bytes.n; at += piece)
        if (spdy_feed(to->s, str_part(buf_str(&bytes), at, piece), err) < 0)
            return -1;
    return bytes.n > 0;
}

static int pump(size_t piece, struct error *err)
{
    for (int a = 1, b = 1; a || b;) {
        a = move(&client, &server, piece, err);
        b = a < 0 ? 0 : move(&server, &client, piece, err);
        if (a < 0 || b < 0)
            return -1;
    }
    return 0;
}

static uint32_t open_stream(const char *type)
{
    struct http_header h = { STR("streamType"), str_of(type) };

    return spdy_open(client.s, &h, 1, false);
}

TEST("the dictionary is the one of the draft")
{
    struct str d = spdy_dictionary();

    ASSERT_INT(d.n, 1423);
    ASSERT_INT(adler32(adler32(0, NULL, 0), (const Bytef *)d.p, (uInt)d.n), 0xe3c6a7c2);
}

TEST("streams of an exec: opened, answered, bytes both ways, ended; wherever the bytes are cut")
{
    static const size_t pieces[] = { 1, 3, 100000 };

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        AUTO_ERROR struct error err = { 0 };

        begin(NULL);
        client.quiet = server.quiet = pieces[i] < 100;
        ASSERT_INT(open_stream("error"), 1);
        ASSERT_INT(open_stream("stdin"), 3);
        ASSERT_INT(open_stream("stdout"), 5);
        ASSERT_OK(pump(pieces[i], &err), &err);
        ASSERT_STR(server.seen, "[open 1 streamtype=error][open 3 streamtype=stdin][open 5 streamtype=stdout]");
        ASSERT_STR(client.seen, "[reply 1][reply 3][reply 5]");
        buf_clear(&client.seen);
        buf_clear(&server.seen);
        spdy_data(client.s, 3, STR("input"), true);
        spdy_data(server.s, 5, STR("output"), true);
        spdy_data(server.s, 1, STR_NONE, true);
        ASSERT_OK(pump(pieces[i], &err), &err);
        ASSERT_INT(server.data_bytes, 5);
        ASSERT_INT(client.data_bytes, 6);
        if (!client.quiet) {
            ASSERT_STR(server.seen, "{3:input fin}");
            ASSERT_STR(client.seen, "{5:output fin}{1: fin}");
        }
        ASSERT(!spdy_data(client.s, 3, STR("more"), false));
    }
    end();
}

TEST("a megabyte of output does not wait for windows that kubectl never opens")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf big = BUF_MAX(2 * MIB);

    begin(NULL);
    client.quiet = true;
    open_stream("stdout");
    ASSERT_OK(pump(100000, &err), &err);
    buf_add_repeat(&big, 'x', MIB);
    ASSERT(spdy_data(server.s, 1, buf_str(&big), false));
    ASSERT(move(&server, &client, 5000, &err) > 0);
    ASSERT_INT(client.data_bytes, MIB);
    ASSERT(spdy_output(client.s)->n > 0); /* our windows are opened, as the draft asks */
    ASSERT_OK(pump(5000, &err), &err);
    end();
}

TEST("resets, pings and goodbyes")
{
    AUTO_ERROR struct error err = { 0 };

    begin(NULL);
    server.refuse = true;
    open_stream("x");
    ASSERT_OK(pump(1000, &err), &err);
    ASSERT_CONTAINS(client.seen, "[reset 1 3]");
    ASSERT_INT(spdy_streams_count(client.s) + spdy_streams_count(server.s), 0);
    spdy_ping(client.s);
    ASSERT_INT(move(&client, &server, 1000, &err), 1);
    ASSERT_INT(spdy_output(server.s)->n, 12); /* the answer, and no answer to that */
    ASSERT_OK(pump(1000, &err), &err);
    spdy_goaway(server.s);
    ASSERT_OK(pump(1000, &err), &err);
    ASSERT_CONTAINS(client.seen, "[goaway 1]");
    spdy_data(client.s, 77, STR("x"), false);
    end();
}

TEST("streams, header blocks and frames have limits")
{
    AUTO_ERROR struct error err = { 0 };
    struct http_header h = { STR("a"), STR_NONE };
    AUTO_BUF struct buf big = BUF_MAX(100 * KIB);

    begin(&(struct spdy_options){ .streams_max = 2 });
    open_stream("1");
    open_stream("2");
    ASSERT_INT(open_stream("3"), 0);
    ASSERT_OK(pump(1000, &err), &err);
    begin(NULL);
    buf_add_repeat(&big, 'x', 20 * KIB);
    h.value = buf_str(&big);
    spdy_open(client.s, &h, 1, false);
    ASSERT_FAILS(pump(100000, &err), &err, ERR_TOO_LARGE, "header block");
    begin(NULL);
    ASSERT_FAILS(spdy_feed(server.s, STR("\x80\x03\x00\x01\x00\xff\xff\xff"), &err), &err, ERR_TOO_LARGE,
                 "control frame");
    ASSERT(spdy_output(server.s)->n > 0);
    end();
}

TEST("nonsense is refused")
{
    static const struct str cases[] = {
        STR_INIT("\x80\x02\x00\x01\x00\x00\x00\x00"),                 /* version 2 */
        STR_INIT("\x80\x03\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01"), /* SYN_STREAM, cut */
        STR_INIT("\x80\x03\x00\x01\x00\x00\x00\x0e\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                 "abcd"),                                             /* no zlib */
        STR_INIT("\x80\x03\x00\x03\x00\x00\x00\x04\x00\x00\x00\x01"), /* RST_STREAM, cut */
        STR_INIT("\x80\x03\x00\x06\x00\x00\x00\x00"),                 /* PING, empty */
        STR_INIT("GET / HTTP/1.1\r\n\r\n"),                           /* waits for a huge data frame: no error */
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases) - 1; i++) {
        AUTO_ERROR struct error err = { 0 };

        begin(NULL);
        ASSERT_FAILS(spdy_feed(server.s, cases[i], &err), &err, ERR_BAD_REQUEST, "SPDY");
        ASSERT_FAILS(spdy_feed(server.s, STR("x"), &err), &err, ERR_BAD_REQUEST, "failed before");
    }
    end();
    buf_done(&client.seen);
}
