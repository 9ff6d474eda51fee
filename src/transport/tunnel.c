/* The server's end of a tunnel: an HTTP client over the connection an agent opened, and the agent's heartbeat. */
#include "transport/client_internal.h"
#include "transport/tunnel.h"
#include "base/time.h"

#include <stdlib.h>

#define CLOSE_AFTER_MS 30000

struct tunnel {
    struct http_client *client;
    struct client_connection *connection;
    const struct tunnel_callbacks *cb;
    void *arg;
    struct tunnel_options options;
    struct loop_timer timer;
    int64_t heard_ms, round_trip_us;
    int64_t missed; /* pings since the agent was last heard; see on_timer() */
    bool silent;
};

static void on_heard(void *arg)
{
    struct tunnel *t = arg;

    t->heard_ms = loop_now_ms(t->client->loop);
    t->missed = 0;
    if (!t->silent)
        return;
    t->silent = false;
    if (t->cb->on_alive)
        t->cb->on_alive(t, t->arg);
}

/* The payload is our clock when the ping left. */
static void on_pong(void *arg, uint64_t payload)
{
    struct tunnel *t = arg;

    t->round_trip_us = MAX((int64_t)1, time_monotonic_us() - (int64_t)payload);
}

static void on_closed(void *arg, const struct error *err)
{
    struct tunnel *t = arg;

    loop_timer_stop(&t->timer);
    t->cb->on_closed(t, err, t->arg);
    http_client_free(t->client);
    free(t);
}

/*
 * Silence is counted in pings that we really sent, not read from the clock: after our own pause (SIGSTOP, a busy
 * machine) the answers are still in the socket, and no agent must be called silent for it.
 */
static void on_timer(void *arg)
{
    struct tunnel *t = arg;
    int64_t silence_ms = t->missed * t->options.ping_ms;
    AUTO_ERROR struct error err = { 0 };

    if (silence_ms >= t->options.close_after_ms) {
        fail(&err, ERR_TIMEOUT, "the agent has been silent for %lld ms", (long long)silence_ms);
        client_connection_close(t->connection, &err);
        return;
    }
    t->missed++;
    loop_timer_start(&t->timer, t->options.ping_ms);
    client_h2_ping(t->connection, (uint64_t)time_monotonic_us());
    if (silence_ms < t->options.silent_ms)
        return;
    t->silent = true;
    if (t->cb->on_silent)
        t->cb->on_silent(t, silence_ms, t->arg);
}

struct tunnel *tunnel_accept(struct http_exchange *x, const struct tunnel_options *options,
                             const struct tunnel_callbacks *cb, void *arg)
{
    struct loop *loop = x->loop;
    struct channel *channel;
    struct tunnel *t;

    if (!str_is(http_request_header(x->request, STR("upgrade")), TUNNEL_PROTOCOL))
        return NULL;
    channel = http_exchange_upgrade(x, STR(TUNNEL_PROTOCOL), NULL, 0);
    if (!channel)
        return NULL;
    t = xnew(struct tunnel);
    t->cb = cb;
    t->arg = arg;
    if (options)
        t->options = *options;
    t->options.ping_ms = t->options.ping_ms ? t->options.ping_ms : TUNNEL_PING_MS;
    t->options.silent_ms = t->options.silent_ms ? t->options.silent_ms : TUNNEL_SILENT_MS;
    t->options.close_after_ms = t->options.close_after_ms ? t->options.close_after_ms : CLOSE_AFTER_MS;
    t->client = client_new_tunnel(loop);
    t->heard_ms = loop_now_ms(loop);
    loop_timer_init(&t->timer, loop, on_timer, t);
    loop_timer_start(&t->timer, t->options.ping_ms);
    t->connection = client_connection_of_channel(t->client, channel);
    t->connection->tunnel = t;
    t->connection->on_heard = on_heard;
    t->connection->on_pong = on_pong;
    t->connection->on_closed = on_closed;
    return t;
}

struct http_client *tunnel_client(struct tunnel *t)
{
    return t->client;
}

int64_t tunnel_heard_ms(const struct tunnel *t)
{
    return t->heard_ms;
}

int64_t tunnel_round_trip_us(const struct tunnel *t)
{
    return t->round_trip_us;
}

void tunnel_close(struct tunnel *t)
{
    AUTO_ERROR struct error err = { 0 };

    fail(&err, ERR_UNAVAILABLE, "the tunnel was closed");
    client_connection_close(t->connection, &err);
}
