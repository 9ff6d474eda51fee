/*
 * A channel: a two-way byte stream above whatever carries it: TLS, plain TCP, a unix socket, one HTTP/2 stream, or two
 * parts of one process. Upgrades (WebSocket, SPDY, the tunnel) and pod streams speak only to this.
 *
 * Life and rules are those of loop/stream.h: on_closed comes exactly once, then the channel is freed; bytes are valid
 * during on_read; write returns false for "wait for on_drained"; callbacks are never called inside channel_* calls.
 */
#ifndef TRANSPORT_CHANNEL_H
#define TRANSPORT_CHANNEL_H

#include "loop/stream.h"

struct channel;

struct channel_callbacks {
    void (*on_read)(struct channel *c, struct str bytes, void *arg);
    void (*on_eof)(struct channel *c, void *arg);     /* NULL: the end of reading closes the channel */
    void (*on_drained)(struct channel *c, void *arg); /* may be NULL */
    void (*on_closed)(struct channel *c, const struct error *err, void *arg); /* err NULL: clean */
};

void channel_set_callbacks(struct channel *c, const struct channel_callbacks *cb, void *arg);
bool channel_write(struct channel *c, struct str bytes); /* copies */
bool channel_write_owned(struct channel *c, struct str bytes, loop_fn *release, void *owner);
size_t channel_queued_bytes(const struct channel *c);
void channel_pause(struct channel *c);
void channel_resume(struct channel *c);
void channel_shutdown(struct channel *c); /* our direction ends after what is queued */
void channel_close(struct channel *c);    /* drops the queue */
void channel_close_after_write(struct channel *c, int64_t timeout_ms);
struct loop *channel_loop(const struct channel *c);

/* Both ends in memory, on one loop. */
void channel_pair(struct loop *loop, struct channel *ret[2]);
/* Plain bytes of a stream: takes the stream over. */
struct channel *channel_of_stream(struct stream *s);
/* Copy both ways between two channels with back-pressure and half close until both are closed; takes both over. */
void channel_join(struct channel *a, struct channel *b, loop_fn *done, void *arg);

#endif
