/* Streams over a descriptor: sockets, pipes, terminals. */
#include "loop/stream_internal.h"
#include "loop/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define READS_MAX         4  /* full buffers in a row before others get their turn */
#define WRITE_PARTS       16 /* chunks of one writev */
#define KEEPALIVE_S       30
#define UNACKNOWLEDGED_MS 30000 /* a cut cable ends a writing connection so soon, not after the kernel's 15 minutes */

static void fail_stream_sys(struct stream *s, int sys, const char *what)
{
    AUTO_ERROR struct error err = { 0 };
    char text[ADDRESS_TEXT_SIZE];

    address_format(&s->peer, text);
    fail_sys(&err, sys, "%s%s%s", what, text[0] ? " " : "", text);
    err.code = ERR_UNAVAILABLE;
    stream_fail(s, &err);
}

static void do_update(struct stream *s)
{
    unsigned events = 0;

    if (!s->poller)
        return;
    if (!s->open || s->queue.bytes)
        events |= FD_WRITABLE;
    if (s->open && !s->paused && !s->read_ended && s->cb)
        events |= FD_READABLE;
    poller_set(s->poller, events);
}

static ssize_t write_parts(struct stream *s)
{
    struct iovec parts[WRITE_PARTS];
    struct msghdr message = { .msg_iov = parts };
    size_t n = 0;

    for (struct chunk *c = s->queue.first; c && n < WRITE_PARTS; c = c->next)
        parts[n++] = (struct iovec){ (void *)c->p, c->n };
    message.msg_iovlen = n;
    if (s->is_socket)
        return sendmsg(s->fd, &message, MSG_NOSIGNAL);
    return writev(s->fd, parts, (int)n);
}

static void send_end(struct stream *s)
{
    s->shutdown_sent = true;
    if (s->is_socket)
        shutdown(s->fd, SHUT_WR);
    else
        stream_close(s); /* a pipe has one direction, a terminal no half close */
}

static void do_flush(struct stream *s)
{
    while (s->queue.bytes && !s->closing) {
        ssize_t n = write_parts(s);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            fail_stream_sys(s, errno, "write to");
            return;
        }
        stream_wrote(s, (size_t)n);
    }
    if (s->closing)
        return;
    if (!s->queue.bytes && s->shutdown && !s->shutdown_sent)
        send_end(s);
    if (!s->closing)
        do_update(s);
}

