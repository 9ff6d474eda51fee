/* PersistentVolume: storage that exists, and the claim it belongs to. Source: pkg/apis/core. */
#include "kinds/cells.h"
#include "kinds/claim.h"
#include "kinds/pod.h"
#include "kinds/schemas.h"

#include "base/time.h"

static const char *const reclaim_policies[] = { "Delete", "Recycle", "Retain", NULL };

/* In upstream's order. */
static const char *const source_names[] = {
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
    NULL,
};

static void default_(struct kind_context *c, struct value *volume)
{
    struct value *spec = value_make_object(c->arena, volume, F_PERSISTENT_VOLUME_SPEC);
    struct value *host_path = value_get(spec, F_PERSISTENT_VOLUME_SPEC_HOST_PATH);

    default_text(c->arena, spec, F_PERSISTENT_VOLUME_SPEC_PERSISTENT_VOLUME_RECLAIM_POLICY, "Retain");
    default_text(c->arena, spec, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE, "Filesystem");
    if (value_type(host_path) == VALUE_OBJECT && value_unset(value_get(host_path, F_HOST_PATH_VOLUME_SOURCE_TYPE)))
        value_set_text(c->arena, host_path, F_HOST_PATH_VOLUME_SOURCE_TYPE, "");
    default_text(c->arena, value_make_object(c->arena, volume, F_PERSISTENT_VOLUME_STATUS),
                 F_PERSISTENT_VOLUME_STATUS_PHASE, "Pending");
}

static void set_transition(struct kind_context *c, struct value *status)
{
    char now[TIME_TEXT_SIZE];

    value_set(c->arena, status, F_PERSISTENT_VOLUME_STATUS_LAST_PHASE_TRANSITION_TIME,
              arena_str(c->arena, str_of(time_format(c->now_ms, now))));
}

static void prepare(struct kind_context *c, struct value *volume, struct view old)
{
    struct view old_status = view_get(old, F_PERSISTENT_VOLUME_STATUS);
    struct value *status;

    strategy_spec_and_status(c, volume, old);
    status = value_make_object(c->arena, volume, F_PERSISTENT_VOLUME_STATUS);
    if (c->create) {
        value_set_text(c->arena, status, F_PERSISTENT_VOLUME_STATUS_PHASE, "Pending");
        set_transition(c, status);
    } else if (context_is(c, "status") &&
               !str_eq(value_to_str(value_get(status, F_PERSISTENT_VOLUME_STATUS_PHASE)),
                       view_str_at(old_status, F_PERSISTENT_VOLUME_STATUS_PHASE)) &&
               str_eq(value_to_str(value_get(status, F_PERSISTENT_VOLUME_STATUS_LAST_PHASE_TRANSITION_TIME)),
                      view_str_at(old_status, F_PERSISTENT_VOLUME_STATUS_LAST_PHASE_TRANSITION_TIME))) {
        set_transition(c, status);
    }
}

/* --- rules ------------------------------------------------------------------------------------------------------- */

static void check_capacity(struct check *k, const struct at *at, struct view capacity)
{
    static const char *const supported[] = { "storage", NULL };
    struct view_iter it = { 0 };

    if (!view_count(capacity))
        check_required(k, at, "");
    if (view_count(capacity) != 1 || !view_present(view_get_str(capacity, STR("storage"))))
        check_not_supported_view(k, at, capacity, supported);
    while (view_next(capacity, &it) && !check_full(k))
        check_positive_quantity(k, AT_KEY(at, it.key), it.value);
}

static void check_node_affinity(struct check *k, const struct at *at, struct view affinity)
{
    struct view required = view_get(affinity, F_VOLUME_NODE_AFFINITY_REQUIRED);

    if (!view_present(affinity))
        return;
    if (!view_present(required))
        check_required(k, AT(at, "required"), "must specify required node constraints");
    else
        pod_check_node_selector(k, AT(at, "required"), required, false);
}

static bool is_root(struct str path)
{
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] != '/' && path.p[i] != '.')
            return false;
    return path.n > 0;
}

static void check_local(struct check *k, const struct at *at, struct view spec)
{
    struct view local = view_get(spec, F_PERSISTENT_VOLUME_SPEC_LOCAL);
    struct str path = view_str_at(local, F_LOCAL_VOLUME_SOURCE_PATH);

    if (!view_present(local))
        return;
    if (!path.n)
        check_required(k, AT(AT(at, "local"), "path"), "");
    else
        check_no_backsteps(k, AT(AT(at, "local"), "path"), path);
    if (!view_present(view_get(spec, F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY)))
        check_required(k, AT(at, "nodeAffinity"), "Local volume requires node affinity");
}

