/* From a Service and its EndpointSlices to addresses and endpoints. */
#include "network/service_plan.h"

#include "kinds/fields.h"

#include <netinet/in.h>
#include <stdlib.h>

struct found {
    struct service_target target;
    bool local, ready, serving, terminating;
    bool zone_hints, node_hints; /* it says for which zones, nodes it is */
    bool for_zone, for_node;     /* ours is among them */
    bool near;                   /* in our zone */
};

struct gather {
    struct arena *arena;
    const struct service_context *context;
    struct found *found;
    uint32_t count, capacity;
};

bool service_address_is_allowed(uint32_t ip)
{
    uint32_t host = ntohl(ip);

    return host >> 24 != 127 && host >> 16 != 0xa9fe && host >> 28 < 0xe && host >> 24 != 0;
}

uint8_t service_protocol(struct str name)
{
    if (str_is(name, "UDP"))
        return IPPROTO_UDP;
    return str_is(name, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

/* --- endpoints -------------------------------------------------------------------------------------------------------- */

static void found_add(struct gather *g, const struct found *f)
{
    if (g->count >= SERVICE_ENDPOINTS_MAX)
        return;
    if (g->count == g->capacity) {
        struct found *more;
        g->capacity = g->capacity ? g->capacity * 2 : 16;
        more = arena_alloc_array(g->arena, g->capacity, sizeof(*more));
        if (g->count)
            memcpy(more, g->found, g->count * sizeof(*more));
        g->found = more;
    }
    g->found[g->count++] = *f;
}

/* The port of this name and protocol in a slice, network order; 0: the slice does not have it. */
static uint16_t slice_port(struct view slice, struct str name, uint8_t protocol)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(slice, F_ENDPOINT_SLICE_PORTS), &it))
        if (str_eq(view_str_at(it.value, F_ENDPOINT_PORT_NAME), name) &&
            service_protocol(view_str_at(it.value, F_ENDPOINT_PORT_PROTOCOL)) == protocol)
            return htons((uint16_t)view_int_at(it.value, 0, F_ENDPOINT_PORT_PORT));
    return 0;
}

static bool names(struct view list, int name_field, const char *wanted)
{
    struct view_iter it = { 0 };

    while (wanted && view_next(list, &it))
        if (str_is(view_str_at(it.value, name_field), wanted))
            return true;
    return false;
}

static void read_hints(const struct service_context *c, struct view endpoint, struct found *f)
{
    struct view hints = view_get(endpoint, F_ENDPOINT_HINTS);
    struct view zones = view_get(hints, F_ENDPOINT_HINTS_FOR_ZONES),
                nodes = view_get(hints, F_ENDPOINT_HINTS_FOR_NODES);

    f->zone_hints = view_count(zones) > 0;
    f->node_hints = view_count(nodes) > 0;
    f->for_zone = names(zones, F_FOR_ZONE_NAME, c->zone);
    f->for_node = names(nodes, F_FOR_NODE_NAME, c->node_name);
}

static void gather_slice(struct gather *g, struct view slice, struct str name, uint8_t protocol)
{
    uint16_t port = slice_port(slice, name, protocol);
    struct view_iter it = { 0 };

    if (!port || !str_is(view_str_at(slice, F_ENDPOINT_SLICE_ADDRESS_TYPE), "IPv4"))
        return;
    while (view_next(view_get(slice, F_ENDPOINT_SLICE_ENDPOINTS), &it)) {
        struct view conditions = view_get(it.value, F_ENDPOINT_CONDITIONS);
        struct found f = { .target.port = port };

        f.ready = view_bool_at(conditions, true, F_ENDPOINT_CONDITIONS_READY); /* absent counts as ready */
        f.serving = view_bool_at(conditions, f.ready, F_ENDPOINT_CONDITIONS_SERVING);
        f.terminating = view_bool_at(conditions, false, F_ENDPOINT_CONDITIONS_TERMINATING);
        f.local = str_is(view_str_at(it.value, F_ENDPOINT_NODE_NAME), g->context->node_name);
        f.near = g->context->zone && str_is(view_str_at(it.value, F_ENDPOINT_ZONE), g->context->zone);
        read_hints(g->context, it.value, &f);
        /* Only the first address counts: EndpointSlice documentation. */
        if (ip_parse(view_str(view_item(view_get(it.value, F_ENDPOINT_ADDRESSES), 0)), &f.target.ip) &&
            service_address_is_allowed(f.target.ip))
            found_add(g, &f);
    }
}