static size_t do_write_now(struct stream *s, struct str bytes)
{
    size_t done = 0;

    while (done < bytes.n) {
        ssize_t n = s->is_socket ? send(s->fd, bytes.p + done, bytes.n - done, MSG_NOSIGNAL)
                                 : write(s->fd, bytes.p + done, bytes.n - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            fail_stream_sys(s, errno, "write to");
        if (n < 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static void read_some(struct stream *s)
{
    for (int i = 0; i < READS_MAX && !s->closing && !s->paused && s->cb; i++) {
        ssize_t n = read(s->fd, s->loop->read_buffer, LOOP_READ_BYTES);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        /* A terminal whose last user is gone says EIO: that is its end of file. */
        if (n == 0 || (n < 0 && errno == EIO && !s->is_socket)) {
            stream_got_end(s);
            return;
        }
        if (n < 0) {
            fail_stream_sys(s, errno, "read from");
            return;
        }
        s->cb->on_read(s, (struct str){ s->loop->read_buffer, (size_t)n }, s->arg);
        if ((size_t)n < LOOP_READ_BYTES)
            return;
    }
}

static void finish_connect(struct stream *s)
{
    int sys = 0;
    socklen_t length = sizeof(sys);

    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &sys, &length);
    if (sys) {
        fail_stream_sys(s, sys, "connect to");
        return;
    }
    s->local.length = sizeof(s->local.sa);
    getsockname(s->fd, (struct sockaddr *)&s->local.sa, &s->local.length);
    stream_opened(s);
}

static void on_ready(void *arg, unsigned events)
{
    struct stream *s = arg;

    if (s->closing)
        return;
    if (!s->open) {
        finish_connect(s);
        return;
    }
    if (events & FD_WRITABLE)
        do_flush(s);
    if (!s->closing && (events & FD_READABLE))
        read_some(s);
}

static void do_release(struct stream *s)
{
    poller_free(s->poller);
    s->poller = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static const struct stream_ops fd_ops = {
    .write_now = do_write_now, .flush = do_flush, .update = do_update, .release = do_release
};

static void set_socket_options(int fd, int family)
{
    int on = 1, idle_s = KEEPALIVE_S, interval_s = 10, probes = 3;
    unsigned unacknowledged_ms = UNACKNOWLEDGED_MS;

    if (family != AF_INET && family != AF_INET6)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
}

/* Gives the descriptor to the stream, which is open unless `connecting`. */
static int attach_fd(struct stream *s, int fd, bool connecting, struct error *err)
{
    struct stat st;

    s->fd = fd;
    s->is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return fail_sys(err, errno, "make descriptor %d non-blocking", fd);
    s->poller = poller_new(s->loop, fd, on_ready, s, err);
    if (!s->poller)
        return -1;
    if (s->is_socket && !connecting) {
        s->peer.length = s->local.length = sizeof(s->peer.sa);
        if (getpeername(fd, (struct sockaddr *)&s->peer.sa, &s->peer.length) < 0)
            s->peer.length = 0;
        if (getsockname(fd, (struct sockaddr *)&s->local.sa, &s->local.length) < 0)
            s->local.length = 0;
        set_socket_options(fd, s->local.length ? s->local.sa.ss_family : AF_UNSPEC);
    }
    s->open = !connecting;
    do_update(s);
    return 0;
}

struct stream *stream_of_fd(struct loop *loop, int fd, const struct stream_options *options,
                            const struct stream_callbacks *cb, void *arg, struct error *err)
{
    struct stream *s = stream_new(loop, &fd_ops, options, cb, arg);
    AUTO_ERROR struct error local = { 0 };

    if (attach_fd(s, fd, false, &local) < 0) {
        stream_fail(s, &local);
        error_context(err, "stream");
    }
    return s;
}

struct stream *stream_wrap(struct loop *loop, int fd, const struct stream_options *options,
                           const struct stream_callbacks *cb, void *arg)
{
    return stream_of_fd(loop, fd, options, cb, arg, NULL);
}

static int start_connect(struct stream *s, const struct address *to, const struct stream_options *options,
                         struct error *err)
{
    char text[ADDRESS_TEXT_SIZE];
    int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return fail_sys(err, errno, "make a socket");
    set_socket_options(fd, to->sa.ss_family);
    if (options && options->bind.length &&
        bind(fd, (const struct sockaddr *)&options->bind.sa, options->bind.length) < 0) {
        fail_sys(err, errno, "bind to %s", address_format(&options->bind, text));
        close(fd);
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&to->sa, to->length) < 0 && errno != EINPROGRESS) {
        fail_sys(err, errno, "connect to %s", address_format(to, text));
        close(fd);
        return -1;
    }
    return attach_fd(s, fd, true, err);
}

struct stream *stream_connect(struct loop *loop, const struct address *to, const struct stream_options *options,
                              const struct stream_callbacks *cb, void *arg)
{
    bool sim = loop_is_sim(loop);
    struct stream *s = stream_new(loop, sim ? &stream_memory_ops : &fd_ops, options, cb, arg);
    AUTO_ERROR struct error err = { 0 };

    s->peer = *to;
    loop_timer_start(&s->timer, options && options->connect_timeout_ms ? options->connect_timeout_ms : 10000);
    if (sim) {
        if (options)
            s->local = options->bind;
        stream_memory_connect(s, to);
    } else if (start_connect(s, to, options, &err) < 0) {
        err.code = ERR_UNAVAILABLE;
        stream_fail(s, &err);
    }
    return s;
}
