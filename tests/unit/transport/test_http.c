/* Requests and answers, the same over every way. */
#include "http_test.h"

TEST("a request is answered, over every way")
{
    CLEANUP(answer_done) struct answer a = { 0 };

    EACH_WAY(f, NULL)
    {
        for (int i = 0; i < 3; i++) {
            fetch(f, "GET", "/hello", STR_NONE, &a);
            ASSERT_STR(a.message, "");
            ASSERT_INT(a.status, 200);
            ASSERT_STR(a.body, "hello");
            ASSERT_CONTAINS(a.headers, "content-type=text/plain");
        }
        fetch(f, "GET", "/no/such?thing=1", STR_NONE, &a);
        ASSERT_INT(a.status, 404);
        ASSERT_STR(a.body, "/no/such?thing=1");
        fetch(f, "DELETE", "/empty", STR_NONE, &a);
        ASSERT_INT(a.status, 204);
        ASSERT_INT(a.body.n, 0);
        fetch(f, "HEAD", "/hello", STR_NONE, &a);
        ASSERT_INT(a.status, 200);
        ASSERT_INT(a.body.n, 0);
    }
}

TEST("a body goes there and back, and one that is too long is refused with 413")
{
    CLEANUP(answer_done) struct answer a = { 0 };
    AUTO_BUF struct buf body = BUF_MAX(8 * MIB);

    for (uint32_t i = 0; body.n < 2 * MIB; i++)
        buf_add_bytes(&body, &i, sizeof(i));
    EACH_WAY(f, NULL)
    {
        fetch(f, "POST", "/echo", STR("small"), &a);
        ASSERT_STR(a.body, "small");
        fetch(f, "POST", "/echo", STR(""), &a);
        ASSERT_INT(a.status, 200);
        fetch(f, "POST", "/echo", buf_str(&body), &a);
        ASSERT_INT(a.status, 200);
        ASSERT(str_eq(buf_str(&a.body), buf_str(&body)));
    }
    buf_add_repeat(&body, 'x', 2 * MIB);
    EACH_WAY(f, NULL)
    {
        fetch(f, "POST", "/echo", buf_str(&body), &a);
        ASSERT_INT(a.status, 413);
        ASSERT_CONTAINS(a.body, "longer than");
        fetch(f, "POST", "/refuse", str_part(buf_str(&body), 0, 500000), &a);
        ASSERT_STR(a.message, "");
        ASSERT_INT(a.status, 401);
        fetch(f, "GET", "/hello", STR_NONE, &a);
        ASSERT_INT(a.status, 200);
    }
}

TEST("a large answer arrives whole and its bytes are released once")
{
    CLEANUP(answer_done) struct answer a = { 0 };

    EACH_WAY(f, NULL)
    {
        fetch(f, "GET", "/big?30000000", STR_NONE, &a);
        ASSERT_STR(a.message, "");
        ASSERT_INT(a.body.n, 30000000);
        ASSERT_INT(state.released, 1);
    }
}

TEST("the server knows who is asking")
{
    CLEANUP(answer_done) struct answer a = { 0 };

    EACH_WAY(f, NULL)
    {
        fetch(f, "GET", "/whoami", STR_NONE, &a);
        if (f->way <= WAY_TLS_HTTP1)
            ASSERT_STR(a.body, "cert=1 error= cn=alice o=admins tls=1 in_process=0");
        else if (f->way >= WAY_LOCAL)
            ASSERT_STR(a.body, "cert=0 error= cn=inside o= tls=0 in_process=1");
        else
            ASSERT_STR(a.body, "cert=0 error= cn= o= tls=0 in_process=0");
    }
}

TEST("a hundred requests at once are all answered")
{
    EACH_WAY(f, NULL)
    {
        static struct answer answers[100];

        for (int i = 0; i < 100; i++)
            fetch_start(f, "POST", "/echo", STR("x"), &answers[i]);
        for (int i = 0; i < 100; i++) {
            RUN_UNTIL(f->loop, answers[i].done);
            ASSERT_STR(answers[i].message, "");
            ASSERT_INT(answers[i].status, 200);
        }
        for (int i = 0; i < 100; i++)
            answer_done(&answers[i]);
    }
}

