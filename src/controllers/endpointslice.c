/*
 * EndpointSlices: the pods behind a Service, in slices of at most 100, changed as little as possible.
 * Source: k8s.io/kubernetes/pkg/controller/endpointslice, k8s.io/endpointslice.
 */
#include "base/map.h"
#include "controllers/controllers.h"
#include "controllers/endpoints.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#include <stdlib.h>

#define LABEL_SERVICE    "kubernetes.io/service-name"
#define LABEL_MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGED_BY       "endpointslice-controller.k8s.io"
#define SLICE_MAX        100 /* endpoints in one slice, upstream's default */

static bool is_mine(const struct object *slice)
{
    struct view labels = view_path(object_root(slice), F_POD_METADATA, F_OBJECT_META_LABELS);

    return str_is(view_str(view_get_str(labels, STR(LABEL_MANAGED_BY))), MANAGED_BY);
}

/* --- one endpoint ----------------------------------------------------------------------------------------------------------------- */

static struct value *target_ref(struct arena *a, const struct object *pod)
{
    struct value *ref = value_object(a);

    value_set_text(a, ref, F_OBJECT_REFERENCE_KIND, "Pod");
    value_set(a, ref, F_OBJECT_REFERENCE_NAMESPACE, object_namespace(pod));
    value_set(a, ref, F_OBJECT_REFERENCE_NAME, object_name(pod));
    value_set(a, ref, F_OBJECT_REFERENCE_UID, object_uid(pod));
    return ref;
}

static struct str zone_of(struct reconcile *r, struct str node_name)
{
    const struct object *node = reconcile_get(r, &kind_node, STR_NONE, node_name);
    struct view labels = view_path(object_root(node), F_POD_METADATA, F_OBJECT_META_LABELS);

    return view_str(view_get_str(labels, STR("topology.kubernetes.io/zone")));
}

/*
 * For whom an endpoint is, when the Service keeps its traffic near. Every ready endpoint says so, those whose zone nobody knows
 * cannot, and then nobody follows hints. Source: k8s.io/endpointslice/trafficdist.
 */
static void set_hints(struct reconcile *r, const struct object *service, struct value *e, struct str node,
                      struct str zone)
{
    struct arena *a = r->arena;
    struct str wanted =
        view_str_at(view_get(object_root(service), F_SERVICE_SPEC), F_SERVICE_SPEC_TRAFFIC_DISTRIBUTION);
    struct value *hints;

    if (!wanted.n || !zone.n || service_is_headless(service))
        return;
    hints = value_make_object(a, e, F_ENDPOINT_HINTS);
    struct value *for_zone = value_object(a);
    value_set(a, for_zone, F_FOR_ZONE_NAME, zone);
    value_append(a, value_make_array(a, hints, F_ENDPOINT_HINTS_FOR_ZONES), for_zone);
    if (!str_is(wanted, "PreferSameNode") || !node.n)
        return;
    struct value *for_node = value_object(a);
    value_set(a, for_node, F_FOR_NODE_NAME, node);
    value_append(a, value_make_array(a, hints, F_ENDPOINT_HINTS_FOR_NODES), for_node);
}

static struct value *endpoint(struct reconcile *r, const struct object *service, const struct endpoint_pod *p)
{
    struct arena *a = r->arena;
    struct view spec = view_get(object_root(p->pod), F_POD_SPEC);
    struct value *e = value_object(a), *conditions, *addresses;
    struct str node = view_str_at(spec, F_POD_SPEC_NODE_NAME), host = view_str_at(spec, F_POD_SPEC_HOSTNAME), zone;

    addresses = value_make_array(a, e, F_ENDPOINT_ADDRESSES);
    value_append(a, addresses, value_str(a, p->ip));
    conditions = value_make_object(a, e, F_ENDPOINT_CONDITIONS);
    value_set_bool(a, conditions, F_ENDPOINT_CONDITIONS_READY, p->in_service);
    value_set_bool(a, conditions, F_ENDPOINT_CONDITIONS_SERVING, p->serving);
    value_set_bool(a, conditions, F_ENDPOINT_CONDITIONS_TERMINATING, pod_is_terminating(p->pod));
    if (host.n && str_eq(view_str_at(spec, F_POD_SPEC_SUBDOMAIN), object_name(service)))
        value_set(a, e, F_ENDPOINT_HOSTNAME, host);
    value_put(a, e, F_ENDPOINT_TARGET_REF, target_ref(a, p->pod));
    if (node.n)
        value_set(a, e, F_ENDPOINT_NODE_NAME, node);
    zone = zone_of(r, node);
    if (zone.n)
        value_set(a, e, F_ENDPOINT_ZONE, zone);
    if (p->in_service)
        set_hints(r, service, e, node, zone);
    return e;
}

/* --- groups: endpoints whose ports have the same numbers share slices ------------------------------------------------------------- */

