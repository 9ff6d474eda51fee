/* What a Service update carries over from the old object, so that old clients that know less do not take addresses away. */
#include "kinds/service.h"

static struct str text_of(const struct value *spec, name_id name)
{
    return value_to_str(value_get(spec, name));
}

static bool needs_cluster_ip(const struct value *spec)
{
    return !str_is(text_of(spec, F_SERVICE_SPEC_TYPE), "ExternalName");
}

static bool needs_node_port(const struct value *spec)
{
    struct str type = text_of(spec, F_SERVICE_SPEC_TYPE);

    return str_is(type, "NodePort") ||
           (str_is(type, "LoadBalancer") &&
            value_to_bool(value_get(spec, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS), true));
}

static bool needs_health_check(const struct value *spec)
{
    return str_is(text_of(spec, F_SERVICE_SPEC_TYPE), "LoadBalancer") &&
           str_is(text_of(spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY), "Local");
}

static void set_cluster_ips(struct arena *a, struct value *spec, struct str ip)
{
    struct value *ips = value_array(a);

    value_append(a, ips, value_str(a, ip));
    value_put(a, spec, F_SERVICE_SPEC_CLUSTER_IPS, ips);
}

/* Clients that know only clusterIP, or only clusterIPs: the one that was changed wins. Source: NormalizeClusterIPs. */
static void normalize_cluster_ips(struct arena *a, struct value *spec, const struct value *old)
{
    struct str ip = text_of(spec, F_SERVICE_SPEC_CLUSTER_IP), old_ip = text_of(old, F_SERVICE_SPEC_CLUSTER_IP);
    struct value *ips = value_get(spec, F_SERVICE_SPEC_CLUSTER_IPS),
                 *old_ips = value_get(old, F_SERVICE_SPEC_CLUSTER_IPS);
    bool same_ips = value_empty(ips) ? value_empty(old_ips) : value_equal(ips, old_ips);

    if (ip.n && value_empty(ips))
        set_cluster_ips(a, spec, ip);
    else if (old && !str_eq(ip, old_ip) && same_ips && ip.n)
        set_cluster_ips(a, spec, ip);
    else if (old && !str_eq(ip, old_ip) && same_ips)
        value_del(spec, F_SERVICE_SPEC_CLUSTER_IPS);
}

/* Source: patchAllocatedValues. */
static void carry_over_addresses(struct arena *a, struct value *spec, const struct value *old)
{
    if (!needs_cluster_ip(spec) || !needs_cluster_ip(old))
        return;
    if (!text_of(spec, F_SERVICE_SPEC_CLUSTER_IP).n && value_empty(value_get(spec, F_SERVICE_SPEC_CLUSTER_IPS))) {
        value_put(a, spec, F_SERVICE_SPEC_CLUSTER_IP, value_get(old, F_SERVICE_SPEC_CLUSTER_IP));
        value_put(a, spec, F_SERVICE_SPEC_CLUSTER_IPS, value_get(old, F_SERVICE_SPEC_CLUSTER_IPS));
    }
}

static bool same_port(const struct value *x, const struct value *y)
{
    return value_to_int(value_get(x, F_SERVICE_PORT_PORT), 0) == value_to_int(value_get(y, F_SERVICE_PORT_PORT), 0) &&
           str_eq(text_of(x, F_SERVICE_PORT_PROTOCOL), text_of(y, F_SERVICE_PORT_PROTOCOL));
}

static bool node_port_used(const struct value *ports, int64_t number)
{
    const struct value *port;

    for (size_t i = 0; (port = value_at(ports, i)); i++)
        if (value_to_int(value_get(port, F_SERVICE_PORT_NODE_PORT), 0) == number)
            return true;
    return false;
}

#define PORTS_MATCHED_MAX 1000 /* further ports get new node ports rather than a quadratic search */

static void carry_over_node_ports(struct arena *a, struct value *spec, const struct value *old)
{
    struct value *ports = value_get(spec, F_SERVICE_SPEC_PORTS), *old_ports = value_get(old, F_SERVICE_SPEC_PORTS);
    struct value *port, *before;

    if (!needs_node_port(spec) || !needs_node_port(old))
        return;
    for (size_t i = 0; i < PORTS_MATCHED_MAX && (port = value_at(ports, i)); i++) {
        if (value_to_int(value_get(port, F_SERVICE_PORT_NODE_PORT), 0))
            continue;
        for (size_t j = 0; j < PORTS_MATCHED_MAX && (before = value_at(old_ports, j)); j++) {
            int64_t number = value_to_int(value_get(before, F_SERVICE_PORT_NODE_PORT), 0);

            if (number && same_port(port, before) && !node_port_used(ports, number)) {
                value_set_int(a, port, F_SERVICE_PORT_NODE_PORT, number);
                break;
            }
        }
    }
}

