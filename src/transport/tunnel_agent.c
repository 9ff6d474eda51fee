/* The agent's end of a tunnel: dials, serves the server's calls, dials again. */
#include "transport/server_internal.h"
#include "transport/tunnel.h"

#include <stdlib.h>

#define SILENT_MS    2000
#define SILENT_LOOKS 8 /* in that time: after a pause of our own, what came meanwhile is read before the next look */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 2000
#define DIAL_MS      5000
#define CALLS_MAX    1000 /* of the server at once: followed logs, execs, proxied requests */

struct tunnel_agent {
    struct loop *loop;
    struct http_client *client;
    struct http_server *server; /* without listeners: serves the tunnel's connection */
    const struct tunnel_agent_callbacks *cb;
    void *arg;
    struct tunnel_agent_options options;
    char *path;
    struct secret bearer;
    struct http_call *call;        /* while dialling */
    struct connection *connection; /* while up */
    struct http_peer peer;
    int status; /* of a dial that was answered, but not with 101 */
    struct loop_timer retry, silence, ping;
    int64_t contact_ms;
    int64_t retry_ms;
    uint64_t heard_bytes;
    int silent_looks;
    bool freed;
};

static void dial(void *arg);

static void went_down(struct tunnel_agent *t, const struct error *err)
{
    int64_t after_ms = t->retry_ms / 2 + (int64_t)env_random_below(loop_env(t->loop), (uint64_t)t->retry_ms);

    loop_timer_stop(&t->silence);
    loop_timer_stop(&t->ping);
    t->retry_ms = MIN(t->retry_ms * 2, t->options.retry_max_ms);
    loop_timer_start(&t->retry, after_ms);
    if (t->cb && t->cb->on_down)
        t->cb->on_down(t, err, t->arg);
}

/* The tunnel's server tells that its only connection has ended. */
static void on_connection_freed(void *arg)
{
    struct tunnel_agent *t = arg;
    AUTO_ERROR struct error err = { 0 };

    t->connection = NULL;
    if (t->freed)
        return;
    fail(&err, ERR_UNAVAILABLE, "the tunnel to the server ended");
    went_down(t, &err);
}

static void on_silence(void *arg)
{
    struct tunnel_agent *t = arg;
    uint64_t heard_bytes = t->server->stats.bytes_in;

    if (!t->connection)
        return;
    t->silent_looks = heard_bytes == t->heard_bytes ? t->silent_looks + 1 : 0;
    if (t->silent_looks >= SILENT_LOOKS) {
        t->connection->closing = true;
        channel_close(t->connection->channel);
        return;
    }
    t->heard_bytes = heard_bytes;
    loop_timer_start(&t->silence, t->options.silent_ms / SILENT_LOOKS);
}

static void on_ping(void *arg)
{
    struct tunnel_agent *t = arg;

    if (!t->connection || t->connection->closing)
        return;
    h2_ping(t->connection, (uint64_t)loop_now_ms(t->loop));
    loop_timer_start(&t->ping, TUNNEL_PING_MS);
}

/* The payload is when we asked: the time of sending counts. */
static void on_pong(void *arg, uint64_t payload)
{
    struct tunnel_agent *t = arg;

    if (t->freed || payload > (uint64_t)loop_now_ms(t->loop) || (int64_t)payload <= t->contact_ms)
        return;
    t->contact_ms = (int64_t)payload;
    if (t->cb && t->cb->on_contact)
        t->cb->on_contact(t, t->arg);
}

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct tunnel_agent *t = arg;

    (void)call;
    t->status = head->status;
}

static void on_upgraded(struct http_call *call, const struct http_response *head, struct channel *channel, void *arg)
{
    struct tunnel_agent *t = arg;

    (void)call, (void)head;
    t->retry_ms = t->options.retry_min_ms;
    t->heard_bytes = t->server->stats.bytes_in;
    t->silent_looks = 0;
    t->connection = connection_new_tunnel(t->server, channel, &t->peer);
    t->connection->on_pong = on_pong;
    t->connection->on_pong_arg = t;
    loop_timer_start(&t->silence, t->options.silent_ms / SILENT_LOOKS);
    loop_timer_start(&t->ping, 0);
    if (t->cb && t->cb->on_up)
        t->cb->on_up(t, t->arg);
}

