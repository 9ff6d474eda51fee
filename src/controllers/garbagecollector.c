/*
 * Garbage collection: objects whose owners are gone are deleted; foreground and orphan deletions are finished.
 * Source of the rules: k8s.io/kubernetes/pkg/controller/garbagecollector (attemptToDeleteItem, processDeletingDependentsItem).
 *
 * A key is (plural.group, namespace/name). An owner that no cache shows is confirmed absent by a live read before anything
 * is deleted for it.
 */
#include "base/time.h"
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#include <stdio.h>

#define FOREGROUND "foregroundDeletion"
#define ORPHAN     "orphan"
#define LOOK_AGAIN_MS                                                                                                  \
    (5 * SECOND_MS)  /* a dependent that was released instead of deleted tells its former owner nothing */
#define PASS_MAX 500 /* dependents handled in one pass */

/* --- keys ------------------------------------------------------------------------------------------------------------------------- */

static void emit_object(const struct kind *kind, struct str namespace_, struct str name, trigger_emit_fn *emit,
                        void *arg)
{
    char where[256], what[600];

    snprintf(where, sizeof(where), "%s.%s", kind->plural, kind->group);
    snprintf(what, sizeof(what), "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name));
    emit(arg, str_of(where), str_of(what));
}

static const struct kind *kind_of_api(struct str api_version, struct str kind)
{
    struct str version = api_version, group;

    if (!str_cut(&version, '/', &group)) {
        version = api_version;
        group = STR_NONE;
    }
    const struct kind *found = kind_find(group, version, kind);
    return found ? found : kind_find_group_kind(group, kind);
}

static const struct kind *kind_of_object(const struct object *o)
{
    struct view root = object_root(o);

    return kind_of_api(view_str_at(root, F_POD_API_VERSION), view_str_at(root, F_POD_KIND));
}

static struct view owners_of(const struct object *o)
{
    return view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_OWNER_REFERENCES);
}

static bool is_collected(const struct kind *kind)
{
    return (kind->verbs & VERB_WATCH) && (kind->verbs & VERB_DELETE) && kind != &kind_event &&
           kind != &kind_event_events;
}

static const struct kind *key_kind(struct str plural_group)
{
    struct str group = plural_group, plural;

    str_cut(&group, '.', &plural);
    for (size_t i = 0; i < kinds_count; i++)
        if (str_is(plural, kinds[i]->plural) && str_is(group, kinds[i]->group))
            return kinds[i];
    return NULL;
}

static void keys_all(struct cluster *cluster, const struct object *changed, trigger_emit_fn *emit, void *arg)
{
    const struct kind *kind = kind_of_object(changed);
    struct view_iter it = { 0 };

    const struct object *now;
    bool gone;

    if (!kind || !is_collected(kind))
        return;
    now = cache_get(cluster_cache(cluster, kind), object_namespace(changed), object_name(changed));
    gone = !now || !str_eq(object_uid(now), object_uid(changed));
    if (view_count(owners_of(changed)) || pod_is_terminating(changed))
        emit_object(kind, object_namespace(changed), object_name(changed), emit, arg);
    /* An owner waits for its dependents; dependents look again when their owner changes or goes. */
    while (view_next(owners_of(changed), &it)) {
        const struct kind *owner = kind_of_api(view_str_at(it.value, F_OWNER_REFERENCE_API_VERSION),
                                               view_str_at(it.value, F_OWNER_REFERENCE_KIND));
        if (owner && (gone || pod_is_terminating(changed)))
            emit_object(owner, owner->namespaced ? object_namespace(changed) : STR_NONE,
                        view_str_at(it.value, F_OWNER_REFERENCE_NAME), emit, arg);
    }
    if (!gone && !pod_is_terminating(now))
        return;
    for (size_t k = 0; k < kinds_count; k++) {
        if (!is_collected(kinds[k]))
            continue;
        struct objects dependents = cache_by(cluster_cache(cluster, kinds[k]), CACHE_BY_OWNER, object_uid(changed));
        for (size_t i = 0; i < dependents.count; i++)
            emit_object(kinds[k], object_namespace(dependents.items[i]), object_name(dependents.items[i]), emit, arg);
    }
}

