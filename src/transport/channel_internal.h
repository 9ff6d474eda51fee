/* Inside of channels: what each kind of channel fills in. */
#ifndef TRANSPORT_CHANNEL_INTERNAL_H
#define TRANSPORT_CHANNEL_INTERNAL_H

#include "loop/chunk.h"
#include "transport/channel.h"
#include "wire/tls.h"

#define CHANNEL_HIGH_BYTES (256 * KIB)

struct channel_ops {
    /* At least one of the bytes' owner and `copy`. False: above the high mark. */
    bool (*write)(struct channel *c, struct str bytes, bool copy, loop_fn *release, void *owner);
    size_t (*queued)(const struct channel *c);
    uint64_t (*written)(const struct channel *c);
    void (*update)(struct channel *c); /* channel_can_read() may have changed */
    void (*shutdown)(struct channel *c);
    void (*close)(struct channel *c);
    void (*close_after_write)(struct channel *c, int64_t timeout_ms);
};

struct channel {
    const struct channel_ops *ops;
    struct loop *loop;
    const struct channel_callbacks *cb;
    void *arg;
    bool paused, closing;
    struct buf early; /* handed back by channel_unread() */
    bool early_eof;
    struct loop_task early_task;
    void (*on_open)(struct channel *c, void *arg); /* TLS: the handshake is done */
};

void channel_init(struct channel *c, const struct channel_ops *ops, struct loop *loop);
bool channel_can_read(const struct channel *c);
/* Each kind calls these; a channel is freed by its kind after channel_tell_closed(). */
void channel_tell_read(struct channel *c, struct str bytes);
void channel_tell_eof(struct channel *c);
void channel_tell_drained(struct channel *c);
void channel_tell_closed(struct channel *c, const struct error *err);

/* Bytes that were read but belong to whoever gets the channel next (an upgrade): delivered first, in a later round. */
void channel_unread(struct channel *c, struct str bytes);
bool channel_is_paused(const struct channel *c);
uint64_t channel_written_bytes(const struct channel *c);
/* TLS over a stream; `on_open` comes when the handshake is done. Clients give the host to verify. */
struct channel *channel_tls_new(struct stream *s, struct tls_context *tls, struct str host, bool alpn_http1,
                                void (*on_open)(struct channel *c, void *arg));
struct tls *channel_tls(struct channel *c);       /* NULL: not TLS */
struct stream *channel_stream(struct channel *c); /* NULL: not over a stream */

#endif
