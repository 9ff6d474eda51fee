/* Inside of streams and listeners: one struct, two ways to move bytes (descriptor, memory). */
#ifndef LOOP_STREAM_INTERNAL_H
#define LOOP_STREAM_INTERNAL_H

#include "loop/internal.h"
#include "loop/stream.h"

/* Bytes waiting to be written. Owned ones have a release or an owner; copies live behind the struct. */
struct chunk {
    struct chunk *next;
    const char *p; /* what is left of it */
    size_t n;
    size_t room; /* copies: bytes that can still be appended after p + n */
    loop_fn *release;
    void *owner;
};

struct chunk_queue {
    struct chunk *first, *last;
    size_t bytes;
};

void chunk_queue_add_copy(struct chunk_queue *q, struct str bytes);
void chunk_queue_add_owned(struct chunk_queue *q, struct str bytes, loop_fn *release, void *owner);
void chunk_queue_drop(struct chunk_queue *q, size_t n); /* n bytes from the front were dealt with */
void chunk_queue_clear(struct chunk_queue *q);

struct stream_ops {
    void (*flush)(struct stream *s);   /* write what the queue holds, as far as possible now */
    void (*update)(struct stream *s);  /* reading or writing interest changed */
    void (*release)(struct stream *s); /* on closing: let go of descriptor or peer */
};

struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    struct list link;
    const struct stream_callbacks *cb;
    void *arg;
    struct chunk_queue queue;
    size_t high_bytes, max_bytes;
    bool open; /* connected */
    bool paused;
    bool read_ended; /* the peer's end was seen */
    bool shutdown, shutdown_sent;
    bool closing, closed;
    bool want_drained;
    bool close_when_empty;
    struct error error; /* why it closes; ERR_NONE: cleanly */
    struct loop_task closed_task, drained_task;
    struct loop_timer timer; /* connect, or the last bytes */
    struct address peer, local;

    int fd; /* descriptor streams */
    bool is_socket;
    struct poller *poller;

    struct stream *other; /* memory streams: the other end, NULL once it is gone */
    struct loop_timer delivery;
    bool end_sent, reset;
};

struct listener {
    struct loop *loop;
    struct list link;
    const struct listener_callbacks *cb;
    void *arg;
    struct listener_options options;
    struct address address;
    int fd; /* -1 on a sim loop */
    struct poller *poller;
    bool paused, closed;
    struct loop_task closed_task;
    struct loop_timer retry; /* after running out of descriptors */
};

struct stream *stream_new(struct loop *loop, const struct stream_ops *ops, const struct stream_options *options,
                          const struct stream_callbacks *cb, void *arg);
void stream_opened(struct stream *s);                  /* tells on_open */
void stream_fail(struct stream *s, struct error *err); /* takes the error; closes */
void stream_got_end(struct stream *s);                 /* the peer will send no more */
void stream_wrote(struct stream *s, size_t n);         /* n bytes of the queue have left */
struct listener *listener_alloc(struct loop *loop, const struct address *at, const struct listener_options *options,
                                const struct listener_callbacks *cb, void *arg);

/* stream_fd.c */
struct stream *stream_of_fd(struct loop *loop, int fd, const struct stream_options *options,
                            const struct stream_callbacks *cb, void *arg, struct error *err);
/* stream_memory.c */
void stream_memory_connect(struct stream *s, const struct address *to);
extern const struct stream_ops stream_memory_ops;
/* sim.c */
int64_t sim_delay_ms(struct loop *loop);
bool sim_is_cut(struct loop *loop, const struct stream *from, const struct stream *to);
struct listener *sim_find_listener(struct loop *loop, const struct address *at);

#endif
