/* Exec: a program in a container, with pipes or a terminal. */
#include "node/exec.h"

#include "base/file.h"
#include "loop/watch.h"
#include "node/exec_process.h"
#include "node/frames.h"
#include "node/json_out.h"
#define LOG_PART "node"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DRAIN_MS  1000 /* after the program ended: output that others still hold open is not waited for longer */
#define HANGUP_MS 2000 /* between SIGHUP and SIGKILL when the client left */

enum { IN, OUT, ERR, STREAMS };

struct exec {
    struct agent *agent;
    struct channel *channel; /* frames, both ways; NULL once the client left */
    struct frames frames;
    struct process *process;
    struct stream *streams[STREAMS]; /* the program's stdin, stdout, stderr; a terminal is OUT and IN in one */
    bool terminal, ended, done;
    bool stdin_ended;
    struct process_exit how;
    struct loop_timer timer;
    /* a terminal comes through a socket */
    int console;
    char *console_path;
    struct fd_watch *console_watch;
    uint16_t columns, rows;
    int terminal_fd;
    struct buf early; /* stdin before the terminal is there */
};

void exec_write_result(struct buf *to, int exit_code)
{
    struct json_out j = { .to = to };

    json_object(&j, NULL);
    json_object(&j, "metadata");
    json_object_end(&j);
    json_text(&j, "status", exit_code == 0 ? "Success" : "Failure");
    if (exit_code != 0) {
        AUTO_FREE char *code = xasprintf("%d", exit_code);
        json_text(&j, "reason", "NonZeroExitCode");
        json_text(&j, "message", "command terminated with non-zero exit code");
        json_object(&j, "details");
        json_array(&j, "causes");
        json_object(&j, NULL);
        json_text(&j, "reason", "ExitCode");
        json_text(&j, "message", code);
        json_object_end(&j);
        json_array_end(&j);
        json_object_end(&j);
    }
    json_object_end(&j);
}

void exec_write_failure(struct buf *to, const struct error *err)
{
    struct json_out j = { .to = to };

    json_object(&j, NULL);
    json_object(&j, "metadata");
    json_object_end(&j);
    json_text(&j, "status", "Failure");
    json_text(&j, "reason", "InternalError");
    json_text(&j, "message", error_text(err));
    json_int(&j, "code", 500);
    json_object_end(&j);
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

static void exec_free(struct exec *x)
{
    loop_timer_stop(&x->timer);
    fd_watch_free(x->console_watch);
    if (x->console >= 0)
        close(x->console);
    if (x->console_path)
        unlink(x->console_path);
    free(x->console_path);
    frames_done(&x->frames);
    buf_done(&x->early);
    free(x);
}

/* Freed when nothing can call back any more. */
static void maybe_free(struct exec *x)
{
    if (x->channel || x->process || x->streams[IN] || x->streams[OUT] || x->streams[ERR])
        return;
    exec_free(x);
}

static void close_streams(struct exec *x)
{
    for (int i = 0; i < STREAMS; i++) {
        if (x->streams[i])
            stream_close(x->streams[i]);
    }
}

static void send_result(struct exec *x)
{
    AUTO_BUF struct buf result = BUF_MAX(4096);
    AUTO_BUF struct buf frame = BUF_MAX(8192);

    if (x->done)
        return;
    x->done = true;
    loop_timer_stop(&x->timer);
    close_streams(x);
    if (!x->channel)
        return;
    exec_write_result(&result, x->how.signal ? 128 + x->how.signal : x->how.code);
    frame_write(&frame, FRAME_RESULT, buf_str(&result));
    channel_write(x->channel, buf_str(&frame));
    channel_close_after_write(x->channel, 10 * 1000);
}

static void maybe_done(struct exec *x)
{
    if (x->ended && !x->streams[OUT] && !x->streams[ERR])
        send_result(x);
}

static void on_timer(void *arg)
{
    struct exec *x = arg;

    if (!x->channel && x->process)
        process_kill(x->process, SIGKILL);
    else if (x->ended)
        send_result(x);
}

static void on_program_exit(struct process *p, struct process_exit how, void *arg)
{
    struct exec *x = arg;
    (void)p;

    x->process = NULL;
    x->ended = true;
    x->how = how;
    if (x->channel) {
        loop_timer_start(&x->timer, DRAIN_MS);
        maybe_done(x);
    } else {
        close_streams(x);
    }
    maybe_free(x);
}

/* --- the program's side ----------------------------------------------------------------------------------------------------------- */

static void forward(struct exec *x, struct stream *s, struct str bytes)
{
    AUTO_BUF struct buf frame = BUF_MAX(4 * MIB);

    if (!x->channel || x->done)
        return;
    frame_write(&frame, s == x->streams[ERR] ? FRAME_STDERR : FRAME_STDOUT, bytes);
    if (!channel_write(x->channel, buf_str(&frame))) {
        if (x->streams[OUT])
            stream_pause(x->streams[OUT]);
        if (x->streams[ERR])
            stream_pause(x->streams[ERR]);
    }
}

static void on_output(struct stream *s, struct str bytes, void *arg)
{
    forward(arg, s, bytes);
}

static void on_stream_closed(struct stream *s, const struct error *err, void *arg)
{
    struct exec *x = arg;
    (void)err; /* a terminal ends with EIO: that is its end of file */

    for (int i = 0; i < STREAMS; i++) {
        if (x->streams[i] == s)
            x->streams[i] = NULL;
    }
    maybe_done(x);
    maybe_free(x);
}

static void on_stdin_drained(struct stream *s, void *arg)
{
    struct exec *x = arg;
    (void)s;
    if (x->channel)
        channel_resume(x->channel);
}

static const struct stream_callbacks stream_callbacks = { .on_read = on_output,
                                                          .on_drained = on_stdin_drained,
                                                          .on_closed = on_stream_closed };

/* --- the client's side -------------------------------------------------------------------------------------------------------------- */

static void write_stdin(struct exec *x, struct str bytes)
{
    struct stream *to = x->terminal ? x->streams[OUT] : x->streams[IN];

    if (to) {
        if (!stream_write(to, bytes) && x->channel)
            channel_pause(x->channel);
    } else if (x->terminal && !x->ended) {
        buf_add(&x->early, bytes);
    }
}

static void set_size(struct exec *x, struct str payload)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, payload, NULL, NULL);

    x->columns = (uint16_t)value_to_int(value_get_str(v, STR("Width")), 0);
    x->rows = (uint16_t)value_to_int(value_get_str(v, STR("Height")), 0);
    if (x->terminal && x->streams[OUT])
        process_terminal_resize(stream_fd(x->streams[OUT]), x->columns, x->rows);
}

