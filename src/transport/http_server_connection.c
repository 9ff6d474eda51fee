/* A connection of the server: its life, its deadlines, who is at the other end. */
#include "transport/server_internal.h"

#include <stdlib.h>

#define LOG_PART "http"
#include "base/log.h"

#define LAST_BYTES_MS 5000 /* for what is queued when the connection ends */

static void connection_free(struct connection *c)
{
    struct http_server *s = c->server;

    loop_timer_stop(&c->timer);
    loop_defer_cancel(&c->flush_task);
    list_each (&c->exchanges, struct exchange, link, x) {
        connection_exchange_done(c, x);
        exchange_gone(x);
    }
    h1_free(c);
    h2_free(c);
    buf_done(&c->pipelined);
    peer_box_unref(c->peer);
    list_del(&c->link);
    s->stats.open_connections--;
    free(c);
    http_server_connection_freed(s);
}

void connection_close(struct connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    loop_timer_stop(&c->timer);
    channel_close_after_write(c->channel, LAST_BYTES_MS);
}

void connection_fail(struct connection *c, const struct error *err)
{
    char text[ADDRESS_TEXT_SIZE];

    log_debug("connection refused", KV("peer", "%s", address_format(&c->peer->peer.address, text)), KV_ERR(err));
    c->server->stats.refused++;
    connection_close(c);
}

/* --- deadlines --- */

static void on_timer(void *arg)
{
    struct connection *c = arg;
    uint64_t written = channel_written_bytes(c->channel);

    /* While something is answered there is no deadline, but what is queued must move. */
    if (c->waiting == WAIT_EXCHANGE && (!channel_queued_bytes(c->channel) || written != c->written_seen)) {
        c->written_seen = written;
        connection_wait(c, c->exchanges_count || channel_queued_bytes(c->channel) ? WAIT_EXCHANGE : WAIT_REQUEST);
        return;
    }
    c->closing = true;
    channel_close(c->channel);
}

void connection_wait(struct connection *c, enum waiting waiting)
{
    const struct http_server_options *o = &c->server->options;
    const int64_t after_ms[] = { [WAIT_HANDSHAKE] = o->handshake_timeout_ms,
                                 [WAIT_REQUEST] = o->idle_timeout_ms,
                                 [WAIT_HEAD] = o->head_timeout_ms,
                                 [WAIT_EXCHANGE] = o->write_stall_timeout_ms };

    if (c->closing)
        return;
    c->waiting = waiting;
    if (waiting == WAIT_REQUEST && c->peer->peer.tunnel)
        loop_timer_stop(&c->timer); /* an idle tunnel is kept alive by pings, and dropped by their absence */
    else
        loop_timer_start(&c->timer, after_ms[waiting]);
}

/* --- exchanges --- */

struct exchange *connection_exchange_new(struct connection *c, const struct exchange_ops *ops,
                                         const struct http_request *r)
{
    struct exchange *x = xnew(struct exchange);

    exchange_init(x, ops, c, c->server->loop, r, c->peer);
    x->body_idle_ms = c->server->options.body_idle_timeout_ms;
    x->high_bytes = c->server->options.write_high_bytes;
    x->max_bytes = c->server->options.write_max_bytes;
    list_add_tail(&c->fresh, &x->link);
    c->exchanges_count++;
    c->server->stats.requests++;
    c->server->stats.open_exchanges++;
    return x;
}

/* The parsers have returned: handlers may now do anything, also end the connection. */
void connection_run_fresh(struct connection *c)
{
    for (bool more = !list_empty(&c->fresh); more;) {
        struct exchange *x = list_first(&c->fresh, struct exchange, link);

        list_del(&x->link);
        list_add_tail(&c->exchanges, &x->link);
        x->handled = true;
        more = !list_empty(&c->fresh);
        c->server->handler(&x->pub, c->server->arg);
    }
}

void connection_exchange_done(struct connection *c, struct exchange *x)
{
    list_del(&x->link);
    c->exchanges_count--;
    c->server->stats.open_exchanges--;
}

struct channel *connection_detach(struct connection *c)
{
    struct channel *channel = c->channel;

    channel_set_callbacks(channel, NULL, NULL);
    connection_free(c);
    return channel;
}

