/* The ReplicaSets of a Deployment: which is new, which are old; creating, scaling, revisions, history. */
#include "controllers/deployment.h"

#include "base/codec.h"
#include "base/time.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "kinds/fields.h"
#include "object/selector.h"

#include <stdio.h>
#include <stdlib.h>

struct str deployment_name_of(const struct deployment_set *s)
{
    return s->name;
}

static struct view annotation(const struct object *o, const char *name)
{
    return view_get_str(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS), str_of(name));
}

static struct deployment_set set_of(const struct object *o)
{
    struct view root = object_root(o), status = view_get(root, F_REPLICA_SET_STATUS);
    struct deployment_set s = {
        .object = o,
        .name = object_name(o),
        .replicas = view_int_at(root, 1, F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_REPLICAS),
        .current = view_int_at(status, 0, F_REPLICA_SET_STATUS_REPLICAS),
        .ready = view_int_at(status, 0, F_REPLICA_SET_STATUS_READY_REPLICAS),
        .available = view_int_at(status, 0, F_REPLICA_SET_STATUS_AVAILABLE_REPLICAS),
    };

    s.wanted = s.replicas;
    str_to_i64(view_str(annotation(o, ANNOTATION_REVISION)), &s.revision);
    str_to_i64(view_str(annotation(o, ANNOTATION_MAX)), &s.allowed);
    time_parse(view_str_at(root, F_POD_METADATA, F_OBJECT_META_CREATION_TIMESTAMP), &s.created_ms);
    return s;
}

static int older_first(const void *a, const void *b)
{
    const struct deployment_set *x = a, *y = b;

    if (x->created_ms != y->created_ms)
        return x->created_ms < y->created_ms ? -1 : 1;
    return str_cmp(x->name, y->name);
}

/* Equal but for the label that the hash itself adds. Source: EqualIgnoreHash. */
static bool same_template(struct arena *a, struct view wanted, struct view have)
{
    struct value *left = value_of_view(a, wanted), *right = value_of_view(a, have);
    struct value *labels = value_path(right, F_POD_TEMPLATE_SPEC_METADATA, F_OBJECT_META_LABELS);

    if (labels)
        value_del_str(labels, STR(LABEL_TEMPLATE_HASH));
    labels = value_path(left, F_POD_TEMPLATE_SPEC_METADATA, F_OBJECT_META_LABELS);
    if (labels)
        value_del_str(labels, STR(LABEL_TEMPLATE_HASH));
    return value_equal(left, right);
}

int deployment_find_sets(struct deployment *d, struct error *err)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    struct reconcile *r = d->r;
    struct view template = view_get(d->spec, F_DEPLOYMENT_SPEC_TEMPLATE);
    struct objects found;

    if (label_selector_of_view(&selector, view_get(d->spec, F_DEPLOYMENT_SPEC_SELECTOR), err) < 0)
        return error_context(err, "selector of the Deployment");
    found = own_claim(r, &kind_deployment, r->object, &kind_replicaset, &selector);
    d->sets = arena_alloc_array(r->arena, found.count + 1, sizeof(*d->sets));
    for (size_t i = 0; i < found.count; i++)
        d->sets[d->sets_count++] = set_of(found.items[i]);
    qsort(d->sets, d->sets_count, sizeof(*d->sets), older_first);
    for (size_t i = 0; i < d->sets_count && !d->new_set; i++)
        if (same_template(r->arena, template,
                          view_path(object_root(d->sets[i].object), F_REPLICA_SET_SPEC, F_REPLICA_SET_SPEC_TEMPLATE)))
            d->new_set = &d->sets[i];
    return 0;
}

/* --- the new set ----------------------------------------------------------------------------------------------------------------- */

static struct str template_hash(struct deployment *d)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    AUTO_BUF struct buf text = BUF_MAX(4 * MIB);
    char digits[16], *safe = arena_alloc(d->r->arena, sizeof(digits));

    buf_add(&text, view_json(view_get(d->spec, F_DEPLOYMENT_SPEC_TEMPLATE)));
    if (d->collisions)
        buf_add_i64(&text, d->collisions);
    /* Decimal digits in the alphabet of random suffixes, as rand.SafeEncodeString does. */
    snprintf(digits, sizeof(digits), "%u", fnv32a(buf_str(&text)));
    for (size_t i = 0; digits[i]; i++)
        safe[i] = alphabet[(unsigned char)digits[i] % (sizeof(alphabet) - 1)];
    return str_of(safe);
}

static int64_t next_revision(const struct deployment *d)
{
    int64_t last = 0;

    for (size_t i = 0; i < d->sets_count; i++)
        if (&d->sets[i] != d->new_set)
            last = MAX(last, d->sets[i].revision);
    return last + 1;
}

