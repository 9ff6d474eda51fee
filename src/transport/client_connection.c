/* A connection of the client: connect, TLS, which protocol, when to let it go. */
#include "transport/client_internal.h"

#include <stdlib.h>

#define MISSED_PINGS_MAX 3

static void connection_free(struct client_connection *cc)
{
    struct http_client *c = cc->client;

    loop_timer_stop(&cc->timer);
    loop_timer_stop(&cc->ping_timer);
    loop_defer_cancel(&cc->flush_task);
    http1_free(cc->http1);
    http2_free(cc->http2);
    error_done(&cc->error);
    list_del(&cc->link);
    free(cc->authority);
    free(cc->host);
    free(cc);
    c->connections_count--;
    if (!c->freed)
        client_later(c);
    client_maybe_freed(c);
}

void client_connection_detached(struct client_connection *cc)
{
    connection_free(cc);
}

/* What happens to the calls of a connection that has ended: nothing is lost silently, nothing is done twice. */
static void end_calls(struct client_connection *cc, const struct error *err)
{
    list_each (&cc->calls, struct http_call, link, call) {
        bool again = cc->used && call->idempotent && !call->head_arrived;

        client_connection_call_done(cc, call);
        if (again)
            call_retry(call, err);
        else
            call_failed(call, err);
    }
}

static void ended(struct client_connection *cc, const struct error *err)
{
    AUTO_ERROR struct error closed = { 0 };
    bool connected = cc->protocol != CLIENT_CONNECTING;
    void (*on_closed)(void *arg, const struct error *err) = cc->on_closed;
    void *tunnel = cc->tunnel;

    if (cc->error.code)
        err = &cc->error;
    if (!err) {
        fail(&closed, ERR_UNAVAILABLE, "the connection was closed");
        err = &closed;
    }
    end_calls(cc, err);
    if (connected && err != &closed && !cc->client->freed && !cc->client->is_tunnel)
        client_server_lost(cc->client, str_of(cc->authority));
    if (!connected && !cc->client->freed && !cc->client->is_tunnel) {
        if (cc->waiting_for) {
            list_del(&cc->waiting_for->link);
            call_retry(cc->waiting_for, err);
        }
        client_servers_failed(cc->client, err);
    }
    if (on_closed)
        on_closed(tunnel, err);
    connection_free(cc);
}

void client_connection_close(struct client_connection *cc, const struct error *err)
{
    if (cc->closing)
        return;
    cc->closing = true;
    if (err && !cc->error.code)
        fail(&cc->error, err->code, "%s", error_text(err));
    loop_timer_stop(&cc->timer);
    loop_timer_stop(&cc->ping_timer);
    if (cc->channel)
        channel_close_after_write(cc->channel, cc->protocol == CLIENT_CONNECTING ? 1 : 1000);
    else if (cc->stream)
        stream_close(cc->stream);
}

/* --- deadlines --- */

static void on_timer(void *arg)
{
    struct client_connection *cc = arg;
    AUTO_ERROR struct error err = { 0 };

    if (cc->protocol == CLIENT_CONNECTING)
        fail(&err, ERR_UNAVAILABLE, "connect to %s: no answer", cc->authority);
    if (cc->protocol == CLIENT_CONNECTING && cc->channel) {
        fail(&cc->error, err.code, "%s", error_text(&err));
        cc->closing = true;
        channel_close(cc->channel);
        return;
    }
    client_connection_close(cc, err.code ? &err : NULL);
}

static void on_ping_timer(void *arg)
{
    struct client_connection *cc = arg;
    int64_t interval_ms = cc->client->options.ping_interval_ms;

    if (cc->closing || cc->protocol != CLIENT_HTTP2)
        return;
    if (cc->missed_pings >= MISSED_PINGS_MAX) {
        fail(&cc->error, ERR_UNAVAILABLE, "%s does not answer", cc->authority);
        cc->closing = true;
        channel_close(cc->channel);
        return;
    }
    if (cc->calls_count) {
        cc->missed_pings++; /* counted, not timed: after our own pause the answers are still in the socket */
        client_h2_ping(cc, 0);
    }
    loop_timer_start(&cc->ping_timer, interval_ms);
}

void client_connection_idle(struct client_connection *cc)
{
    if (cc->closing)
        return;
    if (cc->going && !cc->calls_count)
        client_connection_close(cc, NULL);
    else if (!cc->calls_count && !cc->client->is_tunnel)
        loop_timer_start(&cc->timer, cc->client->options.idle_timeout_ms);
    client_later(cc->client);
}

/* --- calls --- */

bool client_connection_has_room(const struct client_connection *cc)
{
    if (cc->closing || cc->going || cc->waiting_for)
        return false;
    if (cc->protocol == CLIENT_HTTP2)
        return cc->client->is_tunnel || cc->calls_count < http2_peer_streams_max(cc->http2);
    return cc->protocol == CLIENT_HTTP1 && !cc->calls_count;
}

void client_connection_start(struct client_connection *cc, struct http_call *call)
{
    loop_timer_stop(&cc->timer);
    list_add_tail(&cc->calls, &call->link);
    cc->calls_count++;
    call->connection = cc;
    call->sent = true;
    call->request.host = str_of(cc->authority);
    if (!call->out_streamed) {
        chunk_queue_clear(&call->out);
        if (call->body.n)
            chunk_queue_add_owned(&call->out, call->body, NULL, NULL);
        call->out_ended = true;
    }
    if (cc->protocol == CLIENT_HTTP2)
        client_h2_start(cc, call);
    else
        client_h1_start(cc, call);
}

