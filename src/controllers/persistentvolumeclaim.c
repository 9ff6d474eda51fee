/* PersistentVolumeClaim: finds its volume, or has one made where its first pod will run. */
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "controllers/volumes.h"
#include "kinds/fields.h"

static void tell(struct reconcile *r, const char *type, const char *reason, struct str message)
{
    plan_event(r, &kind_persistentvolumeclaim, r->object, type, reason, "%.*s", STR_ARG(message));
}

/* --- status -------------------------------------------------------------------------------------------------------- */

static void write_status(struct reconcile *r, const char *phase, const struct object *volume)
{
    struct arena *a = r->arena;
    struct view root = object_root(r->object), spec = view_get(object_root(volume), F_PERSISTENT_VOLUME_SPEC);
    struct value *tree = value_of_view(a, root), *status = value_make_object(a, tree, F_PERSISTENT_VOLUME_CLAIM_STATUS);

    value_set_text(a, status, F_PERSISTENT_VOLUME_CLAIM_STATUS_PHASE, phase);
    value_put(a, status, F_PERSISTENT_VOLUME_CLAIM_STATUS_ACCESS_MODES,
              value_of_view(a, view_get(spec, F_PERSISTENT_VOLUME_SPEC_ACCESS_MODES)));
    value_put(a, status, F_PERSISTENT_VOLUME_CLAIM_STATUS_CAPACITY,
              value_of_view(a, view_get(spec, F_PERSISTENT_VOLUME_SPEC_CAPACITY)));
    if (!value_equal(status, value_of_view(a, view_get(root, F_PERSISTENT_VOLUME_CLAIM_STATUS))))
        plan_update(r, &kind_persistentvolumeclaim, r->object, tree, "status");
}

static bool is_lost(const struct object *claim)
{
    return str_is(
        view_str_at(object_root(claim), F_PERSISTENT_VOLUME_CLAIM_STATUS, F_PERSISTENT_VOLUME_CLAIM_STATUS_PHASE),
        "Lost");
}

static void lose(struct reconcile *r, const char *reason, const char *message)
{
    if (!is_lost(r->object))
        tell(r, "Warning", reason, str_of(message));
    write_status(r, "Lost", NULL);
}

/* --- binding ------------------------------------------------------------------------------------------------------- */

static void annotate(struct arena *a, struct value *tree, const char *name, const char *text)
{
    struct value *metadata = value_make_object(a, tree, F_POD_METADATA);

    value_put_str(a, value_make_object(a, metadata, F_OBJECT_META_ANNOTATIONS), str_of(name), value_text(a, text));
}

