/* Endpoints: the older form of EndpointSlices, one object per Service. Source: k8s.io/kubernetes/pkg/controller/endpoint. */
#include "controllers/endpoints.h"

#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#define ADDRESSES_MAX 1000 /* more are cut, as upstream, with the annotation endpoints.kubernetes.io/over-capacity */

static struct value *address(struct reconcile *r, const struct object *service, const struct endpoint_pod *p)
{
    struct arena *a = r->arena;
    struct view spec = view_get(object_root(p->pod), F_POD_SPEC);
    struct value *o = value_object(a), *ref;
    struct str node = view_str_at(spec, F_POD_SPEC_NODE_NAME), host = view_str_at(spec, F_POD_SPEC_HOSTNAME);

    value_set(a, o, F_ENDPOINT_ADDRESS_IP, p->ip);
    if (host.n && str_eq(view_str_at(spec, F_POD_SPEC_SUBDOMAIN), object_name(service)))
        value_set(a, o, F_ENDPOINT_ADDRESS_HOSTNAME, host);
    if (node.n)
        value_set(a, o, F_ENDPOINT_ADDRESS_NODE_NAME, node);
    ref = value_make_object(a, o, F_ENDPOINT_ADDRESS_TARGET_REF);
    value_set_text(a, ref, F_OBJECT_REFERENCE_KIND, "Pod");
    value_set(a, ref, F_OBJECT_REFERENCE_NAMESPACE, object_namespace(p->pod));
    value_set(a, ref, F_OBJECT_REFERENCE_NAME, object_name(p->pod));
    value_set(a, ref, F_OBJECT_REFERENCE_UID, object_uid(p->pod));
    return o;
}

static struct value *ports_of(struct reconcile *r, const struct object *service, const struct object *pod)
{
    struct arena *a = r->arena;
    struct value *ports = value_array(a);
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(service), F_SERVICE_SPEC, F_SERVICE_SPEC_PORTS), &it)) {
        struct value *port = value_object(a);
        struct str name = view_str_at(it.value, F_SERVICE_PORT_NAME);
        struct str app = view_str_at(it.value, F_SERVICE_PORT_APP_PROTOCOL);
        int64_t number = endpoint_target_port(it.value, pod);
        if (!number)
            continue;
        if (name.n)
            value_set(a, port, F_ENDPOINT_PORT_NAME, name);
        value_set_int(a, port, F_ENDPOINT_PORT_PORT, number);
        value_set(a, port, F_ENDPOINT_PORT_PROTOCOL, view_str_at(it.value, F_SERVICE_PORT_PROTOCOL));
        if (app.n)
            value_set(a, port, F_ENDPOINT_PORT_APP_PROTOCOL, app);
        value_append(a, ports, port);
    }
    return ports;
}

/* Addresses with the same port numbers share a subset. */
static struct value *subset_for(struct arena *a, struct value *subsets, struct value *ports)
{
    struct value *subset;

    for (uint32_t i = 0; i < subsets->items_count; i++) {
        struct value *its = value_get(subsets->items[i], F_ENDPOINT_SUBSET_PORTS);
        if ((!its && !ports->items_count) || (its && value_equal(its, ports)))
            return subsets->items[i];
    }
    subset = value_object(a);
    value_append(a, subsets, subset);
    return subset;
}

static struct value *subsets_of(struct reconcile *r, struct endpoint_pods pods)
{
    struct arena *a = r->arena;
    struct value *subsets = value_array(a);

    for (size_t i = 0; i < MIN(pods.count, ADDRESSES_MAX); i++) {
        const struct endpoint_pod *p = &pods.items[i];
        struct value *ports = ports_of(r, r->object, p->pod), *subset;
        if (!p->in_service && pod_is_terminating(p->pod))
            continue;
        subset = subset_for(a, subsets, ports);
        value_append(
            a,
            value_make_array(a, subset,
                             p->in_service ? F_ENDPOINT_SUBSET_ADDRESSES : F_ENDPOINT_SUBSET_NOT_READY_ADDRESSES),
            address(r, r->object, p));
        if (ports->items_count && !value_get(subset, F_ENDPOINT_SUBSET_PORTS))
            value_put(a, subset, F_ENDPOINT_SUBSET_PORTS, ports);
    }
    return subsets;
}

static void set_over_capacity(struct arena *a, struct value *metadata, bool cut)
{
    struct str name = STR("endpoints.kubernetes.io/over-capacity");
    struct value *annotations = value_get(metadata, F_OBJECT_META_ANNOTATIONS);

    if (cut)
        value_put_str(a, value_make_object(a, metadata, F_OBJECT_META_ANNOTATIONS), name, value_text(a, "truncated"));
    else if (annotations)
        value_del_str(annotations, name);
}

static struct value *tree_of(struct reconcile *r, const struct object *old)
{
    struct arena *a = r->arena;
    struct endpoint_pods pods = endpoint_pods_of(r, r->object);
    struct value *tree = old ? value_of_view(a, object_root(old)) : value_object(a), *metadata, *labels, *subsets;

    value_set_text(a, tree, F_POD_API_VERSION, "v1");
    value_set_text(a, tree, F_POD_KIND, "Endpoints");
    metadata = value_make_object(a, tree, F_POD_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, r->name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, r->namespace_);
    labels = value_of_view(a, view_path(object_root(r->object), F_POD_METADATA, F_OBJECT_META_LABELS));
    if (!labels)
        labels = value_object(a);
    if (service_is_headless(r->object))
        value_put_str(a, labels, STR("service.kubernetes.io/headless"), value_text(a, ""));
    value_put_str(a, labels, STR("endpoints.kubernetes.io/managed-by"), value_text(a, "endpoint-controller"));
    value_put(a, metadata, F_OBJECT_META_LABELS, labels);
    set_over_capacity(a, metadata, pods.count > ADDRESSES_MAX);
    subsets = subsets_of(r, pods);
    value_put(a, tree, F_ENDPOINTS_SUBSETS, subsets->items_count ? subsets : NULL);
    return tree;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    const struct object *old = reconcile_get(r, &kind_endpoints, r->namespace_, r->name);
    struct value *tree;

    (void)err;
    if (!r->object || pod_is_terminating(r->object)) {
        /* Endpoints have no owner reference (clients of old expect none), so they end here, with their Service. */
        struct view labels = view_path(object_root(old), F_POD_METADATA, F_OBJECT_META_LABELS);
        if (old && !r->object &&
            str_is(view_str(view_get_str(labels, STR("endpoints.kubernetes.io/managed-by"))), "endpoint-controller"))
            plan_delete(r, &kind_endpoints, old, NULL, -1);
        return 0;
    }
    if (!service_has_selector(r->object))
        return 0;
    tree = tree_of(r, old);
    if (!old)
        plan_create(r, &kind_endpoints, r->namespace_, tree);
    else if (!value_equal(tree, value_of_view(r->arena, object_root(old))))
        plan_update(r, &kind_endpoints, old, tree, "");
    return 0;
}

const struct controller controller_endpoints = {
    .name = "endpoint",
    .kind = &kind_service,
    .triggers = { { &kind_pod, BY_SELECTOR },
                  { &kind_endpoints, BY_SAME_NAME },
                  { &kind_node, BY_FUNCTION, endpoint_services_of_node } },
    .selects = service_selects,
    .reconcile = reconcile,
};