static void on_frame(void *arg, enum frame_channel channel, struct str payload)
{
    struct exec *x = arg;

    if (channel == FRAME_STDIN) {
        write_stdin(x, payload);
    } else if (channel == FRAME_SIZE) {
        set_size(x, payload);
    } else if (channel == FRAME_STDIN_END) {
        if (x->terminal)
            write_stdin(x, STR("\x04"));
        else if (x->streams[IN])
            stream_close_after_write(x->streams[IN], 60 * 1000);
    }
}

static void on_client_read(struct channel *c, struct str bytes, void *arg)
{
    struct exec *x = arg;
    AUTO_ERROR struct error err = { 0 };

    if (frames_feed(&x->frames, bytes, on_frame, x, &err) < 0) {
        log_warn("exec: the server sent what the protocol does not know", KV_ERR(&err));
        channel_close(c);
    }
}

static void on_client_eof(struct channel *c, void *arg)
{
    (void)c, (void)arg; /* the request's body ended; the answer goes on */
}

static void on_client_drained(struct channel *c, void *arg)
{
    struct exec *x = arg;
    (void)c;
    if (x->streams[OUT])
        stream_resume(x->streams[OUT]);
    if (x->streams[ERR])
        stream_resume(x->streams[ERR]);
}

static void on_client_closed(struct channel *c, const struct error *err, void *arg)
{
    struct exec *x = arg;
    (void)c, (void)err;

    x->channel = NULL;
    if (x->process && !x->done) { /* the client left: hang up, then kill */
        process_kill(x->process, SIGHUP);
        loop_timer_start(&x->timer, HANGUP_MS);
    }
    close_streams(x);
    maybe_free(x);
}

static const struct channel_callbacks channel_callbacks = {
    .on_read = on_client_read, .on_eof = on_client_eof, .on_drained = on_client_drained, .on_closed = on_client_closed
};

/* --- a terminal ------------------------------------------------------------------------------------------------------------------------ */

/* crun sends the terminal's descriptor over the socket: SCM_RIGHTS. */
static int receive_descriptor(int socket_fd)
{
    char byte[4096];
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = { byte, sizeof(byte) };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    int fd = -1;

    if (recvmsg(socket_fd, &m, MSG_CMSG_CLOEXEC) < 0)
        return -1;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(h), sizeof(fd));
    return fd;
}

