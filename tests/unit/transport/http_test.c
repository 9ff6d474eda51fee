/* The fixture of the transport tests. */
#include "http_test.h"

#include <stdio.h>

struct handler_state state;

/* --- the handler --- */

static void echo(struct http_exchange *x, struct str body, const struct error *err, void *arg)
{
    (void)arg;
    if (err)
        http_exchange_respond_bytes(x, error_http_status(err->code), STR("text/plain"), str_of(error_text(err)));
    else
        http_exchange_respond_bytes(x, 200, STR("text/plain"), body);
}

static void count_release(void *owner)
{
    state.released++;
    free(owner);
}

static void respond_big(struct http_exchange *x, size_t n)
{
    char *p = xmalloc(n);

    memset(p, 'x', n);
    http_exchange_respond(x, &(struct http_response){ .status = 200 },
                          (struct http_bytes){ { p, n }, count_release, p });
}

static void on_gone(struct http_exchange *x, void *user)
{
    (void)user;
    state.gone++;
    state.any_gone = true;
    state.held = NULL;
    http_exchange_end(x);
}

static void on_drained(struct http_exchange *x, void *user)
{
    (void)x, (void)user;
    state.drained++;
    state.any_drained = true;
}

static const struct http_exchange_callbacks callbacks = { .on_gone = on_gone, .on_drained = on_drained };

static void respond_whoami(struct http_exchange *x)
{
    const struct http_peer *p = x->peer;
    AUTO_BUF struct buf text = BUF_MAX(4096);

    buf_addf(&text, "cert=%d error=%s cn=%.*s o=%.*s tls=%d in_process=%d", p->certificate,
             p->certificate_error ? p->certificate_error : "", STR_ARG(p->common_name),
             STR_ARG(p->organizations_count ? p->organizations[0] : STR_NONE), p->tls, p->in_process);
    http_exchange_respond_bytes(x, 200, STR("text/plain"), buf_str(&text));
}

static void on_upgraded_read(struct channel *c, struct str bytes, void *arg)
{
    (void)arg;
    buf_add(&state.upgraded, bytes);
    channel_write(c, bytes);
}

static void on_upgraded_eof(struct channel *c, void *arg)
{
    (void)arg;
    channel_shutdown(c);
    channel_close_after_write(c, 1000);
}

static void on_upgraded_closed(struct channel *c, const struct error *err, void *arg)
{
    (void)c, (void)err, (void)arg;
}

static const struct channel_callbacks upgraded = { .on_read = on_upgraded_read,
                                                   .on_eof = on_upgraded_eof,
                                                   .on_closed = on_upgraded_closed };

static void upgrade(struct http_exchange *x)
{
    struct channel *c = http_exchange_upgrade(x, STR("echo"), NULL, 0);

    if (!c)
        http_exchange_respond_bytes(x, 400, STR("text/plain"), STR("no upgrade"));
    else
        channel_set_callbacks(c, &upgraded, NULL);
}

void fixture_handler(struct http_exchange *x, void *arg)
{
    struct str path = x->request->path;
    struct http_response ok = { .status = 200 };
    int64_t n;

    (void)arg;
    state.handled++;
    if (str_is(path, "/hello")) {
        http_exchange_respond_bytes(x, 200, STR("text/plain"), STR("hello"));
    } else if (str_is(path, "/echo")) {
        http_exchange_collect(x, 3 * MIB, echo, NULL);
    } else if (str_is(path, "/big") && str_to_i64(x->request->query, &n)) {
        respond_big(x, (size_t)n);
    } else if (str_is(path, "/whoami")) {
        respond_whoami(x);
    } else if (str_is(path, "/watch")) {
        http_exchange_set_callbacks(x, &callbacks, NULL);
        http_exchange_start(x, &ok);
        http_exchange_write_copy(x, STR("first"));
        state.held = x;
    } else if (str_is(path, "/never")) {
        http_exchange_set_callbacks(x, &callbacks, NULL);
        state.held = x;
    } else if (str_is(path, "/broken")) {
        http_exchange_start(x, &ok);
        http_exchange_write_copy(x, STR("half"));
        http_exchange_abort(x);
    } else if (str_is(path, "/empty")) {
        http_exchange_respond_bytes(x, 204, STR_NONE, STR_NONE);
    } else if (str_is(path, "/refuse")) {
        http_exchange_respond_bytes(x, 401, STR("text/plain"), STR("who are you"));
    } else if (str_is(path, "/upgrade")) {
        upgrade(x);
    } else if (str_is(path, "/duplex")) {
        channel_set_callbacks(http_exchange_channel(x, &ok), &upgraded, NULL);
    } else {
        http_exchange_respond_bytes(x, 404, STR("text/plain"), x->request->target);
    }
}

