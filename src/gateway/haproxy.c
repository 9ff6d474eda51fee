/*
 * The HAProxy process, in master-worker mode: the master stays, each reload makes a new worker that takes the listening sockets
 * over while the old one finishes its connections.
 */
#define LOG_PART "gateway"
#include "gateway/haproxy.h"

#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/time.h"
#include "loop/process.h"
#include "loop/stream.h"
#include "loop/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK_LIMIT_MS   (20 * SECOND_MS)
#define READY_LIMIT_MS   (10 * SECOND_MS)
#define READY_POLL_MS    10
#define COMMAND_LIMIT_MS (2 * SECOND_MS)
#define SIGNAL_AGAIN_MS  (2 * SECOND_MS)
#define RESTART_PAUSE_MS 200
#define ANSWER_MAX       (4 * MIB)
#define PART_MAX         (12 * KIB)

struct haproxy {
    struct loop *loop;
    char *folder, *config, *config_new, *pid_file, *socket;
    struct process *process;   /* started by us */
    struct pid_watch *adopted; /* started by an earlier agent */
    struct process_capture *check;
    struct loop_timer restart, ready;
    int64_t ready_until_ms;
    int64_t signal_again_ms; /* 0: a start, not a reload */
    uint64_t generation;     /* worker pid answering, to tell the new worker from the old after a reload */
    haproxy_done_fn *done;
    void *done_arg;
    struct list commands; /* waiting for their answers */
    loop_fn *ended;
    void *ended_arg;
};

bool haproxy_is_running(const struct haproxy *h)
{
    return h->process || h->adopted;
}

/* --- the process ---------------------------------------------------------------------------------------------------------------------- */

static void finish(struct haproxy *h, const struct error *err)
{
    haproxy_done_fn *done = h->done;

    loop_timer_stop(&h->ready);
    h->done = NULL;
    if (done)
        done(h->done_arg, err);
}

static void ended(struct haproxy *h)
{
    log_error("HAProxy ended; it is started again");
    h->generation = 0;
    loop_timer_start(&h->restart, RESTART_PAUSE_MS);
}

static void on_exit_child(struct process *p, struct process_exit how, void *arg)
{
    struct haproxy *h = arg;

    (void)p;
    (void)how;
    h->process = NULL;
    ended(h);
}

static void on_exit_adopted(struct pid_watch *w, void *arg)
{
    struct haproxy *h = arg;

    (void)w;
    pid_watch_free(h->adopted);
    h->adopted = NULL;
    ended(h);
}

static int start(struct haproxy *h, struct error *err)
{
    const char *const argv[] = { "haproxy", "-W", "-q", "-f", h->config, "-p", h->pid_file, NULL };
    const struct process_fd fds[] = { { 2, 2 } };

    h->process = process_spawn(
        h->loop, &(struct process_options){ .argv = argv, .fds = fds, .fds_count = 1, .new_session = true },
        on_exit_child, h, err);
    return h->process ? 0 : error_context(err, "start HAProxy");
}

static void on_restart(void *arg)
{
    struct haproxy *h = arg;

    if (!haproxy_is_running(h) && h->ended)
        h->ended(h->ended_arg);
}

/* A HAProxy of an earlier agent in this folder: its pid file names a live process with our configuration. */
static void adopt(struct haproxy *h)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    AUTO_BUF struct buf command = BUF_MAX(64 * KIB);
    struct str rest, line;
    int64_t pid;

    if (file_read(h->pid_file, &text, NULL) < 0)
        return;
    rest = buf_str(&text);
    if (!str_next(&rest, '\n', &line) || !str_to_i64(str_trim(line), &pid))
        return;
    AUTO_FREE char *path = xasprintf("/proc/%lld/cmdline", (long long)pid);
    if (file_read(path, &command, NULL) < 0 || !str_contains(buf_str(&command), str_of(h->config)))
        return;
    h->adopted = pid_watch_new(h->loop, (pid_t)pid, on_exit_adopted, h, NULL);
    if (h->adopted)
        log_info("HAProxy of an earlier agent goes on", KV("pid", "%lld", (long long)pid));
}

static void on_ready_poll(void *arg);
static void cancel_commands(struct haproxy *h);

struct haproxy *haproxy_new(struct loop *loop, const char *folder)
{
    struct haproxy *h = xnew(struct haproxy);

