/* Children: watched by pidfd from start to exit. */
#include "loop/process.h"
#include "loop/process_child.h"
#include "loop/sim_internal.h"
#include "loop/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct process {
    struct resource resource;
    struct loop *loop;
    pid_t pid;
    int pidfd; /* -1 in a simulation */
    struct poller *poller;
    process_exited *on_exit; /* NULL: forgotten */
    void *arg;
    struct process_exit how;
    struct loop_task exit_task; /* simulation */
};

static struct process_exit how_of(int status)
{
    if (WIFSIGNALED(status))
        return (struct process_exit){ .code = -1, .signal = WTERMSIG(status) };
    return (struct process_exit){ .code = WEXITSTATUS(status) };
}

static void release(struct process *p)
{
    poller_free(p->poller);
    if (p->pidfd >= 0)
        close(p->pidfd);
    free(p);
}

static void close_resource(struct resource *r)
{
    struct process *p = container_of(r, struct process, resource);

    loop_defer_cancel(&p->exit_task);
    release(p);
}

static void tell_exit(void *arg)
{
    struct process *p = arg;

    list_del(&p->resource.link);
    if (p->on_exit)
        p->on_exit(p, p->how, p->arg);
    release(p);
}

static void on_pidfd(void *arg, unsigned events)
{
    struct process *p = arg;
    int status = 0;
    pid_t r;

    (void)events;
    do
        r = waitpid(p->pid, &status, WNOHANG);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return;
    poller_set(p->poller, 0);
    p->how = r < 0 ? (struct process_exit){ .code = -1, .signal = SIGKILL } : how_of(status);
    tell_exit(p);
}

struct process *process_spawn(struct loop *loop, const struct process_options *o, process_exited *on_exit, void *arg,
                              struct error *err)
{
    struct process *p = xnew(struct process);

    p->resource.close = close_resource;
    p->loop = loop;
    p->pidfd = -1;
    p->on_exit = on_exit;
    p->arg = arg;
    p->exit_task = (struct loop_task){ .fn = tell_exit, .arg = p };
    if (loop->sim) {
        p->pid = 1000 + ++loop->sim->last_pid;
        if (!loop->sim->spawn || loop->sim->spawn(loop->sim->spawn_arg, p, o, err) < 0) {
            if (!loop->sim->spawn)
                fail(err, ERR_NOT_FOUND, "start '%s': this simulation has no programs", o->argv[0]);
            free(p);
            return NULL;
        }
        list_add_tail(&loop->others, &p->resource.link);
        return p;
    }
    p->pid = process_start(o, &p->pidfd, err);
    if (p->pid < 0) {
        free(p);
        return NULL;
    }
    p->poller = poller_new(loop, p->pidfd, on_pidfd, p, err);
    if (!p->poller) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        release(p);
        return NULL;
    }
    list_add_tail(&loop->others, &p->resource.link);
    poller_set(p->poller, FD_READABLE);
    return p;
}

void loop_sim_child_exited(struct process *p, struct process_exit how)
{
    p->how = how;
    loop_defer(p->loop, &p->exit_task);
}

pid_t process_pid(const struct process *p)
{
    return p->pid;
}

void process_kill(struct process *p, int signal)
{
    if (p->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0);
    else
        loop_sim_child_exited(p, (struct process_exit){ .code = -1, .signal = signal });
}

void process_kill_group(struct process *p, int signal)
{
    if (p->pidfd >= 0)
        kill(-p->pid, signal); /* not yet reaped by us, so the number is still its own */
    else
        process_kill(p, signal);
}

void process_forget(struct process *p)
{
    if (p)
        p->on_exit = NULL;
}

int process_pipe(int ret[2], struct error *err)
{
    if (pipe2(ret, O_CLOEXEC) < 0)
        return fail_sys(err, errno, "make a pipe");
    return 0;
}

int process_socketpair(int ret[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret) < 0)
        return fail_sys(err, errno, "make a socket pair");
    return 0;
}

int process_terminal(int *ret_ours, int *ret_child, uint16_t columns, uint16_t rows, struct error *err)
{
    struct winsize size = { .ws_col = columns, .ws_row = rows };

    if (openpty(ret_ours, ret_child, NULL, NULL, columns && rows ? &size : NULL) < 0)
        return fail_sys(err, errno, "make a terminal");
    fcntl(*ret_ours, F_SETFD, FD_CLOEXEC);
    fcntl(*ret_child, F_SETFD, FD_CLOEXEC);
    return 0;
}

int process_terminal_resize(int ours, uint16_t columns, uint16_t rows)
{
    struct winsize size = { .ws_col = columns, .ws_row = rows };

    return ioctl(ours, TIOCSWINSZ, &size);
}
