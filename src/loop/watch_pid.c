/* The end of a process that is not our child, by pidfd. */
#include "loop/watch.h"
#include "loop/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct pid_watch {
    struct resource resource;
    int fd;
    struct poller *poller;
    pid_ended *fn;
    void *arg;
};

static void on_ended(void *arg, unsigned events)
{
    struct pid_watch *w = arg;

    (void)events;
    poller_set(w->poller, 0); /* a dead process stays readable; tell once */
    w->fn(w, w->arg);
}

static void close_resource(struct resource *r)
{
    struct pid_watch *w = container_of(r, struct pid_watch, resource);

    poller_free(w->poller);
    close(w->fd);
    free(w);
}

struct pid_watch *pid_watch_new(struct loop *loop, pid_t pid, pid_ended *fn, void *arg, struct error *err)
{
    struct pid_watch *w;
    AUTO_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0) {
        int sys = errno;

        fail_sys(err, sys, "watch process %d", pid);
        if (err && sys == ESRCH)
            err->code = ERR_NOT_FOUND;
        return NULL;
    }
    w = xnew(struct pid_watch);
    w->fn = fn;
    w->arg = arg;
    w->poller = poller_new(loop, fd, on_ended, w, err);
    if (!w->poller) {
        free(w);
        return NULL;
    }
    w->fd = TAKE_FD(fd);
    w->resource.close = close_resource;
    list_add_tail(&loop->others, &w->resource.link);
    poller_set(w->poller, FD_READABLE);
    return w;
}

int pid_watch_kill(struct pid_watch *w, int signal, struct error *err)
{
    if (syscall(SYS_pidfd_send_signal, w->fd, signal, NULL, 0) < 0)
        return fail_sys(err, errno, "send signal %d", signal);
    return 0;
}

void pid_watch_free(struct pid_watch *w)
{
    if (!w)
        return;
    list_del(&w->resource.link);
    close_resource(&w->resource);
}

uint64_t pid_start_time(pid_t pid)
{
    char path[64], text[1024];
    struct str rest, field;
    uint64_t ticks;
    ptrdiff_t end;
    ssize_t n;
    AUTO_FD int fd = -1;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (n <= 0)
        return 0;
    /* Field 2, the name in brackets, may hold spaces and brackets: count from the last one. proc(5). */
    rest = (struct str){ text, (size_t)n };
    end = str_find_last(rest, ')');
    if (end < 0)
        return 0;
    rest = str_from(rest, (size_t)end + 2);
    for (int i = 3; i <= 22; i++)
        if (!str_next(&rest, ' ', &field))
            return 0;
    return str_to_u64(field, &ticks) ? ticks : 0;
}
