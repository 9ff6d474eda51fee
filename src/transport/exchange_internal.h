/* Inside of exchanges: what HTTP/1.1, HTTP/2 and in-process calls fill in. */
#ifndef TRANSPORT_EXCHANGE_INTERNAL_H
#define TRANSPORT_EXCHANGE_INTERNAL_H

#include "transport/channel_internal.h"
#include "transport/http_exchange.h"

#define BODY_HELD_BYTES (64 * KIB) /* of a request body that nobody reads yet; then the sender has to wait */
#define NO_LENGTH       (-1)

struct exchange;

struct exchange_ops {
    void (*start)(struct exchange *x, const struct http_response *head, bool no_body);
    bool (*write)(struct exchange *x, struct http_bytes piece); /* takes the piece; false: above the high mark */
    void (*end)(struct exchange *x);   /* the response is complete; the backend calls exchange_transport_done() */
    void (*abort)(struct exchange *x); /* likewise */
    size_t (*queued)(const struct exchange *x);
    void (*want_body)(struct exchange *x);          /* the handler reads the body from now on */
    void (*consumed)(struct exchange *x, size_t n); /* bytes of the body were dealt with */
    struct channel *(*upgrade)(struct exchange *x, struct str protocol, const struct http_header *headers,
                               size_t count);
};

/* A peer outlives its connection as long as exchanges look at it. */
struct peer_box {
    int references;
    struct arena arena;
    struct http_peer peer;
};
struct peer_box *peer_box_new(void);
struct peer_box *peer_box_ref(struct peer_box *p);
void peer_box_unref(struct peer_box *p);
struct peer_box *peer_box_copy(const struct http_peer *peer);

enum body_mode { BODY_UNREAD, BODY_COLLECT, BODY_PIECES, BODY_DROP };

struct exchange {
    struct http_exchange pub;
    const struct exchange_ops *ops;
    void *backend;    /* connection or local call; NULL once the transport is done */
    int32_t id;       /* HTTP/2 */
    struct list link; /* in the connection */
    struct arena arena;
    struct peer_box *peer;
    const struct http_exchange_callbacks *cb;
    struct loop_task task; /* delivers what is pending, outside of the caller's stack */
    struct loop_timer body_timer;
    int64_t body_idle_ms;

    enum body_mode mode;
    struct buf in;
    size_t in_max;
    bool in_ended, in_told, in_paused;
    enum error_code in_error;
    http_body_collected *collected;
    http_body_piece *piece;
    void *body_arg;

    struct chunk_queue out; /* HTTP/2: waiting for the peer's window */
    size_t high_bytes, max_bytes;
    bool started, ended; /* by the handler */
    bool handled;        /* the handler has seen it */
    bool gone, gone_told, transport_done, held;
    bool no_body, chunked, want_drained;
    bool pending_drained, pending_gone;
    struct http_exchange_channel *as_channel;
};

void exchange_init(struct exchange *x, const struct exchange_ops *ops, void *backend, struct loop *loop,
                   const struct http_request *request, struct peer_box *peer);
/* The backend tells: */
void exchange_body_arrived(struct exchange *x, struct str bytes);
void exchange_body_ended(struct exchange *x);
void exchange_drained(struct exchange *x);
void exchange_gone(struct exchange *x);           /* the peer left before the end; then transport_done */
void exchange_transport_done(struct exchange *x); /* the backend will not touch it any more */
/* Request bytes that wait here for a reader. */
size_t exchange_held_bytes(const struct exchange *x);

#endif
