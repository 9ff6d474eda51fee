/* The write phases: default, mutate, validate, admit, and storing the outcome. */
#include "server/write.h"

#include "kinds/fields.h"
#include "object/managed.h"
#include "object/schema_walk.h"
#include "server/fresh.h"
#include "server/leader.h"
#include "server/server_internal.h"

#define NAME_ATTEMPTS_MAX 8 /* KEP-4420: retries of a generated name that is taken */

static const struct admission_step *const steps[] = {
#define ADMISSION_STEP(name) &admission_##name,
#include "server/admission.def"
#undef ADMISSION_STEP
};

static bool is_write(struct str verb)
{
    return str_is(verb, "create") || str_is(verb, "update") || str_is(verb, "patch") || str_is(verb, "delete");
}

bool write_is_generic(const struct request *r)
{
    return r->kind && is_write(r->info.verb) && !subresource_find(r->info.group, r->info.resource, r->info.subresource);
}

/* --- phase default --------------------------------------------------------------------------------------------------- */

static int make_tree(struct request *r, struct error *err)
{
    struct str verb = r->info.verb;
    if (r->sub && !strcmp(r->sub->name, "scale"))
        return write_scale(r, err);
    if (str_is(verb, "delete"))
        return write_delete(r, err);
    return str_is(verb, "update") ? write_update(r, err) : write_patch(r, err);
}

/* May this change be made on top of one that is still on its way to the disk? Not when it names a revision or a uid. */
static bool can_build_on(const struct request *r)
{
    if (r->core.alone || r->options.dry_run || !str_is(r->info.verb, "patch") || r->patch_type == PATCH_JSON)
        return false;
    const struct value *meta = value_get(r->patch, F_POD_METADATA);
    return !value_get(meta, F_OBJECT_META_RESOURCE_VERSION) && !value_get(meta, F_OBJECT_META_UID);
}

/* The object is ours to change until the lock is given back. */
static enum phase_result with_lock(struct request *r)
{
    const struct object *stored = key_base(&r->core.lock);
    if (!stored)
        stored = state_get(r->server->state, r->kind, request_namespace(r), r->info.name);
    r->creating = !stored && r->patch_type == PATCH_APPLY;
    if (!stored && !r->creating) {
        fail_not_found(r, r->kind, r->info.name, &r->err);
        return PHASE_FAILED;
    }
    r->old = stored ? alias_object(r->kind, stored) : NULL;
    return make_tree(r, &r->err) < 0 ? PHASE_FAILED : PHASE_DONE;
}

static void on_granted(struct key_lock *l, void *arg)
{
    (void)l;
    struct request *r = arg;
    request_resume(r, with_lock(r));
}

enum phase_result phase_default(struct request *r)
{
    if (!write_is_generic(r))
        return PHASE_DONE;
    if (str_is(r->info.verb, "create")) {
        r->creating = true;
        return write_create(r, &r->err) < 0 ? PHASE_FAILED : PHASE_DONE;
    }
    if (!key_lock(r->server->state, &r->core.lock, r->kind, request_namespace(r), r->info.name, can_build_on(r),
                  on_granted, r))
        return PHASE_WAIT;
    return with_lock(r);
}

/* --- admission ------------------------------------------------------------------------------------------------------- */

enum phase_result phase_mutate(struct request *r)
{
    if (!r->tree || str_is(r->info.verb, "delete"))
        return PHASE_DONE;
    for (; r->core.admission_step < ARRAY_SIZE(steps); r->core.admission_step++) {
        const struct admission_step *s = steps[r->core.admission_step];
        if (!s->mutate || (s->applies && !s->applies(r)))
            continue;
        enum phase_result result = s->mutate(r, r->tree);
        if (result != PHASE_DONE)
            return result;
    }
    return PHASE_DONE;
}

