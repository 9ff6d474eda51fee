/* Starting, watching and ending containers through conmon and crun. */
#include "node/runtime.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/map.h"
#include "loop/watch.h"
#include "object/value.h"
#define LOG_PART "node"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_TIMEOUT_MS (120 * SECOND_MS) /* create on a machine that starts hundreds at once */
#define CRUN_TIMEOUT_MS  (60 * SECOND_MS)
#define CRUN_OUTPUT_MAX  (8 * KIB)
#define SYNC_MAX_BYTES   (16 * KIB)
#define SYNC_FD          3

struct runtime {
    struct loop *loop;
    char *run, *crun, *conmon, *crun_root;
    struct map containers; /* id -> struct running */
};

/* One container that is being started or runs. */
struct running {
    struct runtime *runtime;
    char id[CONTAINER_ID_SIZE];
    struct runtime_ids ids;
    struct process *monitor;         /* our child; NULL when adopted or ended */
    struct pid_watch *monitor_watch; /* adopted */
    struct stream *sync;             /* conmon's answer to create */
    struct buf sync_text;
    struct loop_timer deadline;
    struct process_capture *crun; /* `crun start` */
    runtime_started *started;     /* NULL once called */
    runtime_exited *exited;
    void *arg;
    bool created; /* the sync pipe told a pid */
    bool failed;  /* start failed: the monitor's end is no exit */
    bool gone;    /* the monitor ended before start was through */
};

