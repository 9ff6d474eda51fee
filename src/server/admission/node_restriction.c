/*
 * A node writes only its own Node, its own Lease and the status of its own pods, and may not give itself labels, taints or
 * owners that decide where work runs. Source: plugin/pkg/admission/noderestriction; CVE-2021-25735 (the stored object is
 * judged, not a stale one), CVE-2025-5187 (a node deletes itself by an owner reference).
 */
#include "kinds/claim.h"
#include "kinds/fields.h"
#include "server/admission.h"
#include "server/authz.h"

static bool applies(const struct request *r)
{
    return !str_empty(authz_node_name(&r->identity)) && (r->kind == &kind_node || r->kind == &kind_pod ||
                                                         r->kind == &kind_lease || r->kind == &kind_persistentvolume);
}

static bool same(struct view a, struct view b, name_id field)
{
    struct view x = view_get(a, field), y = view_get(b, field);
    /* An empty list or map is the same as none. */
    return (!view_count(x) && !view_count(y)) || view_equal(x, y);
}

/* --- Node --------------------------------------------------------------------------------------------------------- */

/* Labels of kubernetes.io and k8s.io that a node may set on itself. Source: k8s.io/kubelet/pkg/apis, IsKubeletLabel. */
static const char *const own_labels[] = {
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
};

static bool is_below(struct str domain, const char *parent)
{
    struct str p = str_of(parent);
    return str_eq(domain, p) || (domain.n > p.n && str_ends(domain, p) && domain.p[domain.n - p.n - 1] == '.');
}

static bool may_label(struct str key)
{
    struct str domain = key, rest = key;
    if (!str_cut(&rest, '/', &domain))
        return true;
    if (is_below(domain, "node-restriction.kubernetes.io"))
        return false;
    if (!is_below(domain, "kubernetes.io") && !is_below(domain, "k8s.io"))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(own_labels); i++)
        if (str_is(key, own_labels[i]))
            return true;
    return is_below(domain, "kubelet.kubernetes.io") || is_below(domain, "node.kubernetes.io");
}

/* The first label that was added, changed or removed and may not be; "" when all is fine. */
static struct str forged_label(struct view now, struct view old)
{
    struct view labels[2] = { view_path(now, F_NODE_METADATA, F_OBJECT_META_LABELS),
                              view_path(old, F_NODE_METADATA, F_OBJECT_META_LABELS) };
    for (size_t side = 0; side < 2; side++) {
        struct view_iter it = { 0 };
        while (view_next(labels[side], &it)) {
            struct view other = view_get_str(labels[1 - side], it.key);
            if (!may_label(it.key) && !(view_present(other) && str_eq(view_str(other), view_str(it.value))))
                return it.key;
        }
    }
    return STR_NONE;
}

static enum phase_result check_node(struct request *r, struct view object, struct view old, struct str node)
{
    struct view metadata = view_get(object, F_NODE_METADATA), old_metadata = view_get(old, F_NODE_METADATA);
    struct str name = view_present(object) ? object_name(object.o) : r->info.name;
    if (!str_eq(name, node))
        return admission_forbid(r, "node \"%.*s\" is not allowed to modify node \"%.*s\"", STR_ARG(node),
                                STR_ARG(name));
    if (admission_is_delete(r))
        return admission_forbid(r, "node \"%.*s\" is not allowed to delete itself", STR_ARG(node));
    struct str label = forged_label(object, old);
    if (!str_empty(label))
        return admission_forbid(r, "node \"%.*s\" is not allowed to modify labels: %.*s", STR_ARG(node),
                                STR_ARG(label));
    if (!same(metadata, old_metadata, F_OBJECT_META_OWNER_REFERENCES))
        return admission_forbid(r, "node \"%.*s\" cannot modify ownerReferences", STR_ARG(node));
    if (!view_present(old))
        return PHASE_DONE; /* a new node comes with taints of its own, as a kubelet with --register-with-taints */
    if (!same(view_get(object, F_NODE_SPEC), view_get(old, F_NODE_SPEC), F_NODE_SPEC_TAINTS))
        return admission_forbid(r, "node \"%.*s\" is not allowed to modify taints", STR_ARG(node));
    if (view_bool_at(object, false, F_NODE_SPEC, F_NODE_SPEC_UNSCHEDULABLE) !=
        view_bool_at(old, false, F_NODE_SPEC, F_NODE_SPEC_UNSCHEDULABLE))
        return admission_forbid(r, "node \"%.*s\" is not allowed to modify unschedulable", STR_ARG(node));
    return PHASE_DONE;
}

