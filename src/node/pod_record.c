/* A pod's record: what a restarted agent must know to go on as if nothing had happened. */
#include "base/file.h"
#include "base/time.h"
#include "node/json_out.h"
#include "node/pod.h"
#include "node/record.h"
#define LOG_PART "node"
#include "base/log.h"

#include <stdlib.h>
#include <sys/vfs.h>

#define NSFS_MAGIC_NUMBER 0x6e736673

static void write_termination(struct json_out *j, const char *name, const struct termination *t)
{
    if (!t->present)
        return;
    json_object(j, name);
    json_int(j, "exitCode", t->exit_code);
    json_text(j, "reason", t->reason ? t->reason : "");
    json_text(j, "message", t->message ? t->message : "");
    json_int(j, "startedAt", t->started_wall_ms);
    json_int(j, "finishedAt", t->finished_wall_ms);
    json_text(j, "id", t->id);
    json_object_end(j);
}

static void write_container(struct json_out *j, const struct container_facts *c, int64_t offset_ms)
{
    json_object(j, NULL);
    json_text(j, "name", c->name);
    json_int(j, "state", c->state);
    json_int(j, "attempt", c->attempt);
    json_text(j, "id", c->id);
    json_int(j, "pid", c->ids.pid);
    json_int(j, "pidStarted", (int64_t)c->ids.pid_started);
    json_int(j, "monitorPid", c->ids.monitor_pid);
    json_int(j, "monitorStarted", (int64_t)c->ids.monitor_started);
    json_int(j, "restarts", c->restart_count);
    json_int(j, "startedAt", c->started_wall_ms);
    json_int(j, "finishedAt", c->finished_ms ? c->finished_ms + offset_ms : 0);
    json_bool(j, "succeeded", c->succeeded_once);
    json_bool(j, "started", c->started);
    json_bool(j, "ready", c->ready);
    json_bool(j, "postStart", c->post_start == HOOK_DONE);
    json_int(j, "backoffMs", c->backoff_ms);
    json_int(j, "backoffAt", c->backoff_updated_ms + offset_ms);
    json_text(j, "image", c->image == IMAGE_READY && c->image_id ? c->image_id : "");
    json_text(j, "imageDigest", c->image_digest ? c->image_digest : "");
    write_termination(j, "current", &c->current);
    write_termination(j, "last", &c->last);
    json_object_end(j);
}

void pod_save(struct pod *p)
{
    AUTO_BUF struct buf text = BUF_MAX(RECORD_MAX_BYTES);
    AUTO_FREE char *path = xasprintf("%s/state.json", p->folder);
    AUTO_ERROR struct error err = { 0 };
    struct json_out j = { .to = &text };
    const struct pod_facts *f = &p->facts;
    int64_t offset_ms = env_wall_ms(p->agent->env) - loop_now_ms(p->agent->loop);

    json_object(&j, NULL);
    json_int(&j, "version", 1);
    json_text(&j, "ip", f->ip);
    json_bool(&j, "sandbox", f->sandbox == PART_READY);
    json_bool(&j, "volumes", f->volumes == PART_READY);
    json_int(&j, "startedAt", f->started_wall_ms);
    json_bool(&j, "deleting", f->deleting);
    json_int(&j, "deletionAt", f->deletion_ms + offset_ms);
    json_int(&j, "graceMs", f->grace_ms);
    json_text(&j, "failReason", f->fail_reason ? f->fail_reason : "");
    json_text(&j, "failMessage", f->fail_message ? f->fail_message : "");
    json_array(&j, "containers");
    for (size_t i = 0; i < f->containers_count; i++)
        write_container(&j, &f->containers[i], offset_ms);
    json_array_end(&j);
    json_object_end(&j);
    if (file_mkdirs(p->folder, 0755, &err) < 0 || record_write(path, buf_str(&text), &err) < 0)
        log_warn("the record of a pod could not be written", KV_STR("pod", p->name), KV_ERR(&err));
}

void pod_save_object(struct pod *p)
{
    AUTO_FREE char *path = xasprintf("%s/pod.json", p->folder);
    AUTO_ERROR struct error err = { 0 };

    if (file_mkdirs(p->folder, 0755, &err) < 0 || record_write(path, object_json(p->object), &err) < 0)
        log_warn("a pod could not be written to disk", KV_STR("pod", p->name), KV_ERR(&err));
}

