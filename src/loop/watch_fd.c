/* Descriptors of others, watched for readiness. */
#include "loop/watch.h"
#include "loop/internal.h"

#include <stdlib.h>

struct fd_watch {
    struct resource resource;
    struct poller *poller;
    fd_ready *fn;
    void *arg;
};

static void on_ready(void *arg, unsigned events)
{
    struct fd_watch *w = arg;

    w->fn(w, events, w->arg);
}

static void close_resource(struct resource *r)
{
    struct fd_watch *w = container_of(r, struct fd_watch, resource);

    poller_free(w->poller);
    free(w);
}

struct fd_watch *fd_watch_new(struct loop *loop, int fd, unsigned events, fd_ready *fn, void *arg, struct error *err)
{
    struct fd_watch *w = xnew(struct fd_watch);

    w->fn = fn;
    w->arg = arg;
    w->poller = poller_new(loop, fd, on_ready, w, err);
    if (!w->poller) {
        free(w);
        return NULL;
    }
    w->resource.close = close_resource;
    list_add_tail(&loop->others, &w->resource.link);
    poller_set(w->poller, events & (FD_READABLE | FD_WRITABLE));
    return w;
}

void fd_watch_set(struct fd_watch *w, unsigned events)
{
    poller_set(w->poller, events & (FD_READABLE | FD_WRITABLE));
}

void fd_watch_free(struct fd_watch *w)
{
    if (!w)
        return;
    list_del(&w->resource.link);
    close_resource(&w->resource);
}