    h->loop = loop;
    h->folder = xstrdup(folder);
    h->config = xasprintf("%s/haproxy.cfg", folder);
    h->config_new = xasprintf("%s/haproxy.cfg.new", folder);
    h->pid_file = xasprintf("%s/haproxy.pid", folder);
    h->socket = xasprintf("unix:%s/runtime.sock", folder);
    list_init(&h->commands);
    loop_timer_init(&h->restart, loop, on_restart, h);
    loop_timer_init(&h->ready, loop, on_ready_poll, h);
    adopt(h);
    return h;
}

void haproxy_free(struct haproxy *h)
{
    if (!h)
        return;
    loop_timer_stop(&h->restart);
    loop_timer_stop(&h->ready);
    cancel_commands(h);
    if (h->check)
        process_capture_cancel(h->check);
    if (h->process)
        process_forget(h->process);
    pid_watch_free(h->adopted);
    free(h->folder);
    free(h->config);
    free(h->config_new);
    free(h->pid_file);
    free(h->socket);
    free(h);
}

static void send_signal(struct haproxy *h, int number)
{
    if (h->process)
        process_kill(h->process, number);
    else if (h->adopted)
        pid_watch_kill(h->adopted, number, NULL);
}

void haproxy_kill(struct haproxy *h)
{
    send_signal(h, SIGTERM);
}

void haproxy_on_ended(struct haproxy *h, loop_fn *fn, void *arg)
{
    h->ended = fn;
    h->ended_arg = arg;
}

/* --- commands ------------------------------------------------------------------------------------------------------------------------- */

/*
 * One connection takes one line, and a line must fit into HAProxy's buffer: commands are joined by ';' and sent in parts, a connection
 * each, one after the other.
 */
struct command {
    struct haproxy *h;
    struct list link; /* of h->commands */
    struct buf answer;
    char *text;
    size_t n, sent, part;
    struct loop_timer limit;
    struct stream *stream;
    bool late, cancelled;
    haproxy_answer_fn *answered;
    void *arg;
};

static void send_part(struct command *c);

static void command_open(struct stream *s, void *arg)
{
    struct command *c = arg;

    stream_write(s, (struct str){ c->text + c->sent, c->part });
    stream_shutdown(s);
}

static void command_read(struct stream *s, struct str bytes, void *arg)
{
    struct command *c = arg;

    (void)s;
    buf_add(&c->answer, bytes);
}

static void command_closed(struct stream *s, const struct error *err, void *arg)
{
    struct command *c = arg;
    AUTO_ERROR struct error late = { 0 };

    (void)s;
    loop_timer_stop(&c->limit);
    c->sent += c->part;
    if (!err && !c->late && !c->cancelled && c->sent < c->n) {
        send_part(c);
        return;
    }
    if (c->late) {
        fail(&late, ERR_TIMEOUT, "HAProxy did not answer a command within %lld s",
             (long long)(COMMAND_LIMIT_MS / SECOND_MS));
        err = &late;
    }
    if (!c->cancelled) {
        list_del(&c->link);
        c->answered(c->arg, buf_str(&c->answer), err);
    }
    buf_done(&c->answer);
    free(c->text);
    free(c);
}

static void command_limit(void *arg)
{
    struct command *c = arg;

    c->late = true;
    stream_close(c->stream);
}

static void send_part(struct command *c)
{
    static const struct stream_callbacks callbacks = { .on_open = command_open,
                                                       .on_read = command_read,
                                                       .on_closed = command_closed };
    struct address to = { 0 };
    size_t end = MIN(c->n, c->sent + PART_MAX);

    while (end < c->n && c->text[end - 1] != '\n')
        end--;
    c->part = end - c->sent;
    for (size_t i = c->sent; i + 1 < end; i++)
        if (c->text[i] == '\n')
            c->text[i] = ';';
    address_parse(str_of(c->h->socket), &to, NULL);
    loop_timer_start(&c->limit, COMMAND_LIMIT_MS);
    c->stream = stream_connect(c->h->loop, &to, NULL, &callbacks, c);
}