/* What the new type has no use for goes, unless the client set it in this very update. Source: dropTypeDependentFields. */
static void drop_what_type_has_not(struct arena *a, struct value *spec, const struct value *old)
{
    static const name_id addresses[] = { F_SERVICE_SPEC_CLUSTER_IP, F_SERVICE_SPEC_CLUSTER_IPS,
                                         F_SERVICE_SPEC_IP_FAMILIES, F_SERVICE_SPEC_IP_FAMILY_POLICY };
    struct value *ports = value_get(spec, F_SERVICE_SPEC_PORTS), *port;

    (void)a;
    if (needs_cluster_ip(old) && !needs_cluster_ip(spec))
        for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
            if (value_equal(value_get(spec, addresses[i]), value_get(old, addresses[i])))
                value_del(spec, addresses[i]);
    if (needs_node_port(old) && !needs_node_port(spec))
        for (size_t i = 0; (port = value_at(ports, i)); i++) {
            struct value *before = value_at(value_get(old, F_SERVICE_SPEC_PORTS), i);

            if (value_equal(value_get(port, F_SERVICE_PORT_NODE_PORT), value_get(before, F_SERVICE_PORT_NODE_PORT)))
                value_del(port, F_SERVICE_PORT_NODE_PORT);
        }
    if (needs_health_check(old) && !needs_health_check(spec) &&
        value_equal(value_get(spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT),
                    value_get(old, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT)))
        value_del(spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT);
    if (!str_is(text_of(spec, F_SERVICE_SPEC_TYPE), "LoadBalancer") &&
        value_equal(value_get(spec, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS),
                    value_get(old, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS)))
        value_del(spec, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS);
    if (!str_is(text_of(spec, F_SERVICE_SPEC_TYPE), "LoadBalancer") &&
        value_equal(value_get(spec, F_SERVICE_SPEC_LOAD_BALANCER_CLASS),
                    value_get(old, F_SERVICE_SPEC_LOAD_BALANCER_CLASS)))
        value_del(spec, F_SERVICE_SPEC_LOAD_BALANCER_CLASS);
    if (str_is(text_of(spec, F_SERVICE_SPEC_TYPE), "ClusterIP") &&
        value_empty(value_get(spec, F_SERVICE_SPEC_EXTERNAL_IPS)) &&
        str_eq(text_of(spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY),
               text_of(old, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY)))
        value_del(spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY);
}

/*
 * The families of a cluster that has IPv4 only. A headless service without a selector may have endpoints of any family, so it gets
 * both; every other one has the cluster's. Source: pkg/registry/core/service/storage/alloc.go, initIPFamilyFields.
 */
static void default_families(struct arena *a, struct value *spec)
{
    struct str ip = text_of(spec, F_SERVICE_SPEC_CLUSTER_IP);
    bool any = str_is(ip, "None") && value_empty(value_get(spec, F_SERVICE_SPEC_SELECTOR));
    struct value *families = value_get(spec, F_SERVICE_SPEC_IP_FAMILIES);

    if (!needs_cluster_ip(spec))
        return;
    default_text(a, spec, F_SERVICE_SPEC_IP_FAMILY_POLICY,
                 any && value_empty(families) ? "RequireDualStack" : "SingleStack");
    if (value_empty(families)) {
        families = value_make_array(a, spec, F_SERVICE_SPEC_IP_FAMILIES);
        value_append(a, families, value_text(a, str_find(ip, ':') >= 0 ? "IPv6" : "IPv4"));
    }
    if (any && families->items_count == 1 && !str_is(text_of(spec, F_SERVICE_SPEC_IP_FAMILY_POLICY), "SingleStack"))
        value_append(a, families, value_text(a, str_is(value_to_str(families->items[0]), "IPv4") ? "IPv6" : "IPv4"));
}

void service_prepare(struct kind_context *c, struct value *service, struct view old)
{
    struct value *spec = value_get(service, F_SERVICE_SPEC);
    struct value *old_spec = value_of_view(c->arena, view_get(old, F_SERVICE_SPEC));

    strategy_spec_and_status(c, service, old);
    if (value_type(spec) != VALUE_OBJECT || context_is(c, "status"))
        return;
    if (!c->create) {
        drop_what_type_has_not(c->arena, spec, old_spec);
        normalize_cluster_ips(c->arena, spec, old_spec);
        carry_over_addresses(c->arena, spec, old_spec);
        carry_over_node_ports(c->arena, spec, old_spec);
        if (needs_health_check(spec) && needs_health_check(old_spec) &&
            value_empty(value_get(spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT)))
            value_put(c->arena, spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT,
                      value_get(old_spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT));
    } else {
        normalize_cluster_ips(c->arena, spec, NULL);
    }
    default_families(c->arena, spec);
}