static char *find_program(const char *name, struct error *err)
{
    const char *path = getenv("PATH");
    struct str rest = str_of(path && *path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
               part;

    while (str_next(&rest, ':', &part)) {
        char *full = xasprintf("%.*s/%s", STR_ARG(part), name);
        if (access(full, X_OK) == 0)
            return full;
        free(full);
    }
    return fail_null(err, ERR_NOT_FOUND, "the program '%s' is not installed", name);
}

struct runtime *runtime_new(struct loop *loop, const char *run, struct error *err)
{
    struct runtime *r = xnew(struct runtime);

    r->loop = loop;
    r->run = xstrdup(run);
    r->crun_root = xasprintf("--root=%s/crun", run);
    AUTO_FREE char *bundles = xasprintf("%s/b", run);
    AUTO_FREE char *exits = xasprintf("%s/exits", run);
    AUTO_FREE char *state = xasprintf("%s/crun", run);
    if (!(r->crun = find_program("crun", err)) || !(r->conmon = find_program("conmon", err)) ||
        file_mkdirs(bundles, 0700, err) < 0 || file_mkdirs(exits, 0700, err) < 0 || file_mkdirs(state, 0700, err) < 0) {
        runtime_free(r);
        return NULL;
    }
    return r;
}

static void ignore_read(struct stream *s, struct str bytes, void *arg)
{
    (void)s;
    (void)bytes;
    (void)arg;
}

static void ignore_closed(struct stream *s, const struct error *err, void *arg)
{
    (void)s;
    (void)err;
    (void)arg;
}

static const struct stream_callbacks ignore_callbacks = { .on_read = ignore_read, .on_closed = ignore_closed };

static void running_free(struct running *c)
{
    loop_timer_stop(&c->deadline);
    if (c->crun)
        process_capture_cancel(c->crun);
    if (c->monitor)
        process_forget(c->monitor);
    pid_watch_free(c->monitor_watch);
    if (c->sync) {
        stream_set_callbacks(c->sync, &ignore_callbacks, NULL);
        stream_close(c->sync);
    }
    buf_done(&c->sync_text);
    free(c);
}

static void running_drop(struct running *c)
{
    map_del(&c->runtime->containers, str_of(c->id));
    running_free(c);
}

void runtime_free(struct runtime *r)
{
    struct str id;
    void *c;

    if (!r)
        return;
    for (size_t i = 0; map_next(&r->containers, &i, &id, &c);)
        running_free(c);
    map_done(&r->containers);
    free(r->run);
    free(r->crun);
    free(r->conmon);
    free(r->crun_root);
    free(r);
}

const char *runtime_crun(const struct runtime *r)
{
    return r->crun;
}

const char *runtime_crun_root(const struct runtime *r)
{
    return r->crun_root;
}

struct str runtime_bundle(const struct runtime *r, struct arena *a, struct str id)
{
    return arena_printf(a, "%s/b/%.*s", r->run, STR_ARG(id));
}

/* --- the end of a container ---------------------------------------------------------------------------------- */

static bool was_oom_killed(struct runtime *r, const char *id)
{
    AUTO_FREE char *path = xasprintf("%s/b/%s/oom", r->run, id);
    return file_exists(path);
}

static struct runtime_exit read_exit(struct runtime *r, const char *id)
{
    AUTO_FREE char *path = xasprintf("%s/exits/%s", r->run, id);
    AUTO_BUF struct buf text = BUF_MAX(64);
    struct runtime_exit e = { .finished_wall_ms = env_wall_ms(loop_env(r->loop)) };
    struct stat st;
    int64_t code;

    if (file_read(path, &text, NULL) == 0 && str_to_i64(str_trim(buf_str(&text)), &code)) {
        e.known = true;
        e.code = (int)code;
        if (stat(path, &st) == 0)
            e.finished_wall_ms = st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    } else {
        e.code = 137;
    }
    e.oom_killed = was_oom_killed(r, id);
    return e;
}

/* The monitor died without an exit file: nobody holds the container's output any more, so it ends too. */
static void kill_orphan(const struct running *c)
{
    if (c->ids.pid > 0 && pid_start_time(c->ids.pid) == c->ids.pid_started)
        kill(c->ids.pid, SIGKILL);
}

static void monitor_ended(struct running *c)
{
    if (c->started) { /* start is still under way: its own end reports */
        c->gone = true;
        return;
    }
    struct runtime_exit how = read_exit(c->runtime, c->id);
    runtime_exited *exited = c->exited;
    void *arg = c->arg;

    if (!how.known) {
        log_warn("the monitor of a container died; the container is ended", KV("container", "%s", c->id));
        kill_orphan(c);
    }
    running_drop(c);
    exited(arg, &how);
}

static void on_monitor_exit(struct process *p, struct process_exit how, void *arg)
{
    struct running *c = arg;
    (void)p;
    (void)how;
    c->monitor = NULL;
    monitor_ended(c);
}

static void on_monitor_gone(struct pid_watch *w, void *arg)
{
    (void)w;
    monitor_ended(arg);
}

/* --- start ------------------------------------------------------------------------------------------------------ */

static void start_done(struct running *c, const struct error *err)
{
    runtime_started *started = c->started;
    void *arg = c->arg;

    c->started = NULL;
    loop_timer_stop(&c->deadline);
    if (err) {
        struct runtime_ids none = { 0 };
        kill_orphan(c);
        if (c->monitor)
            process_kill(c->monitor, SIGTERM); /* conmon ends its runtime child and itself */
        running_drop(c);
        started(arg, &none, err);
        return;
    }
    struct runtime_ids ids = c->ids;
    bool gone = c->gone;
    started(arg, &ids, NULL);
    if (gone) { /* it has ended already; c is alive unless the caller forgot it */
        struct running *still = map_get(&c->runtime->containers, str_of(c->id));
        if (still == c)
            monitor_ended(c);
    }
}

static void start_failed(struct running *c, const char *format, struct str text)
{
    AUTO_ERROR struct error err = { 0 };
    fail(&err, ERR_INTERNAL, "%s%.*s", format, STR_ARG(str_trim(text)));
    start_done(c, &err);
}

static void on_crun_started(void *arg, const struct process_result *result, const struct error *err)
{
    struct running *c = arg;

    c->crun = NULL;
    if (err)
        start_done(c, err);
    else if (result->exit.code != 0)
        start_failed(c, "failed to start container: ", result->err_out);
    else
        start_done(c, NULL);
}

static void crun_start(struct running *c)
{
    const char *argv[] = { c->runtime->crun, c->runtime->crun_root, "start", c->id, NULL };
    struct process_options o = { .argv = argv };

    c->crun = process_capture(c->runtime->loop, &o, STR_NONE, CRUN_OUTPUT_MAX, CRUN_TIMEOUT_MS, on_crun_started, c);
}

/* conmon writes {"pid": N} once the container is created, or {"pid": -1, "message": "..."}. */
static void sync_told(struct running *c)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, buf_str(&c->sync_text), NULL, NULL);
    int64_t pid = value_to_int(value_get_str(v, STR("pid")), -1);
    struct str message = value_to_str(value_get_str(v, STR("message")));

    if (c->created)
        return;
    if (pid <= 0) {
        start_failed(c, "failed to create container: ", message.n ? message : STR("the monitor ended"));
        return;
    }
    c->created = true;
    c->ids.pid = (pid_t)pid;
    c->ids.pid_started = pid_start_time((pid_t)pid);
    crun_start(c);
}

static void on_sync_read(struct stream *s, struct str bytes, void *arg)
{
    struct running *c = arg;
    (void)s;
    buf_add(&c->sync_text, bytes);
    if (c->started && str_find(buf_str(&c->sync_text), '\n') >= 0)
        sync_told(c);
}

static void on_sync_closed(struct stream *s, const struct error *err, void *arg)
{
    struct running *c = arg;
    (void)s;
    (void)err;
    c->sync = NULL;
    if (c->started && !c->created)
        sync_told(c);
}

static const struct stream_callbacks sync_callbacks = { .on_read = on_sync_read, .on_closed = on_sync_closed };

