/* Rules of a Service. */
#include "kinds/service.h"

#include "base/map.h"

#define AFFINITY_SECONDS_MAX 86400

static const char *const types[] = { "ClusterIP", "ExternalName", "LoadBalancer", "NodePort", NULL };
static const char *const affinities[] = { "ClientIP", "None", NULL };
static const char *const protocols[] = { "SCTP", "TCP", "UDP", NULL };
static const char *const traffic_policies[] = { "Cluster", "Local", NULL };
static const char *const families[] = { "IPv4", "IPv6", NULL };
static const char *const family_policies[] = { "PreferDualStack", "RequireDualStack", "SingleStack", NULL };
static const char *const distributions[] = { "PreferClose", "PreferSameNode", "PreferSameZone", NULL };

struct service_check {
    struct check *k;
    const struct at *at;
    struct view metadata, spec;
    struct str type;
    bool headless;
};

static bool is_type(const struct service_check *s, const char *type)
{
    return str_is(s->type, type);
}

static bool is_headless(struct view spec)
{
    struct view ips = view_get(spec, F_SERVICE_SPEC_CLUSTER_IPS);

    return view_count(ips) == 1 && str_is(view_str(view_item(ips, 0)), "None");
}

static void check_type(struct service_check *s)
{
    struct view ips = view_get(s->spec, F_SERVICE_SPEC_CLUSTER_IPS);
    struct str name = view_str_at(s->spec, F_SERVICE_SPEC_EXTERNAL_NAME);

    if (!view_count(view_get(s->spec, F_SERVICE_SPEC_PORTS)) && !s->headless && !is_type(s, "ExternalName"))
        check_required(s->k, AT(s->at, "ports"), "");
    if ((is_type(s, "LoadBalancer") || is_type(s, "NodePort")) && s->headless)
        check_invalid(s->k, AT_INDEX(AT(s->at, "clusterIPs"), 0), view_item(ips, 0),
                      is_type(s, "NodePort") ? "may not be set to 'None' for NodePort services"
                                             : "may not be set to 'None' for LoadBalancer services");
    if (!is_type(s, "ExternalName"))
        return;
    if (view_count(ips))
        check_forbidden(s->k, AT(s->at, "clusterIPs"), "may not be set for ExternalName services");
    if (view_count(view_get(s->spec, F_SERVICE_SPEC_IP_FAMILIES)))
        check_forbidden(s->k, AT(s->at, "ipFamilies"), "may not be set for ExternalName services");
    if (view_present(view_get(s->spec, F_SERVICE_SPEC_IP_FAMILY_POLICY)))
        check_forbidden(s->k, AT(s->at, "ipFamilyPolicy"), "may not be set for ExternalName services");
    if (str_ends(name, STR(".")))
        name.n--;
    if (name.n)
        check_dns_subdomain(s->k, AT(s->at, "externalName"), name);
    else
        check_required(s->k, AT(s->at, "externalName"), "");
}

static void check_port_row(struct service_check *s, const struct at *at, struct view port, bool name_required,
                           struct map *names)
{
    struct str name = view_str_at(port, F_SERVICE_PORT_NAME);
    struct view protocol = view_get(port, F_SERVICE_PORT_APP_PROTOCOL);

    if (name.n) {
        check_dns_label(s->k, AT(at, "name"), name);
        if (seen_before(names, name))
            check_duplicate_str(s->k, AT(at, "name"), name);
    } else if (name_required) {
        check_required(s->k, AT(at, "name"), "");
    }
    check_port(s->k, AT(at, "port"), view_int_at(port, 0, F_SERVICE_PORT_PORT));
    check_one_of_required(s->k, AT(at, "protocol"), view_str_at(port, F_SERVICE_PORT_PROTOCOL), protocols);
    check_port_or_name(s->k, AT(at, "targetPort"), view_get(port, F_SERVICE_PORT_TARGET_PORT));
    if (view_present(protocol))
        check_qualified_name(s->k, AT(at, "appProtocol"), view_str(protocol));
}