static void on_console(struct fd_watch *w, unsigned events, void *arg)
{
    struct exec *x = arg;
    (void)w, (void)events;

    AUTO_FD int connection = accept4(x->console, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        return;
    int fd = receive_descriptor(connection);
    if (fd < 0)
        return;
    fd_watch_free(x->console_watch);
    x->console_watch = NULL;
    if (x->columns)
        process_terminal_resize(fd, x->columns, x->rows);
    x->streams[OUT] = stream_wrap(x->agent->loop, fd, NULL, &stream_callbacks, x);
    if (x->early.n)
        stream_write(x->streams[OUT], buf_str(&x->early));
    buf_done(&x->early);
}

static int open_console(struct exec *x, struct error *err)
{
    static unsigned serial;
    AUTO_FREE char *folder = xasprintf("%s/x", x->agent->run);
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    if (file_mkdirs(folder, 0700, err) < 0)
        return -1;
    /* Through the folder's descriptor: the path of a socket must fit into 108 bytes. */
    AUTO_FD int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    unsigned number = ++serial;
    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%u", fd, number);
    x->console_path = xasprintf("%s/%u", folder, number);
    unlink(x->console_path);
    x->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (x->console < 0 || bind(x->console, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(x->console, 1) < 0)
        return fail_sys(err, errno, "open a socket for the terminal");
    x->console_watch = fd_watch_new(x->agent->loop, x->console, FD_READABLE, on_console, x, err);
    return x->console_watch ? 0 : -1;
}

/* --- start ------------------------------------------------------------------------------------------------------------------------------- */

static int spawn_with_pipes(struct exec *x, const struct exec_request *r, const char *const *argv, struct error *err)
{
    int pipes[STREAMS][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
    const bool wanted[STREAMS] = { r->stdin_open, true, true };
    struct process_fd fds[STREAMS];
    size_t n = 0;

    for (int i = 0; i < STREAMS; i++) {
        if (!wanted[i])
            continue;
        if (process_pipe(pipes[i], err) < 0)
            goto failed;
        fds[n++] = (struct process_fd){ i, pipes[i][i == IN ? 0 : 1] };
    }
    struct process_options o = { .argv = argv, .fds = fds, .fds_count = n, .new_session = true };
    x->process = process_spawn(x->agent->loop, &o, on_program_exit, x, err);
    if (!x->process)
        goto failed;
    for (int i = 0; i < STREAMS; i++) {
        if (!wanted[i])
            continue;
        close(pipes[i][i == IN ? 0 : 1]);
        x->streams[i] = stream_wrap(x->agent->loop, pipes[i][i == IN ? 1 : 0], NULL, &stream_callbacks, x);
    }
    return 0;
failed:
    for (int i = 0; i < STREAMS; i++) {
        for (int k = 0; k < 2; k++) {
            if (pipes[i][k] >= 0)
                close(pipes[i][k]);
        }
    }
    return -1;
}

int exec_start(struct agent *a, struct http_exchange *exchange, const struct exec_request *r, struct error *err)
{
    struct exec *x = xnew(struct exec);
    struct exec_process command;
    int result = -1;

    *x = (struct exec){ .agent = a, .terminal = r->terminal, .console = -1, .early = BUF_MAX(64 * KIB) };
    frames_init(&x->frames);
    loop_timer_init(&x->timer, a->loop, on_timer, x);
    if (exec_process_prepare(a->runtime, r->container_id, r->command, r->command_count, r->terminal, &command, err) <
        0) {
        exec_free(x);
        return -1;
    }
    if (!r->terminal) {
        result = spawn_with_pipes(x, r, command.argv, err);
    } else if (open_console(x, err) == 0) {
        exec_process_set_console(&command, x->console_path);
        struct process_options o = { .argv = command.argv, .new_session = true };
        x->process = process_spawn(a->loop, &o, on_program_exit, x, err);
        result = x->process ? 0 : -1;
    }
    exec_process_done(&command);
    if (result < 0) {
        exec_free(x);
        return -1;
    }
    const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("application/vnd.klein.frames") } };
    struct http_response head = { .status = 200, .headers = headers, .headers_count = 1 };
    x->channel = http_exchange_channel(exchange, &head);
    channel_set_callbacks(x->channel, &channel_callbacks, x);
    return 0;
}
