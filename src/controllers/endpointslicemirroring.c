/*
 * Mirroring: Endpoints that somebody wrote by hand, for a Service without a selector, appear as EndpointSlices, one a subset.
 * Source: k8s.io/kubernetes/pkg/controller/endpointslicemirroring.
 */
#include "controllers/controllers.h"
#include "controllers/endpoints.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#define MANAGED_BY    "endpointslicemirroring-controller.k8s.io"
#define SUBSETS_MAX   100
#define ADDRESSES_MAX 1000 /* of a subset, upstream's limit */

static struct str label(const struct object *o, struct str name)
{
    return view_str(view_get_str(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_LABELS), name));
}

static bool is_mirrored(const struct reconcile *r)
{
    const struct object *service = reconcile_get(r, &kind_service, r->namespace_, r->name);
    struct view annotations = view_path(object_root(r->object), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);

    return r->object && !pod_is_terminating(r->object) && service && !service_has_selector(service) &&
           !str_is(label(r->object, STR("endpointslice.kubernetes.io/skip-mirror")), "true") &&
           !view_present(view_get_str(annotations, STR("control-plane.alpha.kubernetes.io/leader")));
}

static void add_endpoints(struct arena *a, struct value *list, struct view addresses, bool ready)
{
    struct view_iter it = { 0 };

    while (view_next(addresses, &it) && list->items_count < ADDRESSES_MAX) {
        struct value *e = value_object(a), *conditions;
        struct str host = view_str_at(it.value, F_ENDPOINT_ADDRESS_HOSTNAME);
        struct str node = view_str_at(it.value, F_ENDPOINT_ADDRESS_NODE_NAME);
        value_append(a, value_make_array(a, e, F_ENDPOINT_ADDRESSES),
                     value_str(a, view_str_at(it.value, F_ENDPOINT_ADDRESS_IP)));
        conditions = value_make_object(a, e, F_ENDPOINT_CONDITIONS);
        value_set_bool(a, conditions, F_ENDPOINT_CONDITIONS_READY, ready);
        if (host.n)
            value_set(a, e, F_ENDPOINT_HOSTNAME, host);
        value_put(a, e, F_ENDPOINT_TARGET_REF, value_of_view(a, view_get(it.value, F_ENDPOINT_ADDRESS_TARGET_REF)));
        if (node.n)
            value_set(a, e, F_ENDPOINT_NODE_NAME, node);
        value_append(a, list, e);
    }
}

static struct value *ports_of(struct arena *a, struct view subset)
{
    struct value *ports = value_array(a);
    struct view_iter it = { 0 };

    while (view_next(view_get(subset, F_ENDPOINT_SUBSET_PORTS), &it)) {
        struct value *port = value_object(a);
        struct str app = view_str_at(it.value, F_ENDPOINT_PORT_APP_PROTOCOL);
        value_set(a, port, F_ENDPOINT_PORT_NAME, view_str_at(it.value, F_ENDPOINT_PORT_NAME));
        value_set(a, port, F_ENDPOINT_PORT_PROTOCOL, view_str_at(it.value, F_ENDPOINT_PORT_PROTOCOL));
        value_set_int(a, port, F_ENDPOINT_PORT_PORT, view_int_at(it.value, 0, F_ENDPOINT_PORT_PORT));
        if (app.n)
            value_set(a, port, F_ENDPOINT_PORT_APP_PROTOCOL, app);
        value_append(a, ports, port);
    }
    return ports;
}

static struct value *slice_of(struct reconcile *r, struct view subset, struct str name, const struct object *old)
{
    struct arena *a = r->arena;
    struct value *tree = old ? value_of_view(a, object_root(old)) : value_object(a), *metadata, *labels, *endpoints;

    value_set_text(a, tree, F_POD_API_VERSION, "discovery.k8s.io/v1");
    value_set_text(a, tree, F_POD_KIND, "EndpointSlice");
    metadata = value_make_object(a, tree, F_POD_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, r->namespace_);
    labels = value_of_view(a, view_path(object_root(r->object), F_POD_METADATA, F_OBJECT_META_LABELS));
    if (!labels)
        labels = value_object(a);
    value_put_str(a, labels, STR("kubernetes.io/service-name"), value_str(a, r->name));
    value_put_str(a, labels, STR("endpointslice.kubernetes.io/managed-by"), value_text(a, MANAGED_BY));
    value_put(a, metadata, F_OBJECT_META_LABELS, labels);
    if (!old)
        own_set_controller(a, tree, &kind_endpoints, r->object);
    value_set_text(a, tree, F_ENDPOINT_SLICE_ADDRESS_TYPE, "IPv4");
    endpoints = value_array(a);
    add_endpoints(a, endpoints, view_get(subset, F_ENDPOINT_SUBSET_ADDRESSES), true);
    add_endpoints(a, endpoints, view_get(subset, F_ENDPOINT_SUBSET_NOT_READY_ADDRESSES), false);
    value_put(a, tree, F_ENDPOINT_SLICE_ENDPOINTS, endpoints);
    value_put(a, tree, F_ENDPOINT_SLICE_PORTS, ports_of(a, subset));
    return tree;
}

/* The slices have fixed names, so each subset finds its own again. */
static struct str slice_name(struct reconcile *r, size_t i)
{
    return arena_printf(r->arena, "%.*s-mirror-%zu", STR_ARG(str_part(r->name, 0, 240)), i);
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct view subsets = view_get(object_root(r->object), F_ENDPOINTS_SUBSETS);
    size_t wanted = is_mirrored(r) ? MIN(view_count(subsets), SUBSETS_MAX) : 0;

    (void)err;
    for (size_t i = 0; i < SUBSETS_MAX; i++) {
        struct str name = slice_name(r, i);
        const struct object *old = reconcile_get(r, &kind_endpointslice, r->namespace_, name);
        bool mine = old && str_is(label(old, STR("endpointslice.kubernetes.io/managed-by")), MANAGED_BY);
        struct value *tree;
        if (i >= wanted) {
            if (!old)
                break;
            if (mine && !pod_is_terminating(old))
                plan_delete(r, &kind_endpointslice, old, NULL, -1);
            continue;
        }
        tree = slice_of(r, view_item(subsets, i), name, old);
        if (!old)
            plan_create(r, &kind_endpointslice, r->namespace_, tree);
        else if (mine && !value_equal(tree, value_of_view(r->arena, object_root(old))))
            plan_update(r, &kind_endpointslice, old, tree, "");
    }
    return 0;
}

const struct controller controller_endpointslicemirroring = {
    .name = "endpointslicemirroring",
    .kind = &kind_endpoints,
    .triggers = { { &kind_service, BY_SAME_NAME }, { &kind_endpointslice, BY_CONTROLLER } },
    .reconcile = reconcile,
};
