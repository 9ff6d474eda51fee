/* Readiness of one descriptor, by libuv's poll handle. */
#include "loop/internal.h"
#include "loop/watch.h"

#include <stdlib.h>

#include "loop/system_internal.h"

struct poller {
    uv_poll_t uv;
    struct loop *loop;
    poller_fn *fn;
    void *arg;
    unsigned events;
};

static void on_ready(uv_poll_t *uv, int status, int uv_events)
{
    struct poller *p = uv->data;
    unsigned events = 0;

    loop_system_woke(p->loop);
    if (status < 0) {
        /* libuv stops the handle on EPOLLERR. Reading or writing will tell the reason; a datagram socket goes on. */
        unsigned wanted = p->events;

        p->events = 0;
        poller_set(p, wanted);
        events = FD_HANGUP | wanted;
    }
    if (uv_events & UV_READABLE)
        events |= FD_READABLE;
    if (uv_events & UV_WRITABLE)
        events |= FD_WRITABLE;
    if (events)
        p->fn(p->arg, events);
}

struct poller *poller_new(struct loop *loop, int fd, poller_fn *fn, void *arg, struct error *err)
{
    struct poller *p;
    int r;

    if (!loop->system)
        return fail_null(err, ERR_INTERNAL, "descriptors cannot be watched in a simulation");
    p = xnew(struct poller);
    *p = (struct poller){ .loop = loop, .fn = fn, .arg = arg };
    r = uv_poll_init(&loop->system->uv, &p->uv, fd);
    if (r < 0) {
        free(p);
        fail_sys(err, -r, "watch descriptor %d", fd);
        return NULL;
    }
    p->uv.data = p;
    return p;
}

void poller_set(struct poller *p, unsigned events)
{
    int uv_events = (events & FD_READABLE ? UV_READABLE : 0) | (events & FD_WRITABLE ? UV_WRITABLE : 0);

    if (p->events == events)
        return;
    p->events = events;
    if (!uv_events)
        uv_poll_stop(&p->uv);
    else
        uv_poll_start(&p->uv, uv_events, on_ready);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void poller_free(struct poller *p)
{
    if (!p)
        return;
    uv_poll_stop(&p->uv);
    uv_close((uv_handle_t *)&p->uv, on_closed);
}
