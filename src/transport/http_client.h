/*
 * The HTTP client: many requests over few connections, to a list of servers in order of preference.
 *
 *     struct http_client *c = http_client_new(loop, &(struct http_client_options){
 *         .servers = servers, .servers_count = 1, .tls = tls }, err);          "https://10.0.0.1:6443", "unix:/run/x.sock"
 *     struct http_client *c = http_client_new_local(loop, handler, arg, &peer);   the same API without sockets
 *     struct http_client *c = tunnel_client(tunnel);                              the same API to an agent
 *
 *     http_client_call(c, &(struct http_call_request){ .method = STR("GET"), .target = STR("/api/v1/pods?watch=1") },
 *                      &callbacks, arg);
 *     http_client_fetch(c, &request, 64 * MIB, on_fetched, arg);                  small answers, collected
 *
 * HTTPS speaks HTTP/2 (ALPN) with all requests over one connection, else HTTP/1.1 over up to connections_max. A server
 * that cannot be reached is skipped for the next in the list; the one that answered is kept. A request that was
 * certainly not processed (not sent, REFUSED_STREAM, after GOAWAY; idempotent methods on a reused connection that was closed) is
 * sent again by itself, at most 3 times. Redirects are not followed, ever.
 *
 * Errors in on_done: ERR_UNAVAILABLE (no server could be reached, connection broke), ERR_TIMEOUT (deadline),
 * ERR_UNAUTHORIZED (the server's certificate did not verify), ERR_TOO_LARGE, ERR_INTERNAL (not HTTP). Any status, also 500, is no error.
 */
#ifndef TRANSPORT_HTTP_CLIENT_H
#define TRANSPORT_HTTP_CLIENT_H

#include "base/secret.h"
#include "transport/http_exchange.h"
#include "wire/tls.h"

struct http_client;
struct http_call;

struct http_client_options {   /* 0 means the value in brackets */
    const struct str *servers; /* copied; at least one */
    size_t servers_count;
    struct tls_context *tls; /* for https servers; counted, the client keeps a reference */
    struct http_limits limits;
    size_t connections_max;     /* [32] HTTP/1.1 connections, and upgrades apart from that */
    int64_t connect_timeout_ms; /* [5 s] a server, including TLS */
    int64_t idle_timeout_ms;    /* [90 s] */
    int64_t ping_interval_ms;   /* [0: none] HTTP/2 PING while calls are open; no answer for 3 intervals closes */
    size_t calls_max;           /* [4096] open and waiting; more fail with ERR_TOO_MANY_REQUESTS */
    struct address bind;        /* local address; length 0: any. A simulation tells machines apart by it */
    bool http1_only;
    bool http2_only;      /* also without TLS ("prior knowledge", RFC 9113, 3.3): gRPC */
    uint32_t flood_per_s; /* [100] control frames that the server may send; servers of gRPC measure with pings */
};
struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options, struct error *err);
/* Calls the handler directly; peer is copied and marked in_process. */
struct http_client *http_client_new_local(struct loop *loop, http_handler *handler, void *arg,
                                          const struct http_peer *peer);
/* Open calls end with ERR_UNAVAILABLE; the memory goes in a later round. NULL is fine. */
void http_client_free(struct http_client *c);
/* The same; `freed` is called when the memory is gone. */
void http_client_free_then(struct http_client *c, loop_fn *freed, void *arg);
void http_client_set_servers(struct http_client *c, const struct str *servers, size_t count);
void http_client_set_tls(struct http_client *c, struct tls_context *tls); /* for new connections */
struct loop *http_client_loop(const struct http_client *c);

struct http_call_request { /* everything is copied */
    struct str method, target;
    const struct http_header *headers; /* Host, Content-Length and Connection are added */
    size_t headers_count;
    const struct secret *bearer; /* Authorization: Bearer; NULL: none */
    struct str body;
    bool stream_body;         /* the body follows by http_call_write() and http_call_end() */
    int64_t timeout_ms;       /* until the head of the answer; 0: 30 s */
    int64_t total_timeout_ms; /* until the end of the answer; 0: none (watches) */
    struct str upgrade;       /* ask for this protocol (forces HTTP/1.1): see on_upgraded */
};
struct http_call_callbacks { /* all but on_done may be NULL */
    void (*on_head)(struct http_call *call, const struct http_response *head, void *arg);
    void (*on_body)(struct http_call *call, struct str bytes, void *arg);
    void (*on_drained)(struct http_call *call, void *arg); /* of http_call_write() */
    /* 101: the bytes are yours now; on_done follows without error. */
    void (*on_upgraded)(struct http_call *call, const struct http_response *head, struct channel *channel, void *arg);
    void (*on_done)(struct http_call *call, const struct error *err,
                    void *arg); /* exactly once; the call is gone after */
};
/* Never NULL; callbacks come in later rounds. */
struct http_call *http_client_call(struct http_client *c, const struct http_call_request *request,
                                   const struct http_call_callbacks *cb, void *arg);
/* HTTP/2: the headers after the body, for on_done; none: NULL and 0. */
const struct http_header *http_call_trailers(const struct http_call *call, size_t *ret_count);
/* For on_done with an error: false when no byte of the request has left, so that it certainly was not processed. */
bool http_call_was_sent(const struct http_call *call);
void http_call_cancel(struct http_call *call); /* no callback comes any more, not even on_done; the call is gone */
bool http_call_write(struct http_call *call, struct http_bytes piece); /* false: wait for on_drained */
void http_call_end(struct http_call *call);
void http_call_pause(struct http_call *call); /* back-pressure: stop on_body */
void http_call_resume(struct http_call *call);
/*
 * Both bodies as a channel (over HTTP/2 or a tunnel: exec, port forwarding): on_head comes as usual with the answer,
 * then the channel's on_read instead of on_body; on_done comes when both directions ended. Use with stream_body, in or before on_head.
 */
struct channel *http_call_channel(struct http_call *call);

/* head NULL with err set on failure; body is valid during done. Longer than max: ERR_TOO_LARGE. */
typedef void http_fetched(void *arg, const struct http_response *head, struct str body, const struct error *err);
struct http_call *http_client_fetch(struct http_client *c, const struct http_call_request *request,
                                    size_t body_max_bytes, http_fetched *done, void *arg);

/* Blocking form for command-line tools: runs a loop of its own. *ret_body is limited by its own max. */
int http_fetch_blocking(const struct http_client_options *options, const struct http_call_request *request,
                        int *ret_status, struct buf *ret_body, struct error *err);

#endif
