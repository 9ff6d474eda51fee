/* Datagrams in batches: one system call receives up to 64, one sends the answers. */
#include "loop/udp.h"
#include "loop/sim_internal.h"
#include "loop/watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH       64
#define BATCHES_MAX 4 /* full batches in a row before others get their turn */

struct udp_slot {
    struct address address;
    size_t n;
    char bytes[UDP_DATAGRAM_MAX];
};

struct udp {
    struct resource resource;
    struct list sim_link;
    struct loop *loop;
    const struct udp_callbacks *cb;
    void *arg;
    struct address address;
    int fd; /* -1 on a sim loop */
    struct poller *poller;
    struct loop_task flush_task, closed_task;
    struct udp_slot *in, *out; /* BATCH each; `out` is made at the first send */
    size_t out_count;
    uint64_t dropped;
    bool closed;
};

static void run_closed(void *arg)
{
    struct udp *u = arg;

    if (u->cb->on_closed)
        u->cb->on_closed(u, u->arg);
    free(u->in);
    free(u->out);
    free(u);
}

static void close_resource(struct resource *r)
{
    udp_close(container_of(r, struct udp, resource));
}

static void flush_to_kernel(struct udp *u)
{
    struct mmsghdr messages[BATCH] = { 0 };
    struct iovec parts[BATCH];
    size_t sent = 0;

    for (size_t i = 0; i < u->out_count; i++) {
        parts[i] = (struct iovec){ u->out[i].bytes, u->out[i].n };
        messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
                                               .msg_iovlen = 1,
                                               .msg_name = &u->out[i].address.sa,
                                               .msg_namelen = u->out[i].address.length };
    }
    while (sent < u->out_count) {
        int n = sendmmsg(u->fd, messages + sent, (unsigned)(u->out_count - sent), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            u->dropped++; /* this one cannot be sent; the next may */
            n = 1;
        }
        sent += (size_t)n;
    }
    u->out_count = 0;
}

static void deliver_datagram(void *arg)
{
    struct sim_datagram *d = arg;

    list_del(&d->link);
    list_each (&d->timer.loop->sim->datagram_sockets, struct udp, sim_link, u) {
        if (!u->closed && address_eq(&u->address, &d->to)) {
            u->cb->on_datagram(u, &d->from, (struct str){ d->bytes, d->n }, u->arg);
            break;
        }
    }
    free(d);
}

static void flush_to_sim(struct udp *u)
{
    for (size_t i = 0; i < u->out_count; i++) {
        struct udp_slot *slot = &u->out[i];
        struct sim_datagram *d;

        if (sim_path_is_cut(u->loop, &u->address, &slot->address)) {
            u->dropped++;
            continue;
        }
        d = xcalloc(1, sizeof(*d) + slot->n);
        loop_timer_init(&d->timer, u->loop, deliver_datagram, d);
        d->from = u->address;
        d->to = slot->address;
        d->n = slot->n;
        memcpy(d->bytes, slot->bytes, slot->n);
        list_add_tail(&u->loop->sim->datagrams, &d->link);
        loop_timer_start(&d->timer, 0);
    }
    u->out_count = 0;
}

static void flush(void *arg)
{
    struct udp *u = arg;

    if (u->fd >= 0)
        flush_to_kernel(u);
    else
        flush_to_sim(u);
}

static void on_readable(void *arg, unsigned events)
{
    struct udp *u = arg;

    (void)events;
    for (int round = 0; round < BATCHES_MAX && !u->closed; round++) {
        struct mmsghdr messages[BATCH] = { 0 };
        struct iovec parts[BATCH];
        int n;

        for (size_t i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){ u->in[i].bytes, UDP_DATAGRAM_MAX };
            messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
                                                   .msg_iovlen = 1,
                                                   .msg_name = &u->in[i].address.sa,
                                                   .msg_namelen = sizeof(u->in[i].address.sa) };
        }
        n = recvmmsg(u->fd, messages, BATCH, MSG_DONTWAIT, NULL);
        if (n < 0 && errno == EINTR)
            continue;
        for (int i = 0; i < n && !u->closed; i++) {
            u->in[i].address.length = messages[i].msg_hdr.msg_namelen;
            u->cb->on_datagram(u, &u->in[i].address, (struct str){ u->in[i].bytes, messages[i].msg_len }, u->arg);
        }
        if (n < BATCH)
            return;
    }
}

