/*
 * The first process of a namespace that stands for a machine: `klein init SPEC` (made by `klein up`, not for people).
 *
 * It mounts /proc, waits until its links are in place, starts the services of its spec, starts them again when they end
 * (100 ms, doubling to 5 s), and reaps whatever is orphaned. As process 1 of its PID namespace its death ends everything
 * inside at once, like a power cut. SPEC is a JSON file:
 *
 *     {"hostname": "node-a1", "forward": true, "services": [{"log": "FILE", "argv": ["klein", "agent", ...]}]}
 */
#define LOG_PART "init"
#include "cli/init.h"
#include "cli/commands.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "object/object.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVICES_MAX     8
#define ARGUMENTS_MAX    64
#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS   (5 * SECOND_MS)
#define LOG_KEEP_BYTES   (16 * MIB) /* a larger log becomes LOG.1 when its service starts */

struct service {
    char *argv[ARGUMENTS_MAX + 1];
    char *log;
    pid_t pid;
    int64_t started_ms, wait_ms, start_at_ms;
};

static struct service services[SERVICES_MAX];
static int services_count;

static int read_spec(const char *path, struct object **ret, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);

    if (file_read(path, &text, err) < 0)
        return -1;
    *ret = object_parse(buf_str(&text), err);
    return *ret ? 0 : error_context(err, "read '%s'", path);
}

static void take_services(struct view list)
{
    struct view_iter it = { 0 };

    while (view_next(list, &it) && services_count < SERVICES_MAX) {
        struct service *s = &services[services_count++];
        struct view_iter word = { 0 };
        int n = 0;
        s->log = str_dup(view_str(view_get_str(it.value, STR("log"))));
        while (view_next(view_get_str(it.value, STR("argv")), &word) && n < ARGUMENTS_MAX)
            s->argv[n++] = str_dup(view_str(word.value));
        s->wait_ms = RESTART_FIRST_MS;
    }
}

static void write_setting(const char *path, const char *text)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        log_warn("a kernel setting could not be made; going on without it", KV("file", "%s", path));
}

static int enter_world(struct view spec, struct error *err)
{
    struct str hostname = view_str(view_get_str(spec, STR("hostname")));

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail_sys(err, errno, "make mounts private");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return fail_sys(err, errno, "mount /proc");
    if (hostname.n && sethostname(hostname.p, hostname.n) < 0)
        return fail_sys(err, errno, "set the host name");
    if (view_bool(view_get_str(spec, STR("forward")), false))
        write_setting("/proc/sys/net/ipv4/ip_forward", "1");
    return 0;
}

/* `klein up` writes one byte when the links are there; its end without one means it failed: then so do we. */
static int wait_for_links(void)
{
    char byte;
    ssize_t n;

    do
        n = read(INIT_READY_FD, &byte, 1);
    while (n < 0 && errno == EINTR);
    close(INIT_READY_FD);
    return n == 1 ? 0 : -1;
}

static void open_log(const char *path)
{
    AUTO_FREE char *old = xasprintf("%s.1", path);
    struct stat st;

    if (stat(path, &st) == 0 && (size_t)st.st_size > LOG_KEEP_BYTES)
        rename(path, old);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
}

static void service_start(struct service *s, const sigset_t *mask)
{
    s->started_ms = time_monotonic_ms();
    s->start_at_ms = 0;
    s->pid = fork();
    if (s->pid != 0)
        return;
    sigprocmask(SIG_UNBLOCK, mask, NULL);
    setsid();
    open_log(s->log);
    execvp(s->argv[0], s->argv);
    log_error("a service could not be started", KV("program", "%s", s->argv[0]), KV("error", "%s", strerror(errno)));
    _exit(127);
}

static void service_ended(struct service *s, int status)
{
    int64_t now = time_monotonic_ms();

    s->pid = 0;
    if (now - s->started_ms > 10 * SECOND_MS)
        s->wait_ms = RESTART_FIRST_MS;
    s->start_at_ms = now + s->wait_ms;
    log_warn("a service ended; it is started again", KV("program", "%s %s", s->argv[0], s->argv[1] ? s->argv[1] : ""),
             KV("status", "%d", status), KV("after_ms", "%lld", (long long)s->wait_ms));
    s->wait_ms = MIN(s->wait_ms * 2, RESTART_MAX_MS);
}

static void reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < services_count; i++)
            if (services[i].pid == pid)
                service_ended(&services[i], status);
}

/* Start what is due; returns how long to sleep. */
static int64_t start_due(const sigset_t *mask)
{
    int64_t now = time_monotonic_ms(), sleep_ms = 60 * SECOND_MS;

    for (int i = 0; i < services_count; i++) {
        struct service *s = &services[i];
        if (s->pid > 0)
            continue;
        if (s->start_at_ms <= now)
            service_start(s, mask);
        else
            sleep_ms = MIN(sleep_ms, s->start_at_ms - now);
    }
    return sleep_ms;
}

static void supervise(void)
{
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    for (;;) {
        int64_t sleep_ms = start_due(&mask);
        struct timespec limit = { sleep_ms / 1000, sleep_ms % 1000 * 1000000 };
        int signal_number = sigtimedwait(&mask, NULL, &limit);

        if (signal_number == SIGTERM || signal_number == SIGINT)
            return; /* process 1 ends, and with it the whole namespace */
        reap();
    }
}

int init_run(const char *spec_path, struct error *err)
{
    struct object *spec = NULL;

    if (read_spec(spec_path, &spec, err) < 0 || enter_world(object_root(spec), err) < 0)
        return -1;
    take_services(view_get_str(object_root(spec), STR("services")));
    object_unref(spec);
    if (wait_for_links() < 0)
        return fail(err, ERR_INTERNAL, "`klein up` ended before the links were made");
    supervise();
    return 0;
}

static int run(const struct args *a, struct error *err)
{
    if (a->words_count != 1) {
        fail(err, ERR_BAD_REQUEST, "usage: klein init SPEC");
        return EXIT_USAGE;
    }
    return init_run(a->words[0], err);
}

const struct subcommand command_init = { .name = "init", .usage = "SPEC", .run = run };