void client_connection_call_done(struct client_connection *cc, struct http_call *call)
{
    list_del(&call->link);
    cc->calls_count--;
    cc->used = true;
    if (!cc->calls_count)
        client_connection_idle(cc);
    else
        client_later(cc->client);
}

/* --- bytes --- */

static void on_read(struct channel *channel, struct str bytes, void *arg)
{
    struct client_connection *cc = arg;

    (void)channel;
    if (cc->closing)
        return;
    cc->missed_pings = 0;
    if (cc->on_heard)
        cc->on_heard(cc->tunnel);
    if (cc->protocol == CLIENT_HTTP2)
        client_h2_read(cc, bytes);
    else
        client_h1_read(cc, bytes);
}

static void on_eof(struct channel *channel, void *arg)
{
    struct client_connection *cc = arg;

    (void)channel;
    if (cc->protocol == CLIENT_HTTP1)
        client_h1_eof(cc);
    client_connection_close(cc, NULL);
}

static void on_drained(struct channel *channel, void *arg)
{
    struct client_connection *cc = arg;

    (void)channel;
    if (cc->protocol == CLIENT_HTTP2)
        client_h2_drained(cc);
    else
        client_h1_drained(cc);
}

static void on_closed(struct channel *channel, const struct error *err, void *arg)
{
    struct client_connection *cc = arg;

    (void)channel;
    cc->closing = true;
    ended(cc, err);
}

static const struct channel_callbacks callbacks = {
    .on_read = on_read, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

static void begin(struct client_connection *cc, enum client_protocol protocol)
{
    struct http_client *c = cc->client;

    cc->protocol = protocol;
    loop_timer_stop(&cc->timer);
    c->failed_servers = 0;
    if (protocol == CLIENT_HTTP2)
        client_h2_begin(cc);
    else
        client_h1_begin(cc);
    if (c->options.ping_interval_ms && protocol == CLIENT_HTTP2)
        loop_timer_start(&cc->ping_timer, c->options.ping_interval_ms);
    if (cc->waiting_for) {
        struct http_call *call = cc->waiting_for;

        cc->waiting_for = NULL;
        list_del(&call->link);
        client_connection_start(cc, call);
        return;
    }
    client_connection_idle(cc);
}

static void on_tls_open(struct channel *channel, void *arg)
{
    struct client_connection *cc = arg;

    begin(cc, cc->client->options.http2_only || tls_is_http2(channel_tls(channel)) ? CLIENT_HTTP2 : CLIENT_HTTP1);
}

/* --- connecting --- */

static void on_connected(struct stream *s, void *arg)
{
    struct client_connection *cc = arg;

    cc->stream = NULL;
    cc->channel = channel_of_stream(s);
    channel_set_callbacks(cc->channel, &callbacks, cc);
    begin(cc, cc->client->options.http2_only ? CLIENT_HTTP2 : CLIENT_HTTP1);
}

static void ignore_bytes(struct stream *s, struct str bytes, void *arg)
{
    (void)s, (void)bytes, (void)arg;
}

static void on_not_connected(struct stream *s, const struct error *err, void *arg)
{
    struct client_connection *cc = arg;

    (void)s;
    cc->closing = true;
    ended(cc, err);
}

static const struct stream_callbacks connect_callbacks = { .on_open = on_connected,
                                                           .on_read = ignore_bytes,
                                                           .on_closed = on_not_connected };

static void dial(struct client_connection *cc, const struct address *to)
{
    struct http_client *c = cc->client;
    struct stream_options o = { .connect_timeout_ms = c->options.connect_timeout_ms, .bind = c->options.bind };
    struct stream *s = stream_connect(c->loop, to, &o, &connect_callbacks, cc);

    if (cc->tls) {
        cc->channel = channel_tls_new(s, c->options.tls, str_of(cc->host), cc->http1_wanted, on_tls_open);
        channel_set_callbacks(cc->channel, &callbacks, cc);
    } else {
        cc->stream = s;
    }
}

static void on_resolved(void *arg, const struct address *addresses, size_t count, const struct error *err)
{
    struct client_connection *cc = arg;

    if (cc->closing || !count) {
        cc->closing = true;
        ended(cc, cc->error.code ? NULL : err);
        return;
    }
    dial(cc, &addresses[0]);
}

static struct client_connection *connection_alloc(struct http_client *c)
{
    struct client_connection *cc = xnew(struct client_connection);

    cc->client = c;
    list_init(&cc->calls);
    list_add_tail(&c->connections, &cc->link);
    c->connections_count++;
    loop_timer_init(&cc->timer, c->loop, on_timer, cc);
    loop_timer_init(&cc->ping_timer, c->loop, on_ping_timer, cc);
    return cc;
}

struct client_connection *client_connect(struct http_client *c, bool http1_wanted)
{
    struct client_connection *cc = connection_alloc(c);
    const struct server_address *server = &c->servers[c->server_now];

    cc->tls = server->tls;
    cc->host = xstrdup(server->host);
    cc->http1_wanted = http1_wanted;
    cc->authority = str_dup(server->authority);
    loop_timer_start(&cc->timer, c->options.connect_timeout_ms);
    if (server->address.length)
        dial(cc, &server->address);
    else
        loop_resolve(c->loop, str_of(server->host), server->port, on_resolved, cc);
    return cc;
}

struct client_connection *client_connection_of_channel(struct http_client *c, struct channel *channel)
{
    struct client_connection *cc = connection_alloc(c);

    cc->authority = xstrdup("agent");
    cc->channel = channel;
    begin(cc, CLIENT_HTTP2);
    channel_set_callbacks(channel, &callbacks, cc);
    return cc;
}