static void check_ports(struct service_check *s)
{
    struct view ports = view_get(s->spec, F_SERVICE_SPEC_PORTS);
    AUTO_MAP struct map names = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(ports, &it) && !check_full(s->k); i++)
        check_port_row(s, AT_INDEX(AT(s->at, "ports"), i), it.value, view_count(ports) > 1, &names);
}

static void check_affinity(struct service_check *s)
{
    struct str affinity = view_str_at(s->spec, F_SERVICE_SPEC_SESSION_AFFINITY);
    struct view config = view_get(s->spec, F_SERVICE_SPEC_SESSION_AFFINITY_CONFIG);
    struct view timeout = view_path(config, F_SESSION_AFFINITY_CONFIG_CLIENT_IP, F_CLIENT_IP_CONFIG_TIMEOUT_SECONDS);
    const struct at *at = AT(s->at, "sessionAffinityConfig");

    check_one_of_required(s->k, AT(s->at, "sessionAffinity"), affinity, affinities);
    if (str_is(affinity, "None") && view_present(config))
        check_forbidden(s->k, at, "must not be set when session affinity is None");
    if (!str_is(affinity, "ClientIP"))
        return;
    if (!view_present(config))
        check_required(s->k, at, "when session affinity type is ClientIP");
    else if (view_int(timeout, 0) <= 0 || view_int(timeout, 0) > AFFINITY_SECONDS_MAX)
        check_invalid(s->k, AT(AT(at, "clientIP"), "timeoutSeconds"), timeout,
                      "must be greater than 0 and less than 86400");
}

/* clusterIP and clusterIPs say the same, and every address belongs to its family. */
static void check_cluster_ips(struct service_check *s)
{
    struct view ips = view_get(s->spec, F_SERVICE_SPEC_CLUSTER_IPS);
    struct view kinds_of_ip = view_get(s->spec, F_SERVICE_SPEC_IP_FAMILIES);
    struct str ip = view_str_at(s->spec, F_SERVICE_SPEC_CLUSTER_IP);
    const struct at *at = AT(s->at, "clusterIPs");
    struct view_iter it = { 0 };
    size_t v6 = 0;
    bool fine = true;

    if (ip.n && !view_count(ips))
        check_required(s->k, at, "");
    else if (ip.n && !str_eq(view_str(view_item(ips, 0)), ip))
        check_invalid(s->k, at, ips, "first value must match `clusterIP`");
    else if (!ip.n && view_count(ips))
        check_invalid(s->k, at, ips, "must be empty when `clusterIP` is not specified");
    for (size_t i = 0; view_next(ips, &it) && !check_full(s->k); i++) {
        if (i == 0 && str_is(view_str(it.value), "None")) {
            if (view_count(ips) > 1)
                check_invalid(s->k, at, ips, "'None' must be the first and only value");
            fine &= view_count(ips) == 1;
            continue;
        }
        fine &= check_ip(s->k, AT_INDEX(at, i), view_str(it.value));
        v6 += str_is_ipv6(view_str(it.value));
    }
    if (view_count(ips) > 2)
        check_invalid(s->k, at, ips, "may only hold up to 2 values");
    if (!fine)
        return;
    if (view_count(ips) > 1 && v6 != 1)
        check_invalid(s->k, at, ips, "may specify no more than one IP for each IP family");
    it = (struct view_iter){ 0 };
    for (size_t i = 0; !s->headless && view_next(ips, &it) && i < view_count(kinds_of_ip); i++) {
        const char *expected = view_str(view_item(kinds_of_ip, i)).n == 4 ? view_str(view_item(kinds_of_ip, i)).p : "";
        bool is_v6 = str_is_ipv6(view_str(it.value));

        if (strncmp(expected, is_v6 ? "IPv4" : "IPv6", 4) == 0)
            check_invalid(s->k, AT_INDEX(at, i), it.value,
                          arena_printf(s->k->arena, "expected an %s value as indicated by `ipFamilies[%zu]`",
                                       is_v6 ? "IPv4" : "IPv6", i)
                              .p);
    }
}

