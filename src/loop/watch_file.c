/* Changed files: one inotify instance per loop, shared by all its watches. */
#include "loop/watch.h"
#include "loop/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#define EVENTS                                                                                                         \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_DELETE_SELF | IN_MOVED_FROM | IN_MOVED_TO |               \
     IN_MOVE_SELF | IN_ATTRIB)

struct file_watch {
    struct list link;
    struct loop *loop;
    int id; /* several watches of one file share the kernel's id */
    file_changed *fn;
    void *arg;
    bool freed; /* during the calls of a change: swept afterwards */
};

struct inotify {
    struct resource resource;
    struct loop *loop;
    int fd;
    struct poller *poller;
    struct list watches;
    size_t count;
    bool calling;
};

static void sweep(struct inotify *in)
{
    list_each (&in->watches, struct file_watch, link, w) {
        bool shared = false;

        if (!w->freed)
            continue;
        list_del(&w->link);
        in->count--;
        list_each (&in->watches, struct file_watch, link, other)
            shared |= other->id == w->id;
        if (!shared)
            inotify_rm_watch(in->fd, w->id);
        free(w);
    }
}

static void tell(struct inotify *in, const struct inotify_event *e)
{
    struct file_change change = {
        .name = str_of(e->len ? e->name : NULL),
        .created = e->mask & (IN_CREATE | IN_MOVED_TO),
        .written = e->mask & (IN_MODIFY | IN_CLOSE_WRITE),
        .removed = e->mask & (IN_DELETE | IN_DELETE_SELF | IN_MOVED_FROM | IN_MOVE_SELF),
        .attributes = e->mask & IN_ATTRIB,
        .lost = e->mask & IN_Q_OVERFLOW,
    };

    if (e->mask & IN_IGNORED)
        return;
    list_each (&in->watches, struct file_watch, link, w)
        if (!w->freed && (change.lost || w->id == e->wd))
            w->fn(w, &change, w->arg);
}

static void on_readable(void *arg, unsigned events)
{
    struct inotify *in = arg;
    char bytes[16 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n = read(in->fd, bytes, sizeof(bytes));

    (void)events;
    in->calling = true;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(bytes + at);

        tell(in, e);
        at += (ssize_t)(sizeof(*e) + e->len);
    }
    in->calling = false;
    sweep(in);
}

static void close_resource(struct resource *r)
{
    struct inotify *in = container_of(r, struct inotify, resource);

    in->loop->inotify = NULL;
    poller_free(in->poller);
    close(in->fd);
    list_each (&in->watches, struct file_watch, link, w)
        free(w);
    free(in);
}

static struct inotify *inotify_get(struct loop *loop, struct error *err)
{
    struct inotify *in = loop->inotify;

    if (in)
        return in;
    in = xnew(struct inotify);
    in->loop = loop;
    list_init(&in->watches);
    in->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (in->fd < 0) {
        free(in);
        fail_sys(err, errno, "start watching files");
        return NULL;
    }
    in->poller = poller_new(loop, in->fd, on_readable, in, err);
    if (!in->poller) {
        close(in->fd);
        free(in);
        return NULL;
    }
    poller_set(in->poller, FD_READABLE);
    in->resource.close = close_resource;
    list_add_tail(&loop->others, &in->resource.link);
    return loop->inotify = in;
}

struct file_watch *file_watch_new(struct loop *loop, const char *path, file_changed *fn, void *arg, struct error *err)
{
    struct inotify *in = inotify_get(loop, err);
    struct file_watch *w;
    int id;

    if (!in)
        return NULL;
    if (in->count >= FILE_WATCHES_MAX)
        return fail_null(err, ERR_TOO_MANY_REQUESTS, "watch %s: more than %d files are watched", path,
                         FILE_WATCHES_MAX);
    id = inotify_add_watch(in->fd, path, EVENTS);
    if (id < 0) {
        int sys = errno;

        fail_sys(err, sys, "watch %s", path);
        if (err && sys == ENOENT)
            err->code = ERR_NOT_FOUND;
        return NULL;
    }
    w = xnew(struct file_watch);
    *w = (struct file_watch){ .loop = loop, .id = id, .fn = fn, .arg = arg };
    list_add_tail(&in->watches, &w->link);
    in->count++;
    return w;
}

void file_watch_free(struct file_watch *w)
{
    if (!w)
        return;
    w->freed = true;
    if (!w->loop->inotify->calling)
        sweep(w->loop->inotify);
}
