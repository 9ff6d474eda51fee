/* Inside of the HTTP server: connections, and their two protocols. */
#ifndef TRANSPORT_SERVER_INTERNAL_H
#define TRANSPORT_SERVER_INTERNAL_H

#include "transport/exchange_internal.h"
#include "transport/http_server.h"
#include "wire/http1.h"
#include "wire/http2.h"

struct http_server {
    struct loop *loop;
    struct http_server_options options; /* defaults filled in */
    http_handler *handler;
    void *arg;
    struct listener **listeners;
    size_t listeners_count, listeners_capacity;
    struct list connections;
    struct http_server_stats stats;
    bool stopping, draining, accept_paused;
    struct loop_timer stop_timer;
    struct loop_task freed_task;
    loop_fn *connection_freed; /* tunnels; may be NULL */
    void *connection_freed_arg;
    loop_fn *stopped;
    void *stopped_arg;
    char date[32]; /* "Sat, 21 Nov 2026 10:00:00 GMT" */
    int64_t date_s;
};

enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_HTTP1, PROTOCOL_HTTP2 };

/* What the connection's one timer waits for. */
enum waiting { WAIT_HANDSHAKE, WAIT_REQUEST, WAIT_HEAD, WAIT_EXCHANGE };

struct connection {
    struct http_server *server;
    struct list link;
    struct channel *channel;
    struct peer_box *peer;
    enum protocol protocol;
    struct loop_timer timer;
    enum waiting waiting;
    uint64_t written_seen; /* at the last look at a stalled writer */
    bool closing;
    struct list exchanges;
    size_t exchanges_count;
    struct list fresh; /* exchanges whose handler has not been called yet */

    struct http1 *http1;
    struct exchange *current; /* HTTP/1.1: one at a time */
    bool message_ended;       /* its request was read to the end */
    bool close_after;         /* no further request on this connection */
    struct buf pipelined;
    size_t drained_bytes; /* of a body nobody wanted */

    struct http2 *http2;
    struct loop_task flush_task;
    bool goaway_sent, blocked;                    /* blocked: until the channel has drained */
    void (*on_pong)(void *arg, uint64_t payload); /* tunnels */
    void *on_pong_arg;
};

/* http_server_connection.c */
void connection_new(struct http_server *s, struct stream *stream, bool tunnel, struct tls_context *tls);
/* The agent's end of a tunnel: HTTP/2 over a channel that was upgraded. */
struct connection *connection_new_tunnel(struct http_server *s, struct channel *channel, const struct http_peer *peer);
void connection_fail(struct connection *c, const struct error *err);
void connection_close(struct connection *c);
void connection_wait(struct connection *c, enum waiting waiting);
void connection_shutdown(struct connection *c);
struct exchange *connection_exchange_new(struct connection *c, const struct exchange_ops *ops,
                                         const struct http_request *r);
void connection_exchange_done(struct connection *c, struct exchange *x);
void connection_run_fresh(struct connection *c);
struct channel *connection_detach(struct connection *c); /* gives the channel away and frees the connection */
struct str http_server_date(struct http_server *s);
void http_server_connection_freed(struct http_server *s);

/* http_server_h2.c */
void h2_ping(struct connection *c, uint64_t payload);

/* http_server_h1.c */
void h1_begin(struct connection *c);
void h1_read(struct connection *c, struct str bytes);
void h1_drained(struct connection *c);
void h1_free(struct connection *c);
void h1_shutdown(struct connection *c);

/* http_server_h2.c */
void h2_begin(struct connection *c);
void h2_read(struct connection *c, struct str bytes);
void h2_drained(struct connection *c);
void h2_free(struct connection *c);
void h2_shutdown(struct connection *c);
void h2_flush_now(struct connection *c);

#endif
