/*
 * One request and its answer, as a handler sees it: the same over HTTP/1.1, HTTP/2, a tunnel, or in one process.
 *
 * Ownership: from the call of the handler on, the exchange is the handler's until it calls exactly one of
 *     http_exchange_respond()   head and whole body,
 *     http_exchange_end()       after http_exchange_start() and any number of writes,
 *     http_exchange_abort()     breaks it off,
 *     http_exchange_upgrade()   takes the bytes over,
 * also when on_gone told that the client left (these calls then only free it). So an exchange never vanishes while a
 * handler waits for another thread; afterwards it must not be touched. Never ended = leaked: every wait has a deadline.
 *
 * Threads: everything on x->loop. Another thread posts its result there: loop_post(x->loop, finish, x).
 *
 * Typical, answered at once:
 *     static void version(struct http_exchange *x, void *arg)
 *     {
 *         http_exchange_respond_bytes(x, 200, STR("application/json"), STR("{\"major\":\"1\"}"));
 *     }
 * A request with a body:      http_exchange_collect(x, 3 * MIB, on_body, state);
 * A watch:                    http_exchange_set_callbacks(x, &watch_callbacks, w);
 *                             http_exchange_start(x, &head);
 *                             while (more && http_exchange_write(x, event)) ...    and on_drained continues
 */
#ifndef TRANSPORT_HTTP_EXCHANGE_H
#define TRANSPORT_HTTP_EXCHANGE_H

#include "transport/channel.h"
#include "wire/http.h"

/* Who is at the other end, as the transport knows it. Authentication is the handler's business. */
struct http_peer {
    struct address address;          /* length 0 in process */
    bool certificate;                /* the client showed a certificate ... */
    const char *certificate_error;   /* ... NULL: and it verified; else why not (answer 401) */
    struct str common_name;          /* subject CN; only trust these when certificate_error is NULL */
    const struct str *organizations; /* subject O, each */
    size_t organizations_count;
    struct str certificate_der_sha256; /* 64 hex characters */
    bool tls, in_process, tunnel;
};

/* Bytes with an owner, written without copying: release(owner) is called exactly once, on x->loop. release NULL: static. */
struct http_bytes {
    struct str bytes;
    loop_fn *release;
    void *owner;
};

struct http_exchange {
    struct loop *loop;
    struct arena *arena;                /* lives as long as the exchange */
    const struct http_request *request; /* likewise */
    const struct http_peer *peer;       /* likewise */
    void *user;                         /* the handler's */
};
typedef void http_handler(struct http_exchange *x, void *arg);

struct http_exchange_callbacks {
    void (*on_drained)(struct http_exchange *x, void *user); /* write again; after a write returned false */
    void (*on_gone)(struct http_exchange *x, void *user);    /* the client left; end the exchange (now or later) */
};
void http_exchange_set_callbacks(struct http_exchange *x, const struct http_exchange_callbacks *cb, void *user);
bool http_exchange_is_gone(const struct http_exchange *x);

/* The request and its collected body outlive the answer, until released (NULL is fine): for work that goes on behind an early answer. */
void http_exchange_hold(struct http_exchange *x);
void http_exchange_release(struct http_exchange *x);

/* --- request body: pick one of the two; an unread body is dropped when the exchange ends --- */

/* The whole body, valid as long as the exchange; err: ERR_TOO_LARGE, or the client broke off (still end the exchange). */
typedef void http_body_collected(struct http_exchange *x, struct str body, const struct error *err, void *arg);
void http_exchange_collect(struct http_exchange *x, size_t max_bytes, http_body_collected *fn, void *arg);
/* Piece by piece (exec streams of the tunnel): bytes are valid during the call; `end` comes once, maybe with bytes. */
typedef void http_body_piece(struct http_exchange *x, struct str bytes, bool end, void *arg);
void http_exchange_stream_body(struct http_exchange *x, http_body_piece *fn, void *arg);
void http_exchange_pause_body(struct http_exchange *x); /* back-pressure to the client */
void http_exchange_resume_body(struct http_exchange *x);

/* --- response: Content-Length, Transfer-Encoding, Connection and Date are added; do not give them --- */

void http_exchange_respond(struct http_exchange *x, const struct http_response *head, struct http_bytes body);
void http_exchange_respond_bytes(struct http_exchange *x, int status, struct str content_type,
                                 struct str body);                                   /* copies */
void http_exchange_start(struct http_exchange *x, const struct http_response *head); /* sent at once */
bool http_exchange_write(struct http_exchange *x, struct http_bytes piece);          /* false: wait for on_drained */
bool http_exchange_write_copy(struct http_exchange *x, struct str piece);
size_t http_exchange_queued_bytes(const struct http_exchange *x); /* to drop a watcher that is too slow */
void http_exchange_end(struct http_exchange *x);
void http_exchange_abort(struct http_exchange *x); /* reset: the client sees a broken answer */
/*
 * Answer 101 with these headers (Connection and Upgrade come from `protocol`) and take the bytes over; what the client
 * sent early is delivered through the channel. NULL when the request was no upgrade (HTTP/2, missing header): the
 * exchange is then still yours; answer 400. Works in process too. The peer lives on only as a copy you make.
 */
struct channel *http_exchange_upgrade(struct http_exchange *x, struct str protocol, const struct http_header *headers,
                                      size_t headers_count);
/*
 * Both bodies as a channel, for HTTP/2 and tunnels: starts the response with `head`, request body in, response body out.
 * The exchange ends with the channel.
 */
struct channel *http_exchange_channel(struct http_exchange *x, const struct http_response *head);

#endif