static void validate_spec(struct check *k, struct view spec)
{
    struct str policy = view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_PERSISTENT_VOLUME_RECLAIM_POLICY);
    struct str class = view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_STORAGE_CLASS_NAME);
    struct view csi = view_get(spec, F_PERSISTENT_VOLUME_SPEC_CSI);
    const struct at *at = AT(AT_ROOT, "spec");

    check_access_modes(k, AT(at, "accessModes"), view_get(spec, F_PERSISTENT_VOLUME_SPEC_ACCESS_MODES), "");
    check_capacity(k, AT(at, "capacity"), view_get(spec, F_PERSISTENT_VOLUME_SPEC_CAPACITY));
    if (policy.n && !str_in(policy, reclaim_policies))
        check_not_supported(k, AT(at, "persistentVolumeReclaimPolicy"), policy, reclaim_policies);
    check_node_affinity(k, AT(at, "nodeAffinity"), view_get(spec, F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY));
    if (!volume_check_sources(k, at, spec, source_names))
        check_required(k, at, "must specify a volume type");
    check_local(k, at, spec);
    if (view_present(csi) && !view_str_at(csi, F_CSI_PERSISTENT_VOLUME_SOURCE_VOLUME_HANDLE).n)
        check_required(k, AT(AT(at, "csi"), "volumeHandle"), "");
    if (str_is(policy, "Recycle") &&
        is_root(view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_HOST_PATH, F_HOST_PATH_VOLUME_SOURCE_PATH)))
        check_forbidden(k, AT(at, "persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'");
    if (class.n)
        check_dns_subdomain(k, AT(at, "storageClassName"), class);
    check_volume_mode(k, AT(at, "volumeMode"), view_get(spec, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE));
}

static void validate_update(struct check *k, struct view spec, struct view old)
{
    struct view affinity = view_get(old, F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY);
    bool same = true;

    for (size_t i = 0; source_names[i]; i++)
        same &= view_equal(view_get_str(spec, str_of(source_names[i])), view_get_str(old, str_of(source_names[i])));
    if (!same)
        check_forbidden(k, AT(AT(AT_ROOT, "spec"), "persistentvolumesource"),
                        "spec.persistentvolumesource is immutable after creation");
    check_immutable(k, AT(AT_ROOT, "volumeMode"), view_get(spec, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE),
                    view_get(old, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE));
    if (view_present(affinity))
        check_immutable(k, AT(AT_ROOT, "nodeAffinity"), view_get(spec, F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY),
                        affinity);
}

static void validate(struct kind_context *c, struct view volume, struct view old, struct error *causes)
{
    struct check *k = CHECK(c, causes);

    if (context_is(c, "status"))
        return;
    validate_spec(k, view_get(volume, F_PERSISTENT_VOLUME_SPEC));
    if (!c->create)
        validate_update(k, view_get(volume, F_PERSISTENT_VOLUME_SPEC), view_get(old, F_PERSISTENT_VOLUME_SPEC));
}

/* --- kubectl get ------------------------------------------------------------------------------------------------- */

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Capacity", "string", "", "Its size.", 0 },
    { "Access Modes", "string", "", "How it may be mounted.", 0 },
    { "Reclaim Policy", "string", "", "What becomes of it when its claim is gone.", 0 },
    { "Status", "string", "", "Available, Bound, Released or Failed.", 0 },
    { "Claim", "string", "", "The claim it belongs to.", 0 },
    { "StorageClass", "string", "", "Its class.", 0 },
    { "VolumeAttributesClass", "string", "", "Its attributes class.", 0 },
    { "Reason", "string", "", "Why it failed.", 0 },
    COLUMN_AGE,
    { "VolumeMode", "string", "", "Filesystem or Block.", 1 },
    { NULL },
};

static void row(struct arena *a, struct view volume, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(volume, F_PERSISTENT_VOLUME_SPEC),
                status = view_get(volume, F_PERSISTENT_VOLUME_STATUS);
    struct view claim = view_get(spec, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
    bool terminating = view_present(view_path(volume, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));

    cell_name(a, cells, volume);
    cell_str(a, cells, view_str(view_get_str(view_get(spec, F_PERSISTENT_VOLUME_SPEC_CAPACITY), STR("storage"))));
    cell_str(a, cells, text_access_modes(a, view_get(spec, F_PERSISTENT_VOLUME_SPEC_ACCESS_MODES)));
    cell_str(a, cells, view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_PERSISTENT_VOLUME_RECLAIM_POLICY));
    cell_str(a, cells, terminating ? STR("Terminating") : view_str_at(status, F_PERSISTENT_VOLUME_STATUS_PHASE));
    cell_str(a, cells,
             view_present(claim)
                 ? arena_printf(a, "%.*s/%.*s", STR_ARG(view_str_at(claim, F_OBJECT_REFERENCE_NAMESPACE)),
                                STR_ARG(view_str_at(claim, F_OBJECT_REFERENCE_NAME)))
                 : STR_NONE);
    cell_str(a, cells, storage_class_of(volume));
    cell_or(a, cells, view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_VOLUME_ATTRIBUTES_CLASS_NAME), CELL_UNSET);
    cell_str(a, cells, view_str_at(status, F_PERSISTENT_VOLUME_STATUS_REASON));
    cell_age(a, cells, volume, now_ms);
    cell_or(a, cells, view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE), CELL_UNSET);
}

static struct str label_node(struct view o, struct arena *a)
{
    (void)a;
    return volume_node(o);
}

static const struct kind_field_label field_labels[] = {
    { VOLUME_NODE_LABEL, label_node }, /* by which a node watches its own */
    { NULL },
};

static const struct kind_subresource subresources[] = {
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_persistentvolume = {
    .group = "",
    .version = "v1",
    .kind = "PersistentVolume",
    .list_kind = "PersistentVolumeList",
    .plural = "persistentvolumes",
    .singular = "persistentvolume",
    .short_names = (const char *const[]){ "pv", NULL },
    .verbs = VERBS_ALL,
    .delete_returns_object = true,
    .schema = &schema_core_v1_persistent_volume,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .field_labels = field_labels,
    .default_ = default_,
    .prepare = prepare,
    .validate = validate,
};