TEST("an answer that is broken off is an error, not a short answer")
{
    CLEANUP(answer_done) struct answer a = { 0 };

    EACH_WAY(f, NULL)
    {
        fetch(f, "GET", "/broken", STR_NONE, &a);
        ASSERT_INT(a.code, ERR_UNAVAILABLE);
        fetch(f, "GET", "/hello", STR_NONE, &a);
        ASSERT_INT(a.status, 200);
    }
}

struct watch {
    struct http_call *call;
    struct buf got;
    size_t total;
    bool head, some, done, full;
};

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct watch *w = arg;

    (void)call;
    w->head = head->status == 200;
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    struct watch *w = arg;

    (void)call;
    buf_add(&w->got, bytes);
    w->total += bytes.n;
    w->some = true;
    w->full = w->total >= 20000005;
}

static void on_done(struct http_call *call, const struct error *err, void *arg)
{
    struct watch *w = arg;

    (void)call, (void)err;
    w->done = true;
}

static const struct http_call_callbacks watch_callbacks = { .on_head = on_head,
                                                            .on_body = on_body,
                                                            .on_done = on_done };

static void watch_start(struct fixture *f, struct watch *w)
{
    *w = (struct watch){ .got = BUF_MAX(1000) };
    w->call = http_client_call(f->client, &(struct http_call_request){ .method = STR("GET"), .target = STR("/watch") },
                               &watch_callbacks, w);
    RUN_UNTIL(f->loop, w->some);
    ASSERT(w->head);
}

TEST("a watch gets each piece at once, until the server ends it")
{
    EACH_WAY(f, NULL)
    {
        struct watch w;

        watch_start(f, &w);
        ASSERT_STR(w.got, "first");
        for (int i = 0; i < 3; i++) {
            w.some = false;
            http_exchange_write_copy(state.held, STR(" next"));
            RUN_UNTIL(f->loop, w.some);
        }
        ASSERT_STR(w.got, "first next next next");
        http_exchange_end(state.held);
        RUN_UNTIL(f->loop, w.done);
        buf_done(&w.got);
    }
}

TEST("a client that leaves is told to the handler once")
{
    EACH_WAY(f, NULL)
    {
        struct watch w;

        watch_start(f, &w);
        http_call_cancel(w.call);
        RUN_UNTIL(f->loop, state.any_gone);
        ASSERT_INT(state.gone, 1);
        ASSERT(!w.done);
        buf_done(&w.got);
    }
}

TEST("a watcher that does not read holds the handler back, and gets everything later")
{
    EACH_WAY(f, NULL)
    {
        struct watch w;
        static char piece[100000];
        bool more = true;
        int written = 0;

        watch_start(f, &w);
        http_call_pause(w.call);
        for (; written < 200 && more; written++)
            more = http_exchange_write_copy(state.held, (struct str){ piece, sizeof(piece) });
        ASSERT(!more);
        ASSERT(http_exchange_queued_bytes(state.held) > 0 || f->way == WAY_SIM);
        ASSERT(!state.any_drained);
        http_call_resume(w.call);
        while (written < 200) {
            RUN_UNTIL(f->loop, state.any_drained);
            state.any_drained = false;
            for (more = true; written < 200 && more; written++)
                more = http_exchange_write_copy(state.held, (struct str){ piece, sizeof(piece) });
        }
        RUN_UNTIL(f->loop, w.full);
        http_exchange_end(state.held);
        RUN_UNTIL(f->loop, w.done);
        ASSERT_INT(w.total, 20000005);
        buf_done(&w.got);
    }
}

