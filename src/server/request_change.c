/* Read, change, write for handlers (binding, eviction ...): the object is locked, changed by a call-back, validated, stored. */
#include "server/write.h"

#include "kinds/fields.h"
#include "object/managed.h"
#include "server/fresh.h"
#include "server/leader.h"
#include "server/server_internal.h"

#define ATTEMPTS_MAX 5

struct work {
    struct request *request;
    const struct kind *kind;
    struct str namespace_, name;
    request_change_fn *change;
    struct object *old, *object;
    int attempts;
};

static void finish(struct work *w, enum phase_result result)
{
    struct request *r = w->request;
    key_unlock(r->server->state, &r->core.lock);
    object_unref(w->old);
    object_unref(w->object);
    request_resume(r, result);
}

static int make(struct work *w, struct error *err)
{
    struct request *r = w->request;
    struct arena *a = &r->arena;
    struct value *tree = value_of_view(a, object_root(w->old)), *live = value_of_view(a, object_root(w->old));
    if (w->change(r, tree, object_root(w->old), err) < 0)
        return -1;
    struct kind_context context = request_kind_context(r);
    context.create = false;
    value_del(value_get(tree, F_POD_METADATA), F_OBJECT_META_RESOURCE_VERSION);
    value_del(value_get(live, F_POD_METADATA), F_OBJECT_META_RESOURCE_VERSION);
    if (schema_normalize(a, w->kind->schema, tree, NULL, err) < 0)
        return -1;
    struct managed_call call = {
        .schema = w->kind->schema,
        .manager = r->options.field_manager,
        .subresource = str_of(context.subresource),
        .now_ms = r->wall_ms,
    };
    managed_update(a, &call, live, tree);
    kind_run_prepare(w->kind, &context, tree, object_root(w->old));
    w->object = object_new(tree, err);
    return w->object ? kind_run_validate(w->kind, &context, object_root(w->object), object_root(w->old), err) : -1;
}

static void attempt(struct work *w);

static void on_written(void *arg, const struct object *written, const struct error *err)
{
    struct work *w = arg;
    struct request *r = w->request;
    if (!err) {
        r->result = object_ref(written);
        finish(w, PHASE_DONE);
        return;
    }
    bool raced = err->code == ERR_CONFLICT || err->code == ERR_NOT_FOUND;
    if (raced && fresh_is_needed(r->server)) { /* another server was faster: its change must have come first */
        fail_conflict(r, w->kind, w->name, &r->err, MODIFIED_TEXT);
        finish(w, PHASE_RESTART);
        return;
    }
    if (raced && ++w->attempts < ATTEMPTS_MAX) {
        attempt(w);
        return;
    }
    if (raced)
        fail_conflict(r, w->kind, w->name, &r->err, MODIFIED_TEXT);
    else
        fail(&r->err, err->code, "%s", error_text(err));
    if (err->code == ERR_TERM_OVER)
        leader_refused(server_leader(r->server), r->epoch);
    finish(w, PHASE_FAILED);
}

static void attempt(struct work *w)
{
    struct request *r = w->request;
    object_unref(TAKE(w->old));
    object_unref(TAKE(w->object));
    w->old = object_ref(state_get(r->server->state, w->kind, w->namespace_, w->name));
    if (!w->old) {
        fail_not_found(r, w->kind, w->name, &r->err);
        finish(w, PHASE_FAILED);
        return;
    }
    if (make(w, &r->err) < 0) {
        finish(w, PHASE_FAILED);
        return;
    }
    if (r->options.dry_run) {
        r->result = object_with_revision(w->object, object_revision(w->old));
        finish(w, PHASE_DONE);
        return;
    }
    struct state_write write = {
        .kind = w->kind,
        .type = STORE_PUT,
        .namespace_ = w->namespace_,
        .name = w->name,
        .object = w->object,
        .expect = object_revision(w->old),
        .epoch = r->epoch,
    };
    state_write(r->server->state, &write, on_written, w);
}

static void on_granted(struct key_lock *l, void *arg)
{
    (void)l;
    attempt(arg);
}

static void start(void *arg)
{
    attempt(arg);
}

enum phase_result request_change(struct request *r, const struct kind *kind, struct str namespace_, struct str name,
                                 request_change_fn *change)
{
    struct work *w = arena_new(&r->arena, struct work);
    *w = (struct work){ .request = r,
                        .kind = kind,
                        .namespace_ = kind->namespaced ? namespace_ : STR_NONE,
                        .name = name,
                        .change = change };
    /* Resuming is not allowed from inside a phase function: an attempt that fails at once would. */
    if (key_lock(r->server->state, &r->core.lock, kind, w->namespace_, name, false, on_granted, w))
        loop_post(r->server->loop, start, w);
    return PHASE_WAIT;
}
