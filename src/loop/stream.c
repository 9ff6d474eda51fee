/* Streams: the life every stream shares, whatever moves its bytes. */
#include "loop/stream_internal.h"

#include <stdlib.h>

#define HIGH_BYTES         (256 * KIB)
#define QUEUE_MAX_BYTES    (64 * MIB)
#define CONNECT_TIMEOUT_MS (10 * 1000)

static void run_closed(void *arg)
{
    struct stream *s = arg;

    s->closed = true;
    chunk_queue_clear(&s->queue);
    list_del(&s->link);
    s->loop->streams_count--;
    if (s->cb && s->cb->on_closed)
        s->cb->on_closed(s, s->error.code ? &s->error : NULL, s->arg);
    error_done(&s->error);
    free(s);
}

static void run_drained(void *arg)
{
    struct stream *s = arg;

    if (!s->closing && s->cb && s->cb->on_drained)
        s->cb->on_drained(s, s->arg);
}

static void on_timeout(void *arg)
{
    struct stream *s = arg;
    AUTO_ERROR struct error err = { 0 };
    char text[ADDRESS_TEXT_SIZE];

    if (!s->open)
        fail(&err, ERR_TIMEOUT, "connect to %s: no answer", address_format(&s->peer, text));
    else
        fail(&err, ERR_TIMEOUT, "%s takes no bytes", address_format(&s->peer, text));
    stream_fail(s, &err);
}

struct stream *stream_new(struct loop *loop, const struct stream_ops *ops, const struct stream_options *options,
                          const struct stream_callbacks *cb, void *arg)
{
    struct stream *s = xnew(struct stream);

    s->ops = ops;
    s->loop = loop;
    s->cb = cb;
    s->arg = arg;
    s->fd = -1;
    s->high_bytes = options && options->queue_high_bytes ? options->queue_high_bytes : HIGH_BYTES;
    s->max_bytes = options && options->queue_max_bytes ? options->queue_max_bytes : QUEUE_MAX_BYTES;
    s->closed_task = (struct loop_task){ .fn = run_closed, .arg = s };
    s->drained_task = (struct loop_task){ .fn = run_drained, .arg = s };
    loop_timer_init(&s->timer, loop, on_timeout, s);
    list_add_tail(&loop->streams, &s->link);
    loop->streams_count++;
    return s;
}

void stream_set_callbacks(struct stream *s, const struct stream_callbacks *cb, void *arg)
{
    s->cb = cb;
    s->arg = arg;
    if (!s->closing)
        s->ops->update(s);
}

void stream_opened(struct stream *s)
{
    s->open = true;
    loop_timer_stop(&s->timer);
    s->ops->update(s);
    if (s->cb && s->cb->on_open)
        s->cb->on_open(s, s->arg);
    if (!s->closing && (s->queue.bytes || s->shutdown))
        s->ops->flush(s);
}

void stream_fail(struct stream *s, struct error *err)
{
    if (!s->closing)
        error_move(&s->error, err);
    stream_close(s);
}

void stream_close(struct stream *s)
{
    if (!s || s->closing)
        return;
    s->closing = true;
    loop_timer_stop(&s->timer);
    loop_defer_cancel(&s->drained_task);
    s->ops->release(s);
    loop_defer(s->loop, &s->closed_task);
}

void stream_close_after_write(struct stream *s, int64_t timeout_ms)
{
    if (s->closing)
        return;
    if (!s->queue.bytes) {
        stream_close(s);
        return;
    }
    s->close_when_empty = true;
    loop_timer_start(&s->timer, timeout_ms);
}

void stream_got_end(struct stream *s)
{
    if (s->read_ended || s->closing)
        return;
    s->read_ended = true;
    s->ops->update(s);
    if (s->cb && s->cb->on_eof)
        s->cb->on_eof(s, s->arg);
    else
        stream_close(s);
}

void stream_wrote(struct stream *s, size_t n)
{
    chunk_queue_drop(&s->queue, n);
    s->written_bytes += n;
    if (s->queue.bytes)
        return;
    if (s->close_when_empty) {
        stream_close(s);
    } else if (s->want_drained) {
        s->want_drained = false;
        loop_defer(s->loop, &s->drained_task);
    }
}

/* False: no room, the stream is closing now. One piece of any size fits an empty queue: whoever owns it has the memory. */
static bool has_room(struct stream *s, size_t n)
{
    AUTO_ERROR struct error err = { 0 };

    if (s->queue.bytes + n <= s->max_bytes || s->queue.bytes < s->high_bytes)
        return true;
    fail(&err, ERR_TOO_LARGE, "more than %zu bytes wait to be written", s->max_bytes);
    stream_fail(s, &err);
    return false;
}

static bool queued(struct stream *s, bool was_empty)
{
    if (s->open && was_empty)
        s->ops->flush(s);
    if (s->closing)
        return false;
    if (s->queue.bytes < s->high_bytes)
        return true;
    s->want_drained = true;
    return false;
}

bool stream_write(struct stream *s, struct str bytes)
{
    bool was_empty = !s->queue.bytes;

    if (s->closing || s->shutdown || !has_room(s, bytes.n))
        return false;
    if (was_empty && s->open && s->ops->write_now && bytes.n) {
        size_t n = s->ops->write_now(s, bytes);

        s->written_bytes += n;
        bytes = str_from(bytes, n);
    }
    if (!bytes.n || s->closing)
        return !s->closing;
    chunk_queue_add_copy(&s->queue, bytes);
    return queued(s, was_empty);
}

bool stream_write_owned(struct stream *s, struct str bytes, loop_fn *release, void *owner)
{
    bool was_empty = !s->queue.bytes;

    if (s->closing || s->shutdown || !bytes.n || !has_room(s, bytes.n)) {
        if (release)
            release(owner);
        return !s->closing && !s->shutdown;
    }
    chunk_queue_add_owned(&s->queue, bytes, release, owner);
    return queued(s, was_empty);
}

size_t stream_queued_bytes(const struct stream *s)
{
    return s->queue.bytes;
}

void stream_set_queue_high(struct stream *s, size_t bytes)
{
    s->high_bytes = bytes;
}

uint64_t stream_written_bytes(const struct stream *s)
{
    return s->written_bytes;
}

void stream_shutdown(struct stream *s)
{
    if (s->closing || s->shutdown)
        return;
    s->shutdown = true;
    if (s->open)
        s->ops->flush(s);
}

void stream_pause(struct stream *s)
{
    s->paused = true;
    if (!s->closing)
        s->ops->update(s);
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    if (!s->closing)
        s->ops->update(s);
}

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

struct address stream_peer(const struct stream *s)
{
    return s->peer;
}

struct address stream_local(const struct stream *s)
{
    return s->local;
}

int stream_fd(const struct stream *s)
{
    return s->fd;
}
