/* WebSocket: the RFC's own examples, fragments, limits, close codes. */
#include "test.h"
#include "wire/websocket.h"

static struct buf seen = BUF_MAX(MIB);
static struct env_sim sim;

static void on_message(struct websocket *ws, bool text, struct str bytes, bool first, bool last, void *arg)
{
    (void)ws, (void)arg;
    if (first)
        buf_add_text(&seen, text ? "t(" : "b(");
    buf_add(&seen, bytes);
    if (last)
        buf_add_text(&seen, ")");
}

static void on_pong(struct websocket *ws, struct str payload, void *arg)
{
    (void)ws, (void)arg;
    buf_addf(&seen, "pong(%.*s)", STR_ARG(payload));
}

static void on_close(struct websocket *ws, uint16_t code, struct str reason, void *arg)
{
    (void)ws, (void)arg;
    buf_addf(&seen, "close(%u %.*s)", code, STR_ARG(reason));
}

static const struct ws_callbacks callbacks = { on_message, on_pong, on_close };

static struct websocket *begin(enum ws_role role, size_t message_max)
{
    buf_clear(&seen);
    env_sim_init(&sim, 1, 0);
    return ws_new(role, &(struct ws_options){ .message_max_bytes = message_max }, &callbacks, NULL, &sim.env);
}

/* All bytes of `from`'s output into `to`, in pieces. */
static int move(struct websocket *from, struct websocket *to, size_t piece, struct error *err)
{
    AUTO_BUF struct buf bytes = BUF_MAX(MIB);
    int r = 0;

    buf_add(&bytes, buf_str(ws_output(from)));
    buf_clear(ws_output(from));
    for (size_t at = 0; at < bytes.n && r == 0; at += piece)
        r = ws_feed(to, str_part(buf_str(&bytes), at, piece), err);
    return r;
}