static void on_deadline(void *arg)
{
    start_failed(arg, "failed to create container: ", STR("no answer in time"));
}

static int write_config(struct runtime *r, const struct runtime_start *s, struct error *err)
{
    AUTO_FREE char *bundle = xasprintf("%s/b/%.*s", r->run, STR_ARG(s->id));
    AUTO_FREE char *config = xasprintf("%s/config.json", bundle);

    if (mkdir(bundle, 0700) < 0 && errno != EEXIST)
        return fail_sys(err, errno, "create '%s'", bundle);
    AUTO_FD int fd = open(config, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, s->config.p, s->config.n) != (ssize_t)s->config.n)
        return fail_sys(err, errno, "write '%s'", config);
    return 0;
}

static int spawn_monitor(struct running *c, const struct runtime_start *s, struct error *err)
{
    struct runtime *r = c->runtime;
    AUTO_ARENA struct arena a = { 0 };
    const char *argv[48];
    size_t n = 0;
    int sync[2];

#define ARG(...) (argv[n++] = arena_printf(&a, __VA_ARGS__).p)
    ARG("%s", r->conmon);
    ARG("--sync");
    ARG("--cid=%s", c->id);
    ARG("--cuuid=%s", c->id);
    ARG("--name=%s", c->id);
    ARG("--runtime=%s", r->crun);
    ARG("--runtime-arg=%s", r->crun_root);
    ARG("--runtime-arg=--cgroup-manager=cgroupfs");
    ARG("--bundle=%s/b/%s", r->run, c->id);
    ARG("--container-pidfile=%s/b/%s/pid", r->run, c->id);
    ARG("--exit-dir=%s/exits", r->run);
    ARG("--persist-dir=%s/b/%s", r->run, c->id);
    ARG("--log-path=k8s-file:%.*s", STR_ARG(s->log_path));
    ARG("--full-attach");
    ARG("--no-sync-log");
    ARG("--no-new-keyring");
    ARG("--log-level=error");
    if (s->terminal)
        ARG("--terminal");
    if (s->stdin_open)
        ARG("--stdin");
    if (s->stdin_open && !s->stdin_once)
        ARG("--leave-stdin-open");
#undef ARG
    argv[n] = NULL;
    if (process_pipe(sync, err) < 0)
        return -1;
    const char *path = getenv("PATH");
    const char *env[] = { arena_printf(&a, "PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin").p,
                          arena_printf(&a, "_OCI_SYNCPIPE=%d", SYNC_FD).p, NULL };
    struct process_fd fds[] = { { SYNC_FD, sync[1] } };
    struct process_options o = {
        .argv = argv,
        .env = env,
        .fds = fds,
        .fds_count = 1,
        .new_session = true,
        .cwd = arena_printf(&a, "%s/b/%s", r->run, c->id).p
    }; /* conmon writes "oom" into its folder */
    c->monitor = process_spawn(r->loop, &o, on_monitor_exit, c, err);
    close(sync[1]);
    if (!c->monitor) {
        close(sync[0]);
        return error_context(err, "start the container's monitor");
    }
    c->ids.monitor_pid = process_pid(c->monitor);
    c->ids.monitor_started = pid_start_time(c->ids.monitor_pid);
    c->sync = stream_wrap(r->loop, sync[0], NULL, &sync_callbacks, c);
    return 0;
}

/* A failure before anything runs must still be told in a later round. */
struct refusal {
    runtime_started *started;
    void *arg;
    struct error err;
};

static void tell_refusal(void *arg)
{
    struct refusal *f = arg;
    struct runtime_ids none = { 0 };
    f->started(f->arg, &none, &f->err);
    error_done(&f->err);
    free(f);
}

void runtime_container_start(struct runtime *r, const struct runtime_start *s, runtime_started *started,
                             runtime_exited *exited, void *arg)
{
    struct running *c = xnew(struct running);
    AUTO_ERROR struct error err = { 0 };

    assert(s->id.n == CONTAINER_ID_SIZE - 1);
    c->runtime = r;
    memcpy(c->id, s->id.p, s->id.n);
    c->sync_text.max = SYNC_MAX_BYTES;
    c->started = started;
    c->exited = exited;
    c->arg = arg;
    loop_timer_init(&c->deadline, r->loop, on_deadline, c);
    if (write_config(r, s, &err) < 0 || spawn_monitor(c, s, &err) < 0) {
        struct refusal *f = xnew(struct refusal);
        *f = (struct refusal){ .started = started, .arg = arg };
        error_move(&f->err, &err);
        running_free(c);
        loop_post(r->loop, tell_refusal, f);
        return;
    }
    map_put(&r->containers, s->id, c);
    loop_timer_start(&c->deadline, START_TIMEOUT_MS);
}