struct group {
    struct value *ports; /* array of EndpointPort */
    struct value **endpoints;
    bool *placed;      /* of each endpoint: it is in a slice */
    struct map places; /* uid of the pod -> index into endpoints + 1 */
    size_t count;
    size_t next; /* none before this one is left to be placed */
};

struct groups {
    struct group *items;
    size_t count, capacity;
};

static struct value *slice_ports(struct reconcile *r, const struct object *service, const struct object *pod)
{
    struct arena *a = r->arena;
    struct value *ports = value_array(a);
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(service), F_SERVICE_SPEC, F_SERVICE_SPEC_PORTS), &it)) {
        struct value *port = value_object(a);
        int64_t number = endpoint_target_port(it.value, pod);
        struct str app = view_str_at(it.value, F_SERVICE_PORT_APP_PROTOCOL);
        if (!number)
            continue;
        value_set(a, port, F_ENDPOINT_PORT_NAME, view_str_at(it.value, F_SERVICE_PORT_NAME));
        value_set(a, port, F_ENDPOINT_PORT_PROTOCOL, view_str_at(it.value, F_SERVICE_PORT_PROTOCOL));
        value_set_int(a, port, F_ENDPOINT_PORT_PORT, number);
        if (app.n)
            value_set(a, port, F_ENDPOINT_PORT_APP_PROTOCOL, app);
        value_append(a, ports, port);
    }
    return ports;
}

static struct group *group_for(struct reconcile *r, struct groups *g, struct value *ports, size_t most)
{
    for (size_t i = 0; i < g->count; i++)
        if (value_equal(g->items[i].ports, ports))
            return &g->items[i];
    GROW(g->items, g->count, g->capacity);
    struct group *new = &g->items[g->count++];
    *new = (struct group){ .ports = ports,
                           .endpoints = arena_alloc_array(r->arena, most, sizeof(struct value *)),
                           .placed = arena_alloc_array(r->arena, most, sizeof(bool)) };
    return new;
}

static void group_add(struct group *g, const struct object *pod, struct value *endpoint)
{
    g->endpoints[g->count++] = endpoint;
    map_put(&g->places, object_uid(pod), (void *)g->count);
}

/* --- fitting into slices ----------------------------------------------------------------------------------------------------------- */

/* The endpoint of this pod; NULL when it is gone, of another group, or placed already. */
static struct value *place(struct group *g, struct str uid)
{
    size_t at = (size_t)map_get(&g->places, uid);

    if (!at || g->placed[at - 1])
        return NULL;
    g->placed[at - 1] = true;
    return g->endpoints[at - 1];
}

static bool has_more(struct group *g)
{
    while (g->next < g->count && g->placed[g->next])
        g->next++;
    return g->next < g->count;
}

static void fill(struct arena *a, struct group *g, struct value *endpoints)
{
    while (endpoints->items_count < SLICE_MAX && has_more(g)) {
        g->placed[g->next] = true;
        value_append(a, endpoints, g->endpoints[g->next]);
    }
}

static void set_labels(struct reconcile *r, struct value *tree, const struct object *service)
{
    struct arena *a = r->arena;
    struct view from = view_path(object_root(service), F_POD_METADATA, F_OBJECT_META_LABELS);
    struct value *labels = value_object(a), *metadata = value_make_object(a, tree, F_POD_METADATA);
    struct view_iter it = { 0 };

    while (view_next(from, &it))
        value_put_str(a, labels, it.key, value_str(a, view_str(it.value)));
    if (service_is_headless(service))
        value_put_str(a, labels, STR("service.kubernetes.io/headless"), value_text(a, ""));
    value_put_str(a, labels, STR(LABEL_SERVICE), value_str(a, object_name(service)));
    value_put_str(a, labels, STR(LABEL_MANAGED_BY), value_text(a, MANAGED_BY));
    value_put(a, metadata, F_OBJECT_META_LABELS, labels);
}

struct slice { /* one that is there, and what it shall hold */
    const struct object *object;
    struct group *group; /* NULL: no endpoint has its ports any more */
    struct value *endpoints;
};

static struct slice keep(struct reconcile *r, struct group *group, const struct object *object)
{
    struct slice s = { object, group, value_array(r->arena) };
    struct view_iter it = { 0 };

    while (group && view_next(view_get(object_root(object), F_ENDPOINT_SLICE_ENDPOINTS), &it)) {
        struct value *e = place(group, view_str_at(it.value, F_ENDPOINT_TARGET_REF, F_OBJECT_REFERENCE_UID));
        if (e)
            value_append(r->arena, s.endpoints, e);
    }
    return s;
}