static void check_families(struct service_check *s)
{
    struct view policy = view_get(s->spec, F_SERVICE_SPEC_IP_FAMILY_POLICY);
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    if (is_type(s, "ExternalName"))
        return;
    for (size_t i = 0; view_next(view_get(s->spec, F_SERVICE_SPEC_IP_FAMILIES), &it) && !check_full(s->k); i++) {
        const struct at *at = AT_INDEX(AT(s->at, "ipFamilies"), i);

        check_one_of(s->k, at, view_str(it.value), families);
        if (seen_before(&seen, view_str(it.value)))
            check_duplicate(s->k, at, it.value);
    }
    if (view_present(policy))
        check_one_of(s->k, AT(s->at, "ipFamilyPolicy"), view_str(policy), family_policies);
    check_cluster_ips(s);
}

/* (protocol, port) and (protocol, nodePort) are unique. */
static void check_port_clashes(struct service_check *s)
{
    AUTO_MAP struct map node_ports = { 0 };
    AUTO_MAP struct map ports = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(view_get(s->spec, F_SERVICE_SPEC_PORTS), &it) && !check_full(s->k); i++) {
        const struct at *at = AT_INDEX(AT(s->at, "ports"), i);
        struct str protocol = view_str_at(it.value, F_SERVICE_PORT_PROTOCOL);
        int64_t node_port = view_int_at(it.value, 0, F_SERVICE_PORT_NODE_PORT);
        int64_t port = view_int_at(it.value, 0, F_SERVICE_PORT_PORT);

        if (node_port && is_type(s, "ClusterIP"))
            check_forbidden(s->k, AT(at, "nodePort"), "may not be used when `type` is 'ClusterIP'");
        if (node_port &&
            seen_before(&node_ports, arena_printf(s->k->arena, "%.*s/%lld", STR_ARG(protocol), (long long)node_port)))
            check_duplicate(s->k, AT(at, "nodePort"), view_get(it.value, F_SERVICE_PORT_NODE_PORT));
        if (seen_before(&ports, arena_printf(s->k->arena, "%.*s/%lld", STR_ARG(protocol), (long long)port)))
            check_duplicate(s->k, at, it.value);
    }
}

static void check_source_ranges(struct service_check *s)
{
    struct str name = STR("service.beta.kubernetes.io/load-balancer-source-ranges");
    struct view ranges = view_get(s->spec, F_SERVICE_SPEC_LOAD_BALANCER_SOURCE_RANGES);
    struct view annotation = view_get_str(view_get(s->metadata, F_OBJECT_META_ANNOTATIONS), name);
    const struct at *at = AT(s->at, "LoadBalancerSourceRanges");
    struct str rest = view_str(annotation), one;
    struct view_iter it = { 0 };

    if (view_count(ranges)) {
        if (!is_type(s, "LoadBalancer"))
            check_forbidden(s->k, at, "may only be used when `type` is 'LoadBalancer'");
        for (size_t i = 0; view_next(ranges, &it) && !check_full(s->k); i++)
            check_cidr(s->k, AT_INDEX(at, i), str_trim(view_str(it.value)));
    } else if (view_present(annotation)) {
        at = AT_KEY(AT(AT(AT_ROOT, "metadata"), "annotations"), name);
        if (!is_type(s, "LoadBalancer"))
            check_forbidden(s->k, at, "may only be used when `type` is 'LoadBalancer'");
        while (str_next(&rest, ',', &one) && !check_full(s->k))
            if (str_trim(one).n)
                check_cidr(s->k, at, str_trim(one));
    }
}