/* --- adopting ---------------------------------------------------------------------------------------------------- */

static void on_adopted_dead(void *arg)
{
    struct running *c = arg;
    monitor_ended(c);
}

bool runtime_adopt(struct runtime *r, struct str id, const struct runtime_ids *ids, runtime_exited *exited, void *arg)
{
    struct running *c = xnew(struct running);

    assert(id.n == CONTAINER_ID_SIZE - 1);
    c->runtime = r;
    memcpy(c->id, id.p, id.n);
    c->ids = *ids;
    c->exited = exited;
    c->arg = arg;
    c->created = true;
    loop_timer_init(&c->deadline, r->loop, on_adopted_dead, c);
    map_put(&r->containers, id, c);
    if (ids->monitor_pid > 0 && pid_start_time(ids->monitor_pid) == ids->monitor_started)
        c->monitor_watch = pid_watch_new(r->loop, ids->monitor_pid, on_monitor_gone, c, NULL);
    if (c->monitor_watch)
        return true;
    loop_timer_start(&c->deadline, 0);
    return false;
}

void runtime_forget(struct runtime *r, struct str id)
{
    struct running *c = map_get(&r->containers, id);
    if (c)
        running_drop(c);
}

bool runtime_signal(struct runtime *r, struct str id, int signal)
{
    const struct running *c = map_get(&r->containers, id);

    if (!c || c->ids.pid <= 0 || pid_start_time(c->ids.pid) != c->ids.pid_started)
        return false;
    return kill(c->ids.pid, signal) == 0; /* an unreaped init keeps its pid: conmon reaps it, then we forget it */
}

pid_t runtime_pid(const struct runtime *r, struct str id)
{
    const struct running *c = map_get(&r->containers, id);
    return c ? c->ids.pid : 0;
}

/* --- removal ----------------------------------------------------------------------------------------------------- */

struct removal {
    struct runtime *runtime;
    char id[CONTAINER_ID_SIZE];
    loop_fn *done;
    void *arg;
};

static void remove_files(void *arg)
{
    struct removal *d = arg;
    AUTO_FREE char *bundle = xasprintf("%s/b/%s", d->runtime->run, d->id);
    AUTO_FREE char *exit_file = xasprintf("%s/exits/%s", d->runtime->run, d->id);

    file_remove_tree(bundle, NULL);
    unlink(exit_file);
}

static void on_deleted(void *arg, const struct process_result *result, const struct error *err)
{
    struct removal *d = arg;

    if (err || (result->exit.code != 0 && !str_contains(result->err_out, STR("does not exist"))))
        log_debug("crun delete", KV("container", "%s", d->id),
                  KV("error", "%.*s", err ? 0 : (int)MIN(result->err_out.n, 200), err ? "" : result->err_out.p));
    remove_files(d);
    if (d->done)
        d->done(d->arg);
    free(d);
}

void runtime_delete(struct runtime *r, struct str id, loop_fn *done, void *arg)
{
    struct removal *d = xnew(struct removal);

    assert(id.n == CONTAINER_ID_SIZE - 1);
    *d = (struct removal){ .runtime = r, .done = done, .arg = arg };
    memcpy(d->id, id.p, id.n);
    const char *argv[] = { r->crun, r->crun_root, "--cgroup-manager=cgroupfs", "delete", "--force", d->id, NULL };
    struct process_options o = { .argv = argv };
    process_capture(r->loop, &o, STR_NONE, CRUN_OUTPUT_MAX, CRUN_TIMEOUT_MS, on_deleted, d);
}

void runtime_each(struct runtime *r, void (*fn)(void *arg, struct str id), void *arg)
{
    static const char *const folders[] = { "b", "crun" };

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", r->run, folders[i]);
        DIR *dir = opendir(path);
        if (!dir)
            continue;
        for (struct dirent *e; (e = readdir(dir));) {
            if (strlen(e->d_name) == CONTAINER_ID_SIZE - 1)
                fn(arg, str_of(e->d_name));
        }
        closedir(dir);
    }
}

/* --- the monitor's control pipe: "TYPE A B\n" ---------------------------------------------------------------------- */

static void control(struct runtime *r, struct str id, int type, int a, int b)
{
    AUTO_FREE char *path = xasprintf("%s/b/%.*s/ctl", r->run, STR_ARG(id));
    AUTO_FREE char *text = xasprintf("%d %d %d\n", type, a, b);
    AUTO_FD int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        log_debug("the container's monitor takes no orders", KV_STR("container", id));
}

void runtime_reopen_log(struct runtime *r, struct str id)
{
    control(r, id, 2, 0, 0);
}

void runtime_resize(struct runtime *r, struct str id, uint16_t columns, uint16_t rows)
{
    control(r, id, 1, rows, columns);
}
