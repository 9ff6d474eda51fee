/* The HTTP server: listeners, options, shutdown. */
#include "transport/server_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void run_freed(void *arg)
{
    struct http_server *s = arg;
    loop_fn *stopped = s->stopped;
    void *stopped_arg = s->stopped_arg;

    loop_timer_stop(&s->stop_timer);
    tls_context_unref(s->options.tls);
    free(s->listeners);
    free(s);
    if (stopped)
        stopped(stopped_arg);
}

void http_server_connection_freed(struct http_server *s)
{
    if (s->connection_freed)
        s->connection_freed(s->connection_freed_arg);
    if (s->stopping && list_empty(&s->connections))
        loop_defer(s->loop, &s->freed_task);
    if (!s->stopping && s->accept_paused && s->stats.open_connections < s->options.connections_max) {
        s->accept_paused = false;
        for (size_t i = 0; i < s->listeners_count; i++)
            listener_resume(s->listeners[i]);
    }
}

static void on_stop_deadline(void *arg)
{
    struct http_server *s = arg;

    list_each (&s->connections, struct connection, link, c) {
        c->closing = true;
        channel_close(c->channel);
    }
}

#define DEFAULT(field, value)                                                                                          \
    do {                                                                                                               \
        if (!s->options.field)                                                                                         \
            s->options.field = (value);                                                                                \
    } while (0)

struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options, http_handler *handler,
                                    void *arg)
{
    struct http_server *s = xnew(struct http_server);

    s->loop = loop;
    s->handler = handler;
    s->arg = arg;
    if (options)
        s->options = *options;
    if (s->options.tls)
        tls_context_ref(s->options.tls);
    DEFAULT(connections_max, 8192);
    DEFAULT(streams_max, 250);
    DEFAULT(handshake_timeout_ms, 10000);
    DEFAULT(head_timeout_ms, 10000);
    DEFAULT(body_idle_timeout_ms, 30000);
    DEFAULT(idle_timeout_ms, 180000);
    DEFAULT(write_stall_timeout_ms, 60000);
    DEFAULT(write_high_bytes, 64 * KIB);
    DEFAULT(write_max_bytes, 64 * MIB);
    s->options.limits = http_limits_or_default(&s->options.limits);
    list_init(&s->connections);
    loop_timer_init(&s->stop_timer, loop, on_stop_deadline, s);
    s->freed_task = (struct loop_task){ .fn = run_freed, .arg = s };
    return s;
}

static void on_stream(struct listener *l, struct stream *stream, void *arg)
{
    struct http_server *s = arg;

    (void)l;
    connection_new(s, stream, false, s->options.tls);
    if (s->stats.open_connections >= s->options.connections_max && !s->accept_paused) {
        s->accept_paused = true;
        for (size_t i = 0; i < s->listeners_count; i++)
            listener_pause(s->listeners[i]);
    }
}

static const struct listener_callbacks listener_callbacks = { .on_stream = on_stream };

static void add_listener(struct http_server *s, struct listener *l)
{
    GROW(s->listeners, s->listeners_count, s->listeners_capacity);
    s->listeners[s->listeners_count++] = l;
}

int http_server_listen(struct http_server *s, const struct address *at, struct address *ret_bound, struct error *err)
{
    struct listener_options o = { .reuse_port = s->options.reuse_port, .dual_stack = true };
    struct listener *l = listener_new(s->loop, at, &o, &listener_callbacks, s, err);

    if (!l)
        return -1;
    add_listener(s, l);
    if (ret_bound)
        *ret_bound = listener_address(l);
    return 0;
}

int http_server_listen_fd(struct http_server *s, int fd, struct error *err)
{
    struct listener *l = listener_wrap(s->loop, fd, NULL, &listener_callbacks, s, err);

    if (!l)
        return -1;
    add_listener(s, l);
    return 0;
}

void http_server_adopt(struct http_server *s, struct stream *stream)
{
    connection_new(s, stream, false, s->options.tls);
}

void http_server_set_tls(struct http_server *s, struct tls_context *tls)
{
    if (tls)
        tls_context_ref(tls);
    tls_context_unref(s->options.tls);
    s->options.tls = tls;
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    list_each (&s->connections, struct connection, link, c)
        if (c->protocol == PROTOCOL_HTTP2)
            h2_shutdown(c);
}

void http_server_shutdown(struct http_server *s, int64_t timeout_ms, loop_fn *done, void *arg)
{
    s->stopping = true;
    s->stopped = done;
    s->stopped_arg = arg;
    for (size_t i = 0; i < s->listeners_count; i++)
        listener_close(s->listeners[i]);
    s->listeners_count = 0;
    if (list_empty(&s->connections)) {
        loop_defer(s->loop, &s->freed_task);
        return;
    }
    loop_timer_start(&s->stop_timer, timeout_ms);
    list_each (&s->connections, struct connection, link, c)
        connection_shutdown(c);
}

struct http_server_stats http_server_stats(const struct http_server *s)
{
    return s->stats;
}

struct str http_server_date(struct http_server *s)
{
    int64_t now_s = env_wall_ms(loop_env(s->loop)) / 1000;

    if (now_s != s->date_s || !s->date[0]) {
        time_t t = (time_t)now_s;
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_s = now_s;
    }
    return str_of(s->date);
}
