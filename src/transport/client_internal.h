/* Inside of the HTTP client: calls, connections, and their protocols. */
#ifndef TRANSPORT_CLIENT_INTERNAL_H
#define TRANSPORT_CLIENT_INTERNAL_H

#include "transport/channel_internal.h"
#include "transport/http_client.h"
#include "wire/http1.h"
#include "wire/http2.h"

#define CALL_TRIES_MAX 3

struct client_connection;

/* How a call reaches its server: HTTP/1.1, HTTP/2, or the handler in this process. */
struct call_ops {
    void (*flush)(struct http_call *call);  /* `out` has bytes, or the body has ended */
    void (*cancel)(struct http_call *call); /* let go of it: no call of call_* comes after */
    void (*consumed)(struct http_call *call, size_t n);
};

struct http_call {
    struct http_client *client;
    struct list link;           /* waiting, or open on a connection */
    const struct call_ops *ops; /* NULL while waiting */
    struct client_connection *connection;
    int32_t id;  /* HTTP/2 */
    void *local; /* in process */
    const struct http_call_callbacks *cb;
    void *arg;
    struct arena arena;
    struct http_request request;
    struct str body; /* the whole body, when it is not streamed */
    bool idempotent;
    bool sent; /* given to a connection once */
    int tries;

    struct chunk_queue out;
    bool out_streamed, out_ended, want_drained;
    struct buf in; /* of a paused call */
    struct arena head_arena;
    struct http_response head;
    const struct http_header *trailers; /* in head_arena */
    size_t trailers_count;
    bool head_arrived, head_told, in_ended, paused;
    struct channel *upgraded;
    struct error error;
    bool done; /* nothing more will come from below */
    struct loop_task task;
    struct loop_timer head_timer, total_timer;
    int64_t timeout_ms, total_timeout_ms;
    struct call_channel *as_channel;
    loop_fn *on_cancelled; /* frees arg when on_done will not come */
};

/* The backend tells: */
void call_head(struct http_call *call, const struct http_response *head); /* copies */
void call_body(struct http_call *call, struct str bytes);
void call_trailers(struct http_call *call, const struct http_header *headers, size_t count); /* copies */
void call_ended(struct http_call *call); /* the answer is complete */
void call_failed(struct http_call *call, const struct error *err);
void call_upgraded(struct http_call *call, struct channel *channel);
void call_drained(struct http_call *call);
/* Not processed for sure: send it again, or fail with err when it was tried too often or cannot be repeated. */
void call_retry(struct http_call *call, const struct error *err);

struct server_address {
    char *text, *host;    /* as given; for Host and TLS */
    struct str authority; /* in text */
    bool tls, is_unix;
    uint16_t port;
    struct address address; /* length 0: a name, looked up at each connect */
};

struct http_client {
    struct loop *loop;
    struct http_client_options options;
    struct server_address *servers;
    size_t servers_count, server_now;
    struct list connections, waiting;
    struct list open; /* calls in process */
    size_t calls_count, connections_count;
    http_handler *handler; /* in process */
    void *handler_arg;
    struct http_peer peer;
    struct arena peer_arena;
    bool freed, is_tunnel;
    struct loop_task assign_task, freed_task;
    loop_fn *on_freed;
    void *on_freed_arg;
    size_t failed_servers; /* in a row, since the last success */
};

struct http_client *client_new_tunnel(struct loop *loop);
void client_assign(struct http_client *c); /* gives waiting calls to connections */
void client_later(struct http_client *c);
void client_forget_waiting(struct http_call *call); /* the connection made for its upgrade is not needed */
void client_maybe_freed(struct http_client *c);
void client_servers_failed(struct http_client *c, const struct error *err);
/* A connection to this server broke: the next one goes to the next server, unless another is preferred by now. */
void client_server_lost(struct http_client *c, struct str authority);
void call_local_start(struct http_call *call);
void call_free(struct http_call *call);
void call_forget(struct http_call *call); /* the backend lets go of it; on_done follows */
/* http_channel.c */
struct call_channel;
void call_channel_ended(struct call_channel *ch);                         /* the answer's body has ended */
void call_channel_done(struct call_channel *ch, const struct error *err); /* the call is going away */

enum client_protocol { CLIENT_CONNECTING, CLIENT_HTTP1, CLIENT_HTTP2 };

struct client_connection {
    struct http_client *client;
    struct list link;
    char *authority, *host;
    bool tls;
    struct channel *channel;
    struct stream *stream; /* while it connects */
    enum client_protocol protocol;
    bool http1_wanted; /* for an upgrade */
    bool closing, going, used, blocked;
    struct list calls;
    size_t calls_count;
    struct loop_timer timer, ping_timer;
    int missed_pings;
    struct error error;
    struct loop_task flush_task;
    struct http_call *waiting_for; /* the upgrade it is made for */

    struct http1 *http1;
    bool request_sent;
    struct http2 *http2;
    void (*on_pong)(void *arg, uint64_t payload); /* tunnels */
    void (*on_closed)(void *arg, const struct error *err);
    void (*on_heard)(void *arg);
    void *tunnel;
};

struct client_connection *client_connect(struct http_client *c, bool http1_wanted);
/* The server's end of a tunnel: HTTP/2 over a channel that was upgraded. */
struct client_connection *client_connection_of_channel(struct http_client *c, struct channel *channel);
void client_connection_close(struct client_connection *cc, const struct error *err);
bool client_connection_has_room(const struct client_connection *cc);
void client_connection_start(struct client_connection *cc, struct http_call *call);
void client_connection_call_done(struct client_connection *cc, struct http_call *call);
void client_connection_idle(struct client_connection *cc);
void client_connection_detached(struct client_connection *cc); /* its channel belongs to another; frees it */

void client_h1_begin(struct client_connection *cc);
void client_h1_start(struct client_connection *cc, struct http_call *call);
void client_h1_read(struct client_connection *cc, struct str bytes);
void client_h1_eof(struct client_connection *cc);
void client_h1_drained(struct client_connection *cc);
void client_h2_begin(struct client_connection *cc);
void client_h2_start(struct client_connection *cc, struct http_call *call);
void client_h2_read(struct client_connection *cc, struct str bytes);
void client_h2_drained(struct client_connection *cc);
void client_h2_ping(struct client_connection *cc, uint64_t payload);

#endif