/* --- finalizers --------------------------------------------------------------------------------------------------------------------- */

static bool has_finalizer(const struct object *o, const char *name)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it))
        if (str_is(view_str(it.value), name))
            return true;
    return false;
}

static void guard(struct reconcile *r, struct value *metadata, const struct object *o)
{
    value_set(r->arena, metadata, F_OBJECT_META_RESOURCE_VERSION,
              arena_printf(r->arena, "%llu", (unsigned long long)object_revision(o)));
}

static void plan_drop_finalizer(struct reconcile *r, const struct kind *kind, const struct object *o, const char *name)
{
    struct value *patch = value_object(r->arena), *metadata, *list = value_array(r->arena);
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it))
        if (!str_is(view_str(it.value), name))
            value_append(r->arena, list, value_str(r->arena, view_str(it.value)));
    metadata = value_make_object(r->arena, patch, F_POD_METADATA);
    value_put(r->arena, metadata, F_OBJECT_META_FINALIZERS, list->items_count ? list : value_null(r->arena));
    guard(r, metadata, o);
    plan_patch(r, kind, o, patch, "");
}

/* Owner references to take out. */
struct drop {
    struct str uids[32];
    size_t count;
};

static void plan_drop_owners(struct reconcile *r, const struct kind *kind, const struct object *o,
                             const struct drop *drop)
{
    struct value *patch = value_object(r->arena), *metadata, *list = value_array(r->arena);
    struct view_iter it = { 0 };

    while (view_next(owners_of(o), &it)) {
        bool dropped = false;
        for (size_t i = 0; i < drop->count; i++)
            dropped |= str_eq(drop->uids[i], view_str_at(it.value, F_OWNER_REFERENCE_UID));
        if (!dropped)
            value_append(r->arena, list, value_of_view(r->arena, it.value));
    }
    metadata = value_make_object(r->arena, patch, F_POD_METADATA);
    value_put(r->arena, metadata, F_OBJECT_META_OWNER_REFERENCES, list->items_count ? list : value_null(r->arena));
    guard(r, metadata, o);
    plan_patch(r, kind, o, patch, "");
}

static bool has_dependents(const struct reconcile *r, const struct object *o)
{
    for (size_t k = 0; k < kinds_count; k++)
        if (is_collected(kinds[k]) && reconcile_by(r, kinds[k], CACHE_BY_OWNER, object_uid(o)).count)
            return true;
    return false;
}

/* --- an owner that is being deleted ------------------------------------------------------------------------------------------------- */

static bool blocks(const struct object *dependent, const struct object *owner)
{
    struct view_iter it = { 0 };

    while (view_next(owners_of(dependent), &it))
        if (str_eq(view_str_at(it.value, F_OWNER_REFERENCE_UID), object_uid(owner)))
            return view_bool_at(it.value, false, F_OWNER_REFERENCE_BLOCK_OWNER_DELETION);
    return false;
}

/* Dependents decide for themselves (they see their owner waiting); the owner goes when none that blocks it is left. */
static void finish_foreground(struct reconcile *r, const struct kind *kind, const struct object *owner)
{
    for (size_t k = 0; k < kinds_count; k++) {
        if (!is_collected(kinds[k]))
            continue;
        struct objects dependents = reconcile_by(r, kinds[k], CACHE_BY_OWNER, object_uid(owner));
        for (size_t i = 0; i < dependents.count; i++)
            if (blocks(dependents.items[i], owner)) {
                plan_wake(r, LOOK_AGAIN_MS);
                return;
            }
    }
    plan_drop_finalizer(r, kind, owner, FOREGROUND);
}

static void orphan_dependents(struct reconcile *r, const struct kind *kind, const struct object *owner)
{
    struct drop drop = { .uids = { object_uid(owner) }, .count = 1 };
    size_t left = 0;

    for (size_t k = 0; k < kinds_count; k++) {
        if (!is_collected(kinds[k]))
            continue;
        struct objects dependents = reconcile_by(r, kinds[k], CACHE_BY_OWNER, object_uid(owner));
        for (size_t i = 0; i < dependents.count && left < PASS_MAX; i++, left++)
            plan_drop_owners(r, kinds[k], dependents.items[i], &drop);
    }
    if (left == 0)
        plan_drop_finalizer(r, kind, owner, ORPHAN);
    else
        plan_wake(r, 0);
}

