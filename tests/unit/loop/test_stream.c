/* Streams and listeners: life, order, back-pressure, half close, in both worlds. */
#include "loop_test.h"
#include "loop/sim.h"
#include "loop/stream.h"
#include "loop/process.h"

#include <unistd.h>

struct end {
    struct stream *s;
    struct buf got;
    bool open, eof, drained, closed, echo;
    enum error_code closed_code;
    int closed_count;
    bool got_enough;
    size_t enough;
};

static void on_open(struct stream *s, void *arg)
{
    struct end *e = arg;

    (void)s;
    e->open = true;
}

static void on_read(struct stream *s, struct str bytes, void *arg)
{
    struct end *e = arg;

    if (e->echo)
        stream_write(s, bytes);
    buf_add(&e->got, bytes);
    e->got_enough = e->got.n >= e->enough;
}

static void on_eof(struct stream *s, void *arg)
{
    struct end *e = arg;

    e->eof = true;
    if (e->echo)
        stream_shutdown(s);
}

static void on_drained(struct stream *s, void *arg)
{
    struct end *e = arg;

    (void)s;
    e->drained = true;
}

static void on_closed(struct stream *s, const struct error *err, void *arg)
{
    struct end *e = arg;

    (void)s;
    e->closed = true;
    e->closed_count++;
    e->closed_code = err ? err->code : ERR_NONE;
    e->s = NULL;
}

