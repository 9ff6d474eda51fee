/* Inside of streams and listeners: one struct, two ways to move bytes (descriptor, memory). */
#ifndef LOOP_STREAM_INTERNAL_H
#define LOOP_STREAM_INTERNAL_H

#include "loop/chunk.h"
#include "loop/internal.h"
#include "loop/stream.h"

struct stream_ops {
    size_t (*write_now)(struct stream *s, struct str bytes); /* with an empty queue: how much was taken; may be NULL */
    void (*flush)(struct stream *s);                         /* write what the queue holds, as far as possible now */
    void (*update)(struct stream *s);                        /* reading or writing interest changed */
    void (*release)(struct stream *s);                       /* on closing: let go of descriptor or peer */
};

struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    struct list link;
    const struct stream_callbacks *cb;
    void *arg;
    struct chunk_queue queue;
    uint64_t written_bytes;
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
