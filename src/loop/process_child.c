/*
 * The moments between fork and exec, in a child that shares our memory (vfork): only system calls, nothing allocated.
 *
 * vfork and not fork, because a server with gigabytes of objects would copy its page tables for every child. The parent
 * thread sleeps until exec; everything the child needs is prepared before, in struct plan.
 */
#include "loop/process_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOVE_BASE 600 /* descriptors are first moved up here, so that numbers wanted by the child are free */

struct plan {
    const struct process_options *o;
    const char *file; /* with a slash */
    char *const *argv, *const *env;
    int fds[PROCESS_FDS_MAX + 3], wanted[PROCESS_FDS_MAX + 3];
    size_t fds_count;
    int file_fd;
    pid_t parent;
    const char *volatile failed_at;
    volatile int failed_sys;
};

static NORETURN void child_fail(struct plan *p, const char *at)
{
    p->failed_sys = errno;
    p->failed_at = at;
    _exit(127);
}

static void child_place_fds(struct plan *p)
{
    int highest = 2, moved[PROCESS_FDS_MAX + 3];

    if (p->file_fd > 0)
        p->file_fd = fcntl(p->file_fd, F_DUPFD_CLOEXEC, MOVE_BASE);
    for (size_t i = 0; i < p->fds_count; i++) {
        moved[i] = fcntl(p->fds[i], F_DUPFD_CLOEXEC, MOVE_BASE);
        if (moved[i] < 0)
            child_fail(p, "move a descriptor");
    }
    for (size_t i = 0; i < p->fds_count; i++) {
        if (dup2(moved[i], p->wanted[i]) < 0)
            child_fail(p, "place a descriptor");
        highest = MAX(highest, p->wanted[i]);
    }
    /* Between the wanted ones and above them everything is closed at exec: O_CLOEXEC is our habit, this is the belt. */
    for (int fd = 3; fd < highest; fd++) {
        bool wanted = false;

        for (size_t i = 0; i < p->fds_count; i++)
            wanted |= p->wanted[i] == fd;
        if (!wanted)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    syscall(SYS_close_range, highest + 1, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
}

static void child_reset_signals(void)
{
    /* The kernel's own form: glibc's sigaction() refuses 32 and 33, which a parent may have left ignored. All zero is SIG_DFL. */
    static const unsigned char standard[64];
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        syscall(SYS_rt_sigaction, sig, standard, NULL, 8); /* fails for SIGKILL and SIGSTOP: fine */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_write_small(int fd, const char *path, const char *text)
{
    int opened = path ? open(path, O_WRONLY | O_CLOEXEC) : fd;

    if (opened >= 0 && write(opened, text, strlen(text)) < 0)
        errno = errno; /* best effort: a lower oom_score_adj may be refused */
}

static void child_identity(struct plan *p)
{
    const struct process_options *o = p->o;

    if (o->gid && (setgroups(0, NULL) < 0 || syscall(SYS_setresgid, o->gid, o->gid, o->gid) < 0))
        child_fail(p, "change group");
    if (o->uid && (setgroups(0, NULL) < 0 || syscall(SYS_setresuid, o->uid, o->uid, o->uid) < 0))
        child_fail(p, "change user");
    if (o->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        child_fail(p, "forbid new privileges");
}

static NORETURN void child_main(struct plan *p)
{
    const struct process_options *o = p->o;
    char number[16];

    if (o->kill_on_parent_death) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != p->parent)
            _exit(127);
    }
    if (o->cgroup_procs_fd > 0 && write(o->cgroup_procs_fd, "0", 1) < 0)
        child_fail(p, "enter the cgroup");
    if (o->oom_score_adj) {
        snprintf(number, sizeof(number), "%d", o->oom_score_adj);
        child_write_small(-1, "/proc/self/oom_score_adj", number);
    }
    if (o->new_session && setsid() < 0)
        child_fail(p, "start a session");
    for (size_t i = 0; i < o->namespaces_count; i++)
        if (setns(o->namespaces[i], 0) < 0)
            child_fail(p, "enter a namespace");
    child_place_fds(p);
    if (o->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
        child_fail(p, "take the terminal");
    if (chdir(o->cwd ? o->cwd : "/") < 0)
        child_fail(p, "enter its folder");
    child_identity(p);
    child_reset_signals();
    if (p->file_fd > 0)
        syscall(SYS_execveat, p->file_fd, "", p->argv, p->env, 0x1000 /* AT_EMPTY_PATH */);
    else
        execve(p->file, p->argv, p->env);
    child_fail(p, "run");
}

/* As execvp would, but before the fork. */
static char *find_program(const char *name, const char *const *env)
{
    const char *path = NULL;
    struct str rest, folder;

    if (strchr(name, '/'))
        return xstrdup(name);
    for (; env && *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            path = *env + 5;
    if (!path)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    rest = str_of(path);
    while (str_next(&rest, ':', &folder)) {
        char *full = xasprintf("%.*s/%s", STR_ARG(folder), name);

        if (folder.n && access(full, X_OK) == 0)
            return full;
        free(full);
    }
    return NULL;
}

static int plan_fds(struct plan *p, int null_fd, struct error *err)
{
    const struct process_options *o = p->o;

    if (o->fds_count > PROCESS_FDS_MAX)
        return fail(err, ERR_INTERNAL, "more than %d descriptors for a child", PROCESS_FDS_MAX);
    for (int child = 0; child <= 2; child++) {
        bool given = false;

        for (size_t i = 0; i < o->fds_count; i++)
            given |= o->fds[i].child == child;
        if (!given) {
            p->fds[p->fds_count] = null_fd;
            p->wanted[p->fds_count++] = child;
        }
    }
    for (size_t i = 0; i < o->fds_count; i++) {
        assert(o->fds[i].child < MOVE_BASE);
        p->fds[p->fds_count] = o->fds[i].fd;
        p->wanted[p->fds_count++] = o->fds[i].child;
    }
    return 0;
}

/* A function of its own, so that the child's stack frame is never returned from. */
static __attribute__((noinline)) pid_t start(struct plan *p)
{
    pid_t pid = vfork();

    if (pid == 0)
        child_main(p);
    return pid;
}

pid_t process_start(const struct process_options *o, int *ret_pidfd, struct error *err)
{
    struct plan p = { .o = o, .parent = getpid(), .file_fd = o->file_fd };
    sigset_t all, old;
    pid_t pid;
    int sys;
    const char *name = o->file ? o->file : o->argv[0];
    const char *const *env = o->env ? o->env : (const char *const *)environ;
    AUTO_FREE char *file = o->file_fd > 0 ? xstrdup(name) : find_program(name, env);
    AUTO_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (!file)
        return fail(err, ERR_NOT_FOUND, "start '%s': no such program", name);
    if (null_fd < 0)
        return fail_sys(err, errno, "open /dev/null");
    if (plan_fds(&p, null_fd, err) < 0)
        return -1;
    p.file = file;
    p.argv = (char *const *)o->argv;
    p.env = (char *const *)env;

    /* No handler of ours may run in the child: it would run on our memory. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = start(&p);
    sys = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        return fail_sys(err, sys, "start '%s'", name);
    *ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    sys = errno;
    if (p.failed_at) {
        waitpid(pid, NULL, 0);
        if (*ret_pidfd >= 0)
            close(*ret_pidfd);
        *ret_pidfd = -1;
        fail_sys(err, p.failed_sys, "start '%s': %s", name, p.failed_at);
        if (err && p.failed_sys == ENOENT)
            err->code = ERR_NOT_FOUND;
        return -1;
    }
    if (*ret_pidfd < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return fail_sys(err, sys, "start '%s': watch it", name);
    }
    return pid;
}