static struct udp *udp_alloc(struct loop *loop, const struct udp_callbacks *cb, void *arg)
{
    struct udp *u = xnew(struct udp);

    u->resource.close = close_resource;
    list_add_tail(&loop->others, &u->resource.link);
    u->loop = loop;
    u->cb = cb;
    u->arg = arg;
    u->fd = -1;
    u->flush_task = (struct loop_task){ .fn = flush, .arg = u };
    u->closed_task = (struct loop_task){ .fn = run_closed, .arg = u };
    return u;
}

struct udp *udp_wrap(struct loop *loop, int fd, const struct udp_callbacks *cb, void *arg, struct error *err)
{
    struct udp *u = udp_alloc(loop, cb, arg);

    u->fd = fd;
    u->in = xmalloc(BATCH * sizeof(*u->in));
    u->address.length = sizeof(u->address.sa);
    if (getsockname(fd, (struct sockaddr *)&u->address.sa, &u->address.length) < 0)
        u->address.length = 0;
    u->poller = poller_new(loop, fd, on_readable, u, err);
    if (!u->poller) {
        list_del(&u->resource.link);
        close(fd);
        free(u->in);
        free(u);
        return NULL;
    }
    poller_set(u->poller, FD_READABLE);
    return u;
}

struct udp *udp_open(struct loop *loop, const struct address *at, const struct udp_options *o,
                     const struct udp_callbacks *cb, void *arg, struct error *err)
{
    int on = 1;
    char text[ADDRESS_TEXT_SIZE];
    AUTO_FD int fd = -1;

    if (loop_is_sim(loop)) {
        struct udp *u = udp_alloc(loop, cb, arg);

        u->address = *at;
        if (!address_port(at))
            address_set_port(&u->address, (uint16_t)(32768 + env_random_below(loop->env, 28000)));
        list_add_tail(&loop->sim->datagram_sockets, &u->sim_link);
        return u;
    }
    fd = socket(at->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        fail_sys(err, errno, "make a datagram socket");
        return NULL;
    }
    if (o && o->reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (o && o->transparent)
        setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
    if (o && o->buffer_bytes) {
        int n = (int)MIN(o->buffer_bytes, (size_t)INT32_MAX);

        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
    }
    if (bind(fd, (const struct sockaddr *)&at->sa, at->length) < 0) {
        fail_sys(err, errno, "bind datagram socket to %s", address_format(at, text));
        return NULL;
    }
    return udp_wrap(loop, TAKE_FD(fd), cb, arg, err);
}

void udp_send(struct udp *u, const struct address *to, struct str bytes)
{
    struct udp_slot *slot;

    if (u->closed)
        return;
    if (bytes.n > UDP_DATAGRAM_MAX) {
        u->dropped++;
        return;
    }
    if (!u->out)
        u->out = xmalloc(BATCH * sizeof(*u->out));
    if (u->out_count == BATCH)
        flush(u);
    slot = &u->out[u->out_count++];
    slot->address = *to;
    slot->n = bytes.n;
    memcpy(slot->bytes, bytes.p ? bytes.p : "", bytes.n);
    loop_defer(u->loop, &u->flush_task);
}

struct address udp_address(const struct udp *u)
{
    return u->address;
}

uint64_t udp_dropped(const struct udp *u)
{
    return u->dropped;
}

void udp_close(struct udp *u)
{
    if (!u || u->closed)
        return;
    u->closed = true;
    loop_defer_cancel(&u->flush_task);
    if (u->out_count)
        flush(u);
    list_del(&u->resource.link);
    list_del(&u->sim_link);
    poller_free(u->poller);
    u->poller = NULL;
    if (u->fd >= 0)
        close(u->fd);
    loop_defer(u->loop, &u->closed_task);
}