static void check_load_balancer(struct service_check *s)
{
    struct view allocate = view_get(s->spec, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS);
    struct view class = view_get(s->spec, F_SERVICE_SPEC_LOAD_BALANCER_CLASS);

    check_source_ranges(s);
    if (view_present(allocate) && !is_type(s, "LoadBalancer"))
        check_forbidden(s->k, AT(s->at, "allocateLoadBalancerNodePorts"),
                        "may only be used when `type` is 'LoadBalancer'");
    if (view_present(class) && is_type(s, "LoadBalancer"))
        check_qualified_name(s->k, AT(s->at, "loadBalancerClass"), view_str(class));
    else if (view_present(class))
        check_forbidden(s->k, AT(s->at, "loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'");
}

static void check_traffic(struct service_check *s)
{
    struct str external = view_str_at(s->spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY);
    struct str internal = view_str_at(s->spec, F_SERVICE_SPEC_INTERNAL_TRAFFIC_POLICY);
    struct view distribution = view_get(s->spec, F_SERVICE_SPEC_TRAFFIC_DISTRIBUTION);
    int64_t health = view_int_at(s->spec, 0, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT);
    bool accessible = is_type(s, "LoadBalancer") || is_type(s, "NodePort") ||
                      (is_type(s, "ClusterIP") && view_count(view_get(s->spec, F_SERVICE_SPEC_EXTERNAL_IPS)));

    if (!accessible && external.n)
        check_invalid_str(s->k, AT(s->at, "externalTrafficPolicy"), external,
                          "may only be set for externally-accessible services");
    else if (accessible)
        check_one_of_required(s->k, AT(s->at, "externalTrafficPolicy"), external, traffic_policies);
    if (is_type(s, "LoadBalancer") && str_is(external, "Local")) {
        if (!health)
            check_required(s->k, AT(s->at, "healthCheckNodePort"), "");
        else
            check_port(s->k, AT(s->at, "healthCheckNodePort"), health);
    } else if (health) {
        check_invalid_int(s->k, AT(s->at, "healthCheckNodePort"), health,
                          "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    }
    if (internal.n)
        check_one_of(s->k, AT(s->at, "internalTrafficPolicy"), internal, traffic_policies);
    else if (!is_type(s, "ExternalName") && str_in(s->type, types))
        check_required(s->k, AT(s->at, "internalTrafficPolicy"), "");
    if (view_present(distribution))
        check_one_of(s->k, AT(s->at, "trafficDistribution"), view_str(distribution), distributions);
}

static void check_all(struct service_check *s)
{
    struct view_iter it = { 0 };

    check_type(s);
    check_ports(s);
    check_labels(s->k, AT(s->at, "selector"), view_get(s->spec, F_SERVICE_SPEC_SELECTOR));
    check_affinity(s);
    check_families(s);
    for (size_t i = 0; view_next(view_get(s->spec, F_SERVICE_SPEC_EXTERNAL_IPS), &it) && !check_full(s->k); i++)
        if (check_ip(s->k, AT_INDEX(AT(s->at, "externalIPs"), i), view_str(it.value)))
            check_not_special_ip(s->k, AT_INDEX(AT(s->at, "externalIPs"), i), view_str(it.value));
    check_one_of_required(s->k, AT(s->at, "type"), s->type, types);
    check_port_clashes(s);
    check_load_balancer(s);
    check_traffic(s);
}

/* A primary address or family stays for the life of the Service, except when it becomes or was an ExternalName. */
static void check_kept(struct service_check *s, struct view old, name_id name, const char *text)
{
    struct view now = view_get(s->spec, name), before = view_get(old, name);
    const struct at *first = AT_INDEX(AT_STR(s->at, str_of(text)), 0);

    if (view_count(before) && !view_count(now))
        check_invalid(s->k, first, now, "may not change once set");
    else if (view_count(before) && !view_equal(view_item(now, 0), view_item(before, 0)))
        check_invalid(s->k, first, now, "may not change once set");
    else if (view_count(before) > 1 && view_count(now) == 1 &&
             !str_is(view_str_at(s->spec, F_SERVICE_SPEC_IP_FAMILY_POLICY), "SingleStack"))
        check_invalid(s->k, AT(s->at, "ipFamilyPolicy"), view_get(s->spec, F_SERVICE_SPEC_IP_FAMILY_POLICY),
                      name == F_SERVICE_SPEC_CLUSTER_IPS
                          ? "must be set to 'SingleStack' when releasing the secondary clusterIP"
                          : "must be set to 'SingleStack' when releasing the secondary ipFamily");
}

static void check_update(struct service_check *s, struct view old)
{
    struct str old_type = view_str_at(old, F_SERVICE_SPEC_TYPE);

    if (!is_type(s, "ExternalName") && !str_is(old_type, "ExternalName")) {
        if (!(s->headless && is_headless(old)))
            check_kept(s, old, F_SERVICE_SPEC_CLUSTER_IPS, "clusterIPs");
        if (!s->headless && !is_headless(old))
            check_kept(s, old, F_SERVICE_SPEC_IP_FAMILIES, "ipFamilies");
    }
    if (is_type(s, "LoadBalancer") && str_is(old_type, "LoadBalancer")) {
        struct view class = view_get(s->spec, F_SERVICE_SPEC_LOAD_BALANCER_CLASS);
        struct view old_class = view_get(old, F_SERVICE_SPEC_LOAD_BALANCER_CLASS);
        int64_t health = view_int_at(s->spec, 0, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT);
        int64_t old_health = view_int_at(old, 0, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT);

        if (!str_eq(view_str(class), view_str(old_class)) || view_present(class) != view_present(old_class))
            check_invalid(s->k, AT(s->at, "loadBalancerClass"), class, "may not change once set");
        if (health && old_health && health != old_health)
            check_forbidden(s->k, AT(s->at, "healthCheckNodePort"), "field is immutable");
    }
}

static void check_status(struct check *k, struct view service)
{
    static const char *const modes[] = { "Proxy", "VIP", NULL };
    struct view ingress =
        view_path(service, F_SERVICE_STATUS, F_SERVICE_STATUS_LOAD_BALANCER, F_LOAD_BALANCER_STATUS_INGRESS);
    const struct at *at = AT(AT(AT(AT_ROOT, "status"), "loadBalancer"), "ingress");
    struct view_iter it = { 0 };

    if (view_count(ingress) && !str_is(view_str_at(service, F_SERVICE_SPEC, F_SERVICE_SPEC_TYPE), "LoadBalancer")) {
        check_forbidden(k, at, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (size_t i = 0; view_next(ingress, &it) && !check_full(k); i++) {
        struct str ip = view_str_at(it.value, F_LOAD_BALANCER_INGRESS_IP);
        struct str mode = view_str_at(it.value, F_LOAD_BALANCER_INGRESS_IP_MODE);
        struct str hostname = view_str_at(it.value, F_LOAD_BALANCER_INGRESS_HOSTNAME);

        if (ip.n)
            check_ip(k, AT(AT_INDEX(at, i), "ip"), ip);
        if (mode.n && !ip.n)
            check_forbidden(k, AT(AT_INDEX(at, i), "ipMode"), "may not be specified when `ip` is not set");
        else if (mode.n)
            check_one_of(k, AT(AT_INDEX(at, i), "ipMode"), mode, modes);
        if (hostname.n)
            check_dns_subdomain(k, AT(AT_INDEX(at, i), "hostname"), hostname);
    }
}

void service_validate(struct kind_context *c, struct view service, struct view old, struct error *causes)
{
    struct service_check s = {
        .k = CHECK(c, causes),
        .at = AT(AT_ROOT, "spec"),
        .metadata = view_get(service, F_SERVICE_METADATA),
        .spec = view_get(service, F_SERVICE_SPEC),
    };

    s.type = view_str_at(s.spec, F_SERVICE_SPEC_TYPE);
    s.headless = is_headless(s.spec);
    if (context_is(c, "status")) {
        check_status(s.k, service);
        return;
    }
    if (!c->create)
        check_update(&s, view_get(old, F_SERVICE_SPEC));
    check_all(&s);
}
