/* Running other programs from the command line, and looking at processes through /proc. */
#include "cli/run.h"

#include "base/file.h"
#include "base/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_LIMIT_MS (30 * SECOND_MS)
#define OUTPUT_MAX       (1 * MIB)

NORETURN static void child_exec(const char *const *argv, int netns_fd, int in, int out)
{
    if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) < 0)
        _exit(126);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    dprintf(2, "%s: %s", argv[0], strerror(errno));
    _exit(127);
}

static void pump(int in, int out, struct str input, struct buf *output, int64_t until_ms)
{
    char block[4096];

    while (out >= 0) {
        struct pollfd fds[2] = { { .fd = out, .events = POLLIN }, { .fd = input.n ? in : -1, .events = POLLOUT } };
        int64_t left = until_ms - time_monotonic_ms();

        if (left <= 0 || poll(fds, 2, (int)left) <= 0)
            return;
        if (fds[1].revents) {
            ssize_t n = write(in, input.p, input.n);
            input = str_from(input, n > 0 ? (size_t)n : input.n);
            if (!input.n)
                close(in);
        }
        if (fds[0].revents) {
            ssize_t n = read(out, block, sizeof(block));
            if (n <= 0)
                return;
            buf_add_bytes(output, block, (size_t)n);
        }
    }
}

static int wait_child(pid_t pid, int64_t until_ms, int *ret_status)
{
    while (waitpid(pid, ret_status, WNOHANG) == 0) {
        if (time_monotonic_ms() > until_ms) {
            kill(pid, SIGKILL);
            waitpid(pid, ret_status, 0);
            return -1;
        }
        poll(NULL, 0, 1);
    }
    return 0;
}

int run_command(const char *const *argv, int netns_fd, struct str input, struct buf *output, struct error *err)
{
    AUTO_BUF struct buf own = BUF_MAX(OUTPUT_MAX);
    struct buf *to = output ? output : &own;
    int64_t until_ms = time_monotonic_ms() + COMMAND_LIMIT_MS;
    int in[2], out[2], status = 0;

    if (pipe2(in, O_CLOEXEC) < 0)
        return fail_sys(err, errno, "make a pipe");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return fail_sys(err, errno, "make a pipe");
    }
    pid_t pid = fork();
    if (pid == 0)
        child_exec(argv, netns_fd, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    signal(SIGPIPE, SIG_IGN);
    if (!input.n)
        close(in[1]);
    pump(in[1], out[0], input, to, until_ms);
    close(out[0]);
    if (pid < 0)
        return fail(err, ERR_INTERNAL, "start '%s': no process could be made", argv[0]);
    if (wait_child(pid, until_ms, &status) < 0)
        return fail(err, ERR_TIMEOUT, "'%s' did not finish within %lld s", argv[0],
                    (long long)(COMMAND_LIMIT_MS / SECOND_MS));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        struct str words = str_trim(buf_str(to));
        return fail(err, ERR_INTERNAL, "'%s' failed: %.*s", argv[0], STR_ARG(str_part(words, 0, 500)));
    }
    return 0;
}

uint64_t process_start_time(pid_t pid)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/stat", (int)pid);
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct str rest, part = STR_NONE;
    uint64_t start;

    if (pid <= 0 || file_read(path, &text, NULL) < 0)
        return 0;
    /* The second field is the command in brackets and may hold anything: fields are counted after the last bracket. */
    ptrdiff_t end = str_find_last(buf_str(&text), ')');
    rest = str_from(buf_str(&text), end < 0 ? text.n : (size_t)end + 2);
    for (int field = 3; field <= 22; field++) {
        str_next(&rest, ' ', &part);
        if (field == 3 && (str_is(part, "Z") || str_is(part, "X")))
            return 0;
    }
    return str_to_u64(part, &start) ? start : 0;
}

int kill_and_wait(pid_t pid, uint64_t start_time, int64_t limit_ms, struct error *err)
{
    if (!start_time || process_start_time(pid) != start_time)
        return 0;
    AUTO_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 || process_start_time(pid) != start_time)
        return 0;
    syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    struct pollfd gone = { .fd = fd, .events = POLLIN };
    if (poll(&gone, 1, (int)limit_ms) <= 0)
        return fail(err, ERR_TIMEOUT, "process %d did not end within %lld ms", (int)pid, (long long)limit_ms);
    waitpid(pid, NULL, WNOHANG); /* when it is our own child */
    return 0;
}

static bool has_argument(pid_t pid, const char *word)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/cmdline", (int)pid);
    AUTO_BUF struct buf text = BUF_MAX(128 * KIB);
    struct str rest, part;

    if (file_read(path, &text, NULL) < 0)
        return false;
    rest = buf_str(&text);
    while (str_next(&rest, '\0', &part))
        if (str_is(part, word))
            return true;
    return false;
}

pid_t process_child_with(pid_t parent, const char *word)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/task/%d/children", (int)parent, (int)parent);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct str rest, part;
    int64_t pid;

    if (file_read(path, &text, NULL) < 0)
        return 0;
    rest = str_trim(buf_str(&text));
    while (str_next(&rest, ' ', &part))
        if (str_to_i64(part, &pid) && has_argument((pid_t)pid, word))
            return (pid_t)pid;
    return 0;
}

pid_t process_with(const char *word)
{
    DIR *d = opendir("/proc");
    struct dirent *entry;
    int64_t pid, found = 0;

    while (d && !found && (entry = readdir(d)))
        if (str_to_i64(str_of(entry->d_name), &pid) && pid > 1 && has_argument((pid_t)pid, word))
            found = pid;
    if (d)
        closedir(d);
    return (pid_t)found;
}
