/* TLS sessions against each other: who is trusted, who is told why not. */
#include "certificates.h"

struct ends {
    struct tls *client, *server;
    struct buf client_got, server_got;
};

static void ends_done(struct ends *e)
{
    tls_free(e->client);
    tls_free(e->server);
    buf_done(&e->client_got);
    buf_done(&e->server_got);
}

/* Moves all bytes one way; returns whether there were any, or -1. */
static int move(struct tls *from, struct tls *to, struct buf *got, struct error *err)
{
    AUTO_BUF struct buf cipher = BUF_MAX(64 * MIB);
    struct buf *out = tls_output(from);
    char plain[4096];
    ptrdiff_t n;

    if (!out->n)
        return 0;
    buf_add(&cipher, buf_str(out));
    buf_clear(out);
    if (tls_feed(to, buf_str(&cipher), err) < 0)
        return -1;
    while ((n = tls_read(to, plain, sizeof(plain), err)) > 0)
        buf_add_bytes(got, plain, (size_t)n);
    tls_keep(to);
    return n < 0 ? -1 : 1;
}

static int shake(struct ends *e, struct error *err)
{
    int moved = 1;

    e->client_got.max = e->server_got.max = 64 * MIB;
    if (tls_feed(e->client, STR_NONE, err) < 0)
        return -1;
    while (moved) {
        int a = move(e->client, e->server, &e->server_got, err);
        int b = move(e->server, e->client, &e->client_got, err);

        if (a < 0 || b < 0)
            return -1;
        moved = a || b;
    }
    return 0;
}

TEST("a client certificate's names reach the server, and ALPN agrees on HTTP/2")
{
    AUTO_IDENTITY struct identity ca = ca_make("CA"), server = identity_make(&ca, "server", "", PKI_SERVER, HOUR_MS);
    AUTO_IDENTITY struct identity client = identity_make(&ca, "alice", "admins", PKI_CLIENT, HOUR_MS);
    struct tls_context *sc = server_context(&server, &ca), *cc = client_context(&ca, &client);
    CLEANUP(ends_done) struct ends e = { tls_new(cc, STR("127.0.0.1"), false), tls_new(sc, STR_NONE, false) };
    AUTO_ERROR struct error err = { 0 };
    const struct tls_peer *peer;

    ASSERT_OK(shake(&e, &err), &err);
    ASSERT_INT(tls_state(e.client), TLS_OPEN);
    ASSERT_INT(tls_state(e.server), TLS_OPEN);
    ASSERT(tls_is_http2(e.client) && tls_is_http2(e.server));
    peer = tls_peer(e.server);
    ASSERT(peer->certificate && !peer->error);
    ASSERT_STR(peer->common_name, "alice");
    ASSERT_INT(peer->organizations_count, 1);
    ASSERT_STR(peer->organizations[0], "admins");
    tls_context_unref(sc);
    tls_context_unref(cc);
}

TEST("expired and foreign client certificates finish the handshake and are told apart")
{
    AUTO_IDENTITY struct identity ca = ca_make("CA"), other = ca_make("other CA");
    AUTO_IDENTITY struct identity server = identity_make(&ca, "server", "", PKI_SERVER, HOUR_MS);
    AUTO_IDENTITY struct identity expired = identity_make(&ca, "old", "admins", PKI_CLIENT, -MINUTE_MS);
    AUTO_IDENTITY struct identity foreign = identity_make(&other, "alice", "admins", PKI_CLIENT, HOUR_MS);
    AUTO_IDENTITY struct identity wrong_use = identity_make(&ca, "server", "admins", PKI_SERVER, HOUR_MS);
    const struct identity *clients[] = { &expired, &foreign, &wrong_use, NULL };
    const char *const says[] = { "expired", "unable to get local issuer", "purpose", NULL };
    struct tls_context *sc = server_context(&server, &ca);

    for (int i = 0; i < 4; i++) {
        struct tls_context *cc = client_context(&ca, clients[i]);
        CLEANUP(ends_done) struct ends e = { tls_new(cc, STR("localhost"), true), tls_new(sc, STR_NONE, false) };
        AUTO_ERROR struct error err = { 0 };

        ASSERT_OK(shake(&e, &err), &err);
        ASSERT(!tls_is_http2(e.server));
        ASSERT_INT(tls_peer(e.server)->certificate, clients[i] != NULL);
        if (says[i])
            ASSERT_CONTAINS(tls_peer(e.server)->error, says[i]);
        else
            ASSERT(!tls_peer(e.server)->error);
        tls_context_unref(cc);
    }
    tls_context_unref(sc);
}