void pod_remove_files(struct pod *p)
{
    AUTO_ERROR struct error err = { 0 };
    if (file_remove_tree(p->folder, &err) < 0)
        log_warn("a pod's folder could not be removed", KV("folder", "%s", p->folder), KV_ERR(&err));
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static struct str text_of(struct view v, const char *name)
{
    return view_str(view_get_str(v, str_of(name)));
}

static int64_t int_of(struct view v, const char *name)
{
    return view_int(view_get_str(v, str_of(name)), 0);
}

static bool bool_of(struct view v, const char *name)
{
    return view_bool(view_get_str(v, str_of(name)), false);
}

static char *text_or_null(struct view v, const char *name)
{
    struct str s = text_of(v, name);
    return s.n ? str_dup(s) : NULL;
}

static void copy_id(char to[CONTAINER_ID_SIZE], struct str from)
{
    if (from.n == CONTAINER_ID_SIZE - 1)
        memcpy(to, from.p, from.n);
}

static void read_termination(struct termination *t, struct view v)
{
    if (!view_present(v))
        return;
    *t = (struct termination){ .present = true,
                               .exit_code = (int)int_of(v, "exitCode"),
                               .reason = text_or_null(v, "reason"),
                               .message = text_or_null(v, "message"),
                               .started_wall_ms = int_of(v, "startedAt"),
                               .finished_wall_ms = int_of(v, "finishedAt") };
    copy_id(t->id, text_of(v, "id"));
}

static void read_container(struct pod *p, struct view v, int64_t offset_ms)
{
    struct pod_container *pc = pod_find_container(p, text_of(v, "name"));
    struct str image = text_of(v, "image");

    if (!pc)
        return;
    struct container_facts *c = pc->facts;
    c->state = (enum container_state)MIN(MAX(int_of(v, "state"), 0), CONTAINER_EXITED);
    c->attempt = (int)int_of(v, "attempt");
    copy_id(c->id, text_of(v, "id"));
    c->ids = (struct runtime_ids){ .pid = (pid_t)int_of(v, "pid"),
                                   .pid_started = (uint64_t)int_of(v, "pidStarted"),
                                   .monitor_pid = (pid_t)int_of(v, "monitorPid"),
                                   .monitor_started = (uint64_t)int_of(v, "monitorStarted") };
    c->restart_count = (int)int_of(v, "restarts");
    c->started_wall_ms = int_of(v, "startedAt");
    c->started_ms = c->started_wall_ms - offset_ms;
    int64_t finished = int_of(v, "finishedAt");
    c->finished_ms = finished ? finished - offset_ms : 0;
    c->succeeded_once = bool_of(v, "succeeded");
    c->started = bool_of(v, "started");
    c->ready = bool_of(v, "ready");
    c->post_start = bool_of(v, "postStart") ? HOOK_DONE : HOOK_NONE;
    c->backoff_ms = int_of(v, "backoffMs");
    c->backoff_updated_ms = int_of(v, "backoffAt") - offset_ms;
    read_termination(&c->current, view_get_str(v, STR("current")));
    read_termination(&c->last, view_get_str(v, STR("last")));
    pc->image = image.n ? images_find(p->agent->images, image) : NULL;
    if (pc->image) {
        images_use(p->agent->images, pc->image);
        c->image = IMAGE_READY;
        c->image_id = str_dup(image);
        c->image_digest = text_or_null(v, "imageDigest");
    }
    if (c->state == CONTAINER_STARTING) /* nobody knows how far it came: what there is of it is taken away */
        c->state = c->current.present ? CONTAINER_EXITED : CONTAINER_WAITING;
}

static bool sandbox_is_alive(const struct pod *p)
{
    AUTO_FREE char *path = xasprintf("%s/%s", p->run_folder, p->facts.host_network ? "ipc" : "net");
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC_NUMBER;
}

static void read_state(struct pod *p, struct view v)
{
    int64_t offset_ms = env_wall_ms(p->agent->env) - loop_now_ms(p->agent->loop);
    struct pod_facts *f = &p->facts;
    struct str ip = text_of(v, "ip");

    if (ip.n < sizeof(f->ip))
        memcpy(f->ip, ip.p, ip.n);
    f->started_wall_ms = int_of(v, "startedAt");
    f->started_ms = f->started_wall_ms - offset_ms;
    f->sandbox = bool_of(v, "sandbox") && sandbox_is_alive(p) ? PART_READY : PART_ABSENT;
    f->fail_reason = text_or_null(v, "failReason");
    f->fail_message = text_or_null(v, "failMessage");
    if (bool_of(v, "deleting")) {
        f->deleting = true;
        f->deletion_ms = int_of(v, "deletionAt") - offset_ms;
        f->grace_ms = int_of(v, "graceMs");
    }
    for (struct view_iter it = { 0 }; view_next(view_get_str(v, STR("containers")), &it);)
        read_container(p, it.value, offset_ms);
}

struct pod *pod_load(struct agent *agent, struct str uid, struct error *err)
{
    AUTO_FREE char *pod_path = xasprintf("%s/pods/%.*s/pod.json", agent->data, STR_ARG(uid));
    AUTO_FREE char *state_path = xasprintf("%s/pods/%.*s/state.json", agent->data, STR_ARG(uid));
    AUTO_BUF struct buf text = BUF_MAX(RECORD_MAX_BYTES);

    if (record_read(pod_path, &text, err) < 0)
        return NULL;
    AUTO_OBJECT struct object *object = object_parse(buf_str(&text), err);
    if (!object)
        return NULL;
    if (!str_eq(object_uid(object), uid))
        return fail_null(err, ERR_INVALID, "the record '%s' is another pod's", pod_path);
    if (record_read(state_path, &text, err) < 0)
        return NULL;
    AUTO_OBJECT struct object *state = object_parse(buf_str(&text), err);
    if (!state)
        return NULL;
    struct pod *p = pod_new(agent, object, err);
    if (!p)
        return NULL;
    p->recovered = true;
    read_state(p, object_root(state));
    return p;
}