static int target_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct service_target));
}

static uint32_t sort_unique(struct service_target *t, uint32_t count)
{
    uint32_t kept = 0;

    if (count)
        qsort(t, count, sizeof(*t), target_cmp);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || target_cmp(&t[kept - 1], &t[i]) != 0)
            t[kept++] = t[i];
    return kept;
}

enum nearness { EVERYWHERE, SAME_ZONE, SAME_NODE };

/*
 * Hints count when every ready endpoint has them and one of them is for us: so the last one of a zone that ends spills its traffic over
 * to all zones at once. Source: k8s.io/kubernetes/pkg/proxy/topology.go.
 */
static enum nearness nearness_of(const struct gather *g)
{
    bool all_zones = true, all_nodes = true, zone = false, node = false;

    for (uint32_t i = 0; i < g->count; i++) {
        const struct found *f = &g->found[i];
        if (!f->ready)
            continue;
        all_zones = all_zones && f->zone_hints;
        all_nodes = all_nodes && f->node_hints;
        zone = zone || f->for_zone;
        node = node || f->for_node;
    }
    if (all_nodes && node)
        return SAME_NODE;
    return all_zones && zone ? SAME_ZONE : EVERYWHERE;
}

static bool is_near(const struct found *f, enum nearness nearness)
{
    return nearness == EVERYWHERE || (nearness == SAME_ZONE ? f->for_zone : f->for_node);
}

/* Ready ones; when there are none, those that still serve while they terminate (KEP-1669). */
static struct service_target *choose(const struct gather *g, bool local, uint32_t *ret_count)
{
    enum nearness nearness = local ? EVERYWHERE : nearness_of(g);
    struct service_target *chosen = g->count ? arena_alloc_array(g->arena, g->count, sizeof(*chosen)) : NULL;
    uint32_t count = 0;

    for (int last_resort = 0; last_resort < 2 && count == 0; last_resort++)
        for (uint32_t i = 0; i < g->count; i++) {
            const struct found *f = &g->found[i];
            if (local && !f->local)
                continue;
            if (last_resort ? f->serving && f->terminating : f->ready && is_near(f, nearness)) {
                memset(&chosen[count], 0, sizeof(*chosen)); /* padding is compared too */
                chosen[count].ip = f->target.ip;
                chosen[count++].port = f->target.port;
            }
        }
    *ret_count = sort_unique(chosen, count);
    return chosen;
}

static void choose_near(const struct gather *g, struct service_port *p)
{
    uint32_t count = 0;

    if (!p->targets_count || p->targets_count > SERVICE_NEAR_MAX || p->affinity_s)
        return;
    p->near_targets = arena_alloc_array(g->arena, g->count, sizeof(*p->near_targets));
    for (uint32_t i = 0; i < g->count; i++) {
        struct service_target t;
        memset(&t, 0, sizeof(t)); /* padding is compared too */
        t.ip = g->found[i].target.ip;
        t.port = g->found[i].target.port;
        if (g->found[i].near && bsearch(&t, p->targets, p->targets_count, sizeof(t), target_cmp))
            p->near_targets[count++] = t;
    }
    count = sort_unique(p->near_targets, count);
    p->near_targets_count = count < p->targets_count ? count : 0;
}

/* --- addresses that lead there -------------------------------------------------------------------------------------- */

static void add_frontend(struct arena *a, struct service_port *p, struct service_frontend f)
{
    static const uint32_t chunk = 8;

    if (p->frontends_count % chunk == 0) {
        struct service_frontend *more = arena_alloc_array(a, p->frontends_count + chunk, sizeof(*more));
        if (p->frontends_count)
            memcpy(more, p->frontends, p->frontends_count * sizeof(*more));
        p->frontends = more;
    }
    p->frontends[p->frontends_count++] = f;
}

static void add_external(struct arena *a, struct service_port *p, struct str text, uint16_t port, bool local)
{
    struct service_frontend f = { .kind = FRONTEND_ADDRESS, .port = port };

    if (!ip_parse(text, &f.ip) || !service_address_is_allowed(f.ip))
        return;
    add_frontend(a, p, f); /* for pods and the node itself: all endpoints, whatever the policy */
    if (!local)
        return;
    f.kind = FRONTEND_ADDRESS_LOCAL;
    f.local = true;
    add_frontend(a, p, f);
}

