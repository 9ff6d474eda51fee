/*
 * A channel that is TLS over a stream.
 *
 * Plain bytes wait in `plain` and are encrypted only as fast as the socket takes them, so a big answer never exists as
 * cipher text. What is written in one round leaves in one system call at its end.
 */
#include "transport/channel_internal.h"

#include <stdlib.h>

#define RECORD_BYTES      (16 * KIB) /* the largest TLS record */
#define OUTPUT_HIGH_BYTES (64 * KIB) /* cipher text waiting; encryption stops here */

struct tls_channel {
    struct channel channel;
    struct stream *stream;
    struct tls *tls;
    struct chunk_queue plain;
    struct loop_task flush_task;
    bool want_drained, shutdown, shutdown_sent, close_when_empty, eof_told;
    int64_t close_timeout_ms;
    struct error error;
};

static struct tls_channel *of(const struct channel *c)
{
    return container_of(c, struct tls_channel, channel);
}

static void fail_channel(struct tls_channel *t, struct error *err)
{
    if (!t->error.code)
        error_move(&t->error, err);
    /* The alert that says why must leave before the connection goes. */
    stream_write(t->stream, buf_str(tls_output(t->tls)));
    t->channel.closing = true;
    loop_defer_cancel(&t->channel.early_task);
    loop_defer_cancel(&t->flush_task);
    stream_close_after_write(t->stream, 1000);
}

/* Send cipher text; its memory is given back, because most connections are idle. */
static void send_output(struct tls_channel *t)
{
    struct buf *out = tls_output(t->tls);

    if (!out->n)
        return;
    stream_write(t->stream, buf_str(out));
    buf_done(out);
}

/* One step of encryption: small chunks are gathered into one record, large ones go in without a copy. */
static int encrypt_some(struct tls_channel *t, struct error *err)
{
    char record[RECORD_BYTES];
    struct chunk *first = t->plain.first;
    size_t n;

    if (first->n >= RECORD_BYTES || !first->next) {
        n = MIN(first->n, 4 * RECORD_BYTES);
        if (tls_write(t->tls, (struct str){ first->p, n }, err) < 0)
            return -1;
        chunk_queue_drop(&t->plain, n);
        return 0;
    }
    n = chunk_queue_read(&t->plain, record, sizeof(record));
    return tls_write(t->tls, (struct str){ record, n }, err);
}

static void after_flush(struct tls_channel *t)
{
    if (t->plain.bytes)
        return;
    if (t->shutdown && !t->shutdown_sent) {
        t->shutdown_sent = true;
        tls_shutdown(t->tls);
        send_output(t);
        stream_shutdown(t->stream);
    }
    if (t->close_when_empty) {
        t->channel.closing = true;
        tls_shutdown(t->tls);
        send_output(t);
        stream_close_after_write(t->stream, t->close_timeout_ms);
    } else if (t->want_drained && stream_queued_bytes(t->stream) < OUTPUT_HIGH_BYTES) {
        t->want_drained = false;
        channel_tell_drained(&t->channel);
    }
}

static void flush(void *arg)
{
    struct tls_channel *t = arg;
    AUTO_ERROR struct error err = { 0 };

    if (t->channel.closing)
        return;
    send_output(t);
    while (tls_state(t->tls) == TLS_OPEN && t->plain.bytes && stream_queued_bytes(t->stream) < OUTPUT_HIGH_BYTES) {
        if (encrypt_some(t, &err) < 0) {
            fail_channel(t, &err);
            return;
        }
        if (tls_output(t->tls)->n >= 4 * RECORD_BYTES || !t->plain.bytes)
            send_output(t);
    }
    after_flush(t);
}

static bool do_write(struct channel *c, struct str bytes, bool copy, loop_fn *release, void *owner)
{
    struct tls_channel *t = of(c);

    if (t->shutdown || t->close_when_empty || !bytes.n) {
        if (release)
            release(owner);
        return !t->shutdown;
    }
    if (copy)
        chunk_queue_add_copy(&t->plain, bytes);
    else
        chunk_queue_add_owned(&t->plain, bytes, release, owner);
    loop_defer(c->loop, &t->flush_task);
    if (t->plain.bytes < CHANNEL_HIGH_BYTES)
        return true;
    t->want_drained = true;
    return false;
}

static size_t do_queued(const struct channel *c)
{
    return of(c)->plain.bytes + stream_queued_bytes(of(c)->stream);
}

static uint64_t do_written(const struct channel *c)
{
    return stream_written_bytes(of(c)->stream);
}