/* --- Pod ---------------------------------------------------------------------------------------------------------- */

static enum phase_result check_pod(struct request *r, struct view object, struct view old, struct str node)
{
    static const name_id kept[] = { F_OBJECT_META_LABELS, F_OBJECT_META_OWNER_REFERENCES, F_OBJECT_META_FINALIZERS };
    struct view pod = old;
    if (!view_present(pod)) /* creates of subresources (eviction) come without the pod */
        pod = object_root(state_get(server_state(r->server), &kind_pod, r->info.namespace_, r->info.name));
    struct str home = view_str_at(pod, F_POD_SPEC, F_POD_SPEC_NODE_NAME);
    if (r->creating && str_empty(r->info.subresource))
        return admission_forbid(
            r,
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"%.*s\" can only create mirror pods",
            STR_ARG(node));
    if (!view_present(pod))
        return PHASE_DONE; /* the verb itself says "not found" */
    if (!str_eq(home, node))
        return admission_forbid(r, "node \"%.*s\" can only %.*s pods with spec.nodeName set to itself", STR_ARG(node),
                                STR_ARG(r->info.verb));
    if (admission_is_delete(r) || str_is(r->info.subresource, "eviction"))
        return PHASE_DONE;
    if (!str_is(r->info.subresource, "status"))
        return admission_forbid(r, "unexpected pod subresource \"%.*s\"", STR_ARG(r->info.subresource));
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (!same(view_get(object, F_POD_METADATA), view_get(old, F_POD_METADATA), kept[i]))
            return admission_forbid(r, "node \"%.*s\" cannot update %.*s through pod status", STR_ARG(node),
                                    STR_ARG(name_text(kept[i])));
    return PHASE_DONE;
}

static enum phase_result check_lease(struct request *r, struct view object, struct str node)
{
    struct str name = view_present(object) ? object_name(object.o) : r->info.name;
    if (!str_is(r->info.namespace_, "kube-node-lease"))
        return admission_forbid(r, "can only access leases in the \"kube-node-lease\" system namespace");
    if (!str_eq(name, node))
        return admission_forbid(r, "can only access node lease with the same name as the requesting node");
    return PHASE_DONE;
}

/* Of a volume that lies on it, a node takes away its own finalizer when the folder is gone; it changes nothing else. */
static enum phase_result check_volume(struct request *r, struct view object, struct view old, struct str node)
{
    struct value *now = value_of_view(&r->arena, object), *was = value_of_view(&r->arena, old),
                 *trees[2] = { now, was };
    struct view_iter it = { 0 };
    size_t kept = 0;

    if (admission_is_delete(r) || !view_present(old) || !str_eq(volume_node(old), node))
        return admission_forbid(r, "node \"%.*s\" can only modify volumes that lie on it", STR_ARG(node));
    while (view_next(view_path(old, F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it))
        kept += !str_is(view_str(it.value), VOLUME_FOLDER_FINALIZER);
    it = (struct view_iter){ 0 };
    while (view_next(view_path(object, F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it))
        kept -= !str_is(view_str(it.value), VOLUME_FOLDER_FINALIZER);
    for (size_t i = 0; i < 2; i++) {
        struct value *metadata = value_get(trees[i], F_POD_METADATA);

        value_del(metadata, F_OBJECT_META_FINALIZERS);
        value_del(metadata, F_OBJECT_META_MANAGED_FIELDS);
        value_del(metadata, F_OBJECT_META_RESOURCE_VERSION);
    }
    if (kept || !value_equal(now, was))
        return admission_forbid(r, "node \"%.*s\" can only take away the finalizer %s", STR_ARG(node),
                                VOLUME_FOLDER_FINALIZER);
    return PHASE_DONE;
}

static enum phase_result validate(struct request *r, struct view object, struct view old)
{
    struct str node = authz_node_name(&r->identity);
    if (r->kind == &kind_node)
        return check_node(r, object, old, node);
    if (r->kind == &kind_pod)
        return check_pod(r, object, old, node);
    if (r->kind == &kind_persistentvolume)
        return check_volume(r, object, old, node);
    return check_lease(r, object, node);
}

const struct admission_step admission_node_restriction = {
    .name = "NodeRestriction",
    .applies = applies,
    .validate = validate,
};
