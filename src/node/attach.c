/* Attach: the streams of a container's own process, through its monitor's socket. */
#include "node/exec.h"

#include "loop/watch.h"
#include "node/frames.h"
#include "object/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PACKET_MAX  (32 * KIB) /* conmon sends at most 8 KiB and a byte */
#define PIPE_STDOUT 2          /* the first byte of what conmon sends */
#define PIPE_STDERR 3

struct attach {
    struct agent *agent;
    char id[CONTAINER_ID_SIZE];
    struct channel *channel;
    struct frames frames;
    int fd; /* SOCK_SEQPACKET */
    struct fd_watch *watch;
    bool stdout_open, stderr_open, terminal, done;
};

static void attach_free(struct attach *t)
{
    fd_watch_free(t->watch);
    close(t->fd);
    frames_done(&t->frames);
    free(t);
}

static void finish(struct attach *t)
{
    AUTO_BUF struct buf result = BUF_MAX(4096);
    AUTO_BUF struct buf frame = BUF_MAX(8192);

    if (t->done)
        return;
    t->done = true;
    fd_watch_set(t->watch, 0);
    exec_write_result(&result, 0);
    frame_write(&frame, FRAME_RESULT, buf_str(&result));
    channel_write(t->channel, buf_str(&frame));
    channel_close_after_write(t->channel, 10 * 1000);
}

static void on_packet(struct fd_watch *w, unsigned events, void *arg)
{
    struct attach *t = arg;
    AUTO_BUF struct buf frame = BUF_MAX(2 * PACKET_MAX);
    char packet[PACKET_MAX];
    (void)w, (void)events;

    ssize_t n = recv(t->fd, packet, sizeof(packet), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* the container has ended */
        finish(t);
        return;
    }
    bool error = packet[0] == PIPE_STDERR;
    if (n < 2 || (error ? !t->stderr_open : !t->stdout_open))
        return;
    frame_write(&frame, error ? FRAME_STDERR : FRAME_STDOUT, (struct str){ packet + 1, (size_t)n - 1 });
    if (!channel_write(t->channel, buf_str(&frame)))
        fd_watch_set(t->watch, 0);
}

static void on_frame(void *arg, enum frame_channel channel, struct str payload)
{
    struct attach *t = arg;

    if (channel == FRAME_STDIN) {
        for (struct str rest = payload; rest.n; rest = str_from(rest, PACKET_MAX / 4)) {
            struct str part = str_part(rest, 0, PACKET_MAX / 4);
            if (send(t->fd, part.p, part.n, MSG_NOSIGNAL) < 0)
                return;
        }
    } else if (channel == FRAME_SIZE && t->terminal) {
        AUTO_ARENA struct arena a = { 0 };
        struct value *v = value_parse(&a, payload, NULL, NULL);
        runtime_resize(t->agent->runtime, str_of(t->id), (uint16_t)value_to_int(value_get_str(v, STR("Width")), 80),
                       (uint16_t)value_to_int(value_get_str(v, STR("Height")), 24));
    } else if (channel == FRAME_STDIN_END) {
        shutdown(t->fd, SHUT_WR);
    }
}

static void on_client_read(struct channel *c, struct str bytes, void *arg)
{
    struct attach *t = arg;
    if (!t->done && frames_feed(&t->frames, bytes, on_frame, t, NULL) < 0)
        channel_close(c);
}

static void on_client_eof(struct channel *c, void *arg)
{
    (void)c, (void)arg;
}

static void on_client_drained(struct channel *c, void *arg)
{
    struct attach *t = arg;
    (void)c;
    if (!t->done)
        fd_watch_set(t->watch, FD_READABLE);
}

static void on_client_closed(struct channel *c, const struct error *err, void *arg)
{
    (void)c, (void)err;
    attach_free(arg);
}

static const struct channel_callbacks channel_callbacks = {
    .on_read = on_client_read, .on_eof = on_client_eof, .on_drained = on_client_drained, .on_closed = on_client_closed
};

/* Through the bundle's descriptor: its path may be longer than a socket's may be. */
static int connect_monitor(struct agent *a, struct str id, struct error *err)
{
    AUTO_ARENA struct arena arena = { 0 };
    struct str bundle = runtime_bundle(a->runtime, &arena, id);
    AUTO_FD int folder = open(bundle.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/attach", folder);
    if (folder < 0 || fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return fail_sys(err, errno, "attach to the container");
    return TAKE_FD(fd);
}

int attach_start(struct agent *a, struct http_exchange *exchange, const struct exec_request *r, struct error *err)
{
    int fd = connect_monitor(a, r->container_id, err);
    if (fd < 0)
        return -1;
    struct attach *t = xnew(struct attach);
    *t = (struct attach){
        .agent = a, .fd = fd, .stdout_open = r->stdout_open, .stderr_open = r->stderr_open, .terminal = r->terminal
    };
    memcpy(t->id, r->container_id.p, CONTAINER_ID_SIZE - 1);
    frames_init(&t->frames);
    t->watch = fd_watch_new(a->loop, fd, FD_READABLE, on_packet, t, err);
    if (!t->watch) {
        attach_free(t);
        return -1;
    }
    const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("application/vnd.klein.frames") } };
    struct http_response head = { .status = 200, .headers = headers, .headers_count = 1 };
    t->channel = http_exchange_channel(exchange, &head);
    channel_set_callbacks(t->channel, &channel_callbacks, t);
    return 0;
}