static void read_plain(struct tls_channel *t)
{
    char plain[RECORD_BYTES];
    AUTO_ERROR struct error err = { 0 };
    ptrdiff_t n = 0;

    while (channel_can_read(&t->channel) && (n = tls_read(t->tls, plain, sizeof(plain), &err)) > 0)
        channel_tell_read(&t->channel, (struct str){ plain, (size_t)n });
    if (t->channel.closing)
        return;
    if (n < 0) {
        fail_channel(t, &err);
        return;
    }
    tls_keep(t->tls);
    if (tls_output(t->tls)->n)
        loop_defer(t->channel.loop, &t->flush_task);
    if (tls_state(t->tls) == TLS_CLOSED && !t->eof_told) {
        t->eof_told = true;
        channel_tell_eof(&t->channel);
    }
}

static void do_update(struct channel *c)
{
    struct tls_channel *t = of(c);

    /* During the handshake nobody needs to want bytes. */
    if (tls_state(t->tls) == TLS_HANDSHAKE || channel_can_read(c))
        stream_resume(t->stream);
    else
        stream_pause(t->stream);
    if (channel_can_read(c) && tls_has_kept(t->tls))
        loop_defer(c->loop, &t->flush_task);
}

static void do_shutdown(struct channel *c)
{
    of(c)->shutdown = true;
    loop_defer(c->loop, &of(c)->flush_task);
}

static void do_close(struct channel *c)
{
    struct tls_channel *t = of(c);

    loop_defer_cancel(&t->flush_task);
    tls_shutdown(t->tls);
    send_output(t);
    stream_close(t->stream);
}

static void do_close_after_write(struct channel *c, int64_t timeout_ms)
{
    of(c)->close_when_empty = true;
    of(c)->close_timeout_ms = timeout_ms;
    loop_defer(c->loop, &of(c)->flush_task);
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

static void on_handshake(struct tls_channel *t)
{
    void (*on_open)(struct channel * c, void *arg) = t->channel.on_open;

    t->channel.on_open = NULL;
    if (on_open)
        on_open(&t->channel, t->channel.arg);
    if (!t->channel.closing && t->plain.bytes)
        loop_defer(t->channel.loop, &t->flush_task);
}

static void step(struct tls_channel *t, struct str cipher)
{
    AUTO_ERROR struct error err = { 0 };

    if (tls_feed(t->tls, cipher, &err) < 0) {
        fail_channel(t, &err);
        return;
    }
    if (tls_output(t->tls)->n)
        loop_defer(t->channel.loop, &t->flush_task);
    if (tls_state(t->tls) == TLS_OPEN && t->channel.on_open)
        on_handshake(t);
    if (!t->channel.closing)
        read_plain(t);
    if (!t->channel.closing)
        do_update(&t->channel);
}

static void run_flush(void *arg)
{
    struct tls_channel *t = arg;

    if (!t->channel.closing && channel_can_read(&t->channel) && tls_has_kept(t->tls))
        step(t, STR_NONE);
    flush(t);
}

static void on_open(struct stream *s, void *arg)
{
    (void)s;
    step(arg, STR_NONE);
}

static void on_read(struct stream *s, struct str bytes, void *arg)
{
    struct tls_channel *t = arg;

    (void)s;
    if (!t->channel.closing)
        step(t, bytes);
}

static void on_eof(struct stream *s, void *arg)
{
    struct tls_channel *t = arg;
    AUTO_ERROR struct error err = { 0 };

    (void)s;
    if (t->channel.closing || t->eof_told)
        return;
    if (tls_state(t->tls) == TLS_HANDSHAKE) {
        fail(&err, ERR_UNAVAILABLE, "TLS: the connection ended during the handshake");
        fail_channel(t, &err);
        return;
    }
    t->eof_told = true;
    channel_tell_eof(&t->channel);
}

static void on_drained(struct stream *s, void *arg)
{
    (void)s;
    flush(arg);
}

static void on_closed(struct stream *s, const struct error *err, void *arg)
{
    struct tls_channel *t = arg;

    (void)s;
    loop_defer_cancel(&t->flush_task);
    channel_tell_closed(&t->channel, t->error.code ? &t->error : err);
    chunk_queue_clear(&t->plain);
    error_done(&t->error);
    tls_free(t->tls);
    free(t);
}

static const struct stream_callbacks callbacks = {
    .on_open = on_open, .on_read = on_read, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

struct channel *channel_tls_new(struct stream *s, struct tls_context *tls, struct str host, bool alpn_http1,
                                void (*opened)(struct channel *c, void *arg))
{
    struct tls_channel *t = xnew(struct tls_channel);

    channel_init(&t->channel, &ops, stream_loop(s));
    t->channel.on_open = opened;
    t->stream = s;
    t->tls = tls_new(tls, host, alpn_http1);
    t->flush_task = (struct loop_task){ .fn = run_flush, .arg = t };
    stream_set_queue_high(s, OUTPUT_HIGH_BYTES);
    stream_set_callbacks(s, &callbacks, t);
    return &t->channel;
}

struct tls *channel_tls(struct channel *c)
{
    return c->ops == &ops ? of(c)->tls : NULL;
}
