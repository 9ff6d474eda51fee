/*
 * Namespace: empties a namespace that is being deleted, says what holds it, and lets it go.
 * Source of conditions and texts: k8s.io/kubernetes/pkg/controller/namespace/deletion.
 */
#include "controllers/condition.h"
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#define DELETE_MAX    500  /* objects in one pass; the next goes on */
#define LOOK_AGAIN_MS 1000 /* content that ends slowly (pods) also triggers; this is for what does not */

struct remains {
    struct buf kinds, finalizers; /* "pods. has 2 resource instances", "example.com/hold in 1 resource instances" */
    size_t objects, deletions;
};

/* Count how many objects of this kind carry each finalizer; plan the deletion of those nobody asked to end yet. */
static void empty_kind(struct reconcile *r, const struct kind *kind, struct remains *left, struct map *finalizers)
{
    struct objects found = reconcile_by(r, kind, CACHE_BY_NAMESPACE, r->name);

    if (found.count == 0)
        return;
    buf_addf(&left->kinds, "%s%s.%s has %zu resource instances", left->kinds.n ? ", " : "", kind->plural, kind->group,
             found.count);
    left->objects += found.count;
    for (size_t i = 0; i < found.count; i++) {
        struct view_iter it = { 0 };
        while (view_next(view_path(object_root(found.items[i]), F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it)) {
            uintptr_t n = (uintptr_t)map_get(finalizers, view_str(it.value));
            map_put(finalizers, view_str(it.value), (void *)(n + 1));
        }
        if (!pod_is_terminating(found.items[i]) && left->deletions++ < DELETE_MAX)
            plan_delete(r, kind, found.items[i], "Background", -1);
    }
}

static void empty(struct reconcile *r, struct remains *left)
{
    AUTO_MAP struct map finalizers = { 0 };
    size_t i = 0;
    struct str name;
    void *n;

    for (size_t k = 0; k < kinds_count; k++)
        if (kinds[k]->namespaced && (kinds[k]->verbs & VERB_WATCH) && (kinds[k]->verbs & VERB_DELETE) &&
            kinds[k] != &kind_event_events) /* the same stored objects as core events */
            empty_kind(r, kinds[k], left, &finalizers);
    while (map_next(&finalizers, &i, &name, &n))
        buf_addf(&left->finalizers, "%s%.*s in %zu resource instances", left->finalizers.n ? ", " : "", STR_ARG(name),
                 (size_t)(uintptr_t)n);
}

static void plan_conditions(struct reconcile *r, const struct remains *left)
{
    struct arena *a = r->arena;
    struct value *tree = value_of_view(a, object_root(r->object));
    struct value *status = value_make_object(a, tree, F_NAMESPACE_STATUS), *c;
    bool changed;

    c = value_make_array(a, status, F_NAMESPACE_STATUS_CONDITIONS);
    changed = condition_set(a, c, r->now_ms, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
                            STR("All resources successfully discovered"));
    changed |= condition_set(a, c, r->now_ms, "NamespaceDeletionGroupVersionParsingFailure", "False",
                             "ParsedGroupVersions", STR("All legacy kube types successfully parsed"));
    changed |= condition_set(a, c, r->now_ms, "NamespaceDeletionContentFailure", "False", "ContentDeleted",
                             STR("All content successfully deleted, may be waiting on finalization"));
    changed |= condition_set(a, c, r->now_ms, "NamespaceContentRemaining", left->objects ? "True" : "False",
                             left->objects ? "SomeResourcesRemain" : "ContentRemoved",
                             left->objects
                                 ? arena_printf(a, "Some resources are remaining: %.*s", STR_ARG(buf_str(&left->kinds)))
                                 : STR("All content successfully removed"));
    changed |= condition_set(a, c, r->now_ms, "NamespaceFinalizersRemaining", left->finalizers.n ? "True" : "False",
                             left->finalizers.n ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
                             left->finalizers.n
                                 ? arena_printf(a, "Some content in the namespace has finalizers remaining: %.*s",
                                                STR_ARG(buf_str(&left->finalizers)))
                                 : STR("All content-preserving finalizers finished"));
    if (changed)
        plan_update(r, &kind_namespace, r->object, tree, "status");
}

static void plan_finalize(struct reconcile *r)
{
    struct value *tree = value_of_view(r->arena, object_root(r->object));
    struct value *spec = value_make_object(r->arena, tree, F_NAMESPACE_SPEC);
    struct value *finalizers = value_make_array(r->arena, spec, F_NAMESPACE_SPEC_FINALIZERS);

    for (size_t i = finalizers->items_count; i-- > 0;)
        if (str_is(value_to_str(finalizers->items[i]), "kubernetes"))
            value_remove(finalizers, i);
    plan_update(r, &kind_namespace, r->object, tree, "finalize");
}

static bool is_finalized(const struct object *o)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(o), F_NAMESPACE_SPEC, F_NAMESPACE_SPEC_FINALIZERS), &it))
        if (str_is(view_str(it.value), "kubernetes"))
            return false;
    return true;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct remains left = { .kinds = BUF_MAX(16 * KIB), .finalizers = BUF_MAX(16 * KIB) };

    (void)err;
    if (!r->object || !pod_is_terminating(r->object) || is_finalized(r->object))
        return 0;
    empty(r, &left);
    if (left.objects == 0) {
        plan_finalize(r);
    } else {
        plan_conditions(r, &left);
        plan_wake(r, LOOK_AGAIN_MS);
    }
    buf_done(&left.kinds);
    buf_done(&left.finalizers);
    return 0;
}

/* A changed object matters to its namespace only while that is being deleted. */
static void keys_all(struct cluster *cluster, const struct object *changed, trigger_emit_fn *emit, void *arg)
{
    struct str name = object_namespace(changed);
    const struct object *namespace_ =
        name.n ? cache_get(cluster_cache(cluster, &kind_namespace), STR_NONE, name) : NULL;

    if (namespace_ && pod_is_terminating(namespace_))
        emit(arg, STR_NONE, name);
}

const struct controller controller_namespace = {
    .name = "namespace",
    .kind = &kind_namespace,
    .all_kinds = true,
    .keys_all = keys_all,
    .reconcile = reconcile,
};
