/* One ordinal of a StatefulSet: its pod, and the claims that stay when the pod goes. Source: stateful_set_utils.go. */
#include "controllers/own.h"
#include "controllers/pod.h"
#include "controllers/statefulset.h"
#include "kinds/fields.h"

int64_t stateful_ordinal(struct str set, struct str pod)
{
    struct str digits;
    int64_t n;

    if (pod.n < set.n + 2 || !str_starts(pod, set) || pod.p[set.n] != '-')
        return -1;
    digits = str_from(pod, set.n + 1);
    for (size_t i = 0; i < digits.n; i++)
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return -1;
    if ((digits.p[0] == '0' && digits.n > 1) || !str_to_i64(digits, &n) || n > INT32_MAX)
        return -1;
    return n;
}

struct str stateful_pod_name(const struct statefulset *s, int64_t ordinal)
{
    return arena_printf(s->r->arena, "%.*s-%lld", STR_ARG(s->r->name), (long long)ordinal);
}

struct str stateful_revision_of(const struct object *pod)
{
    return view_str(
        view_get_str(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_LABELS), STR(LABEL_REVISION)));
}

/* --- claims -------------------------------------------------------------------------------------------------------- */

static struct str claim_name(const struct statefulset *s, struct view template, int64_t ordinal)
{
    return arena_printf(s->r->arena, "%.*s-%.*s-%lld",
                        STR_ARG(view_str_at(template, F_POD_METADATA, F_OBJECT_META_NAME)), STR_ARG(s->r->name),
                        (long long)ordinal);
}

static const struct object *claim_of(const struct statefulset *s, struct view template, int64_t ordinal)
{
    return reconcile_get(s->r, &kind_persistentvolumeclaim, s->r->namespace_, claim_name(s, template, ordinal));
}

static struct view claim_templates(const struct statefulset *s)
{
    return view_get(s->spec, F_STATEFUL_SET_SPEC_VOLUME_CLAIM_TEMPLATES);
}

static struct view owners_of(const struct object *o)
{
    return view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_OWNER_REFERENCES);
}

bool stateful_claims_are_stale(struct statefulset *s, int64_t ordinal)
{
    struct str pod = stateful_pod_name(s, ordinal);
    struct view_iter it = { 0 }, owner;

    while (view_next(claim_templates(s), &it)) {
        const struct object *claim = claim_of(s, it.value, ordinal);

        if (!claim)
            continue;
        if (pod_is_terminating(claim))
            return true;
        owner = (struct view_iter){ 0 };
        while (view_next(owners_of(claim), &owner))
            if (str_is(view_str_at(owner.value, F_OWNER_REFERENCE_KIND), "Pod") &&
                str_eq(view_str_at(owner.value, F_OWNER_REFERENCE_NAME), pod))
                return true; /* the garbage collector takes it away with the pod that was */
    }
    return false;
}

static bool retains(const struct statefulset *s, name_id when)
{
    return !str_is(view_str_at(s->spec, F_STATEFUL_SET_SPEC_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY, when), "Delete");
}

static struct value *owner_reference(struct arena *a, const char *version, const char *kind, struct str name,
                                     struct str uid)
{
    struct value *ref = value_object(a);

    value_set_text(a, ref, F_OWNER_REFERENCE_API_VERSION, version);
    value_set_text(a, ref, F_OWNER_REFERENCE_KIND, kind);
    value_set(a, ref, F_OWNER_REFERENCE_NAME, name);
    value_set(a, ref, F_OWNER_REFERENCE_UID, uid);
    return ref;
}

/* Should the set own the ordinal's claims? While it is wanted, so that they go with the set. */
static bool set_owns(const struct statefulset *s, bool wanted)
{
    return !retains(s, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_DELETED) &&
           (wanted || retains(s, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_SCALED));
}

static bool pod_owns(const struct statefulset *s, bool wanted)
{
    return !wanted && !retains(s, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_SCALED);
}

static bool has_owner(struct view owners, struct str uid)
{
    struct view_iter it = { 0 };

    while (view_next(owners, &it))
        if (str_eq(view_str_at(it.value, F_OWNER_REFERENCE_UID), uid))
            return true;
    return false;
}

