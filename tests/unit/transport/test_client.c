/* The client: which server, when again, what is an error. */
#include "http_test.h"

static struct http_client *client_of(struct fixture *f, const char *a, const char *b, struct tls_context *tls)
{
    struct str servers[] = { str_of(a), str_of(b) };
    AUTO_ERROR struct error err = { 0 };
    struct http_client *c = http_client_new(
        f->loop, &(struct http_client_options){ .servers = servers, .servers_count = b ? 2 : 1, .tls = tls }, &err);

    ASSERT_OK(c, &err);
    http_client_free(f->client);
    return f->client = c;
}

TEST("a server that cannot be reached is skipped for the next")
{
    for (int way = WAY_TLS_HTTP2; way <= WAY_SIM; way++) {
        struct fixture *f = fixture_new(way, NULL, fixture_handler);
        CLEANUP(answer_done) struct answer a = { 0 };

        client_of(f, way <= WAY_TLS_HTTP1 ? "https://127.0.0.1:1" : "http://127.0.0.1:1", f->url, f->client_tls);
        fetch(f, "GET", "/hello", STR_NONE, &a);
        ASSERT_STR(a.message, "");
        ASSERT_INT(a.status, 200);
        fixture_free(f);
    }
}

TEST("when no server can be reached the call says so")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    CLEANUP(answer_done) struct answer a = { 0 };

    client_of(f, "http://127.0.0.1:1", "http://127.0.0.1:2", NULL);
    fetch(f, "GET", "/hello", STR_NONE, &a);
    ASSERT_INT(a.code, ERR_UNAVAILABLE);
    ASSERT_CONTAINS(a.message, "refused");
    fetch(f, "GET", "/hello", STR_NONE, &a);
    ASSERT_INT(a.code, ERR_UNAVAILABLE);
    fixture_free(f);
}

TEST("a server whose certificate does not verify gets no request")
{
    struct fixture *f = fixture_new(WAY_TLS_HTTP2, NULL, fixture_handler);
    AUTO_IDENTITY struct identity other = ca_make("other");
    struct tls_context *tls = client_context(&other, NULL);
    CLEANUP(answer_done) struct answer a = { 0 };

    client_of(f, f->url, NULL, tls);
    fetch(f, "GET", "/hello", STR_NONE, &a);
    ASSERT_INT(a.code, ERR_UNAUTHORIZED);
    ASSERT_CONTAINS(a.message, "did not verify");
    ASSERT_INT(state.handled, 0);
    tls_context_unref(tls);
    fixture_free(f);
}

TEST("a joining node reaches exactly the CA it was told")
{
    struct fixture *f = fixture_new(WAY_TLS_HTTP2, NULL, fixture_handler);
    char pin[65];
    CLEANUP(answer_done) struct answer a = { 0 };
    struct tls_context *tls, *with_ca;
    AUTO_ERROR struct error err = { 0 };

    buf_add(&f->server_identity.pem, buf_str(&f->ca.pem));
    with_ca = server_context(&f->server_identity, NULL);
    http_server_set_tls(f->server, with_ca);
    pki_cert_public_key_sha256(f->ca.cert, pin);
    tls = tls_context_new_client(&(struct tls_client_options){ .ca_sha256 = str_of(pin) }, &err);
    client_of(f, f->url, NULL, tls);
    fetch(f, "GET", "/hello", STR_NONE, &a);
    ASSERT_STR(a.message, "");
    ASSERT_INT(a.status, 200);
    tls_context_unref(tls);
    tls_context_unref(with_ca);
    fixture_free(f);
}

TEST("requests share one HTTP/2 connection, and reuse HTTP/1.1 connections")
{
    for (int way = WAY_TLS_HTTP2; way <= WAY_SIM; way++) {
        struct fixture *f = fixture_new(way, NULL, fixture_handler);
        CLEANUP(answer_done) struct answer a = { 0 };

        for (int i = 0; i < 10; i++)
            fetch(f, "POST", "/echo", STR("x"), &a);
        ASSERT_INT(http_server_stats(f->server).connections, 1);
        fixture_free(f);
    }
}

TEST("a reused connection that the server closed costs no request")
{
    for (int way = WAY_TLS_HTTP2; way <= WAY_SIM; way++) {
        struct http_server_options o = { .idle_timeout_ms = 20 };
        struct fixture *f = fixture_new(way, &o, fixture_handler);
        CLEANUP(answer_done) struct answer a = { 0 };
        bool never = false;

        for (int i = 0; i < 5; i++) {
            fetch(f, "GET", "/hello", STR_NONE, &a);
            ASSERT_STR(a.message, "");
            ASSERT_INT(a.status, 200);
            run_until(f->loop, run_until_flag, &never, 15 + 5 * i);
        }
        fixture_free(f);
    }
}

TEST("an answer that is longer than wanted is an error")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    CLEANUP(answer_done) struct answer a = { 0 };

    fetch(f, "GET", "/big?104857601", STR_NONE, &a);
    ASSERT_INT(a.code, ERR_TOO_LARGE);
    fixture_free(f);
}

TEST("freeing the client ends its calls")
{
    EACH_WAY(f, NULL)
    {
        CLEANUP(answer_done) struct answer a = { 0 };

        fetch_start(f, "GET", "/never", STR_NONE, &a);
        while (!state.held)
            run_until(f->loop, run_until_flag, &a.done, 2);
        http_client_free(f->client);
        f->client = NULL;
        RUN_UNTIL(f->loop, a.done);
        ASSERT_INT(a.code, ERR_UNAVAILABLE);
        RUN_UNTIL(f->loop, state.any_gone);
    }
}

TEST("server addresses are checked when they are given")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, fixture_handler);
    static const char *const bad[] = { "ftp://a",        "a:80",          "https://",      "http://a:0",
                                       "http://a:99999", "http://user@a", "http://a/path", "https://a" };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct str url = str_of(bad[i]);
        AUTO_ERROR struct error err = { 0 };

        ASSERT_FAILS(
            http_client_new(f->loop, &(struct http_client_options){ .servers = &url, .servers_count = 1 }, &err), &err,
            ERR_BAD_REQUEST, "server");
    }
    fixture_free(f);
}

TEST("the blocking form needs no loop: a thread serves, the caller waits")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf body = BUF_MAX(1000);
    struct str url = STR("http://127.0.0.1:1");
    int status;

    ASSERT_FAILS(http_fetch_blocking(&(struct http_client_options){ .servers = &url, .servers_count = 1 },
                                     &(struct http_call_request){ .method = STR("GET"), .target = STR("/") }, &status,
                                     &body, &err),
                 &err, ERR_UNAVAILABLE, "refused");
}
