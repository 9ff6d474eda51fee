/* A channel that is a stream: plain TCP, unix sockets, memory. */
#include "transport/channel_internal.h"

#include <stdlib.h>

struct stream_channel {
    struct channel channel;
    struct stream *stream;
};

static struct stream_channel *of(const struct channel *c)
{
    return container_of(c, struct stream_channel, channel);
}

static bool do_write(struct channel *c, struct str bytes, bool copy, loop_fn *release, void *owner)
{
    return copy ? stream_write(of(c)->stream, bytes) : stream_write_owned(of(c)->stream, bytes, release, owner);
}

static size_t do_queued(const struct channel *c)
{
    return stream_queued_bytes(of(c)->stream);
}

static uint64_t do_written(const struct channel *c)
{
    return stream_written_bytes(of(c)->stream);
}

static void do_update(struct channel *c)
{
    if (channel_can_read(c))
        stream_resume(of(c)->stream);
    else
        stream_pause(of(c)->stream);
}

static void do_shutdown(struct channel *c)
{
    stream_shutdown(of(c)->stream);
}

static void do_close(struct channel *c)
{
    stream_close(of(c)->stream);
}

static void do_close_after_write(struct channel *c, int64_t timeout_ms)
{
    stream_close_after_write(of(c)->stream, timeout_ms);
}

static const struct channel_ops ops = {
    .write = do_write,
    .queued = do_queued,
    .written = do_written,
    .update = do_update,
    .shutdown = do_shutdown,
    .close = do_close,
    .close_after_write = do_close_after_write,
};

static void on_read(struct stream *s, struct str bytes, void *arg)
{
    (void)s;
    channel_tell_read(arg, bytes);
}

static void on_eof(struct stream *s, void *arg)
{
    (void)s;
    channel_tell_eof(arg);
}

static void on_drained(struct stream *s, void *arg)
{
    (void)s;
    channel_tell_drained(arg);
}

static void on_closed(struct stream *s, const struct error *err, void *arg)
{
    struct channel *c = arg;

    (void)s;
    channel_tell_closed(c, err);
    free(of(c));
}

static const struct stream_callbacks callbacks = {
    .on_read = on_read, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

struct channel *channel_of_stream(struct stream *s)
{
    struct stream_channel *c = xnew(struct stream_channel);

    channel_init(&c->channel, &ops, stream_loop(s));
    c->stream = s;
    stream_pause(s); /* until somebody sets callbacks */
    stream_set_callbacks(s, &callbacks, &c->channel);
    return &c->channel;
}

void channel_pair(struct loop *loop, struct channel *ret[2])
{
    struct stream *ends[2];

    stream_pair(loop, ends);
    ret[0] = channel_of_stream(ends[0]);
    ret[1] = channel_of_stream(ends[1]);
}

struct stream *channel_stream(struct channel *c)
{
    return c->ops == &ops ? of(c)->stream : NULL;
}
