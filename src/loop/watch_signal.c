/* Signals, by libuv's self-pipe. */
#include "loop/watch.h"

#include <stdlib.h>

#include "loop/system_internal.h"

struct signal_watch {
    struct resource resource;
    uv_signal_t uv;
    struct loop *loop;
    signal_received *fn;
    void *arg;
};

static void on_signal(uv_signal_t *uv, int signal)
{
    struct signal_watch *w = uv->data;

    loop_system_woke(w->loop);
    w->fn(signal, w->arg);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_resource(struct resource *r)
{
    struct signal_watch *w = container_of(r, struct signal_watch, resource);

    if (!w->loop->system) {
        free(w);
        return;
    }
    uv_signal_stop(&w->uv);
    uv_close((uv_handle_t *)&w->uv, on_closed);
}

struct signal_watch *signal_watch_new(struct loop *loop, int signal, signal_received *fn, void *arg)
{
    struct signal_watch *w = xnew(struct signal_watch);

    w->resource.close = close_resource;
    w->loop = loop;
    w->fn = fn;
    w->arg = arg;
    list_add_tail(&loop->others, &w->resource.link);
    if (loop->system) {
        uv_signal_init(&loop->system->uv, &w->uv);
        w->uv.data = w;
        uv_signal_start(&w->uv, on_signal, signal);
    }
    return w;
}

void signal_watch_free(struct signal_watch *w)
{
    if (!w)
        return;
    list_del(&w->resource.link);
    close_resource(&w->resource);
}