static void own_claim_of(struct statefulset *s, const struct object *claim, const struct object *pod, bool wanted)
{
    struct arena *a = s->r->arena;
    struct view owners = owners_of(claim);
    struct str set_uid = object_uid(s->object), pod_uid = pod ? object_uid(pod) : STR_NONE;
    bool set = set_owns(s, wanted), of_pod = pod && pod_owns(s, wanted);
    struct value *list, *patch, *metadata;
    struct view_iter it = { 0 };

    if (has_owner(owners, set_uid) == set && (!pod || has_owner(owners, pod_uid) == of_pod))
        return;
    list = value_array(a);
    while (view_next(owners, &it)) {
        struct str uid = view_str_at(it.value, F_OWNER_REFERENCE_UID);

        if (!str_eq(uid, set_uid) && !(pod && str_eq(uid, pod_uid)))
            value_append(a, list, value_of_view(a, it.value));
    }
    if (set)
        value_append(a, list, owner_reference(a, "apps/v1", "StatefulSet", s->r->name, set_uid));
    if (of_pod)
        value_append(a, list, owner_reference(a, "v1", "Pod", object_name(pod), pod_uid));
    patch = value_object(a);
    metadata = value_make_object(a, patch, F_POD_METADATA);
    value_put(a, metadata, F_OBJECT_META_OWNER_REFERENCES, list->items_count ? list : value_null(a));
    value_set(a, metadata, F_OBJECT_META_RESOURCE_VERSION,
              arena_printf(a, "%llu", (unsigned long long)object_revision(claim)));
    plan_patch(s->r, &kind_persistentvolumeclaim, claim, patch, "");
}

void stateful_own_claims(struct statefulset *s, int64_t ordinal, const struct object *pod)
{
    bool wanted = ordinal >= s->start && ordinal < s->start + s->replicas;
    struct view_iter it = { 0 };

    while (view_next(claim_templates(s), &it)) {
        const struct object *claim = claim_of(s, it.value, ordinal);

        if (claim && !pod_is_terminating(claim))
            own_claim_of(s, claim, pod, wanted);
    }
}

/* Names and labels tell whose it is; it has an owner only when it shall go with the set. */
static struct value *claim_tree(struct statefulset *s, struct view template, struct str name)
{
    struct arena *a = s->r->arena;
    struct view from = view_get(template, F_POD_METADATA);
    struct value *tree = value_object(a), *metadata = value_make_object(a, tree, F_POD_METADATA), *labels;
    struct view_iter it = { 0 };

    value_set_text(a, tree, F_POD_API_VERSION, "v1");
    value_set_text(a, tree, F_POD_KIND, "PersistentVolumeClaim");
    value_set(a, metadata, F_OBJECT_META_NAME, name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, s->r->namespace_);
    value_put(a, metadata, F_OBJECT_META_LABELS, value_of_view(a, view_get(from, F_OBJECT_META_LABELS)));
    value_put(a, metadata, F_OBJECT_META_ANNOTATIONS, value_of_view(a, view_get(from, F_OBJECT_META_ANNOTATIONS)));
    labels = value_make_object(a, metadata, F_OBJECT_META_LABELS);
    while (view_next(view_path(s->spec, F_STATEFUL_SET_SPEC_SELECTOR, F_LABEL_SELECTOR_MATCH_LABELS), &it))
        value_put_str(a, labels, it.key, value_str(a, view_str(it.value)));
    if (set_owns(s, true))
        value_append(a, value_make_array(a, metadata, F_OBJECT_META_OWNER_REFERENCES),
                     owner_reference(a, "apps/v1", "StatefulSet", s->r->name, object_uid(s->object)));
    value_put(a, tree, F_POD_SPEC, value_of_view(a, view_get(template, F_POD_SPEC)));
    return tree;
}

void stateful_create_claims(struct statefulset *s, int64_t ordinal)
{
    struct view_iter it = { 0 };

    while (view_next(claim_templates(s), &it)) {
        struct str name = claim_name(s, it.value, ordinal);

        if (claim_of(s, it.value, ordinal))
            continue;
        plan_create(s->r, &kind_persistentvolumeclaim, s->r->namespace_, claim_tree(s, it.value, name));
        plan_event(s->r, &kind_statefulset, s->object, "Normal", "SuccessfulCreate",
                   "create Claim %.*s Pod %.*s in StatefulSet %.*s success", STR_ARG(name),
                   STR_ARG(stateful_pod_name(s, ordinal)), STR_ARG(s->r->name));
    }
}

/* --- the pod ------------------------------------------------------------------------------------------------------- */

/* A volume for each claim; of the template's own volumes those whose name no claim has. */
static void set_volumes(struct statefulset *s, struct value *spec, int64_t ordinal)
{
    struct arena *a = s->r->arena;
    struct value *old = value_get(spec, F_POD_SPEC_VOLUMES), *volumes = value_array(a);
    struct view_iter it = { 0 };

    while (view_next(claim_templates(s), &it)) {
        struct str name = view_str_at(it.value, F_POD_METADATA, F_OBJECT_META_NAME);
        struct value *volume = value_object(a), *source;

        value_set(a, volume, F_VOLUME_NAME, name);
        source = value_make_object(a, volume, F_VOLUME_PERSISTENT_VOLUME_CLAIM);
        value_set(a, source, F_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE_CLAIM_NAME, claim_name(s, it.value, ordinal));
        value_append(a, volumes, volume);
        for (size_t i = value_type(old) == VALUE_ARRAY ? old->items_count : 0; i-- > 0;)
            if (str_eq(value_to_str(value_get(old->items[i], F_VOLUME_NAME)), name))
                value_remove(old, i);
    }
    for (size_t i = 0; value_type(old) == VALUE_ARRAY && i < old->items_count; i++)
        value_append(a, volumes, old->items[i]);
    value_put(a, spec, F_POD_SPEC_VOLUMES, volumes->items_count ? volumes : NULL);
}