static void plan_slice(struct reconcile *r, const struct object *service, const struct slice *s)
{
    struct value *tree;

    if (!s->endpoints->items_count) {
        plan_delete(r, &kind_endpointslice, s->object, NULL, -1);
        return;
    }
    tree = value_of_view(r->arena, object_root(s->object));
    value_put(r->arena, tree, F_ENDPOINT_SLICE_ENDPOINTS, s->endpoints);
    value_put(r->arena, tree, F_ENDPOINT_SLICE_PORTS, s->group->ports);
    set_labels(r, tree, service);
    if (!value_equal(tree, value_of_view(r->arena, object_root(s->object))))
        plan_update(r, &kind_endpointslice, s->object, tree, "");
}

/* Names are chosen here; a clash fails the pass and the next tries others. */
static struct str slice_name(struct reconcile *r, size_t index)
{
    uint64_t n = (r->random + index * UINT64_C(0x9E3779B97F4A7C15)) * UINT64_C(0xBF58476D1CE4E5B9);

    return arena_printf(r->arena, "%.*s-%05x", STR_ARG(str_part(r->name, 0, 57)), (unsigned)(n >> 40 & 0xfffff));
}

static void create_slice(struct reconcile *r, const struct object *service, struct group *g, size_t index)
{
    struct arena *a = r->arena;
    struct value *tree = value_object(a), *metadata, *endpoints;

    value_set_text(a, tree, F_POD_API_VERSION, "discovery.k8s.io/v1");
    value_set_text(a, tree, F_POD_KIND, "EndpointSlice");
    metadata = value_make_object(a, tree, F_POD_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, slice_name(r, index));
    value_set(a, metadata, F_OBJECT_META_GENERATE_NAME, arena_printf(a, "%.*s-", STR_ARG(str_part(r->name, 0, 57))));
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, r->namespace_);
    set_labels(r, tree, service);
    own_set_controller(a, tree, &kind_service, service);
    value_set_text(a, tree, F_ENDPOINT_SLICE_ADDRESS_TYPE, "IPv4");
    endpoints = value_make_array(a, tree, F_ENDPOINT_SLICE_ENDPOINTS);
    fill(a, g, endpoints);
    value_put(a, tree, F_ENDPOINT_SLICE_PORTS, g->ports);
    plan_create(r, &kind_endpointslice, r->namespace_, tree);
}

static struct group *group_of_slice(struct reconcile *r, struct groups *g, const struct object *slice)
{
    struct value *ports = value_of_view(r->arena, view_get(object_root(slice), F_ENDPOINT_SLICE_PORTS));

    for (size_t i = 0; i < g->count; i++)
        if (ports ? value_equal(g->items[i].ports, ports) : !g->items[i].ports->items_count)
            return &g->items[i];
    return NULL;
}

static void plan_slices(struct reconcile *r, const struct object *service, struct groups *g)
{
    struct objects all = reconcile_by(r, &kind_endpointslice, CACHE_BY_CONTROLLER, object_uid(service));
    struct slice *slices = arena_alloc_array(r->arena, all.count + 1, sizeof(*slices));
    size_t count = 0, index = 0;

    /* First what is placed already stays where it is; then the rest goes where there is room; then new slices. */
    for (size_t i = 0; i < all.count; i++)
        if (is_mine(all.items[i]) && !pod_is_terminating(all.items[i]))
            slices[count++] = keep(r, group_of_slice(r, g, all.items[i]), all.items[i]);
    for (size_t i = 0; i < count; i++)
        if (slices[i].group)
            fill(r->arena, slices[i].group, slices[i].endpoints);
    for (size_t i = 0; i < count; i++)
        plan_slice(r, service, &slices[i]);
    for (size_t i = 0; i < g->count; i++)
        while (has_more(&g->items[i]))
            create_slice(r, service, &g->items[i], index++);
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct groups g = { 0 };
    struct endpoint_pods pods;

    (void)err;
    if (!r->object || pod_is_terminating(r->object) || !service_has_selector(r->object))
        return 0; /* slices without a selector are made by hand; those of a gone Service by the garbage collector */
    pods = endpoint_pods_of(r, r->object);
    for (size_t i = 0; i < pods.count; i++) {
        struct value *ports = slice_ports(r, r->object, pods.items[i].pod);
        struct group *group = group_for(r, &g, ports, pods.count);
        group_add(group, pods.items[i].pod, endpoint(r, r->object, &pods.items[i]));
    }
    plan_slices(r, r->object, &g);
    for (size_t i = 0; i < g.count; i++)
        map_done(&g.items[i].places);
    free(g.items);
    return 0;
}

const struct controller controller_endpointslice = {
    .name = "endpointslice",
    .kind = &kind_service,
    .triggers = { { &kind_pod, BY_SELECTOR },
                  { &kind_endpointslice, BY_CONTROLLER },
                  { &kind_node, BY_FUNCTION, endpoint_services_of_node } },
    .selects = service_selects,
    .reconcile = reconcile,
};
