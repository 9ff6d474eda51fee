/* The rolling upgrade of `klein prove`: another program, made from the cluster's own, and the run of `klein upgrade`. */
#include "cli/prove.h"

#include "base/file.h"
#include "base/time.h"
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define UPGRADE_LIMIT_MS (10 * 60 * SECOND_MS)

int prove_other_program(const struct prove *p, char **ret_other, char **ret_before, struct error *err)
{
    AUTO_FREE char *file = cluster_data_path(&p->cluster, "prove-program");
    AUTO_BUF struct buf bytes = BUF_MAX(PROGRAM_MAX_BYTES);
    char *before = program_of(&p->cluster, p->cluster.edge.name);
    int result;

    if (!before)
        return fail(err, ERR_NOT_FOUND, "the cluster was made by a klein that keeps no copy of its program");
    result = file_read(before, &bytes, err);
    if (result == 0) {
        buf_add(&bytes, STR("another klein\n")); /* behind the program: it runs as before and has another digest */
        result = file_write(file, buf_str(&bytes), 0755, err);
    }
    if (result == 0)
        result = program_store(&p->cluster, file, ret_other, err);
    unlink(file);
    if (result < 0)
        free(before);
    else
        *ret_before = before;
    return result;
}

void prove_program_forget(const char *other)
{
    unlink(other);
}

static void become_upgrade(const char *name, const char *program, int out_fd)
{
    const char *argv[] = { "klein", "upgrade", "--name", name, "--program", program, NULL };

    signal(SIGINT, SIG_IGN); /* Ctrl-C ends the run; a machine is never left between two programs */
    dup2(out_fd, 1);
    dup2(out_fd, 2);
    execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* The last line it said is the reason. */
static int upgrade_failed(const char *log, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);
    struct str rest, line, last = STR("it said nothing");

    if (file_read(log, &text, NULL) == 0)
        for (rest = buf_str(&text); str_next(&rest, '\n', &line);)
            last = line.n ? line : last;
    return fail(err, ERR_INTERNAL, "%.*s", STR_ARG(last));
}

int prove_upgrade_to(const struct prove *p, const char *program, struct error *err)
{
    AUTO_FREE char *log = cluster_data_path(&p->cluster, "log/prove-upgrade.log");
    int64_t until_ms = time_monotonic_ms() + UPGRADE_LIMIT_MS;
    AUTO_FD int out_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int status = 0;
    pid_t pid;

    if (out_fd < 0)
        return fail_sys(err, errno, "open '%s'", log);
    pid = fork();
    if (pid == 0)
        become_upgrade(p->cluster.name, program, out_fd);
    if (pid < 0)
        return fail_sys(err, errno, "start klein upgrade");
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (time_monotonic_ms() > until_ms) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            return fail(err, ERR_TIMEOUT, "klein upgrade did not end within 10 minutes");
        }
        poll(NULL, 0, 50);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : upgrade_failed(log, err);
}