void haproxy_command(struct haproxy *h, struct str commands, haproxy_answer_fn *answered, void *arg)
{
    struct command *c = xnew(struct command);

    *c = (struct command){ .h = h,
                           .answer = BUF_MAX(ANSWER_MAX),
                           .text = str_dup(commands),
                           .n = commands.n,
                           .answered = answered,
                           .arg = arg };
    list_add_tail(&h->commands, &c->link);
    loop_timer_init(&c->limit, h->loop, command_limit, c);
    send_part(c);
}

static void cancel_commands(struct haproxy *h)
{
    list_each (&h->commands, struct command, link, c) {
        list_del(&c->link);
        c->cancelled = true;
        loop_timer_stop(&c->limit);
        stream_close(c->stream);
    }
}

/* --- reload --------------------------------------------------------------------------------------------------------------------------- */

/* "Pid: 123" of the worker that answers; 0 when none. */
static uint64_t pid_of_answer(struct str answer)
{
    struct str line;
    uint64_t pid = 0;

    while (str_next(&answer, '\n', &line))
        if (str_starts(line, STR("Pid: ")))
            str_to_u64(str_trim(str_from(line, 5)), &pid);
    return pid;
}

static void on_info(void *arg, struct str answer, const struct error *err)
{
    struct haproxy *h = arg;
    uint64_t pid = err ? 0 : pid_of_answer(answer);
    AUTO_ERROR struct error late = { 0 };

    if (!h->done)
        return;
    if (pid && pid != h->generation) {
        h->generation = pid;
        finish(h, NULL);
    } else if (loop_now_ms(h->loop) > h->ready_until_ms) {
        fail(&late, ERR_TIMEOUT, "HAProxy did not answer within %lld s after a reload",
             (long long)(READY_LIMIT_MS / SECOND_MS));
        finish(h, &late);
    } else {
        /* A master that was just starting itself may have missed the signal. */
        if (h->signal_again_ms && loop_now_ms(h->loop) > h->signal_again_ms) {
            h->signal_again_ms += SIGNAL_AGAIN_MS;
            send_signal(h, SIGUSR2);
        }
        loop_timer_start(&h->ready, READY_POLL_MS);
    }
}

static void on_ready_poll(void *arg)
{
    struct haproxy *h = arg;

    haproxy_command(h, STR("show info\n"), on_info, h);
}

static void wait_for_worker(struct haproxy *h, bool reloads)
{
    h->signal_again_ms = reloads ? loop_now_ms(h->loop) + SIGNAL_AGAIN_MS : 0;
    h->ready_until_ms = loop_now_ms(h->loop) + READY_LIMIT_MS;
    loop_timer_start(&h->ready, READY_POLL_MS);
}

/* Which worker answers before the reload, when an earlier agent started it. */
static void on_old_info(void *arg, struct str answer, const struct error *err)
{
    struct haproxy *h = arg;

    h->generation = err ? 0 : pid_of_answer(answer);
    send_signal(h, SIGUSR2);
    wait_for_worker(h, true);
}

static void on_checked(void *arg, const struct process_result *result, const struct error *err)
{
    struct haproxy *h = arg;
    AUTO_ERROR struct error failed = { 0 };
    bool asks = false, runs = haproxy_is_running(h);

    h->check = NULL;
    if (err)
        fail(&failed, err->code, "check HAProxy's configuration: %s", error_text(err));
    else if (result->exit.code != 0)
        fail(&failed, ERR_INVALID, "HAProxy refuses the configuration: %.*s",
             STR_ARG(str_part(str_trim(result->err_out), 0, 400)));
    else if (rename(h->config_new, h->config) < 0)
        fail_sys(&failed, errno, "rename '%s'", h->config_new);
    else if (!runs)
        start(h, &failed);
    else if (!h->generation)
        asks = true;
    else
        send_signal(h, SIGUSR2);
    if (failed.code)
        finish(h, &failed);
    else if (asks)
        haproxy_command(h, STR("show info\n"), on_old_info, h);
    else
        wait_for_worker(h, runs);
}

void haproxy_reload(struct haproxy *h, haproxy_done_fn *done, void *arg)
{
    const char *const argv[] = { "haproxy", "-c", "-q", "-f", h->config_new, NULL };

    h->done = done;
    h->done_arg = arg;
    h->check = process_capture(h->loop, &(struct process_options){ .argv = argv }, STR_NONE, 64 * KIB, CHECK_LIMIT_MS,
                               on_checked, h);
}