TEST("the examples of RFC 6455, 5.7")
{
    struct websocket *client = begin(WS_CLIENT, 0), *server;
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(ws_feed(client, STR("\x81\x05Hello"), &err), &err);
    ASSERT_OK(ws_feed(client, STR("\x01\x03Hel\x80\x02lo"), &err), &err);
    ASSERT_STR(seen, "t(Hello)t(Hello)");
    server = begin(WS_SERVER, 0);
    ASSERT_OK(ws_feed(server, STR("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), &err), &err);
    ASSERT_OK(ws_feed(server, STR("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), &err), &err);
    ASSERT_STR(seen, "t(Hello)");
    ASSERT_STR(*ws_output(server), "\x8a\x05Hello");
    ws_free(client);
    ws_free(server);
    buf_done(&seen);
}

TEST("messages of every length arrive, wherever they are cut")
{
    static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536, 70000 }, pieces[] = { 1, 1000, 1000000 };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(pieces); j++) {
            struct websocket *client = begin(WS_CLIENT, 0), *server = begin(WS_SERVER, 0);
            AUTO_BUF struct buf body = BUF_MAX(MIB), expected = BUF_MAX(MIB);
            AUTO_ERROR struct error err = { 0 };

            buf_add_repeat(&body, 'x', sizes[i]);
            buf_addf(&expected, "b(\x02%.*s)", STR_ARG(buf_str(&body)));
            ws_send_parts(client, false, STR("\x02"), buf_str(&body));
            ASSERT_OK(move(client, server, pieces[j], &err), &err);
            ASSERT_STR(seen, expected);
            buf_clear(&seen);
            ws_send_parts(server, false, STR("\x02"), buf_str(&body));
            ASSERT_OK(move(server, client, pieces[j], &err), &err);
            ASSERT_STR(seen, expected);
            ws_free(client);
            ws_free(server);
        }
    }
    buf_done(&seen);
}

TEST("control frames come between fragments")
{
    struct websocket *client = begin(WS_CLIENT, 0);
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(ws_feed(client,
                      STR("\x02\x01"
                          "a\x8a\x02hi\x00\x01"
                          "b\x80\x00"),
                      &err),
              &err);
    ASSERT_STR(seen, "b(apong(hi)b)");
    ws_free(client);
    buf_done(&seen);
}

TEST("a close is answered with its code, and ends the connection")
{
    struct websocket *client = begin(WS_CLIENT, 0), *server = begin(WS_SERVER, 0);
    AUTO_ERROR struct error err = { 0 };

    ws_close(client, WS_NORMAL, STR("bye"));
    ws_send(client, true, STR("too late"));
    ASSERT_INT(ws_state(client), WS_CLOSING);
    ASSERT_OK(move(client, server, 1, &err), &err);
    ASSERT_STR(seen, "close(1000 bye)");
    ASSERT_INT(ws_state(server), WS_CLOSED);
    ASSERT_OK(move(server, client, 1, &err), &err);
    ASSERT_INT(ws_state(client), WS_CLOSED);
    ws_free(client);
    ws_free(server);
    buf_done(&seen);
}

TEST("protocol errors are answered with the right close code")
{
    static const struct {
        struct str bytes;
        uint16_t code;
    } cases[] = {
        { STR_INIT("\x81\x85\x37\xfa\x21\x3d"), WS_PROTOCOL_ERROR }, /* masked, to a client */
        { STR_INIT("\x91\x00"), WS_PROTOCOL_ERROR },                 /* reserved bit */
        { STR_INIT("\x83\x00"), WS_PROTOCOL_ERROR },                 /* unknown opcode */
        { STR_INIT("\x80\x00"), WS_PROTOCOL_ERROR },                 /* continuation of nothing */
        { STR_INIT("\x01\x01"
                   "a\x01\x01"
                   "b"),
          WS_PROTOCOL_ERROR },                                    /* message inside a message */
        { STR_INIT("\x09\x00"), WS_PROTOCOL_ERROR },              /* fragmented ping */
        { STR_INIT("\x89\x7e\x00\x80"), WS_PROTOCOL_ERROR },      /* long ping */
        { STR_INIT("\x82\x7e\x00\x05hello"), WS_PROTOCOL_ERROR }, /* not the shortest length */
        { STR_INIT("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), WS_PROTOCOL_ERROR },
        { STR_INIT("\x88\x01\x03"), WS_PROTOCOL_ERROR },           /* close of one byte */
        { STR_INIT("\x88\x02\x03\xec"), WS_PROTOCOL_ERROR },       /* close code 1004 */
        { STR_INIT("\x88\x04\x03\xe8\xff\xff"), WS_INVALID_DATA }, /* reason not UTF-8 */
        { STR_INIT("\x81\x02\xff\xff"), WS_INVALID_DATA },         /* text not UTF-8 */
        { STR_INIT("\x81\x01\xc3"), WS_INVALID_DATA },             /* cut character */
        { STR_INIT("\x81\x03\xed\xa0\x80"), WS_INVALID_DATA },     /* surrogate */
        { STR_INIT("\x81\x02\xc0\x80"), WS_INVALID_DATA },         /* overlong */
        { STR_INIT("\x82\x7e\x03\xe9"), WS_TOO_BIG },              /* 1,001 bytes: see below */
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct websocket *client = begin(WS_CLIENT, 1000);
        AUTO_ERROR struct error err = { 0 };
        AUTO_BUF struct buf bytes = BUF_MAX(2000);
        struct str out;
        char plain[2];

        buf_add(&bytes, cases[i].bytes);
        if (cases[i].code == WS_TOO_BIG)
            buf_add_repeat(&bytes, 'x', 1001);
        if (ws_feed(client, buf_str(&bytes), &err) == 0)
            FAIL("case %zu was accepted", i);
        out = buf_str(ws_output(client));
        ASSERT(out.n >= 8 && (unsigned char)out.p[0] == 0x88);
        plain[0] = (char)(out.p[6] ^ out.p[2]);
        plain[1] = (char)(out.p[7] ^ out.p[3]);
        ASSERT_INT((unsigned char)plain[0] << 8 | (unsigned char)plain[1], cases[i].code);
        ASSERT_INT(ws_state(client), WS_CLOSED);
        ws_free(client);
    }
    buf_done(&seen);
}

TEST("text may be cut inside a character")
{
    struct websocket *client = begin(WS_CLIENT, 0);
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(ws_feed(client, STR("\x01\x01\xe2\x00\x01\x82\x80\x01\xac"), &err), &err);
    ASSERT_STR(seen, "t(\xe2\x82\xac)");
    ws_free(client);
    buf_done(&seen);
}

TEST("the opening handshake: the RFC's key, and the first protocol both know")
{
    static const char *const ours[] = { "v5.channel.k8s.io", "v4.channel.k8s.io", NULL };
    char accept[WS_ACCEPT_SIZE], key[25];

    ASSERT(ws_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), accept));
    ASSERT_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ASSERT(!ws_accept_key(STR("short"), accept));
    env_sim_init(&sim, 1, 0);
    ws_random_key(&sim.env, key);
    ASSERT(ws_accept_key(str_of(key), accept));
    ASSERT_STR(ws_choose_protocol(STR("x, v4.channel.k8s.io"), ours), "v4.channel.k8s.io");
    ASSERT_STR(ws_choose_protocol(STR("v4.channel.k8s.io,v5.channel.k8s.io"), ours), "v5.channel.k8s.io");
    ASSERT(!ws_choose_protocol(STR("v3"), ours));
}
