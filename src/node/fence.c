/* Starting the fence guard, finding it again, and telling it of contacts. */
#include "node/fence.h"

#include "base/buf.h"
#include "base/file.h"
#include "loop/process.h"

#define LOG_PART "node"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_AGAIN_MS 50
#define SPAWN_AGAIN_MS   500

/* embed.py: the program itself. */
extern const char fence_blob[], fence_blob_end[];

struct fence {
    struct fence_config config;
    char *socket, *groups;
    struct stream *stream; /* NULL: not attached */
    struct loop_timer retry;
    struct buf line;
    char *written;
    int program; /* memfd; -1: not made yet */
    int tries;
    bool greeted, started_one, fenced, confirmed;
    int64_t contact_ms, spawned_ms;
    uint64_t generation, lifted;
    bool told_guarded, told_holds;
};

/* --- the program ------------------------------------------------------------------------------------------------------------------ */

static int program_open(struct error *err)
{
    int fd = memfd_create("klein-fence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t size = (size_t)(fence_blob_end - fence_blob), done = 0;

    while (fd >= 0 && done < size) {
        ssize_t n = write(fd, fence_blob + done, size - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (fd >= 0 && done == size)
        return fd;
    fail_sys(err, errno, "put the fence guard's program into memory");
    if (fd >= 0)
        close(fd);
    return -1;
}

int fence_exec(const char *const *argv, struct error *err)
{
    static char *const env[] = { NULL };
    int fd = program_open(err);

    if (fd < 0)
        return -1;
    fexecve(fd, (char *const *)(uintptr_t)argv, env);
    return fail_sys(err, errno, "run the fence guard");
}

/* --- what the guard says --------------------------------------------------------------------------------------------------------- */

bool fence_is_guarded(const struct fence *f)
{
    return f->stream && f->greeted;
}

bool fence_is_fenced(const struct fence *f)
{
    return f->fenced;
}

bool fence_holds(const struct fence *f)
{
    return f->fenced || !f->confirmed || f->generation != f->lifted;
}

static void tell(struct fence *f)
{
    bool guarded = fence_is_guarded(f), holds = fence_holds(f);

    if (guarded == f->told_guarded && holds == f->told_holds)
        return;
    f->told_guarded = guarded;
    f->told_holds = holds;
    f->config.on_change(f->config.arg);
}

static void send_line(struct fence *f, char what, int64_t n)
{
    char text[40];

    if (f->stream)
        stream_write(f->stream,
                     (struct str){ text, (size_t)snprintf(text, sizeof(text), "%c %lld\n", what, (long long)n) });
}

static void take_line(struct fence *f, struct str line)
{
    struct str word;
    int64_t fenced, generation, lifted;

    if (!str_next(&line, ' ', &word) || !str_is(word, "f") || !str_next(&line, ' ', &word) ||
        !str_to_i64(word, &fenced) || !str_next(&line, ' ', &word) || !str_to_i64(word, &generation) ||
        !str_to_i64(line, &lifted))
        return;
    if (!f->greeted) {
        /* One that was here before us never lost sight of the pods; after another start nobody knows what happened meanwhile. */
        f->confirmed = f->confirmed || !f->started_one;
        if (f->contact_ms)
            send_line(f, 'c', f->contact_ms);
    }
    if (f->greeted ? (uint64_t)generation != f->generation : false)
        log_warn("no contact with servers or peers: pods that must be one are stopped here");
    f->greeted = true;
    f->fenced = fenced != 0;
    f->generation = (uint64_t)generation;
    f->lifted = (uint64_t)lifted;
    tell(f);
}

static void on_read(struct stream *s, struct str bytes, void *arg)
{
    struct fence *f = arg;
    struct str line;

    (void)s;
    buf_add(&f->line, bytes);
    for (struct str rest = buf_str(&f->line); str_find(rest, '\n') >= 0; rest = buf_str(&f->line)) {
        str_next(&rest, '\n', &line);
        take_line(f, line);
        buf_drop(&f->line, (size_t)(rest.p - f->line.p));
    }
}

/* --- starting and attaching ------------------------------------------------------------------------------------------------------- */

static void on_exit_of_guard(struct process *p, struct process_exit how, void *arg)
{
    (void)p, (void)arg;
    log_info("a fence guard ended", KV("code", "%d", how.code), KV("signal", "%d", how.signal));
}

static void spawn(struct fence *f)
{
    AUTO_ERROR struct error err = { 0 };
    const char *argv[] = { "klein-fence", f->socket, f->groups, NULL };
    const char *env[] = { NULL };
    struct process_fd fds[] = { { STDERR_FILENO, STDERR_FILENO } };
    int64_t now_ms = loop_now_ms(f->config.loop);

    if (f->spawned_ms && now_ms - f->spawned_ms < SPAWN_AGAIN_MS)
        return;
    if (f->program < 0)
        f->program = program_open(&err);
    struct process_options o = { .argv = argv,
                                 .file_fd = f->program,
                                 .env = env,
                                 .fds = fds,
                                 .fds_count = 1,
                                 .new_session = true,
                                 .oom_score_adj = f->config.oom_score_adj };
    f->spawned_ms = now_ms;
    f->started_one = true;
    if (f->program < 0 || !process_spawn(f->config.loop, &o, on_exit_of_guard, f, &err))
        log_warn(
            "the fence guard cannot be started: servers will not replace pods that must be one while this node is away",
            KV_ERR(&err));
}

static void attach(void *arg);

static void on_open(struct stream *s, void *arg)
{
    (void)s, (void)arg;
}

static void on_closed(struct stream *s, const struct error *err, void *arg)
{
    struct fence *f = arg;
    bool was_attached = f->greeted;

    (void)s, (void)err;
    f->stream = NULL;
    f->greeted = false;
    buf_clear(&f->line);
    if (was_attached) {
        log_warn("the fence guard is gone; another one is started");
        f->spawned_ms = 0;
    }
    spawn(f);
    loop_timer_start(&f->retry, CONNECT_AGAIN_MS);
    tell(f);
}

static void attach(void *arg)
{
    static const struct stream_callbacks callbacks = { .on_open = on_open, .on_read = on_read, .on_closed = on_closed };
    struct fence *f = arg;
    AUTO_FREE char *path = xasprintf("unix:%s", f->socket);
    struct address to;

    if (address_parse(str_of(path), &to, NULL) < 0)
        return;
    f->stream = stream_connect(f->config.loop, &to, NULL, &callbacks, f);
}

/* --- the rest ------------------------------------------------------------------------------------------------------------------------ */

void fence_contact(struct fence *f, int64_t sent_ms)
{
    if (sent_ms <= f->contact_ms)
        return;
    f->contact_ms = sent_ms;
    if (fence_is_guarded(f))
        send_line(f, 'c', sent_ms);
}

void fence_lift(struct fence *f)
{
    if (f->fenced || !fence_is_guarded(f))
        return;
    f->confirmed = true;
    f->lifted = f->generation;
    send_line(f, 'l', (int64_t)f->generation);
    tell(f);
}

void fence_set_groups(struct fence *f, struct str lines)
{
    AUTO_ERROR struct error err = { 0 };

    if (f->written && str_is(lines, f->written))
        return;
    free(f->written);
    f->written = str_dup(lines);
    if (file_write(f->groups, lines, 0600, &err) < 0)
        log_error("the fence guard could not be told which pods must be one", KV_ERR(&err));
}

struct fence *fence_new(const struct fence_config *c)
{
    struct fence *f = xnew(struct fence);

    f->config = *c;
    f->program = -1;
    f->socket = xasprintf("%s/fence.sock", c->folder);
    f->groups = xasprintf("%s/fence.groups", c->folder);
    f->line = (struct buf)BUF_MAX(4096);
    f->told_holds = fence_holds(f);
    loop_timer_init(&f->retry, c->loop, attach, f);
    attach(f);
    return f;
}

void fence_free(struct fence *f)
{
    static const struct stream_callbacks none = { 0 };

    if (!f)
        return;
    loop_timer_stop(&f->retry);
    if (f->stream) {
        stream_set_callbacks(f->stream, &none, NULL);
        stream_close(f->stream);
    }
    if (f->program >= 0)
        close(f->program);
    buf_done(&f->line);
    free(f->written);
    free(f->socket);
    free(f->groups);
    free(f);
}

void fence_quit(const char *folder)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof(to.sun_path), "%s/fence.sock", folder);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || write(fd, "q\n", 2) != 2)
        return;
    char bytes[64];
    while (read(fd, bytes, sizeof(bytes)) > 0)
        ; /* until it is gone */
}
