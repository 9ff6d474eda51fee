/*
 * Byte streams: TCP, unix sockets, pipes, terminals, and any other descriptor that reads and writes like one.
 *
 * Life: made by stream_connect(), stream_wrap() or a listener; then on_open (connect only), any number of on_read, at
 * most one on_eof, and exactly one on_closed, which says why and after which the stream is freed. Whatever happens,
 * on_closed comes: put the clean-up there and nowhere else. The owner closes with stream_close(); errors close by
 * themselves.
 *
 * Reading: on as soon as the stream is open, unless stream_pause() was called. Bytes are valid during on_read only.
 * Writing: stream_write() copies, stream_write_owned() does not. The queue holds at most `queue_max_bytes`: what does
 * not fit closes the stream with ERR_TOO_LARGE, so watch the return value: false means "enough, wait for on_drained".
 * Half close: stream_shutdown() sends the end after what is queued; reading goes on until on_eof.
 */
#ifndef LOOP_STREAM_H
#define LOOP_STREAM_H

#include "loop/address.h"
#include "loop/loop.h"

struct stream;

struct stream_callbacks {
    void (*on_open)(struct stream *s, void *arg); /* connected; may be NULL */
    void (*on_read)(struct stream *s, struct str bytes, void *arg);
    void (*on_eof)(struct stream *s, void *arg);     /* NULL: the end of reading closes the stream */
    void (*on_drained)(struct stream *s, void *arg); /* the queue is empty again after a false; may be NULL */
    void (*on_closed)(struct stream *s, const struct error *err, void *arg); /* err NULL: closed by us or a clean end */
};

struct stream_options {
    size_t queue_high_bytes;    /* stream_write() returns false from here on; 0: 256 KiB */
    size_t queue_max_bytes;     /* the stream is closed when more is queued; 0: 64 MiB */
    int64_t connect_timeout_ms; /* 0: 10 s */
    struct address bind;        /* local address of a connection; length 0: any */
};

/* Never returns NULL; failures arrive in on_closed. `options` may be NULL. TCP_NODELAY and keep-alive are set. */
struct stream *stream_connect(struct loop *loop, const struct address *to, const struct stream_options *options,
                              const struct stream_callbacks *cb, void *arg);
/* Takes the descriptor over (also on failure): socket, pipe, pty, socketpair; made non-blocking. System loops only. */
struct stream *stream_wrap(struct loop *loop, int fd, const struct stream_options *options,
                           const struct stream_callbacks *cb, void *arg);
/* Two ends joined in memory, on any loop; bytes arrive one round later. */
void stream_pair(struct loop *loop, struct stream *ret[2]);
/* Set or replace the callbacks; `cb` must outlive the stream. Streams from a listener or a pair need it at once. */
void stream_set_callbacks(struct stream *s, const struct stream_callbacks *cb, void *arg);

bool stream_write(struct stream *s, struct str bytes);
/* Without copying: release(owner) is called exactly once when the bytes are no longer needed (sent or dropped). */
bool stream_write_owned(struct stream *s, struct str bytes, loop_fn *release, void *owner);
size_t stream_queued_bytes(const struct stream *s);
void stream_set_queue_high(struct stream *s, size_t bytes);
uint64_t stream_written_bytes(const struct stream *s); /* taken by the kernel or the other end, ever */
void stream_shutdown(struct stream *s);                /* half close, after the queue */
void stream_close(struct stream *s); /* drops the queue; on_closed follows in a later round; twice is fine */
void stream_close_after_write(struct stream *s, int64_t timeout_ms); /* send the queue first, at most so long */
void stream_pause(struct stream *s); /* stop reading: the kernel's buffer fills and the peer waits */
void stream_resume(struct stream *s);

struct loop *stream_loop(const struct stream *s);
struct address stream_peer(const struct stream *s);
struct address stream_local(const struct stream *s);
int stream_fd(const struct stream *s); /* -1 on a sim loop; for getsockopt (SO_PEERCRED), terminal sizes */

struct listener;
struct listener_callbacks {
    void (*on_stream)(struct listener *l, struct stream *s,
                      void *arg);                     /* call stream_set_callbacks() or stream_close() here */
    void (*on_closed)(struct listener *l, void *arg); /* may be NULL */
};
struct listener_options {
    int backlog;      /* 0: 1024 */
    bool reuse_port;  /* SO_REUSEPORT: one listener per loop on one address, kernel balances */
    bool dual_stack;  /* "[::]" also accepts IPv4 */
    mode_t unix_mode; /* of a unix socket's file; 0: 0600 */
    struct stream_options stream;
};
/* Port 0 picks one: ask listener_address(). A stale unix socket file is replaced. Errors: ERR_ALREADY_EXISTS in use. */
struct listener *listener_new(struct loop *loop, const struct address *at, const struct listener_options *options,
                              const struct listener_callbacks *cb, void *arg, struct error *err);
/* Takes over a listening socket made elsewhere (another network namespace, socket activation). */
struct listener *listener_wrap(struct loop *loop, int fd, const struct listener_options *options,
                               const struct listener_callbacks *cb, void *arg, struct error *err);
struct address listener_address(const struct listener *l);
void listener_pause(struct listener *l); /* stop accepting: connections wait in the backlog */
void listener_resume(struct listener *l);
void listener_close(struct listener *l); /* accepted streams stay; NULL is fine */

/* Look a name up on a worker (getaddrinfo). addresses are valid during the call; count 0 with err on failure. */
typedef void loop_resolved(void *arg, const struct address *addresses, size_t count, const struct error *err);
void loop_resolve(struct loop *loop, struct str host, uint16_t port, loop_resolved *done, void *arg);

#endif
