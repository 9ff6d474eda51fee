/* Steps: signals, files, helper processes; those on links are in net.c. */
#include "chaos/step.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define GONE_LIMIT_MS 5000
#define FILL_MAX      ((uint64_t)(16 * GIB)) /* a file system of this size is not one that was made to be filled */

/* 0 also when the process is gone: a fault that came too late has happened. */
static int send_signal(pid_t pid, uint64_t start_time, int number, bool wait, struct error *err)
{
    AUTO_FD int fd = start_time && seen_start_time(pid) == start_time ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (fd < 0 || seen_start_time(pid) != start_time) /* asked again: the pid is held by the descriptor now */
        return 0;
    if (syscall(SYS_pidfd_send_signal, fd, number, NULL, 0) < 0 && errno != ESRCH)
        return fail_sys(err, errno, "send signal %d to process %d", number, (int)pid);
    if (!wait)
        return 0;
    struct pollfd gone = { .fd = fd, .events = POLLIN };
    if (poll(&gone, 1, GONE_LIMIT_MS) <= 0)
        return fail(err, ERR_TIMEOUT, "process %d did not end within %d ms", (int)pid, GONE_LIMIT_MS);
    waitpid(pid, NULL, WNOHANG); /* when it is our own child */
    return 0;
}

/* --- disks -------------------------------------------------------------------------------------------------------------------- */

/* The folder must lie on a small file system of its own: the machine's disk is never filled. */
static int check_own_file_system(const char *folder, struct error *err)
{
    struct statvfs fs;
    struct stat own, root;

    if (stat(folder, &own) < 0 || stat("/", &root) < 0 || statvfs(folder, &fs) < 0)
        return fail_sys(err, errno, "look at '%s'", folder);
    if (own.st_dev == root.st_dev || (uint64_t)fs.f_blocks * fs.f_frsize > FILL_MAX)
        return fail(err, ERR_UNAVAILABLE,
                    "'%s' is on this machine's own disk, which chaos does not fill: make the cluster with `klein up "
                    "--disk-size "
                    "512M`",
                    folder);
    return 0;
}

static int fill(const char *path, struct error *err)
{
    AUTO_FREE char *folder = str_dup(str_part(str_of(path), 0, (size_t)MAX(str_find_last(str_of(path), '/'), 0)));
    off_t at = 0;

    if (check_own_file_system(folder, err) < 0)
        return -1;
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_sys(err, errno, "open '%s'", path);
    for (off_t piece = 64 * (off_t)MIB; piece >= 4096;)
        if (fallocate(fd, 0, at, piece) == 0)
            at += piece;
        else if (errno == ENOSPC)
            piece /= 2;
        else if (errno != EINTR)
            return fail_sys(err, errno, "fill '%s'", path);
    return 0;
}

/* --- helpers ------------------------------------------------------------------------------------------------------------------ */

static void wait_for_go(int fd)
{
    char byte;
    ssize_t n;

    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(0); /* chaos ended before this process was on record: then nobody would end it */
}

NORETURN static void become_helper(const struct step *s, int go_fd, int a_fd, int b_fd)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    prctl(PR_SET_NAME, "klein-chaos");
    for (int fd = 0; fd <= 2; fd++)
        dup2(null_fd, fd);
    for (int fd = 3; fd < 1024; fd++)
        if (fd != go_fd && fd != a_fd && fd != b_fd)
            close(fd);
    wait_for_go(go_fd);
    close(go_fd);
    if (s->kind == STEP_RELAY)
        helper_relay(s, a_fd, b_fd);
    helper_eat(s);
}

static int start_helper(struct step *s, int a_fd, int b_fd, int *ret_go_fd, struct error *err)
{
    int go[2];

    if (pipe2(go, O_CLOEXEC) < 0)
        return fail_sys(err, errno, "make a pipe");
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]);
        become_helper(s, go[0], a_fd, b_fd);
    }
    close(go[0]);
    if (pid < 0) {
        close(go[1]);
        return fail(err, ERR_INTERNAL, "no helper process could be made");
    }
    s->helper = pid;
    s->helper_start_time = seen_start_time(pid);
    *ret_go_fd = go[1];
    return 0;
}

