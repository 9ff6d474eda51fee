/* Starting a container, and what happens when it ends. */
#include "base/codec.h"
#include "base/file.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "node/container_prepare.h"
#include "node/endpoint.h"
#include "node/logs.h"
#define LOG_PART "node"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CREATE_RETRY_MS  5000 /* after a configuration error: the next look, as a kubelet's sync would */
#define PENDING_RETRY_MS 100
#define MESSAGE_MAX      4096 /* Source: MaxContainerTerminationMessageLength */
#define START_ERROR_CODE 128  /* containerd's exit code for a container whose program could not be started */

struct start_job {
    struct pod_container *c;
    struct prepared prepared;
    struct object *object; /* strings of `prepared` may point into it */
};

char *container_folder(const struct pod_container *c)
{
    return xasprintf("%s/c/%s", c->pod->folder, c->facts->name);
}

char *container_log_path(const struct pod_container *c, int attempt)
{
    return xasprintf("%s/logs/%s/%d.log", c->pod->folder, c->facts->name, attempt);
}

static void set_waiting(struct container_facts *f, const char *reason, const char *message)
{
    free(f->waiting_reason);
    free(f->waiting_message);
    f->waiting_reason = reason ? xstrdup(reason) : NULL;
    f->waiting_message = message ? xstrdup(message) : NULL;
}

static void job_free(struct start_job *j)
{
    prepared_done(&j->prepared);
    object_unref(j->object);
    free(j);
}

/* Nothing was created: back to waiting, with words for the user. */
static void creation_failed(struct pod_container *c, const char *reason, const struct error *err, int64_t retry_ms)
{
    struct container_facts *f = c->facts;

    container_enter(f, CONTAINER_WAITING);
    f->create_retry_ms = loop_now_ms(c->pod->agent->loop) + retry_ms;
    if (reason) {
        set_waiting(f, reason, error_text(err));
        pod_event(c->pod, c, "Warning", "Failed", "Error: %s", error_text(err));
    }
    f->attempt--; /* this one never was */
    container_cleanup(c);
    pod_save(c->pod);
    pod_touch(c->pod);
}

/* --- running ------------------------------------------------------------------------------------------------------------ */

static void reopen_log(void *arg)
{
    struct pod_container *c = arg;
    runtime_reopen_log(c->pod->agent->runtime, str_of(c->facts->id));
}

static void watch_log(struct pod_container *c)
{
    AUTO_FREE char *path = container_log_path(c, c->facts->attempt);
    log_rotation_free(c->rotation);
    c->rotation = log_rotation_new(c->pod->agent->loop, path, reopen_log, c);
}

static void end(struct pod_container *c, int code, const char *reason, char *message, int64_t finished_wall_ms);

static void on_started(void *arg, const struct runtime_ids *ids, const struct error *err)
{
    struct pod_container *c = arg;
    struct container_facts *f = c->facts;
    int64_t now_wall = env_wall_ms(c->pod->agent->env);

    if (err) {
        /* The program could not be started (absent, not executable): that is an attempt, and restarts back off. */
        f->started_wall_ms = 0;
        pod_event(c->pod, c, "Warning", "Failed", "Error: %s", error_text(err));
        end(c, START_ERROR_CODE, "StartError", xstrdup(error_text(err)), now_wall);
        return;
    }
    f->ids = *ids;
    f->started_ms = loop_now_ms(c->pod->agent->loop);
    f->started_wall_ms = now_wall;
    container_enter(f, CONTAINER_RUNNING);
    set_waiting(f, NULL, NULL);
    container_reset_probes(c, false);
    watch_log(c);
    pod_event(c->pod, c, "Normal", "Started", "Started container %s", f->name);
    pod_save(c->pod);
    pod_touch(c->pod);
}

static void finish_work(void *arg)
{
    struct start_job *j = arg;
    container_finish(&j->prepared, &j->prepared.err);
}

static void finish_done(void *arg)
{
    struct start_job *j = arg;
    struct pod_container *c = j->c;
    struct prepared *p = &j->prepared;

    if (p->err.code != ERR_NONE) {
        const char *reason = p->err.code == ERR_FORBIDDEN ? "CreateContainerConfigError" : "CreateContainerError";
        creation_failed(c, reason, &p->err, CREATE_RETRY_MS);
    } else {
        struct runtime_start s = { .id = str_of(c->facts->id),
                                   .config = buf_str(&p->config),
                                   .log_path = p->log_path,
                                   .terminal = p->terminal,
                                   .stdin_open = p->stdin_open,
                                   .stdin_once = p->stdin_once };
        pod_event(c->pod, c, "Normal", "Created", "Created container: %s", c->facts->name);
        runtime_container_start(c->pod->agent->runtime, &s, on_started, container_exited, c);
    }
    job_free(j);
}

static void new_id(struct pod_container *c)
{
    unsigned char random[(CONTAINER_ID_SIZE - 1) / 2];
    AUTO_BUF struct buf hex = BUF_MAX(64);

    c->pod->agent->env->random(c->pod->agent->env, random, sizeof(random));
    hex_encode(&hex, (struct str){ (const char *)random, sizeof(random) });
    memcpy(c->facts->id, hex.p, CONTAINER_ID_SIZE);
}

/* Only the attempt before this one is kept for `logs --previous`. */
static void remove_old_logs(const struct pod_container *c)
{
    for (int i = 0; i < LOG_FILES && c->facts->attempt >= 2; i++) {
        AUTO_FREE char *path = container_log_path(c, c->facts->attempt - 2);
        AUTO_FREE char *rotated = i ? xasprintf("%s.%d", path, i) : xstrdup(path);
        unlink(rotated);
    }
}