/* --- the fixture --- */

static void start_server(struct fixture *f, const struct http_server_options *options, http_handler *handler)
{
    struct http_server_options o = options ? *options : (struct http_server_options){ 0 };
    AUTO_ERROR struct error err = { 0 };
    struct address at;
    char text[ADDRESS_TEXT_SIZE];
    char *unix_text = xasprintf("unix:%s", test_path("http.sock"));

    if (f->way == WAY_TLS_HTTP2 || f->way == WAY_TLS_HTTP1)
        o.tls = f->server_tls;
    f->server = http_server_new(f->loop, &o, handler, f);
    address_parse(f->way == WAY_UNIX ? str_of(unix_text) : STR("127.0.0.1:0"), &at, NULL);
    ASSERT_OK(http_server_listen(f->server, &at, &f->bound, &err), &err);
    address_format(&f->bound, text);
    snprintf(f->url, sizeof(f->url), "%s%s", o.tls ? "https://" : f->way == WAY_UNIX ? "" : "http://", text);
    free(unix_text);
}

struct fixture *fixture_new(enum way way, const struct http_server_options *options, http_handler *handler)
{
    struct fixture *f = xnew(struct fixture);
    AUTO_ERROR struct error err = { 0 };
    struct str url;

    state = (struct handler_state){ .upgraded = BUF_MAX(MIB) };
    f->way = way;
    env_sim_init(&f->sim, 1, 0);
    f->loop = way == WAY_SIM || way == WAY_LOCAL_SIM ? loop_new_sim(&f->sim) : loop_new_system(env_system());
    f->ca = ca_make("CA");
    f->server_identity = identity_make(&f->ca, "server", "", PKI_SERVER, HOUR_MS);
    f->client_identity = identity_make(&f->ca, "alice", "admins", PKI_CLIENT, HOUR_MS);
    f->server_tls = server_context(&f->server_identity, &f->ca);
    f->client_tls = client_context(&f->ca, &f->client_identity);
    if (way == WAY_LOCAL || way == WAY_LOCAL_SIM) {
        f->client = http_client_new_local(f->loop, handler, f, &(struct http_peer){ .common_name = STR("inside") });
        return f;
    }
    start_server(f, options, handler);
    url = str_of(f->url);
    f->client = http_client_new(
        f->loop,
        &(struct http_client_options){
            .servers = &url, .servers_count = 1, .tls = f->client_tls, .http1_only = way != WAY_TLS_HTTP2 },
        &err);
    ASSERT_OK(f->client, &err);
    return f;
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

void fixture_free(struct fixture *f)
{
    http_client_free(f->client);
    if (f->server) {
        http_server_shutdown(f->server, 100, on_stopped, &f->stopped);
        RUN_UNTIL(f->loop, f->stopped);
    } else {
        run_until(f->loop, run_until_flag, &f->stopped, 5);
    }
    loop_free(f->loop);
    tls_context_unref(f->server_tls);
    tls_context_unref(f->client_tls);
    identity_done(&f->ca);
    identity_done(&f->server_identity);
    identity_done(&f->client_identity);
    buf_done(&state.upgraded);
    free(f);
}

static void on_fetched(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct answer *a = arg;

    a->done = true;
    a->code = err ? err->code : ERR_NONE;
    snprintf(a->message, sizeof(a->message), "%s", err ? error_text(err) : "");
    a->status = head ? head->status : 0;
    for (size_t i = 0; head && i < head->headers_count; i++)
        buf_addf(&a->headers, "%.*s=%.*s ", STR_ARG(head->headers[i].name), STR_ARG(head->headers[i].value));
    buf_add(&a->body, body);
}

void answer_done(struct answer *a)
{
    buf_done(&a->body);
    buf_done(&a->headers);
}

void fetch_start(struct fixture *f, const char *method, const char *target, struct str body, struct answer *ret)
{
    struct http_call_request r = { .method = str_of(method), .target = str_of(target), .body = body };

    answer_done(ret);
    *ret = (struct answer){ .body = BUF_MAX(128 * MIB), .headers = BUF_MAX(MIB) };
    http_client_fetch(f->client, &r, 100 * MIB, on_fetched, ret);
}

void fetch(struct fixture *f, const char *method, const char *target, struct str body, struct answer *ret)
{
    fetch_start(f, method, target, body, ret);
    if (!run_until(f->loop, run_until_flag, &ret->done, 10000))
        FAIL("no answer to %s %s (%s)", method, target, way_names[f->way]);
}