enum phase_result phase_admit(struct request *r)
{
    bool deletes = str_is(r->info.verb, "delete") && r->old;
    if (!r->tree && !deletes)
        return PHASE_DONE;
    for (; r->core.admission_step < ARRAY_SIZE(steps); r->core.admission_step++) {
        const struct admission_step *s = steps[r->core.admission_step];
        if (!s->validate || (s->applies && !s->applies(r)))
            continue;
        struct view object = r->object && !deletes ? object_root(r->object) : VIEW_ABSENT;
        struct view old = r->old ? object_root(r->old) : VIEW_ABSENT;
        enum phase_result result = s->validate(r, object, old);
        if (result != PHASE_DONE)
            return result;
    }
    return PHASE_DONE;
}

/* --- phase validate ---------------------------------------------------------------------------------------------------- */

static void add_warnings(struct request *r, struct kind_context *context, struct view old)
{
    if (!r->kind->warn)
        return;
    struct value *sentences = value_array(&r->arena);
    r->kind->warn(context, object_root(r->object), old, sentences);
    for (uint32_t i = 0; i < sentences->items_count; i++)
        request_warn(r, "%.*s", STR_ARG(value_to_str(sentences->items[i])));
}

int write_validate(struct request *r, struct error *err)
{
    struct value *meta = value_make_object(&r->arena, r->tree, F_POD_METADATA);
    value_del(meta, F_OBJECT_META_RESOURCE_VERSION);
    schema_order(r->kind->schema, r->tree); /* rules and admission append */
    if (r->old) {
        struct value *live = value_of_view(&r->arena, object_root(r->old));
        value_del(value_get(live, F_POD_METADATA), F_OBJECT_META_RESOURCE_VERSION);
        r->core.no_change = managed_keep_times(&r->arena, live, r->tree);
    }
    r->object = object_new(r->tree, err);
    if (!r->object)
        return -1;
    struct kind_context context = request_kind_context(r);
    struct view old = r->old ? object_root(r->old) : VIEW_ABSENT;
    if (kind_run_validate(r->kind, &context, object_root(r->object), old, err) < 0)
        return -1;
    add_warnings(r, &context, old);
    return 0;
}

enum phase_result phase_validate(struct request *r)
{
    if (!r->tree)
        return PHASE_DONE;
    if (!write_is_generic(r)) {
        /* Reviews, bindings, evictions: frozen for the admission steps; their handlers judge them. */
        r->object = object_new(r->tree, &r->err);
        return r->object ? PHASE_DONE : PHASE_FAILED;
    }
    if (str_is(r->info.verb, "delete")) {
        r->object = object_new(r->tree, &r->err);
        return r->object ? PHASE_DONE : PHASE_FAILED;
    }
    return write_validate(r, &r->err) < 0 ? PHASE_FAILED : PHASE_DONE;
}

/* --- storing ----------------------------------------------------------------------------------------------------------- */

/* `o` is in the kind's own form. */
static void finish(struct request *r, const struct object *o)
{
    bool deleting = str_is(r->info.verb, "delete"), scale = r->sub && !strcmp(r->sub->name, "scale");
    r->result = scale ? object_new(scale_of(&r->arena, o), NULL) : object_ref(o);
    r->created = r->creating && !deleting;
    r->result_is_status = deleting && r->core.delete_now && !r->kind->delete_returns_object;
}

static int store(struct request *r, struct error *err);

/* A generated name was taken: another suffix, up to eight times. */
static bool try_another_name(struct request *r, struct error *err)
{
    if (!r->core.generate_name || ++r->core.name_attempts >= NAME_ATTEMPTS_MAX)
        return false;
    struct value *meta = value_get(r->tree, F_POD_METADATA);
    char suffix[6];
    struct str base = str_part(r->info.name, 0, r->info.name.n - 5);
    env_random_suffix(r->server->env, suffix, 5);
    r->info.name = arena_printf(&r->arena, "%.*s%s", STR_ARG(base), suffix);
    value_set(&r->arena, meta, F_OBJECT_META_NAME, r->info.name);
    object_unref(r->object);
    r->object = object_new(r->tree, err);
    return r->object && store(r, err) == 0;
}