static const struct stream_callbacks callbacks = {
    .on_open = on_open, .on_read = on_read, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

static struct end client, server;

static void begin(void)
{
    buf_done(&client.got);
    buf_done(&server.got);
    client = (struct end){ .got = BUF_MAX(256 * MIB), .enough = 1 };
    server = (struct end){ .got = BUF_MAX(256 * MIB), .enough = 1 };
}

static void on_stream(struct listener *l, struct stream *s, void *arg)
{
    struct end *e = arg;

    (void)l;
    e->s = s;
    e->open = true;
    stream_set_callbacks(s, &callbacks, e);
}

static const struct listener_callbacks accept_callbacks = { .on_stream = on_stream };

static struct listener *connect_both(struct loop *loop, const char *at)
{
    AUTO_ERROR struct error err = { 0 };
    struct address address, bound;
    struct listener *l;

    begin();
    ASSERT_OK(address_parse(str_of(at), &address, &err), &err);
    l = listener_new(loop, &address, NULL, &accept_callbacks, &server, &err);
    ASSERT_OK(l, &err);
    bound = listener_address(l);
    client.s = stream_connect(loop, &bound, NULL, &callbacks, &client);
    RUN_UNTIL(loop, client.open);
    RUN_UNTIL(loop, server.open);
    return l;
}

TEST("bytes go both ways, and each end closes exactly once")
{
    EACH_WORLD(loop)
    {
        struct listener *l = connect_both(loop, "127.0.0.1:0");

        stream_write(client.s, STR("hello "));
        stream_write(client.s, STR("server"));
        server.enough = 12;
        RUN_UNTIL(loop, server.got_enough);
        ASSERT_STR(server.got, "hello server");
        stream_write(server.s, STR("hello client"));
        RUN_UNTIL(loop, client.got_enough);
        ASSERT_STR(client.got, "hello client");
        stream_close(client.s);
        stream_close(client.s);
        ASSERT(!client.closed);
        RUN_UNTIL(loop, client.closed);
        RUN_UNTIL(loop, server.eof);
        stream_close(server.s);
        RUN_UNTIL(loop, server.closed);
        ASSERT_INT(client.closed_count + server.closed_count, 2);
        ASSERT_INT(client.closed_code, ERR_NONE);
        listener_close(l);
    }
}

TEST("IPv6 and unix sockets work like IPv4")
{
    const char *unix_path = test_path("socket");
    char *unix_text = xasprintf("unix:%s", unix_path);
    const char *texts[] = { "[::1]:0", unix_text };

    for (int i = 0; i < 2; i++) {
        EACH_WORLD(loop)
        {
            struct listener *l = connect_both(loop, texts[i]);

            stream_write(client.s, STR("x"));
            RUN_UNTIL(loop, server.got_enough);
            listener_close(l);
        }
    }
    free(unix_text);
}

TEST("a half close lets the answer through")
{
    EACH_WORLD(loop)
    {
        struct listener *l = connect_both(loop, "127.0.0.1:0");

        server.echo = true;
        stream_write(client.s, STR("question"));
        stream_shutdown(client.s);
        RUN_UNTIL(loop, server.eof);
        RUN_UNTIL(loop, client.eof);
        ASSERT_STR(client.got, "question");
        listener_close(l);
    }
}

TEST("a reader that pauses holds the writer back, and nothing is lost or reordered")
{
    EACH_WORLD(loop)
    {
        struct listener *l = connect_both(loop, "127.0.0.1:0");
        size_t sent = 0;
        uint32_t number = 0;

        stream_pause(server.s);
        for (bool more = true; more; sent += sizeof(number), number++)
            more = stream_write(client.s, (struct str){ (const char *)&number, sizeof(number) });
        ASSERT(stream_queued_bytes(client.s) >= 256 * KIB);
        ASSERT(!client.drained);
        stream_resume(server.s);
        RUN_UNTIL(loop, client.drained);
        server.enough = sent;
        server.got_enough = server.got.n == sent;
        RUN_UNTIL(loop, server.got_enough);
        for (uint32_t i = 0; i < number; i++)
            ASSERT(memcmp(server.got.p + i * sizeof(i), &i, sizeof(i)) == 0);
        listener_close(l);
    }
}

static void count_release(void *arg)
{
    ++*(int *)arg;
}

TEST("owned bytes are released exactly once, sent or dropped")
{
    EACH_WORLD(loop)
    {
        int released = 0;
        struct listener *l = connect_both(loop, "127.0.0.1:0");
        struct buf big = BUF_MAX(16 * MIB);

        buf_add_repeat(&big, 'x', 8 * MIB);
        stream_write_owned(client.s, buf_str(&big), count_release, &released);
        server.enough = big.n;
        RUN_UNTIL(loop, server.got_enough);
        ASSERT_INT(released, 1);
        stream_pause(server.s);
        stream_write_owned(client.s, buf_str(&big), count_release, &released);
        ASSERT_INT(released, 1);
        stream_close(client.s);
        RUN_UNTIL(loop, client.closed);
        ASSERT_INT(released, 2);
        listener_close(l);
        buf_done(&big);
    }
}

TEST("a queue past its maximum closes the stream")
{
    EACH_WORLD(loop)
    {
        struct listener *l = connect_both(loop, "127.0.0.1:0");
        struct buf piece = BUF_MAX(MIB);

        buf_add_repeat(&piece, 'x', MIB);
        stream_pause(server.s);
        for (int i = 0; i < 100; i++)
            stream_write(client.s, buf_str(&piece));
        RUN_UNTIL(loop, client.closed);
        ASSERT_INT(client.closed_code, ERR_TOO_LARGE);
        listener_close(l);
        buf_done(&piece);
    }
}

TEST("what was queued before stream_close_after_write() arrives")
{
    EACH_WORLD(loop)
    {
        struct listener *l = connect_both(loop, "127.0.0.1:0");
        struct buf big = BUF_MAX(16 * MIB);

        buf_add_repeat(&big, 'x', 8 * MIB);
        stream_write(client.s, buf_str(&big));
        stream_close_after_write(client.s, 5000);
        RUN_UNTIL(loop, client.closed);
        ASSERT_INT(client.closed_code, ERR_NONE);
        RUN_UNTIL(loop, server.eof);
        ASSERT_INT(server.got.n, 8 * MIB);
        listener_close(l);
        buf_done(&big);
    }
}

TEST("connecting to nobody fails through the closed callback")
{
    EACH_WORLD(loop)
    {
        struct address to;

        begin();
        address_parse(STR("127.0.0.1:1"), &to, NULL);
        client.s = stream_connect(loop, &to, NULL, &callbacks, &client);
        ASSERT(!client.closed);
        RUN_UNTIL(loop, client.closed);
        ASSERT_INT(client.closed_code, ERR_UNAVAILABLE);
        ASSERT(!client.open);
    }
}

TEST("an address that is in use is refused by name")
{
    EACH_WORLD(loop)
    {
        AUTO_ERROR struct error err = { 0 };
        struct listener *l = connect_both(loop, "127.0.0.1:0");
        struct address bound = listener_address(l);

        ASSERT(address_port(&bound) != 0);
        ASSERT_FAILS(listener_new(loop, &bound, NULL, &accept_callbacks, &server, &err), &err, ERR_ALREADY_EXISTS,
                     "127.0.0.1:");
        listener_close(l);
    }
}

TEST("a pair in memory joins two ends on any loop")
{
    EACH_WORLD(loop)
    {
        struct stream *pair[2];

        begin();
        stream_pair(loop, pair);
        client.s = pair[0];
        server.s = pair[1];
        stream_write(client.s, STR("early"));
        stream_set_callbacks(client.s, &callbacks, &client);
        stream_set_callbacks(server.s, &callbacks, &server);
        RUN_UNTIL(loop, server.got_enough);
        ASSERT_STR(server.got, "early");
        stream_close(server.s);
        RUN_UNTIL(loop, client.eof);
    }
}

TEST("a pipe is a stream with one direction")
{
    struct loop *loop = loop_new_system(env_system());
    AUTO_ERROR struct error err = { 0 };
    int fds[2];

    begin();
    ASSERT_OK(process_pipe(fds, &err), &err);
    client.s = stream_wrap(loop, fds[1], NULL, &callbacks, &client);
    server.s = stream_wrap(loop, fds[0], NULL, &callbacks, &server);
    stream_write(client.s, STR("through"));
    stream_shutdown(client.s);
    RUN_UNTIL(loop, server.eof);
    ASSERT_STR(server.got, "through");
    loop_free(loop);
    ASSERT_INT(server.closed_count, 1);
    ASSERT_INT(client.closed_count, 1);
}

TEST("a cut network holds bytes back until it heals")
{
    static struct env_sim sim;
    struct loop *loop;
    struct listener *l;

    env_sim_init(&sim, 7, 0);
    loop = loop_new_sim(&sim);
    loop_sim_set_delay(loop, 1, 20);
    l = connect_both(loop, "10.0.0.1:443");
    loop_sim_cut(loop, STR(""), STR("10.0.0.1"));
    stream_write(client.s, STR("late"));
    loop_sim_advance(loop, 10000);
    ASSERT(!server.got_enough);
    loop_sim_heal(loop, STR(""), STR("10.0.0.1"));
    loop_sim_advance(loop, 20);
    ASSERT_STR(server.got, "late");
    listener_close(l);
    loop_free(loop);
}

TEST("addresses as text")
{
    static const char *const good[] = { "10.0.0.1:443", "[fd00::1]:443", "unix:/run/x.sock", "unix:@abstract" };
    static const char *const bad[] = {
        "10.0.0.1", "fd00::1:443", "host:80", "1.2.3.4:65536", "1.2.3.4:-1", "unix:", ""
    };
    char text[ADDRESS_TEXT_SIZE];
    struct address a;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        ASSERT_INT(address_parse(str_of(good[i]), &a, NULL), 0);
        ASSERT_STR(address_format(&a, text), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ASSERT_INT(address_parse(str_of(bad[i]), &a, NULL), -1);
    begin();
}