void connection_shutdown(struct connection *c)
{
    list_each (&c->exchanges, struct exchange, link, x)
        if (x->cb && x->cb->on_gone && x->started && !x->gone_told) {
            x->pending_gone = true; /* a watch would never end by itself */
            loop_defer(x->pub.loop, &x->task);
        }
    if (c->protocol == PROTOCOL_HTTP2)
        h2_shutdown(c);
    else
        h1_shutdown(c);
}

/* --- bytes --- */

static void begin(struct connection *c, enum protocol protocol)
{
    c->protocol = protocol;
    if (protocol == PROTOCOL_HTTP2)
        h2_begin(c);
    else
        h1_begin(c);
    connection_wait(c, WAIT_REQUEST);
    if (c->server->stopping)
        connection_shutdown(c);
}

static void on_read(struct channel *channel, struct str bytes, void *arg)
{
    struct connection *c = arg;

    (void)channel;
    if (c->closing)
        return;
    c->server->stats.bytes_in += bytes.n;
    if (c->protocol == PROTOCOL_UNKNOWN)
        begin(c, str_starts(bytes, STR("PRI ")) ? PROTOCOL_HTTP2 : PROTOCOL_HTTP1);
    if (c->protocol == PROTOCOL_HTTP2)
        h2_read(c, bytes);
    else
        h1_read(c, bytes);
}

static void on_drained(struct channel *channel, void *arg)
{
    struct connection *c = arg;

    (void)channel;
    if (c->closing)
        return;
    if (c->protocol == PROTOCOL_HTTP2)
        h2_drained(c);
    else
        h1_drained(c);
}

static void on_closed(struct channel *channel, const struct error *err, void *arg)
{
    struct connection *c = arg;

    (void)channel, (void)err;
    if (c->protocol == PROTOCOL_UNKNOWN && err && c->server->options.tls)
        c->server->stats.tls_failures++;
    c->closing = true;
    connection_free(c);
}

static const struct channel_callbacks callbacks = { .on_read = on_read,
                                                    .on_drained = on_drained,
                                                    .on_closed = on_closed };

static void read_peer(struct connection *c, struct tls *tls)
{
    const struct tls_peer *from = tls_peer(tls);
    struct http_peer *to = &c->peer->peer;
    struct arena *a = &c->peer->arena;
    struct str *organizations;

    to->tls = true;
    to->certificate = from->certificate;
    if (!from->certificate)
        return;
    to->certificate_error = from->error;
    to->common_name = arena_str(a, from->common_name);
    to->certificate_der_sha256 = arena_str(a, str_of(from->sha256_hex));
    organizations = arena_alloc_array(a, MAX(from->organizations_count, (size_t)1), sizeof(*organizations));
    for (size_t i = 0; i < from->organizations_count; i++)
        organizations[i] = arena_str(a, from->organizations[i]);
    to->organizations = organizations;
    to->organizations_count = from->organizations_count;
}

static void on_open(struct channel *channel, void *arg)
{
    struct connection *c = arg;
    struct tls *tls = channel_tls(channel);

    read_peer(c, tls);
    begin(c, tls_is_http2(tls) ? PROTOCOL_HTTP2 : PROTOCOL_HTTP1);
}

static struct connection *connection_alloc(struct http_server *s)
{
    struct connection *c = xnew(struct connection);

    c->server = s;
    c->pipelined.max = 256 * KIB;
    list_init(&c->exchanges);
    list_init(&c->fresh);
    list_add_tail(&s->connections, &c->link);
    loop_timer_init(&c->timer, s->loop, on_timer, c);
    s->stats.connections++;
    s->stats.open_connections++;
    return c;
}

void connection_new(struct http_server *s, struct stream *stream, bool tunnel, struct tls_context *tls)
{
    struct connection *c = connection_alloc(s);

    c->peer = peer_box_new();
    c->peer->peer.address = stream_peer(stream);
    c->peer->peer.tunnel = tunnel;
    c->channel = tls ? channel_tls_new(stream, tls, STR_NONE, false, on_open) : channel_of_stream(stream);
    channel_set_callbacks(c->channel, &callbacks, c);
    connection_wait(c, tls ? WAIT_HANDSHAKE : WAIT_REQUEST);
}

struct connection *connection_new_tunnel(struct http_server *s, struct channel *channel, const struct http_peer *peer)
{
    struct connection *c = connection_alloc(s);

    c->peer = peer_box_copy(peer);
    c->peer->peer.tunnel = true;
    c->channel = channel;
    begin(c, PROTOCOL_HTTP2);
    channel_set_callbacks(channel, &callbacks, c);
    return c;
}