/* The leaf of the node's group in every hierarchy; klein's agents look only at groups of pods. */
static void each_group(const struct step *s, void (*fn)(const char *leaf, const struct step *s))
{
    DIR *d = opendir("/sys/fs/cgroup");
    struct dirent *entry;

    while (d && (entry = readdir(d))) {
        AUTO_FREE char *node =
            xasprintf("/sys/fs/cgroup/%s/%s", str_is(str_of(entry->d_name), "klein") ? "." : entry->d_name, s->path);
        AUTO_FREE char *leaf = xasprintf("%s/klein-chaos", node);
        if (entry->d_name[0] != '.' && file_exists(node))
            fn(leaf, s);
    }
    if (d)
        closedir(d);
}

static void join_group(const char *leaf, const struct step *s)
{
    AUTO_FREE char *procs = xasprintf("%s/cgroup.procs", leaf);
    char pid[16];

    if (mkdir(leaf, 0755) < 0 && errno != EEXIST)
        return;
    AUTO_FD int fd = open(procs, O_WRONLY | O_CLOEXEC);
    int n = snprintf(pid, sizeof(pid), "%d", (int)s->helper);
    if (fd < 0 || write(fd, pid, (size_t)n) < 0) /* e.g. cpuset without processors: it eats in the others */
        rmdir(leaf);
}

static void leave_group(const char *leaf, UNUSED const struct step *s)
{
    rmdir(leaf);
}

static int relay(struct step *s, int *ret_go_fd, struct error *err)
{
    char name[16], other[16];

    if (net_detour(s, name, other, err) < 0)
        return -1;
    int before = net_enter(s->pid, err);
    if (before < 0)
        return -1;
    AUTO_FD int a = net_frame_socket(s->link, err);
    AUTO_FD int b = a < 0 ? -1 : net_frame_socket(other, err);
    net_leave(before);
    return b < 0 ? -1 : start_helper(s, a, b, ret_go_fd, err);
}

/* --- the steps ----------------------------------------------------------------------------------------------------------------- */

int step_do(struct step *s, const char *table, int *ret_go_fd, struct error *err)
{
    *ret_go_fd = -1;
    switch (s->kind) {
    case STEP_KILL:
        return send_signal(s->pid, s->start_time, SIGKILL, false, err);
    case STEP_STOP:
        return send_signal(s->pid, s->start_time, SIGSTOP, false, err);
    case STEP_POWER_OFF:
        return send_signal(s->pid, s->start_time, SIGKILL, true, err);
    case STEP_LINK_DOWN:
        return net_link_set(s, false, err);
    case STEP_DROP:
        return net_drop(s, table, err);
    case STEP_SLOW:
        return net_slow(s, err);
    case STEP_RELAY:
        return relay(s, ret_go_fd, err);
    case STEP_FILL:
        return fill(s->path, err);
    case STEP_EAT:
        if (start_helper(s, -1, -1, ret_go_fd, err) < 0)
            return -1;
        each_group(s, join_group);
        return 0;
    }
    return fail(err, ERR_INTERNAL, "step %d", (int)s->kind);
}

static int unfill(const char *path, struct error *err)
{
    return unlink(path) < 0 && errno != ENOENT ? fail_sys(err, errno, "remove '%s'", path) : 0;
}

int step_undo(const struct step *s, const char *table, bool *ret_needs_up, struct error *err)
{
    bool there = s->start_time && seen_start_time(s->pid) == s->start_time;

    switch (s->kind) {
    case STEP_KILL:
        return 0;
    case STEP_STOP:
        return send_signal(s->pid, s->start_time, SIGCONT, false, err);
    case STEP_POWER_OFF:
        *ret_needs_up |= !there;
        return 0;
    case STEP_LINK_DOWN:
        return there ? net_link_set(s, true, err) : 0;
    case STEP_DROP:
        return there ? net_undrop(s, table, err) : 0;
    case STEP_SLOW:
        return there ? net_unslow(s, err) : 0;
    case STEP_RELAY:
        if (send_signal(s->helper, s->helper_start_time, SIGKILL, true, err) < 0)
            return -1;
        return there ? net_undetour(s, err) : 0;
    case STEP_FILL:
        return unfill(s->path, err);
    case STEP_EAT:
        if (send_signal(s->helper, s->helper_start_time, SIGKILL, true, err) < 0)
            return -1;
        each_group(s, leave_group);
        return 0;
    }
    return fail(err, ERR_INTERNAL, "step %d", (int)s->kind);
}