TEST("a deadline ends a call, and the handler is told")
{
    EACH_WAY(f, NULL)
    {
        struct answer a = { .body = BUF_MAX(100), .headers = BUF_MAX(100) };
        struct watch w = { 0 };

        http_client_call(f->client,
                         &(struct http_call_request){ .method = STR("GET"), .target = STR("/never"), .timeout_ms = 50 },
                         &watch_callbacks, &w);
        RUN_UNTIL(f->loop, w.done);
        RUN_UNTIL(f->loop, state.any_gone);
        ASSERT(!w.head);
        answer_done(&a);
    }
}

struct upgraded_call {
    struct channel *channel;
    struct buf got;
    bool done, closed, enough;
    int status;
};

static void on_channel_read(struct channel *c, struct str bytes, void *arg)
{
    struct upgraded_call *u = arg;

    (void)c;
    buf_add(&u->got, bytes);
    u->enough = u->got.n >= 10;
}

static void on_channel_closed(struct channel *c, const struct error *err, void *arg)
{
    struct upgraded_call *u = arg;

    (void)c, (void)err;
    u->closed = true;
}

static const struct channel_callbacks channel_callbacks = { .on_read = on_channel_read,
                                                            .on_closed = on_channel_closed };

static void on_upgraded(struct http_call *call, const struct http_response *head, struct channel *c, void *arg)
{
    struct upgraded_call *u = arg;

    (void)call;
    u->status = head->status;
    u->channel = c;
    channel_set_callbacks(c, &channel_callbacks, u);
    channel_write(c, STR("up"));
    channel_write(c, STR("graded.."));
}

static void on_upgrade_done(struct http_call *call, const struct error *err, void *arg)
{
    struct upgraded_call *u = arg;

    (void)call, (void)err;
    u->done = true;
}

static void on_upgrade_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct upgraded_call *u = arg;

    (void)call;
    u->status = head->status;
}

static const struct http_call_callbacks upgrade_callbacks = { .on_head = on_upgrade_head,
                                                              .on_upgraded = on_upgraded,
                                                              .on_done = on_upgrade_done };

TEST("an upgrade gives both sides the bytes")
{
    EACH_WAY(f, NULL)
    {
        struct upgraded_call u = { .got = BUF_MAX(1000) };

        http_client_call(
            f->client,
            &(struct http_call_request){ .method = STR("POST"), .target = STR("/upgrade"), .upgrade = STR("echo") },
            &upgrade_callbacks, &u);
        RUN_UNTIL(f->loop, u.enough);
        ASSERT_INT(u.status, 101);
        ASSERT_STR(u.got, "upgraded..");
        ASSERT(u.done);
        channel_shutdown(u.channel);
        RUN_UNTIL(f->loop, u.closed);
        buf_done(&u.got);
    }
}

TEST("an upgrade that is refused is an ordinary answer")
{
    EACH_WAY(f, NULL)
    {
        struct upgraded_call u = { .got = BUF_MAX(1000) };

        http_client_call(
            f->client,
            &(struct http_call_request){ .method = STR("GET"), .target = STR("/hello"), .upgrade = STR("echo") },
            &upgrade_callbacks, &u);
        RUN_UNTIL(f->loop, u.done);
        ASSERT_INT(u.status, 200);
    }
}

TEST("both bodies of one exchange are a channel")
{
    EACH_WAY(f, NULL)
    {
        struct upgraded_call u = { .got = BUF_MAX(1000) };
        struct http_call *call;

        if (f->way != WAY_TLS_HTTP2 && f->way < WAY_LOCAL)
            continue; /* HTTP/1.1 answers after the request */
        call = http_client_call(
            f->client,
            &(struct http_call_request){ .method = STR("POST"), .target = STR("/duplex"), .stream_body = true },
            &upgrade_callbacks, &u);
        u.channel = http_call_channel(call);
        channel_set_callbacks(u.channel, &channel_callbacks, &u);
        channel_write(u.channel, STR("duplex ...."));
        RUN_UNTIL(f->loop, u.enough);
        ASSERT_STR(u.got, "duplex ....");
        channel_shutdown(u.channel);
        RUN_UNTIL(f->loop, u.done);
        RUN_UNTIL(f->loop, u.closed);
        ASSERT_INT(u.status, 200);
        buf_done(&u.got);
    }
}
