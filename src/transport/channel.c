/* Channels: what all kinds share. */
#include "transport/channel_internal.h"

static void deliver_early(void *arg)
{
    struct channel *c = arg;
    struct buf early = c->early;

    if (c->closing || !c->cb || c->paused)
        return;
    c->early = (struct buf){ .max = early.max };
    c->cb->on_read(c, buf_str(&early), c->arg);
    buf_done(&early);
    if (c->closing)
        return;
    if (c->early_eof) {
        c->early_eof = false;
        channel_tell_eof(c);
    } else {
        c->ops->update(c);
    }
}

void channel_init(struct channel *c, const struct channel_ops *ops, struct loop *loop)
{
    c->ops = ops;
    c->loop = loop;
    c->early.max = 16 * MIB;
    c->early_task = (struct loop_task){ .fn = deliver_early, .arg = c };
}

bool channel_can_read(const struct channel *c)
{
    return c->cb && !c->paused && !c->early.n && !c->closing;
}

void channel_tell_read(struct channel *c, struct str bytes)
{
    if (channel_can_read(c))
        c->cb->on_read(c, bytes, c->arg);
    else if (!c->closing)
        buf_add(&c->early, bytes);
}

void channel_tell_eof(struct channel *c)
{
    if (c->closing)
        return;
    if (c->early.n || !c->cb)
        c->early_eof = true;
    else if (c->cb->on_eof)
        c->cb->on_eof(c, c->arg);
    else
        channel_close(c);
}

void channel_tell_drained(struct channel *c)
{
    if (!c->closing && c->cb && c->cb->on_drained)
        c->cb->on_drained(c, c->arg);
}

void channel_tell_closed(struct channel *c, const struct error *err)
{
    c->closing = true;
    loop_defer_cancel(&c->early_task);
    buf_done(&c->early);
    if (c->cb && c->cb->on_closed)
        c->cb->on_closed(c, err, c->arg);
}

static void changed(struct channel *c)
{
    if (c->closing)
        return;
    if ((c->early.n || c->early_eof) && c->cb && !c->paused)
        loop_defer(c->loop, &c->early_task);
    c->ops->update(c);
}

void channel_unread(struct channel *c, struct str bytes)
{
    buf_add(&c->early, bytes);
    changed(c);
}

void channel_set_callbacks(struct channel *c, const struct channel_callbacks *cb, void *arg)
{
    c->cb = cb;
    c->arg = arg;
    changed(c);
}

bool channel_write(struct channel *c, struct str bytes)
{
    return !c->closing && c->ops->write(c, bytes, true, NULL, NULL);
}

bool channel_write_owned(struct channel *c, struct str bytes, loop_fn *release, void *owner)
{
    if (!c->closing)
        return c->ops->write(c, bytes, false, release, owner);
    if (release)
        release(owner);
    return false;
}

size_t channel_queued_bytes(const struct channel *c)
{
    return c->closing ? 0 : c->ops->queued(c);
}

uint64_t channel_written_bytes(const struct channel *c)
{
    return c->closing || !c->ops->written ? 0 : c->ops->written(c);
}

void channel_pause(struct channel *c)
{
    c->paused = true;
    changed(c);
}

void channel_resume(struct channel *c)
{
    c->paused = false;
    changed(c);
}

void channel_shutdown(struct channel *c)
{
    if (!c->closing)
        c->ops->shutdown(c);
}

void channel_close(struct channel *c)
{
    if (c->closing)
        return;
    c->closing = true;
    loop_defer_cancel(&c->early_task);
    c->ops->close(c);
}

void channel_close_after_write(struct channel *c, int64_t timeout_ms)
{
    if (!c->closing)
        c->ops->close_after_write(c, timeout_ms);
}

struct loop *channel_loop(const struct channel *c)
{
    return c->loop;
}

bool channel_is_paused(const struct channel *c)
{
    return c->paused;
}