static void add_frontends(struct arena *a, const struct service_context *c, struct view service, struct view port,
                          struct service_port *p)
{
    struct view spec = view_get(service, F_SERVICE_SPEC);
    struct view_iter it = { 0 };
    uint16_t number = htons((uint16_t)view_int_at(port, 0, F_SERVICE_PORT_PORT));
    uint16_t node_port = htons((uint16_t)view_int_at(port, 0, F_SERVICE_PORT_NODE_PORT));
    struct service_frontend f = { .kind = FRONTEND_ADDRESS, .port = number };
    bool outside_local = str_is(view_str_at(spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY), "Local");

    f.local = str_is(view_str_at(spec, F_SERVICE_SPEC_INTERNAL_TRAFFIC_POLICY), "Local");
    if (ip_parse(view_str_at(spec, F_SERVICE_SPEC_CLUSTER_IP), &f.ip) && f.ip != c->dns_ip)
        add_frontend(a, p, f);
    while (view_next(view_get(spec, F_SERVICE_SPEC_EXTERNAL_IPS), &it))
        add_external(a, p, view_str(it.value), number, outside_local);
    it = (struct view_iter){ 0 };
    while (view_next(
        view_path(service, F_SERVICE_STATUS, F_SERVICE_STATUS_LOAD_BALANCER, F_LOAD_BALANCER_STATUS_INGRESS), &it))
        if (!str_is(view_str_at(it.value, F_LOAD_BALANCER_INGRESS_IP_MODE), "Proxy"))
            add_external(a, p, view_str_at(it.value, F_LOAD_BALANCER_INGRESS_IP), number, outside_local);
    if (!node_port)
        return;
    add_frontend(a, p, (struct service_frontend){ .kind = FRONTEND_NODE_PORT, .port = node_port });
    if (outside_local)
        add_frontend(a, p,
                     (struct service_frontend){ .kind = FRONTEND_NODE_PORT_LOCAL, .port = node_port, .local = true });
}

static uint32_t affinity_seconds(struct view spec)
{
    if (!str_is(view_str_at(spec, F_SERVICE_SPEC_SESSION_AFFINITY), "ClientIP"))
        return 0;
    return (uint32_t)view_int_at(spec, 10800, F_SERVICE_SPEC_SESSION_AFFINITY_CONFIG,
                                 F_SESSION_AFFINITY_CONFIG_CLIENT_IP, F_CLIENT_IP_CONFIG_TIMEOUT_SECONDS);
}

void service_plan_make(struct arena *a, const struct service_context *c, struct view service,
                       const struct object *const *slices, size_t slices_count, struct service_plan *ret)
{
    struct view spec = view_get(service, F_SERVICE_SPEC), ports = view_get(spec, F_SERVICE_SPEC_PORTS);
    struct view_iter it = { 0 };
    size_t count = view_count(ports);
    uint32_t cluster_ip;

    *ret = (struct service_plan){ 0 };
    if (!count || str_is(view_str_at(spec, F_SERVICE_SPEC_TYPE), "ExternalName") ||
        !ip_parse(view_str_at(spec, F_SERVICE_SPEC_CLUSTER_IP), &cluster_ip))
        return;
    ret->ports = arena_alloc_array(a, count, sizeof(struct service_port));
    while (view_next(ports, &it)) {
        struct gather g = { .arena = a, .context = c };
        struct service_port *p = &ret->ports[ret->ports_count++];

        p->name = view_str_at(it.value, F_SERVICE_PORT_NAME);
        p->protocol = service_protocol(view_str_at(it.value, F_SERVICE_PORT_PROTOCOL));
        p->affinity_s = affinity_seconds(spec);
        for (size_t i = 0; i < slices_count; i++)
            gather_slice(&g, object_root(slices[i]), p->name, p->protocol);
        p->targets = choose(&g, false, &p->targets_count);
        p->local_targets = choose(&g, true, &p->local_targets_count);
        choose_near(&g, p);
        add_frontends(a, c, service, it.value, p);
    }
}