/* Those below the partition are made as they were, also when they come back. */
static const struct stateful_revision *revision_for(const struct statefulset *s, int64_t ordinal)
{
    struct view strategy = view_get(s->spec, F_STATEFUL_SET_SPEC_UPDATE_STRATEGY);
    struct view rolling = view_get(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_ROLLING_UPDATE);
    int64_t keep =
        view_int_at(object_root(s->object), 0, F_STATEFUL_SET_STATUS, F_STATEFUL_SET_STATUS_CURRENT_REPLICAS);

    if (str_is(view_str_at(strategy, F_STATEFUL_SET_UPDATE_STRATEGY_TYPE), "OnDelete"))
        return &s->update;
    if (view_present(rolling))
        keep = view_int_at(rolling, 0, F_ROLLING_UPDATE_STATEFUL_SET_STRATEGY_PARTITION);
    return ordinal < s->start + keep ? &s->current : &s->update;
}

static void set_label(struct arena *a, struct value *labels, const char *name, struct str text)
{
    value_put_str(a, labels, str_of(name), value_str(a, text));
}

void stateful_create_pod(struct statefulset *s, int64_t ordinal)
{
    const struct stateful_revision *revision = revision_for(s, ordinal);
    struct view template = stateful_template_of(s, revision), from = view_get(template, F_POD_TEMPLATE_SPEC_METADATA);
    struct str name = stateful_pod_name(s, ordinal);
    struct arena *a = s->r->arena;
    struct value *pod = value_object(a), *metadata, *labels, *spec;

    value_set_text(a, pod, F_POD_API_VERSION, "v1");
    value_set_text(a, pod, F_POD_KIND, "Pod");
    metadata = value_make_object(a, pod, F_POD_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, name);
    value_set(a, metadata, F_OBJECT_META_GENERATE_NAME, arena_printf(a, "%.*s-", STR_ARG(s->r->name)));
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, s->r->namespace_);
    value_put(a, metadata, F_OBJECT_META_LABELS, value_of_view(a, view_get(from, F_OBJECT_META_LABELS)));
    value_put(a, metadata, F_OBJECT_META_ANNOTATIONS, value_of_view(a, view_get(from, F_OBJECT_META_ANNOTATIONS)));
    value_put(a, metadata, F_OBJECT_META_FINALIZERS, value_of_view(a, view_get(from, F_OBJECT_META_FINALIZERS)));
    labels = value_make_object(a, metadata, F_OBJECT_META_LABELS);
    set_label(a, labels, LABEL_POD_NAME, name);
    set_label(a, labels, LABEL_POD_INDEX, arena_printf(a, "%lld", (long long)ordinal));
    set_label(a, labels, LABEL_REVISION, revision->name);
    own_set_controller(a, pod, &kind_statefulset, s->object);
    value_put(a, pod, F_POD_SPEC, value_of_view(a, view_get(template, F_POD_TEMPLATE_SPEC_SPEC)));
    spec = value_make_object(a, pod, F_POD_SPEC);
    value_set(a, spec, F_POD_SPEC_HOSTNAME, name);
    value_set(a, spec, F_POD_SPEC_SUBDOMAIN, view_str_at(s->spec, F_STATEFUL_SET_SPEC_SERVICE_NAME));
    if (!view_str_at(s->spec, F_STATEFUL_SET_SPEC_SERVICE_NAME).n)
        value_del(spec, F_POD_SPEC_SUBDOMAIN);
    set_volumes(s, spec, ordinal);
    plan_create(s->r, &kind_pod, s->r->namespace_, pod);
    plan_event(s->r, &kind_statefulset, s->object, "Normal", "SuccessfulCreate",
               "create Pod %.*s in StatefulSet %.*s successful", STR_ARG(name), STR_ARG(s->r->name));
}

void stateful_repair_labels(struct statefulset *s, const struct object *pod)
{
    struct view labels = view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_LABELS);
    struct arena *a = s->r->arena;
    struct str index = str_from(object_name(pod), s->r->name.n + 1);
    struct value *patch, *changed;

    if (str_eq(view_str(view_get_str(labels, STR(LABEL_POD_NAME))), object_name(pod)) &&
        str_eq(view_str(view_get_str(labels, STR(LABEL_POD_INDEX))), index))
        return;
    patch = value_object(a);
    changed = value_make_object(a, value_make_object(a, patch, F_POD_METADATA), F_OBJECT_META_LABELS);
    set_label(a, changed, LABEL_POD_NAME, object_name(pod));
    set_label(a, changed, LABEL_POD_INDEX, index);
    plan_patch(s->r, &kind_pod, pod, patch, "");
}