static void on_done(struct http_call *call, const struct error *err, void *arg)
{
    struct tunnel_agent *t = arg;
    AUTO_ERROR struct error refused = { 0 };

    (void)call;
    t->call = NULL;
    if (t->connection)
        return;
    if (!err) {
        fail(&refused,
             t->status == 401   ? ERR_UNAUTHORIZED
             : t->status == 403 ? ERR_FORBIDDEN
                                : ERR_UNAVAILABLE,
             "the server answered %d to the tunnel", t->status);
        err = &refused;
    }
    went_down(t, err);
}

static const struct http_call_callbacks callbacks = { .on_head = on_head,
                                                      .on_upgraded = on_upgraded,
                                                      .on_done = on_done };

static void dial(void *arg)
{
    struct tunnel_agent *t = arg;
    struct http_call_request r = { .method = STR("GET"),
                                   .target = str_of(t->path),
                                   .bearer = &t->bearer,
                                   .timeout_ms = DIAL_MS,
                                   .total_timeout_ms = 2 * DIAL_MS,
                                   .upgrade = STR(TUNNEL_PROTOCOL) };

    t->status = 0;
    t->call = http_client_call(t->client, &r, &callbacks, t);
}

struct tunnel_agent *tunnel_agent_new(struct http_client *client, const struct tunnel_agent_options *o,
                                      http_handler *handler, void *handler_arg, const struct tunnel_agent_callbacks *cb,
                                      void *arg)
{
    struct tunnel_agent *t = xnew(struct tunnel_agent);

    t->loop = http_client_loop(client);
    t->client = client;
    t->cb = cb;
    t->arg = arg;
    t->options = *o;
    t->options.silent_ms = o->silent_ms ? o->silent_ms : SILENT_MS;
    t->options.retry_min_ms = o->retry_min_ms ? o->retry_min_ms : RETRY_MIN_MS;
    t->options.retry_max_ms = o->retry_max_ms ? o->retry_max_ms : RETRY_MAX_MS;
    t->retry_ms = t->options.retry_min_ms;
    t->path = str_dup(o->path);
    tunnel_agent_set_bearer(t, o->bearer);
    t->server = http_server_new(t->loop, &(struct http_server_options){ .limits = o->limits, .streams_max = CALLS_MAX },
                                handler, handler_arg);
    t->server->connection_freed = on_connection_freed;
    t->server->connection_freed_arg = t;
    loop_timer_init(&t->retry, t->loop, dial, t);
    loop_timer_init(&t->silence, t->loop, on_silence, t);
    loop_timer_init(&t->ping, t->loop, on_ping, t);
    t->contact_ms = INT64_MIN;
    loop_timer_start(&t->retry, 0);
    return t;
}

int64_t tunnel_agent_contact_ms(const struct tunnel_agent *t)
{
    return t->contact_ms;
}

bool tunnel_agent_is_up(const struct tunnel_agent *t)
{
    return t->connection != NULL;
}

void tunnel_agent_set_bearer(struct tunnel_agent *t, const struct secret *bearer)
{
    secret_done(&t->bearer);
    if (bearer)
        secret_set(&t->bearer, secret_reveal(bearer));
}

static void run_freed(void *arg)
{
    struct tunnel_agent *t = arg;

    secret_done(&t->bearer);
    free(t->path);
    free(t);
}

void tunnel_agent_free(struct tunnel_agent *t)
{
    if (!t || t->freed)
        return;
    t->freed = true;
    loop_timer_stop(&t->retry);
    loop_timer_stop(&t->silence);
    loop_timer_stop(&t->ping);
    http_call_cancel(t->call);
    if (t->connection) {
        t->connection->closing = true;
        channel_close(t->connection->channel);
    }
    http_server_shutdown(t->server, 0, run_freed, t);
}