static void on_written(void *arg, const struct object *written, const struct error *err)
{
    struct request *r = arg;
    enum phase_result result = PHASE_FAILED;
    if (r->core.lock.passed)
        key_settle(r->server->state, &r->core.lock, !err);
    if (!err) {
        AUTO_OBJECT struct object *o = alias_object(r->kind, written);
        finish(r, o);
        result = PHASE_DONE;
    } else if (err->code == ERR_ALREADY_EXISTS && r->creating && r->patch_type == PATCH_NONE) {
        if (try_another_name(r, &r->err))
            return;
        fail_already_exists(
            r, r->info.name,
            r->core.generate_name ? ", the server was not able to generate a unique name for the object" : "", &r->err);
    } else if (err->code == ERR_TERM_OVER && !r->epoch) {
        fail(&r->err, ERR_UNAVAILABLE,
             "the addresses reserved for this object were given up, because it took too long");
        result = PHASE_RESTART;
    } else if (err->code == ERR_CONFLICT || err->code == ERR_NOT_FOUND || err->code == ERR_ALREADY_EXISTS) {
        /* Whoever named a revision in the request is judged against the newest object on the next round. */
        fail_conflict(r, r->kind, r->info.name, &r->err, MODIFIED_TEXT);
        result = PHASE_RESTART;
        r->core.alone = true;
    } else {
        if (err->code == ERR_TERM_OVER)
            leader_refused(server_leader(r->server), r->epoch);
        fail(&r->err, err->code, "%s", error_text(err));
        if (err->code == ERR_TOO_MANY_REQUESTS || err->code == ERR_UNAVAILABLE)
            r->err.retry_after_s = 1;
    }
    request_resume(r, result);
}

static struct object *storage_form(struct request *r, struct error *err)
{
    if (!alias_is(r->kind))
        return object_ref(r->object);
    struct value *tree = value_of_view(&r->arena, object_root(r->object));
    return alias_to_storage(&r->arena, r->kind, tree, err) < 0 ? NULL : object_new(tree, err);
}

static int store(struct request *r, struct error *err)
{
    AUTO_OBJECT struct object *o = r->core.delete_now ? NULL : storage_form(r, err);
    if (!o && !r->core.delete_now)
        return -1;
    struct state_write w = {
        .kind = r->kind,
        .type = r->core.delete_now ? STORE_DELETE : STORE_PUT,
        .namespace_ = request_namespace(r),
        .name = r->info.name,
        .object = o,
        .expect = r->creating ? STORE_EXPECT_ABSENT : object_revision(r->old),
        .base = key_base(&r->core.lock),
        .epoch = r->epoch,
        .guard_key = r->core.reserved_revision ? r->core.reserved_key : STR_NONE,
        .guard_revision = r->core.reserved_revision,
    };
    state_write(r->server->state, &w, on_written, r);
    if (r->core.lock.held)
        key_pass(r->server->state, &r->core.lock, o);
    return 0;
}

enum phase_result write_perform(struct request *r)
{
    bool deleting = str_is(r->info.verb, "delete");
    if (!deleting && !r->creating && write_ends_deletion(r->kind, r->object))
        r->core.delete_now = true;
    if (r->options.dry_run) {
        AUTO_OBJECT struct object *o =
            r->creating ? object_ref(r->object) : object_with_revision(r->object, object_revision(r->old));
        if (r->creating && state_get(r->server->state, r->kind, request_namespace(r), r->info.name)) {
            fail_already_exists(r, r->info.name, "", &r->err);
            return PHASE_FAILED;
        }
        finish(r, o);
        return PHASE_DONE;
    }
    if (r->core.no_change && !r->core.delete_now && key_base(&r->core.lock)) {
        /* Nothing to add to a change that is not durable yet, so its end must be waited for. */
        r->core.alone = true;
        return PHASE_RESTART;
    }
    /* "It is so already" may be said of the newest only. */
    if (r->core.no_change && !r->core.delete_now && fresh_is_needed(r->server) && !r->core.fresh)
        return PHASE_RESTART;
    if (r->core.no_change && !r->core.delete_now) {
        finish(r, r->old);
        return PHASE_DONE;
    }
    if (r->core.revision_given)
        return request_fail(r, ERR_BAD_REQUEST, "resourceVersion should not be set on objects to be created");
    return store(r, &r->err) < 0 ? PHASE_FAILED : PHASE_WAIT;
}