TEST("a client refuses a server of another CA, of another name, or expired")
{
    AUTO_IDENTITY struct identity ca = ca_make("CA"), other = ca_make("other CA");
    AUTO_IDENTITY struct identity good = identity_make(&ca, "server", "", PKI_SERVER, HOUR_MS);
    AUTO_IDENTITY struct identity expired = identity_make(&ca, "server", "", PKI_SERVER, -MINUTE_MS);
    struct {
        const struct identity *server, *trusted;
        const char *host;
    } cases[] = { { &good, &other, "localhost" },
                  { &good, &ca, "example.org" },
                  { &good, &ca, "10.0.0.1" },
                  { &expired, &ca, "localhost" } };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct tls_context *sc = server_context(cases[i].server, NULL), *cc = client_context(cases[i].trusted, NULL);
        CLEANUP(ends_done) struct ends e = { tls_new(cc, str_of(cases[i].host), false), tls_new(sc, STR_NONE, false) };
        AUTO_ERROR struct error err = { 0 };

        ASSERT_FAILS(shake(&e, &err), &err, ERR_UNAUTHORIZED, "did not verify");
        tls_context_unref(sc);
        tls_context_unref(cc);
    }
}

TEST("a pin accepts exactly the CA it names")
{
    AUTO_IDENTITY struct identity ca = ca_make("CA"), other = ca_make("other CA");
    AUTO_IDENTITY struct identity server = identity_make(&ca, "server", "", PKI_SERVER, HOUR_MS);
    char pin[65], wrong[65];
    struct tls_context *sc;

    buf_add(&server.pem, buf_str(&ca.pem)); /* the CA must be in the chain for a pin to see it */
    sc = server_context(&server, NULL);
    pki_cert_public_key_sha256(ca.cert, pin);
    pki_cert_public_key_sha256(other.cert, wrong);
    for (int i = 0; i < 3; i++) {
        AUTO_ERROR struct error err = { 0 };
        struct tls_context *cc =
            tls_context_new_client(&(struct tls_client_options){ .ca_sha256 = str_of(i == 1 ? wrong : pin) }, &err);
        CLEANUP(ends_done)
        struct ends e = { tls_new(cc, str_of(i == 2 ? "example.org" : "localhost"), false),
                          tls_new(sc, STR_NONE, false) };

        if (i == 0)
            ASSERT_OK(shake(&e, &err), &err);
        else
            ASSERT_FAILS(shake(&e, &err), &err, ERR_UNAUTHORIZED, "did not verify");
        tls_context_unref(cc);
    }
    tls_context_unref(sc);
}

TEST("a second connection resumes the session of the first, with its client certificate")
{
    AUTO_IDENTITY struct identity ca = ca_make("CA"), server = identity_make(&ca, "server", "", PKI_SERVER, HOUR_MS);
    AUTO_IDENTITY struct identity client = identity_make(&ca, "alice", "admins", PKI_CLIENT, HOUR_MS);
    struct tls_context *sc = server_context(&server, &ca), *cc = client_context(&ca, &client);

    for (int i = 0; i < 2; i++) {
        CLEANUP(ends_done) struct ends e = { tls_new(cc, STR("localhost"), false), tls_new(sc, STR_NONE, false) };
        AUTO_ERROR struct error err = { 0 };

        ASSERT_OK(shake(&e, &err), &err);
        ASSERT_INT(tls_is_resumed(e.server), i == 1);
        ASSERT_STR(tls_peer(e.server)->common_name, "alice");
        ASSERT(!tls_peer(e.server)->error);
    }
    tls_context_unref(sc);
    tls_context_unref(cc);
}

TEST("megabytes arrive whole, and a close is seen")
{
    AUTO_IDENTITY struct identity ca = ca_make("CA"), server = identity_make(&ca, "server", "", PKI_SERVER, HOUR_MS);
    struct tls_context *sc = server_context(&server, NULL), *cc = client_context(&ca, NULL);
    CLEANUP(ends_done) struct ends e = { tls_new(cc, STR("localhost"), false), tls_new(sc, STR_NONE, false) };
    AUTO_BUF struct buf big = BUF_MAX(16 * MIB);
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(shake(&e, &err), &err);
    buf_add_repeat(&big, 'x', 5 * MIB);
    ASSERT_OK(tls_write(e.server, buf_str(&big), &err), &err);
    ASSERT(move(e.server, e.client, &e.client_got, &err) > 0);
    ASSERT_INT(e.client_got.n, 5 * MIB);
    tls_shutdown(e.server);
    ASSERT(move(e.server, e.client, &e.client_got, &err) >= 0);
    ASSERT_INT(tls_state(e.client), TLS_CLOSED);
    tls_context_unref(sc);
    tls_context_unref(cc);
}

TEST("plain HTTP sent to a TLS port is an error, not a crash")
{
    AUTO_IDENTITY struct identity ca = ca_make("CA"), server = identity_make(&ca, "server", "", PKI_SERVER, HOUR_MS);
    struct tls_context *sc = server_context(&server, NULL);
    struct tls *t = tls_new(sc, STR_NONE, false);
    AUTO_ERROR struct error err = { 0 };

    ASSERT_FAILS(tls_feed(t, STR("GET / HTTP/1.1\r\n\r\n"), &err), &err, ERR_UNAVAILABLE, "http request");
    tls_free(t);
    tls_context_unref(sc);
}
