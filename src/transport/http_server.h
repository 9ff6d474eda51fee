/*
 * The HTTP server: listeners, TLS, HTTP/1.1 and HTTP/2, limits, deadlines, and a handler per request.
 *
 *     struct http_server *s = http_server_new(loop, &(struct http_server_options){ .tls = tls }, handler, arg);
 *     http_server_listen(s, &address, &bound, err);
 *     ...
 *     http_server_shutdown(s, 10000, on_done, arg);       GOAWAY, finish what is in flight, then free
 *
 * One server lives on one loop; with several I/O loops make one each on the same address (reuse_port).
 * HTTP/2 over TLS by ALPN; on plain listeners by prior knowledge when the first bytes are the HTTP/2 preface.
 *
 * What it defends against: heads or bodies that trickle (head_timeout, body_idle_timeout), connections that idle, too
 * many connections or streams, HTTP/2 resets in a row (CVE-2023-44487), settings and ping floods, request smuggling (see wire/http1.h),
 * readers that never read (write_stall_timeout).
 */
#ifndef TRANSPORT_HTTP_SERVER_H
#define TRANSPORT_HTTP_SERVER_H

#include "transport/http_exchange.h"
#include "wire/tls.h"

struct http_server;

struct http_server_options { /* 0 means the value in brackets */
    struct tls_context *tls; /* NULL: plain; counted, the server keeps a reference */
    struct http_limits limits;
    size_t connections_max;         /* [8192] further ones wait in the backlog */
    size_t streams_max;             /* [250] concurrent requests of one HTTP/2 connection */
    int64_t handshake_timeout_ms;   /* [10 s] */
    int64_t head_timeout_ms;        /* [10 s] from the first byte of a request to its whole head */
    int64_t body_idle_timeout_ms;   /* [30 s] a collected body must make progress */
    int64_t idle_timeout_ms;        /* [180 s] between requests */
    int64_t write_stall_timeout_ms; /* [60 s] nothing of a queued answer was taken */
    size_t write_high_bytes;        /* [64 KiB] http_exchange_write() returns false from here on */
    size_t write_max_bytes;         /* [64 MiB] a queued answer larger than this is broken off */
    bool reuse_port;
};

struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options, http_handler *handler,
                                    void *arg);
/* Any number of addresses; ret_bound (may be NULL) tells the port chosen for port 0. */
int http_server_listen(struct http_server *s, const struct address *at, struct address *ret_bound, struct error *err);
int http_server_listen_fd(struct http_server *s, int fd, struct error *err); /* a listening socket made elsewhere */
/* Serve one stream that came from elsewhere; TLS as configured. */
void http_server_adopt(struct http_server *s, struct stream *stream);
/* Certificates renewed: new connections use the new context. */
void http_server_set_tls(struct http_server *s, struct tls_context *tls);

/* Everybody is still served, and asked to come again elsewhere: HTTP/1.1 answers close their connection, HTTP/2 gets GOAWAY. Some time before
 * http_server_shutdown(), so that no request meets a connection that is just being closed. */
void http_server_drain(struct http_server *s);
/* Stop accepting, tell clients to go (GOAWAY, Connection: close), wait for open exchanges at most timeout_ms, close,
 * free; then done(arg). Watches are told by on_gone at once, so that they end first. done may be NULL. */
void http_server_shutdown(struct http_server *s, int64_t timeout_ms, loop_fn *done, void *arg);

struct http_server_stats {
    uint64_t connections, requests, refused, tls_failures, resets; /* since the start */
    size_t open_connections, open_exchanges;                       /* now */
    uint64_t bytes_in, bytes_out;
};
struct http_server_stats http_server_stats(const struct http_server *s);

#endif