void container_start(struct pod_container *c)
{
    struct container_facts *f = c->facts;
    struct start_job *j = xnew(struct start_job);
    bool restart = f->state == CONTAINER_EXITED;
    int64_t now_ms = loop_now_ms(c->pod->agent->loop);
    AUTO_ERROR struct error err = { 0 };

    if (restart)
        container_backoff_next(f, now_ms);
    container_enter(f, CONTAINER_STARTING);
    if (restart) {
        termination_done(&f->last);
        f->last = f->current;
        f->current = (struct termination){ 0 };
        f->restart_count++;
    }
    f->attempt++;
    f->started = f->ready = false;
    f->post_start = HOOK_NONE;
    f->stop = (struct stop_facts){ 0 };
    f->ids = (struct runtime_ids){ 0 };
    f->finished_ms = 0;
    new_id(c);
    j->c = c;
    j->object = object_ref(c->pod->object);
    if (container_prepare(c, &j->prepared, &err) < 0) {
        job_free(j);
        if (err.code == ERR_UNAVAILABLE)
            creation_failed(c, NULL, &err, PENDING_RETRY_MS);
        else
            creation_failed(c, "CreateContainerConfigError", &err, CREATE_RETRY_MS);
        return;
    }
    remove_old_logs(c);
    pod_save(c->pod); /* before anything exists: a crash from here on knows the id to clean up */
    loop_work(c->pod->agent->loop, finish_work, finish_done, j);
}

/* --- the end -------------------------------------------------------------------------------------------------------------- */

struct cleanup_job {
    struct pod_container *c;
    char *folder;
};

static void cleanup_work(void *arg)
{
    struct cleanup_job *j = arg;
    container_folder_remove(j->folder);
}

static void cleanup_done(void *arg)
{
    struct cleanup_job *j = arg;
    struct pod *p = j->c->pod;

    j->c->facts->cleaning = false;
    free(j->folder);
    free(j);
    pod_touch(p);
}

static void on_deleted(void *arg)
{
    struct cleanup_job *j = arg;
    loop_work(j->c->pod->agent->loop, cleanup_work, cleanup_done, j);
}

void container_cleanup(struct pod_container *c)
{
    struct cleanup_job *j = xnew(struct cleanup_job);

    *j = (struct cleanup_job){ c, container_folder(c) };
    c->facts->cleaning = true;
    runtime_delete(c->pod->agent->runtime, str_of(c->facts->id), on_deleted, j);
}

/* What the container left at its terminationMessagePath; else, by policy, the end of its log. */
static char *read_message(struct pod_container *c, int code)
{
    struct view spec = pod_container_view(c->pod, c->index);
    bool fallback = str_is(view_str_at(spec, F_CONTAINER_TERMINATION_MESSAGE_POLICY), "FallbackToLogsOnError");
    AUTO_FREE char *folder = container_folder(c);
    AUTO_FREE char *path = xasprintf("%s/message", folder);
    AUTO_FREE char *log = container_log_path(c, c->facts->attempt);
    AUTO_BUF struct buf text = BUF_MAX(MESSAGE_MAX);
    AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    char *at = buf_reserve(&text, MESSAGE_MAX - 1);
    ssize_t n = fd >= 0 && at ? read(fd, at, MESSAGE_MAX - 1) : 0;

    text.n = n > 0 ? (size_t)n : 0;
    if (!text.n && fallback && code != 0)
        log_read_tail(log, &text);
    struct str s = buf_str(&text);
    while (s.n && !str_is_utf8(s)) /* a character cut in the middle, or not text at all */
        s.n--;
    return s.n ? str_dup(s) : NULL;
}

static void end(struct pod_container *c, int code, const char *reason, char *message, int64_t finished_wall_ms)
{
    struct container_facts *f = c->facts;
    struct agent *a = c->pod->agent;

    container_cancel_checks(c);
    termination_done(&f->current);
    f->current = (struct termination){ .present = true,
                                       .exit_code = code,
                                       .reason = xstrdup(reason),
                                       .message = message,
                                       .started_wall_ms = f->started_wall_ms,
                                       .finished_wall_ms = finished_wall_ms };
    memcpy(f->current.id, f->id, sizeof(f->id));
    container_enter(f, CONTAINER_EXITED);
    f->finished_ms = loop_now_ms(a->loop);
    f->started = f->ready = false;
    if (f->kind == CONTAINER_INIT && code == 0)
        f->succeeded_once = true;
    log_rotation_free(c->rotation);
    c->rotation = NULL;
    endpoint_container_ended(a, c->pod->uid, str_of(f->name));
    container_cleanup(c);
    pod_save(c->pod);
    if (container_will_restart(&c->pod->facts, f) && !c->pod->facts.deleting && !pod_is_terminal(&c->pod->facts) &&
        container_backoff_until(f, f->finished_ms) > f->finished_ms)
        pod_event(c->pod, c, "Warning", "BackOff", "Back-off restarting failed container %s in pod %.*s_%.*s(%.*s)",
                  f->name, STR_ARG(c->pod->name), STR_ARG(c->pod->namespace_), STR_ARG(c->pod->uid));
    pod_touch(c->pod);
}

void container_exited(void *container, const struct runtime_exit *how)
{
    struct pod_container *c = container;
    const char *reason = !how->known       ? "ContainerStatusUnknown"
                         : how->oom_killed ? "OOMKilled"
                         : how->code == 0  ? "Completed"
                                           : "Error";
    char *message = how->known ? read_message(c, how->code)
                               : xstrdup("The container's monitor was killed; its exit code is unknown");

    log_info("container ended", KV_STR("pod", c->pod->name), KV("container", "%s", c->facts->name),
             KV("code", "%d", how->code), KV("reason", "%s", reason));
    end(c, how->code, reason, message, how->finished_wall_ms);
}
