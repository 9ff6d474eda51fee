/* Listeners: accept streams on an address, on a socket or in a simulation's memory. */
#include "loop/stream_internal.h"
#include "loop/watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOG_PART "loop"
#include "base/log.h"

#define ACCEPTS_MAX  64  /* in a row before others get their turn */
#define EXHAUSTED_MS 100 /* out of descriptors: wait so long instead of spinning */
#define BACKLOG      1024

static void run_closed(void *arg)
{
    struct listener *l = arg;

    list_del(&l->link);
    if (l->cb->on_closed)
        l->cb->on_closed(l, l->arg);
    free(l);
}

static void on_retry(void *arg)
{
    struct listener *l = arg;

    if (!l->paused && l->poller)
        poller_set(l->poller, FD_READABLE);
}

struct listener *listener_alloc(struct loop *loop, const struct address *at, const struct listener_options *options,
                                const struct listener_callbacks *cb, void *arg)
{
    struct listener *l = xnew(struct listener);

    l->loop = loop;
    l->cb = cb;
    l->arg = arg;
    l->fd = -1;
    if (options)
        l->options = *options;
    if (at)
        l->address = *at;
    l->closed_task = (struct loop_task){ .fn = run_closed, .arg = l };
    loop_timer_init(&l->retry, loop, on_retry, l);
    list_add_tail(&loop->listeners, &l->link);
    return l;
}

static void on_acceptable(void *arg, unsigned events)
{
    struct listener *l = arg;

    (void)events;
    for (int i = 0; i < ACCEPTS_MAX && !l->closed && !l->paused; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            log_warn("no descriptor left for a new connection", KV("retry_ms", "%d", EXHAUSTED_MS));
            poller_set(l->poller, 0);
            loop_timer_start(&l->retry, EXHAUSTED_MS);
            return;
        }
        if (fd < 0)
            return;
        l->cb->on_stream(l, stream_of_fd(l->loop, fd, &l->options.stream, NULL, NULL, NULL), l->arg);
    }
}

/* A socket file nobody listens on is left over from a crash: remove it. */
static void remove_stale_socket(const struct address *at)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&at->sa;
    struct stat st;
    AUTO_FD int fd = -1;

    if (!address_is_unix(at) || !un->sun_path[0] || lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)un, at->length) < 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
}

static int open_socket(const struct address *at, const struct listener_options *o, struct error *err)
{
    int on = 1, v6only = !(o && o->dual_stack);
    char text[ADDRESS_TEXT_SIZE];
    const struct sockaddr_un *un = (const struct sockaddr_un *)&at->sa;
    AUTO_FD int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return fail_sys(err, errno, "make a socket");
    if (at->sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    if (!address_is_unix(at))
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (o && o->reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    remove_stale_socket(at);
    if (bind(fd, (const struct sockaddr *)&at->sa, at->length) < 0) {
        int sys = errno;

        fail_sys(err, sys, "listen on %s", address_format(at, text));
        if (err && sys == EADDRINUSE)
            err->code = ERR_ALREADY_EXISTS;
        return -1;
    }
    if (address_is_unix(at) && un->sun_path[0] && chmod(un->sun_path, o && o->unix_mode ? o->unix_mode : 0600) < 0)
        return fail_sys(err, errno, "chmod %s", un->sun_path);
    if (listen(fd, o && o->backlog ? o->backlog : BACKLOG) < 0)
        return fail_sys(err, errno, "listen on %s", address_format(at, text));
    return TAKE_FD(fd);
}

struct listener *listener_wrap(struct loop *loop, int fd, const struct listener_options *options,
                               const struct listener_callbacks *cb, void *arg, struct error *err)
{
    struct listener *l = listener_alloc(loop, NULL, options, cb, arg);

    l->fd = fd;
    l->address.length = sizeof(l->address.sa);
    if (getsockname(fd, (struct sockaddr *)&l->address.sa, &l->address.length) < 0)
        l->address.length = 0;
    l->poller = poller_new(loop, fd, on_acceptable, l, err);
    if (!l->poller) {
        list_del(&l->link);
        close(fd);
        free(l);
        return NULL;
    }
    poller_set(l->poller, FD_READABLE);
    return l;
}

struct listener *listener_new(struct loop *loop, const struct address *at, const struct listener_options *options,
                              const struct listener_callbacks *cb, void *arg, struct error *err)
{
    int fd;
    char text[ADDRESS_TEXT_SIZE];

    if (loop_is_sim(loop)) {
        struct address chosen = *at;

        /* As the kernel would, port 0 takes the first free one of the dynamic range. */
        if (!address_is_unix(at) && !address_port(at))
            for (uint16_t port = 32768; address_set_port(&chosen, port), sim_find_listener(loop, &chosen); port++)
                ;
        if (sim_find_listener(loop, &chosen) && !(options && options->reuse_port))
            return fail_null(err, ERR_ALREADY_EXISTS, "listen on %s: address in use", address_format(at, text));
        return listener_alloc(loop, &chosen, options, cb, arg);
    }
    fd = open_socket(at, options, err);
    return fd < 0 ? NULL : listener_wrap(loop, fd, options, cb, arg, err);
}

struct address listener_address(const struct listener *l)
{
    return l->address;
}

void listener_pause(struct listener *l)
{
    l->paused = true;
    if (l->poller)
        poller_set(l->poller, 0);
}

void listener_resume(struct listener *l)
{
    l->paused = false;
    if (l->poller)
        poller_set(l->poller, FD_READABLE);
}

void listener_close(struct listener *l)
{
    if (!l || l->closed)
        return;
    l->closed = true;
    loop_timer_stop(&l->retry);
    poller_free(l->poller);
    l->poller = NULL;
    if (l->fd >= 0)
        close(l->fd);
    loop_defer(l->loop, &l->closed_task);
}