static void set_annotation(struct arena *a, struct value *tree, const char *name, struct str text)
{
    struct value *metadata = value_make_object(a, tree, F_POD_METADATA);

    value_put_str(a, value_make_object(a, metadata, F_OBJECT_META_ANNOTATIONS), str_of(name), value_str(a, text));
}

static void set_number(struct arena *a, struct value *tree, const char *name, int64_t n)
{
    set_annotation(a, tree, name, arena_printf(a, "%lld", (long long)n));
}

/* Annotations that belong to the Deployment alone. Source: annotationsToSkip. */
static bool is_own_annotation(struct str name)
{
    return str_is(name, "kubectl.kubernetes.io/last-applied-configuration") || str_is(name, ANNOTATION_REVISION) ||
           str_is(name, "deployment.kubernetes.io/revision-history") || str_is(name, ANNOTATION_DESIRED) ||
           str_is(name, ANNOTATION_MAX) || str_is(name, "deprecated.deployment.rollback.to");
}

static bool copy_annotations(const struct deployment *d, struct value *tree)
{
    struct arena *a = d->r->arena;
    struct view from = view_path(object_root(d->object), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
    struct value *metadata = value_make_object(a, tree, F_POD_METADATA), *to;
    struct view_iter it = { 0 };
    bool changed = false;

    to = value_make_object(a, metadata, F_OBJECT_META_ANNOTATIONS);
    while (view_next(from, &it)) {
        if (is_own_annotation(it.key) || str_eq(value_to_str(value_get_str(to, it.key)), view_str(it.value)))
            continue;
        value_put_str(a, to, it.key, value_str(a, view_str(it.value)));
        changed = true;
    }
    return changed;
}

static void plan_revision(struct deployment *d, int64_t revision)
{
    struct str text = arena_printf(d->r->arena, "%lld", (long long)revision);
    struct value *patch;

    if (str_eq(view_str(annotation(d->object, ANNOTATION_REVISION)), text))
        return;
    patch = value_object(d->r->arena);
    set_annotation(d->r->arena, patch, ANNOTATION_REVISION, text);
    plan_patch(d->r, &kind_deployment, d->object, patch, "");
    d->revised = true;
}

static struct value *new_set_tree(struct deployment *d, struct str name, struct str hash)
{
    struct arena *a = d->r->arena;
    struct value *tree = value_object(a), *metadata, *spec, *template, *labels, *selector;

    value_set_text(a, tree, F_POD_API_VERSION, "apps/v1");
    value_set_text(a, tree, F_POD_KIND, "ReplicaSet");
    metadata = value_make_object(a, tree, F_POD_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, d->r->namespace_);
    template = value_of_view(a, view_get(d->spec, F_DEPLOYMENT_SPEC_TEMPLATE));
    labels = value_make_object(a, value_make_object(a, template, F_POD_TEMPLATE_SPEC_METADATA), F_OBJECT_META_LABELS);
    value_put_str(a, labels, STR(LABEL_TEMPLATE_HASH), value_str(a, hash));
    value_put(a, metadata, F_OBJECT_META_LABELS, value_copy(a, labels));
    copy_annotations(d, tree);
    set_number(a, tree, ANNOTATION_REVISION, next_revision(d));
    set_number(a, tree, ANNOTATION_DESIRED, d->replicas);
    set_number(a, tree, ANNOTATION_MAX, d->replicas + d->max_surge);
    own_set_controller(a, tree, &kind_deployment, d->object);
    spec = value_make_object(a, tree, F_REPLICA_SET_SPEC);
    value_set_int(a, spec, F_REPLICA_SET_SPEC_REPLICAS, deployment_new_set_size(d));
    value_set_int(a, spec, F_REPLICA_SET_SPEC_MIN_READY_SECONDS,
                  view_int_at(d->spec, 0, F_DEPLOYMENT_SPEC_MIN_READY_SECONDS));
    selector = value_of_view(a, view_get(d->spec, F_DEPLOYMENT_SPEC_SELECTOR));
    value_put_str(a, value_make_object(a, selector, F_LABEL_SELECTOR_MATCH_LABELS), STR(LABEL_TEMPLATE_HASH),
                  value_str(a, hash));
    value_put(a, spec, F_REPLICA_SET_SPEC_SELECTOR, selector);
    value_put(a, spec, F_REPLICA_SET_SPEC_TEMPLATE, template);
    return tree;
}

static void create_new_set(struct deployment *d)
{
    struct str hash = template_hash(d);
    struct str name = arena_printf(d->r->arena, "%.*s-%.*s", STR_ARG(d->r->name), STR_ARG(hash));
    int64_t size = deployment_new_set_size(d);

    if (reconcile_get(d->r, &kind_replicaset, d->r->namespace_, name)) {
        /* Another template has this hash: count the collision, which changes the hash of the next pass. */
        d->collisions++;
        d->collided = true; /* only the status tells it, so that is written in this pass */
        return;
    }
    plan_create(d->r, &kind_replicaset, d->r->namespace_, new_set_tree(d, name, hash));
    if (size > 0)
        plan_event(d->r, &kind_deployment, d->object, "Normal", "ScalingReplicaSet",
                   "Scaled up replica set %.*s from 0 to %lld", STR_ARG(name), (long long)size);
    plan_revision(d, next_revision(d));
    d->new_set = &d->sets[d->sets_count++];
    *d->new_set = (struct deployment_set){ .name = name, .replicas = size, .wanted = size };
    d->created = true;
}

void deployment_make_new_set(struct deployment *d)
{
    int64_t revision;

    if (!d->new_set) {
        create_new_set(d);
        return;
    }
    revision = next_revision(d);
    if (d->new_set->revision < revision) /* a rollback makes an old set the newest revision */
        d->new_set->revision = revision;
    plan_revision(d, d->new_set->revision);
}

/* --- scaling --------------------------------------------------------------------------------------------------------------------- */

/* The tree of the set as it should be now; NULL when it is so already. */
static struct value *changed_set(struct deployment *d, struct deployment_set *s)
{
    struct arena *a = d->r->arena;
    struct value *tree = value_of_view(a, object_root(s->object)), *spec = value_get(tree, F_REPLICA_SET_SPEC);
    int64_t min_ready_s = view_int_at(d->spec, 0, F_DEPLOYMENT_SPEC_MIN_READY_SECONDS);
    int64_t desired = -1, revision = 0;
    bool changed = s->wanted != s->replicas;

    str_to_i64(view_str(annotation(s->object, ANNOTATION_DESIRED)), &desired);
    str_to_i64(view_str(annotation(s->object, ANNOTATION_REVISION)), &revision);
    value_set_int(a, spec, F_REPLICA_SET_SPEC_REPLICAS, s->wanted);
    if (s->wanted > 0 || changed) {
        changed |= desired != d->replicas;
        set_number(a, tree, ANNOTATION_DESIRED, d->replicas);
        set_number(a, tree, ANNOTATION_MAX, d->replicas + d->max_surge);
    }
    if (s == d->new_set && !d->paused) {
        changed |= copy_annotations(d, tree) || revision != s->revision ||
                   value_to_int(value_get(spec, F_REPLICA_SET_SPEC_MIN_READY_SECONDS), 0) != min_ready_s;
        set_number(a, tree, ANNOTATION_REVISION, s->revision);
        value_set_int(a, spec, F_REPLICA_SET_SPEC_MIN_READY_SECONDS, min_ready_s);
    }
    return changed ? tree : NULL;
}

void deployment_write_scales(struct deployment *d)
{
    for (size_t i = 0; i < d->sets_count; i++) {
        struct deployment_set *s = &d->sets[i];
        struct value *tree = s->object ? changed_set(d, s) : NULL;
        if (!tree)
            continue;
        plan_update(d->r, &kind_replicaset, s->object, tree, "");
        if (s->wanted != s->replicas)
            plan_event(d->r, &kind_deployment, d->object, "Normal", "ScalingReplicaSet",
                       "Scaled %s replica set %.*s from %lld to %lld", s->wanted > s->replicas ? "up" : "down",
                       STR_ARG(s->name), (long long)s->replicas, (long long)s->wanted);
    }
}

static int lower_revision(const void *a, const void *b)
{
    const struct deployment_set *x = *(struct deployment_set *const *)a, *y = *(struct deployment_set *const *)b;

    return x->revision < y->revision ? -1 : x->revision > y->revision;
}

void deployment_clean_history(struct deployment *d)
{
    int64_t limit = view_int_at(d->spec, 10, F_DEPLOYMENT_SPEC_REVISION_HISTORY_LIMIT);
    struct deployment_set **old = arena_alloc_array(d->r->arena, d->sets_count + 1, sizeof(struct deployment_set *));
    size_t count = 0;

    for (size_t i = 0; i < d->sets_count; i++)
        if (&d->sets[i] != d->new_set && d->sets[i].object && !pod_is_terminating(d->sets[i].object))
            old[count++] = &d->sets[i];
    qsort(old, count, sizeof(struct deployment_set *), lower_revision);
    for (size_t i = 0; i < count && (int64_t)(count - i) > limit; i++) {
        const struct deployment_set *s = old[i];
        int64_t generation = view_int_at(object_root(s->object), 0, F_POD_METADATA, F_OBJECT_META_GENERATION);
        int64_t observed =
            view_int_at(object_root(s->object), 0, F_REPLICA_SET_STATUS, F_REPLICA_SET_STATUS_OBSERVED_GENERATION);
        if (s->current == 0 && s->replicas == 0 && s->wanted == 0 && generation <= observed)
            plan_delete(d->r, &kind_replicaset, s->object, "Background", -1);
    }
}
