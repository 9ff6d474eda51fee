/*
 * Delete: at once, gracefully (pods), or when the finalizers are gone. Decides which, and makes the object that waits.
 * Source: registry/rest/delete.go BeforeDelete; generic/registry/store.go deletionFinalizersForGarbageCollection;
 * core/namespace/storage/storage.go Delete.
 */
#include "server/write.h"

#include "base/time.h"
#include "kinds/fields.h"

#define FINALIZER_ORPHAN     "orphan"
#define FINALIZER_FOREGROUND "foregroundDeletion"

static int check_preconditions(struct request *r, struct error *err)
{
    const struct delete_options *o = &r->delete_options;
    if (!str_empty(o->uid) && !str_eq(o->uid, object_uid(r->old)))
        return fail_conflict(r, r->kind, r->info.name, err,
                             "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                             STR_ARG(o->uid), STR_ARG(object_uid(r->old)));
    uint64_t revision = 0;
    if (str_empty(o->resource_version) || !str_to_u64(o->resource_version, &revision))
        return 0;
    if (revision != object_revision(r->old))
        return fail_conflict(
            r, r->kind, r->info.name, err,
            "Precondition failed: ResourceVersion in precondition: %.*s, ResourceVersion in object meta: %llu",
            STR_ARG(o->resource_version), (unsigned long long)object_revision(r->old));
    return 0;
}

static bool has_finalizer(const struct value *finalizers, const char *name)
{
    for (uint32_t i = 0; value_type(finalizers) == VALUE_ARRAY && i < finalizers->items_count; i++)
        if (str_is(value_to_str(finalizers->items[i]), name))
            return true;
    return false;
}

static bool wants_finalizer(const struct delete_options *o, const char *policy, bool orphan, bool there)
{
    if (o->orphan_dependents_set)
        return orphan ? o->orphan_dependents : false;
    if (!str_empty(o->propagation))
        return str_is(o->propagation, policy);
    return there; /* no wish: what an earlier delete asked for stays */
}

/* The propagation policy stands in the finalizers, where the garbage collector reads it. */
static void set_policy(struct request *r, struct value *meta)
{
    struct arena *a = &r->arena;
    const struct value *old = value_get(meta, F_OBJECT_META_FINALIZERS);
    bool orphan = wants_finalizer(&r->delete_options, "Orphan", true, has_finalizer(old, FINALIZER_ORPHAN));
    bool foreground =
        wants_finalizer(&r->delete_options, "Foreground", false, has_finalizer(old, FINALIZER_FOREGROUND));
    struct value *new = value_array(a);
    for (uint32_t i = 0; value_type(old) == VALUE_ARRAY && i < old->items_count; i++) {
        struct str f = value_to_str(old->items[i]);
        if (!str_is(f, FINALIZER_ORPHAN) && !str_is(f, FINALIZER_FOREGROUND))
            value_append(a, new, old->items[i]);
    }
    if (orphan)
        value_append(a, new, value_text(a, FINALIZER_ORPHAN));
    if (foreground)
        value_append(a, new, value_text(a, FINALIZER_FOREGROUND));
    value_put(a, meta, F_OBJECT_META_FINALIZERS, new->items_count ? new : NULL);
}

static void mark(struct request *r, struct value *meta, int64_t grace_s)
{
    char text[TIME_TEXT_SIZE];
    int64_t at = r->wall_ms + grace_s * SECOND_MS, generation;
    bool first = !value_get(meta, F_OBJECT_META_DELETION_TIMESTAMP);
    value_set(&r->arena, meta, F_OBJECT_META_DELETION_TIMESTAMP, arena_str(&r->arena, str_of(time_format(at, text))));
    value_set_int(&r->arena, meta, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS, grace_s);
    generation = value_to_int(value_get(meta, F_OBJECT_META_GENERATION), 0);
    if (first && generation > 0)
        value_set_int(&r->arena, meta, F_OBJECT_META_GENERATION, generation + 1);
}

/* Already being deleted: the grace may only become shorter. True: write the object again. */
static bool shorten(struct request *r, struct value *meta)
{
    int64_t period = value_to_int(value_get(meta, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS), 0);
    int64_t wanted = r->delete_options.grace_s, at;
    if (!r->kind->delete_grace || wanted < 0 || wanted >= period)
        return false;
    char text[TIME_TEXT_SIZE];
    if (!time_parse(value_to_str(value_get(meta, F_OBJECT_META_DELETION_TIMESTAMP)), &at))
        at = r->wall_ms + period * SECOND_MS;
    at += (wanted - period) * SECOND_MS;
    value_set(&r->arena, meta, F_OBJECT_META_DELETION_TIMESTAMP, arena_str(&r->arena, str_of(time_format(at, text))));
    value_set_int(&r->arena, meta, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS, wanted);
    return true;
}

/* Held by more than finalizers of the metadata: only marked, and shown to be on its way out. */
static int begin_held(struct request *r, struct value *tree, struct value *meta)
{
    if (value_get(meta, F_OBJECT_META_DELETION_TIMESTAMP)) {
        r->core.no_change = true;
        return 0;
    }
    mark(r, meta, 0);
    value_del(meta, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS);
    if (r->kind->delete_begin)
        r->kind->delete_begin(&r->arena, tree);
    return 0;
}

int write_delete(struct request *r, struct error *err)
{
    if (check_preconditions(r, err) < 0)
        return -1;
    struct value *tree = value_of_view(&r->arena, object_root(r->old)),
                 *meta = value_make_object(&r->arena, tree, F_POD_METADATA);
    value_del(meta, F_OBJECT_META_RESOURCE_VERSION);
    r->tree = tree;
    set_policy(r, meta);
    if (r->kind->delete_held && r->kind->delete_held(object_root(r->old)))
        return begin_held(r, tree, meta);
    bool deleting = value_get(meta, F_OBJECT_META_DELETION_TIMESTAMP) != NULL;
    bool held = value_get(meta, F_OBJECT_META_FINALIZERS) != NULL;
    if (deleting) {
        int64_t left = value_to_int(value_get(meta, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS), 0);
        bool shorter = shorten(r, meta);
        if (shorter)
            left = r->delete_options.grace_s;
        if (!held && left == 0) {
            r->core.delete_now = true;
            return 0;
        }
        struct view old_finalizers = view_path(object_root(r->old), F_POD_METADATA, F_OBJECT_META_FINALIZERS);
        struct value *before = value_of_view(&r->arena, old_finalizers),
                     *now = value_get(meta, F_OBJECT_META_FINALIZERS);
        r->core.no_change = !shorter && (before && now ? value_equal(before, now) : !before == !now);
        return 0;
    }
    int64_t grace = r->kind->delete_grace ? r->kind->delete_grace(object_root(r->old), r->delete_options.grace_s) : 0;
    if (grace == 0 && !held) {
        r->core.delete_now = true;
        return 0;
    }
    mark(r, meta, grace);
    return 0;
}

bool write_ends_deletion(const struct kind *k, const struct object *o)
{
    struct view root = object_root(o), meta = view_get(root, F_POD_METADATA);
    if (!view_present(view_get(meta, F_OBJECT_META_DELETION_TIMESTAMP)))
        return false;
    if (view_count(view_get(meta, F_OBJECT_META_FINALIZERS)) > 0)
        return false;
    if (k->delete_held && k->delete_held(root))
        return false;
    return view_int(view_get(meta, F_OBJECT_META_DELETION_GRACE_PERIOD_SECONDS), 0) == 0;
}