/* --- a dependent -------------------------------------------------------------------------------------------------------------------- */

enum owner_state { OWNER_SOLID, OWNER_ABSENT, OWNER_WAITING, OWNER_UNKNOWN };

static enum owner_state owner_state(struct reconcile *r, const struct kind *kind, const struct object *o,
                                    struct view ref)
{
    const struct kind *owner_kind =
        kind_of_api(view_str_at(ref, F_OWNER_REFERENCE_API_VERSION), view_str_at(ref, F_OWNER_REFERENCE_KIND));
    struct str name = view_str_at(ref, F_OWNER_REFERENCE_NAME), uid = view_str_at(ref, F_OWNER_REFERENCE_UID), live_uid;
    struct str namespace_ = owner_kind && owner_kind->namespaced ? object_namespace(o) : STR_NONE;
    const struct object *owner;

    /* A kind klein does not serve, or a reference out of a cluster-wide object into a namespace, cannot be judged: leave it. */
    if (!owner_kind || (owner_kind->namespaced && !kind->namespaced))
        return OWNER_SOLID;
    owner = reconcile_get(r, owner_kind, namespace_, name);
    if (owner && str_eq(object_uid(owner), uid))
        return pod_is_terminating(owner) && has_finalizer(owner, FOREGROUND) ? OWNER_WAITING : OWNER_SOLID;
    switch (reconcile_live(r, owner_kind, namespace_, name, &live_uid)) {
    case LIVE_UNKNOWN:
        plan_live_read(r, owner_kind, namespace_, name);
        return OWNER_UNKNOWN;
    case LIVE_PRESENT:
        return str_eq(live_uid, uid) ? OWNER_SOLID : OWNER_ABSENT;
    case LIVE_ABSENT:
        break;
    }
    return OWNER_ABSENT;
}

static void plan_collect(struct reconcile *r, const struct kind *kind, const struct object *o, bool waiting)
{
    const char *propagation = has_finalizer(o, ORPHAN)                                            ? "Orphan"
                              : has_finalizer(o, FOREGROUND) || (waiting && has_dependents(r, o)) ? "Foreground"
                                                                                                  : "Background";

    plan_delete_unchanged(r, kind, o, propagation);
}

static void judge_dependent(struct reconcile *r, const struct kind *kind, const struct object *o)
{
    struct drop drop = { .count = 0 };
    bool solid = false, waiting = false, unknown = false;
    struct view_iter it = { 0 };

    while (view_next(owners_of(o), &it)) {
        enum owner_state state = owner_state(r, kind, o, it.value);
        solid |= state == OWNER_SOLID;
        waiting |= state == OWNER_WAITING;
        unknown |= state == OWNER_UNKNOWN;
        if (state == OWNER_ABSENT || state == OWNER_WAITING)
            if (drop.count < ARRAY_SIZE(drop.uids))
                drop.uids[drop.count++] = view_str_at(it.value, F_OWNER_REFERENCE_UID);
    }
    if (unknown || drop.count == 0)
        return; /* the live reads bring the key back */
    if (solid)
        plan_drop_owners(r, kind, o, &drop);
    else
        plan_collect(r, kind, o, waiting);
}

static int reconcile(struct reconcile *r, struct error *err)
{
    const struct kind *kind = key_kind(r->namespace_);
    struct str name = r->name, namespace_;
    const struct object *o;

    (void)err;
    if (!kind || !str_cut(&name, '/', &namespace_))
        return 0;
    o = reconcile_get(r, kind, namespace_, name);
    if (!o)
        return 0;
    if (pod_is_terminating(o)) {
        if (has_finalizer(o, FOREGROUND))
            finish_foreground(r, kind, o);
        else if (has_finalizer(o, ORPHAN))
            orphan_dependents(r, kind, o);
        return 0;
    }
    judge_dependent(r, kind, o);
    return 0;
}

const struct controller controller_garbagecollector = {
    .name = "garbage-collector",
    .all_kinds = true,
    .keys_all = keys_all,
    .reconcile = reconcile,
};