/* The volume names the claim, then the claim the volume: the second write happens only after the first. */
static void bind(struct reconcile *r, const struct object *volume)
{
    struct arena *a = r->arena;
    struct view root = object_root(r->object);
    struct view ref = view_path(object_root(volume), F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
    struct value *tree, *spec, *to;

    if (!view_str_at(ref, F_OBJECT_REFERENCE_UID).n) {
        tree = value_of_view(a, object_root(volume));
        spec = value_make_object(a, tree, F_PERSISTENT_VOLUME_SPEC);
        if (!view_present(ref))
            annotate(a, tree, ANNOTATION_BOUND_BY_CONTROLLER, "yes");
        to = value_make_object(a, spec, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
        value_set_text(a, to, F_OBJECT_REFERENCE_KIND, "PersistentVolumeClaim");
        value_set_text(a, to, F_OBJECT_REFERENCE_API_VERSION, "v1");
        value_set(a, to, F_OBJECT_REFERENCE_NAMESPACE, r->namespace_);
        value_set(a, to, F_OBJECT_REFERENCE_NAME, r->name);
        value_set(a, to, F_OBJECT_REFERENCE_UID, object_uid(r->object));
        plan_update(r, &kind_persistentvolume, volume, tree, "");
    }
    tree = value_of_view(a, root);
    annotate(a, tree, CLAIM_BIND_COMPLETED, "yes");
    spec = value_make_object(a, tree, F_PERSISTENT_VOLUME_CLAIM_SPEC);
    if (!value_to_str(value_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME)).n)
        annotate(a, tree, ANNOTATION_BOUND_BY_CONTROLLER, "yes");
    value_set(a, spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME, object_name(volume));
    plan_update(r, &kind_persistentvolumeclaim, r->object, tree, "");
}

/* --- a claim that was bound ---------------------------------------------------------------------------------------- */

static void keep_bound(struct reconcile *r, struct str volume_name)
{
    const struct object *volume = reconcile_get(r, &kind_persistentvolume, STR_NONE, volume_name);

    if (!volume) {
        enum live live = reconcile_live(r, &kind_persistentvolume, STR_NONE, volume_name, NULL);

        if (live == LIVE_UNKNOWN)
            plan_live_read(r, &kind_persistentvolume, STR_NONE, volume_name);
        if (live == LIVE_ABSENT)
            lose(r, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
        return;
    }
    if (!volume_is_reserved(volume))
        bind(r, volume); /* somebody took the reference away; it is still ours */
    else if (!volume_is_for(volume, r->object))
        lose(r, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
    else
        write_status(r, "Bound", volume);
}

/* The claim itself asks for this volume. */
static void bind_named(struct reconcile *r, struct str volume_name)
{
    const struct object *volume = reconcile_get(r, &kind_persistentvolume, STR_NONE, volume_name);
    const char *mismatch;

    if (!volume)
        return; /* pending until it is there */
    if (volume_is_reserved(volume) && !volume_is_for(volume, r->object)) {
        tell(r, "Warning", "FailedBinding",
             arena_printf(r->arena, "volume \"%.*s\" already bound to a different claim.", STR_ARG(volume_name)));
        return;
    }
    mismatch = volume_is_reserved(volume) ? NULL : claim_mismatch(object_root(r->object), object_root(volume));
    if (mismatch)
        tell(r, "Warning", "VolumeMismatch",
             arena_printf(r->arena, "Cannot bind to requested volume \"%.*s\": %s", STR_ARG(volume_name), mismatch));
    else
        bind(r, volume);
}

/* --- a claim that looks for a volume ------------------------------------------------------------------------------- */

static const struct object *reserved_volume(struct reconcile *r)
{
    struct objects all = reconcile_all(r, &kind_persistentvolume);

    for (size_t i = 0; i < all.count; i++)
        if (volume_is_reserved(all.items[i]) && volume_is_for(all.items[i], r->object) &&
            !pod_is_terminating(all.items[i]))
            return all.items[i];
    return NULL;
}

/* The scheduler shall choose again. */
static void forget_node(struct reconcile *r)
{
    struct arena *a = r->arena;
    struct value *patch = value_object(a);

    value_put_str(a, value_make_object(a, value_make_object(a, patch, F_POD_METADATA), F_OBJECT_META_ANNOTATIONS),
                  STR(CLAIM_SELECTED_NODE), value_null(a));
    plan_patch(r, &kind_persistentvolumeclaim, r->object, patch, "");
}

static bool wants_mode(const struct object *claim, const char *mode)
{
    struct view_iter it = { 0 };

    while (view_next(
        view_path(object_root(claim), F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_ACCESS_MODES),
        &it))
        if (str_is(view_str(it.value), mode))
            return true;
    return false;
}

/* What a folder of one node cannot be; NULL when all is well. */
static const char *impossible(struct reconcile *r)
{
    struct view spec = view_get(object_root(r->object), F_PERSISTENT_VOLUME_CLAIM_SPEC);

    if (str_is(view_str_at(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_MODE), "Block"))
        return "volumeMode Block is not possible: its volumes are folders";
    if (wants_mode(r->object, "ReadWriteMany") || wants_mode(r->object, "ReadOnlyMany"))
        return "its volumes are folders of one node: ask for ReadWriteOnce or ReadWriteOncePod";
    if (view_present(view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_SELECTOR)))
        return "claim.Spec.Selector is not supported";
    if (view_present(view_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_DATA_SOURCE_REF)))
        return "a data source is not supported";
    return NULL;
}

static void provision(struct reconcile *r, const struct object *class, const struct object *node)
{
    const char *why = node ? impossible(r) : "it needs volumeBindingMode WaitForFirstConsumer";

    if (why) {
        tell(r, "Warning", "ProvisioningFailed",
             arena_printf(r->arena, "failed to provision volume with StorageClass \"%.*s\": %s",
                          STR_ARG(object_name(class)), why));
        return;
    }
    plan_create(r, &kind_persistentvolume, STR_NONE, claim_new_volume(r, class, node));
    tell(r, "Normal", "ProvisioningSucceeded",
         arena_printf(r->arena, "Successfully provisioned volume pvc-%.*s", STR_ARG(object_uid(r->object))));
}

/* Somebody else makes the volume: an annotation tells whom it is for. */
static void ask_provisioner(struct reconcile *r, struct str provisioner)
{
    struct arena *a = r->arena;

    if (!str_eq(view_str(volume_annotation(r->object, ANNOTATION_CLAIM_PROVISIONER)), provisioner)) {
        struct value *patch = value_object(a);

        annotate(a, patch, ANNOTATION_CLAIM_PROVISIONER, arena_strdup(a, provisioner));
        plan_patch(r, &kind_persistentvolumeclaim, r->object, patch, "");
    }
    tell(r, "Normal", "ExternalProvisioning",
         arena_printf(a,
                      "Waiting for a volume to be created either by the external provisioner '%.*s' or manually by the "
                      "system administrator. If volume creation is delayed, please verify that the provisioner is "
                      "running and correctly registered.",
                      STR_ARG(provisioner)));
}

static void make_volume(struct reconcile *r, struct str class_name, const struct object *class,
                        const struct object *node)
{
    struct str provisioner = view_str_at(object_root(class), F_STORAGE_CLASS_PROVISIONER);

    if (!class_name.n)
        tell(r, "Normal", "FailedBinding",
             STR("no persistent volumes available for this claim and no storage class is set"));
    else if (!class)
        tell(r, "Warning", "ProvisioningFailed",
             arena_printf(r->arena, "storageclass.storage.k8s.io \"%.*s\" not found", STR_ARG(class_name)));
    else if (str_is(provisioner, VOLUME_PROVISIONER))
        provision(r, class, node);
    else if (!str_is(provisioner, "kubernetes.io/no-provisioner"))
        ask_provisioner(r, provisioner);
    else if (node)
        forget_node(r); /* the volume the scheduler saw there has another claim now */
    else
        tell(r, "Normal", "FailedBinding",
             STR("no persistent volumes available for this claim and no storage class is set"));
}

static void look_for_volume(struct reconcile *r)
{
    struct str class_name = storage_class_of(object_root(r->object));
    const struct object *class = class_name.n ? reconcile_get(r, &kind_storageclass, STR_NONE, class_name) : NULL;
    struct str node_name = view_str(volume_annotation(r->object, CLAIM_SELECTED_NODE));
    const struct object *node = node_name.n ? reconcile_get(r, &kind_node, STR_NONE, node_name) : NULL;
    const struct object *volume = reserved_volume(r);
    bool waits = str_is(view_str_at(object_root(class), F_STORAGE_CLASS_VOLUME_BINDING_MODE), "WaitForFirstConsumer");

    if (volume) {
        bind(r, volume);
        return;
    }
    if (node_name.n && !node) {
        enum live live = reconcile_live(r, &kind_node, STR_NONE, node_name, NULL);

        if (live == LIVE_UNKNOWN)
            plan_live_read(r, &kind_node, STR_NONE, node_name);
        if (live == LIVE_ABSENT)
            forget_node(r);
        return;
    }
    if (waits && !node) {
        tell(r, "Normal", "WaitForFirstConsumer", STR("waiting for first consumer to be created before binding"));
        return;
    }
    volume = claim_match(r, waits ? node : NULL);
    if (volume)
        bind(r, volume);
    else
        make_volume(r, class_name, class, node);
}

/* --- the pass ------------------------------------------------------------------------------------------------------ */

static int reconcile(struct reconcile *r, struct error *err)
{
    struct str volume_name;

    (void)err;
    if (!r->object)
        return 0;
    volume_name =
        view_str_at(object_root(r->object), F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME);
    if (claim_is_bound(object_root(r->object)))
        keep_bound(r, volume_name);
    else if (pod_is_terminating(r->object))
        return 0;
    else if (volume_name.n)
        bind_named(r, volume_name);
    else
        look_for_volume(r);
    return 0;
}

/* A reserved volume concerns its claim, a free one everybody who waits. */
static void claims_of_volume(struct cluster *cluster, const struct object *volume, trigger_emit_fn *emit, void *arg)
{
    struct view ref = view_path(object_root(volume), F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
    struct objects all;

    if (view_present(ref)) {
        emit(arg, view_str_at(ref, F_OBJECT_REFERENCE_NAMESPACE), view_str_at(ref, F_OBJECT_REFERENCE_NAME));
        return;
    }
    all = cache_all(cluster_cache(cluster, &kind_persistentvolumeclaim));
    for (size_t i = 0; i < all.count; i++) {
        struct str name = view_str_at(object_root(all.items[i]), F_PERSISTENT_VOLUME_CLAIM_SPEC,
                                      F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME);

        if (!name.n || str_eq(name, object_name(volume)))
            emit(arg, object_namespace(all.items[i]), object_name(all.items[i]));
    }
}

static void claims_of_class(struct cluster *cluster, const struct object *class, trigger_emit_fn *emit, void *arg)
{
    struct objects all = cache_all(cluster_cache(cluster, &kind_persistentvolumeclaim));

    for (size_t i = 0; i < all.count; i++)
        if (str_eq(storage_class_of(object_root(all.items[i])), object_name(class)))
            emit(arg, object_namespace(all.items[i]), object_name(all.items[i]));
}

const struct controller controller_persistentvolumeclaim = {
    .name = "persistentvolumeclaim",
    .kind = &kind_persistentvolumeclaim,
    .triggers = { { &kind_persistentvolume, BY_FUNCTION, claims_of_volume },
                  { &kind_storageclass, BY_FUNCTION, claims_of_class } },
    .reads = { &kind_node },
    .reconcile = reconcile,
};
