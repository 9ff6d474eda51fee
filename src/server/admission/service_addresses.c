/*
 * A Service gets its cluster IP, IP families and node ports, keeps them over updates that leave them out, and gives up what its
 * type has no use for. Source: pkg/registry/core/service/storage/alloc.go, and patchAllocatedValues in strategy.go.
 */
#include "kinds/fields.h"
#include "server/admission.h"
#include "server/admission/service_range.h"
#include "server/admission/service_reserve.h"
#include "server/fresh.h"

#define CHOICES_MAX 50 /* times that other servers may be faster */

struct service {
    struct request *r;
    struct arena *a;
    struct value *spec;
    struct view old; /* spec of the stored one; absent on create */
    struct str type, old_type;
    struct service_range *range;
    bool hold;
    struct value *wanted; /* what it gets anew */
};

static bool applies(const struct request *r)
{
    return admission_is_create(r, &kind_service) || admission_is_update(r, &kind_service);
}

static struct str at(const struct value *object, name_id name)
{
    return value_to_str(value_get(object, name));
}

static bool type_has_ip(struct str type)
{
    return !str_is(type, "ExternalName");
}

static bool new_has_node_ports(const struct service *s)
{
    return str_is(s->type, "NodePort") ||
           (str_is(s->type, "LoadBalancer") &&
            value_to_bool(value_get(s->spec, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS), true));
}

static bool old_has_node_ports(const struct service *s)
{
    return str_is(s->old_type, "NodePort") || str_is(s->old_type, "LoadBalancer");
}

static bool new_has_health_port(const struct service *s)
{
    return str_is(s->type, "LoadBalancer") && str_is(at(s->spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY), "Local");
}

/* --- what an update leaves out or has no use for ------------------------------------------------------------------- */

static bool unchanged(const struct service *s, name_id field)
{
    struct view old = view_get(s->old, field);
    const struct value *now = value_get(s->spec, field);
    return !now || (view_present(old) && value_equal(now, value_of_view(s->a, old)));
}

static void copy_old(struct service *s, name_id field)
{
    struct view old = view_get(s->old, field);
    if (view_present(old) && !value_get(s->spec, field))
        value_put(s->a, s->spec, field, value_of_view(s->a, old));
}

static void keep_ip(struct service *s)
{
    struct str ip = at(s->spec, F_SERVICE_SPEC_CLUSTER_IP);
    const struct value *ips = value_get(s->spec, F_SERVICE_SPEC_CLUSTER_IPS);
    if (!type_has_ip(s->old_type) || !type_has_ip(s->type))
        return;
    if (str_empty(ip) && !(value_type(ips) == VALUE_ARRAY && ips->items_count)) {
        value_del(s->spec, F_SERVICE_SPEC_CLUSTER_IP);
        value_del(s->spec, F_SERVICE_SPEC_CLUSTER_IPS);
        copy_old(s, F_SERVICE_SPEC_CLUSTER_IP);
        copy_old(s, F_SERVICE_SPEC_CLUSTER_IPS);
    }
    copy_old(s, F_SERVICE_SPEC_IP_FAMILIES);
    copy_old(s, F_SERVICE_SPEC_IP_FAMILY_POLICY);
}

static bool port_in_use(const struct value *ports, int64_t node_port)
{
    for (uint32_t i = 0; i < ports->items_count; i++)
        if (value_to_int(value_get(ports->items[i], F_SERVICE_PORT_NODE_PORT), 0) == node_port)
            return true;
    return false;
}

/* A port without a node port gets back what the port of that name had. */
static void keep_node_ports(struct service *s)
{
    struct value *ports = value_get(s->spec, F_SERVICE_SPEC_PORTS);
    struct view_iter it = { 0 };
    struct view old_ports = view_get(s->old, F_SERVICE_SPEC_PORTS);
    if (value_type(ports) != VALUE_ARRAY || !old_has_node_ports(s) || !new_has_node_ports(s))
        return;
    while (view_next(old_ports, &it)) {
        int64_t node_port = view_int_at(it.value, 0, F_SERVICE_PORT_NODE_PORT);
        for (uint32_t i = 0; node_port && i < ports->items_count; i++)
            if (!value_to_int(value_get(ports->items[i], F_SERVICE_PORT_NODE_PORT), 0) &&
                str_eq(at(ports->items[i], F_SERVICE_PORT_NAME), view_str(view_get(it.value, F_SERVICE_PORT_NAME))) &&
                !port_in_use(ports, node_port))
                value_set_int(s->a, ports->items[i], F_SERVICE_PORT_NODE_PORT, node_port);
    }
}

static void drop_node_ports(struct service *s)
{
    struct value *ports = value_get(s->spec, F_SERVICE_SPEC_PORTS);
    struct view old_ports = view_get(s->old, F_SERVICE_SPEC_PORTS);
    if (value_type(ports) != VALUE_ARRAY || !old_has_node_ports(s) || new_has_node_ports(s))
        return;
    for (uint32_t i = 0; i < ports->items_count; i++) {
        int64_t node_port = value_to_int(value_get(ports->items[i], F_SERVICE_PORT_NODE_PORT), 0);
        struct view_iter it = { 0 };
        bool had = false;
        while (view_next(old_ports, &it))
            had |= view_int_at(it.value, 0, F_SERVICE_PORT_NODE_PORT) == node_port;
        if (had)
            value_del(ports->items[i], F_SERVICE_PORT_NODE_PORT);
    }
}

static void follow_type(struct service *s)
{
    static const name_id of_ip[] = { F_SERVICE_SPEC_CLUSTER_IP, F_SERVICE_SPEC_CLUSTER_IPS, F_SERVICE_SPEC_IP_FAMILIES,
                                     F_SERVICE_SPEC_IP_FAMILY_POLICY };
    if (type_has_ip(s->old_type) && !type_has_ip(s->type) && unchanged(s, F_SERVICE_SPEC_CLUSTER_IPS))
        for (size_t i = 0; i < ARRAY_SIZE(of_ip); i++)
            value_del(s->spec, of_ip[i]);
    drop_node_ports(s);
    if (new_has_health_port(s))
        copy_old(s, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT);
    else if (unchanged(s, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT))
        value_del(s->spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT);
    if (!str_is(s->type, "LoadBalancer") && str_is(s->old_type, "LoadBalancer") &&
        unchanged(s, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS))
        value_del(s->spec, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS);
    if (str_is(s->type, "ClusterIP") || str_is(s->type, "ExternalName"))
        if (old_has_node_ports(s) && unchanged(s, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY))
            value_del(s->spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY);
}

/* --- families ------------------------------------------------------------------------------------------------------ */

static bool is_headless(const struct service *s)
{
    return str_is(at(s->spec, F_SERVICE_SPEC_CLUSTER_IP), "None");
}

static enum phase_result set_families(struct service *s)
{
    struct value *families = value_get(s->spec, F_SERVICE_SPEC_IP_FAMILIES);
    const struct value *selector = value_get(s->spec, F_SERVICE_SPEC_SELECTOR);
    struct str policy = at(s->spec, F_SERVICE_SPEC_IP_FAMILY_POLICY);
    bool free_headless = is_headless(s) && !(value_type(selector) == VALUE_OBJECT && selector->members_count);
    if (free_headless) { /* its endpoints are somebody else's: they may be of both families */
        if (str_empty(policy))
            value_set_text(s->a, s->spec, F_SERVICE_SPEC_IP_FAMILY_POLICY, "RequireDualStack");
        if (value_type(families) != VALUE_ARRAY || !families->items_count) {
            families = value_make_array(s->a, s->spec, F_SERVICE_SPEC_IP_FAMILIES);
            value_append(s->a, families, value_text(s->a, "IPv4"));
            if (str_empty(policy) || !str_is(policy, "SingleStack"))
                value_append(s->a, families, value_text(s->a, "IPv6"));
        }
        return PHASE_DONE;
    }
    for (uint32_t i = 0; value_type(families) == VALUE_ARRAY && i < families->items_count; i++)
        if (str_is(value_to_str(families->items[i]), "IPv6"))
            return admission_invalid(s->r, "FieldValueInvalid", arena_printf(s->a, "spec.ipFamilies[%u]", i),
                                     "Invalid value: \"IPv6\": not configured on this cluster");
    if (str_is(policy, "RequireDualStack"))
        return admission_invalid(
            s->r, "FieldValueInvalid", STR("spec.ipFamilyPolicy"),
            "Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services");
    if (str_empty(policy))
        value_set_text(s->a, s->spec, F_SERVICE_SPEC_IP_FAMILY_POLICY, "SingleStack");
    if (value_type(families) != VALUE_ARRAY || !families->items_count)
        value_append(s->a, value_make_array(s->a, s->spec, F_SERVICE_SPEC_IP_FAMILIES), value_text(s->a, "IPv4"));
    return PHASE_DONE;
}

/* --- giving out ----------------------------------------------------------------------------------------------------- */

/* clusterIP and the first of clusterIPs say the same. */
static void join_ips(struct service *s)
{
    struct value *ips = value_get(s->spec, F_SERVICE_SPEC_CLUSTER_IPS);
    struct str ip = at(s->spec, F_SERVICE_SPEC_CLUSTER_IP);
    bool have = value_type(ips) == VALUE_ARRAY && ips->items_count;
    if (!str_empty(ip) && !have) {
        value_del(s->spec, F_SERVICE_SPEC_CLUSTER_IPS);
        value_append(s->a, value_make_array(s->a, s->spec, F_SERVICE_SPEC_CLUSTER_IPS), value_str(s->a, ip));
    } else if (str_empty(ip) && have) {
        value_set(s->a, s->spec, F_SERVICE_SPEC_CLUSTER_IP, value_to_str(ips->items[0]));
    }
}

static bool is_ip(struct str text)
{
    struct address at;
    return address_of_ip(text, 0, &at, NULL) == 0;
}

static enum phase_result give_ip(struct service *s)
{
    struct str ip = at(s->spec, F_SERVICE_SPEC_CLUSTER_IP);
    if (is_headless(s) || (!str_empty(ip) && str_eq(ip, view_str(view_get(s->old, F_SERVICE_SPEC_CLUSTER_IP)))))
        return PHASE_DONE;
    if (str_empty(ip)) {
        ip = service_range_any_ip(s->range, s->a, s->hold);
        if (str_empty(ip))
            return request_fail(s->r, ERR_INTERNAL,
                                "Internal error occurred: failed to allocate a serviceIP: range is full");
        value_append(s->a, s->wanted, value_str(s->a, ip));
        value_set(s->a, s->spec, F_SERVICE_SPEC_CLUSTER_IP, ip);
        value_del(s->spec, F_SERVICE_SPEC_CLUSTER_IPS);
        join_ips(s);
        return PHASE_DONE;
    }
    if (!is_ip(ip))
        return PHASE_DONE; /* validation has the words for it */
    if (!service_range_has_ip(s->range, ip))
        return admission_invalid(
            s->r, "FieldValueInvalid", STR("spec.clusterIPs"),
            "Invalid value: []string{\"%.*s\"}: failed to allocate IP %.*s: the provided IP (%.*s) is not in the valid "
            "range. The range of valid IPs is %.*s",
            STR_ARG(ip), STR_ARG(ip), STR_ARG(ip), STR_ARG(service_range_cidr(s->range)));
    if (!service_range_take_ip(s->range, ip, s->hold))
        return admission_invalid(
            s->r, "FieldValueInvalid", STR("spec.clusterIPs"),
            "Invalid value: []string{\"%.*s\"}: failed to allocate IP %.*s: provided IP is already allocated",
            STR_ARG(ip), STR_ARG(ip));
    value_append(s->a, s->wanted, value_str(s->a, ip));
    return PHASE_DONE;
}

static bool old_has_port(const struct service *s, int64_t node_port)
{
    struct view_iter it = { 0 };
    struct view ports = view_get(s->old, F_SERVICE_SPEC_PORTS);
    while (view_next(ports, &it))
        if (view_int_at(it.value, 0, F_SERVICE_PORT_NODE_PORT) == node_port)
            return true;
    return view_int(view_get(s->old, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT), 0) == node_port;
}

static void want_port(struct service *s, int64_t port)
{
    value_append(s->a, s->wanted, value_strf(s->a, "%lld", (long long)port));
}

static enum phase_result take_port(struct service *s, int64_t port, struct str field)
{
    if (old_has_port(s, port))
        return PHASE_DONE;
    if (!service_range_has_port(s->range, port))
        return admission_invalid(
            s->r, "FieldValueInvalid", field,
            "Invalid value: %lld: provided port is not in the valid range. The range of valid ports is %.*s",
            (long long)port, STR_ARG(service_range_ports(s->range)));
    if (!service_range_take_port(s->range, port, s->hold))
        return admission_invalid(s->r, "FieldValueInvalid", field,
                                 "Invalid value: %lld: provided port is already allocated", (long long)port);
    want_port(s, port);
    return PHASE_DONE;
}

/* The node port that an earlier port of this Service with the same number and another protocol has; 0: none. */
static int64_t shared_port(const struct value *ports, uint32_t i)
{
    int64_t number = value_to_int(value_get(ports->items[i], F_SERVICE_PORT_PORT), 0);
    struct str protocol = at(ports->items[i], F_SERVICE_PORT_PROTOCOL);
    for (uint32_t j = 0; j < i; j++)
        if (value_to_int(value_get(ports->items[j], F_SERVICE_PORT_PORT), 0) == number &&
            !str_eq(at(ports->items[j], F_SERVICE_PORT_PROTOCOL), protocol))
            return value_to_int(value_get(ports->items[j], F_SERVICE_PORT_NODE_PORT), 0);
    return 0;
}

static bool taken_before(const struct value *ports, uint32_t i, int64_t node_port)
{
    for (uint32_t j = 0; j < i; j++)
        if (value_to_int(value_get(ports->items[j], F_SERVICE_PORT_NODE_PORT), 0) == node_port)
            return true;
    return false;
}

/* A free one; what this Service has just been given is not held where several servers are. */
static int64_t any_port(struct service *s, const struct value *ports)
{
    int64_t port = 0;
    for (int tries = 0; tries < 1000; tries++) {
        port = service_range_any_port(s->range, s->hold);
        if (s->hold || !port || !port_in_use(ports, port))
            break;
    }
    return port;
}

static enum phase_result give_ports(struct service *s)
{
    struct value *ports = value_get(s->spec, F_SERVICE_SPEC_PORTS);
    if (value_type(ports) != VALUE_ARRAY || !new_has_node_ports(s))
        return PHASE_DONE;
    /* Chosen ones first, so that no automatic one takes them away. */
    for (uint32_t i = 0; i < ports->items_count; i++) {
        int64_t port = value_to_int(value_get(ports->items[i], F_SERVICE_PORT_NODE_PORT), 0);
        if (port && !taken_before(ports, i, port) &&
            take_port(s, port, arena_printf(s->a, "spec.ports[%u].nodePort", i)) != PHASE_DONE)
            return PHASE_FAILED;
    }
    for (uint32_t i = 0; i < ports->items_count; i++) {
        if (value_type(ports->items[i]) != VALUE_OBJECT ||
            value_to_int(value_get(ports->items[i], F_SERVICE_PORT_NODE_PORT), 0))
            continue;
        int64_t port = shared_port(ports, i);
        if (!port && (port = any_port(s, ports)))
            want_port(s, port);
        if (!port)
            return request_fail(s->r, ERR_INTERNAL,
                                "Internal error occurred: failed to allocate a nodePort: range is full");
        value_set_int(s->a, ports->items[i], F_SERVICE_PORT_NODE_PORT, port);
    }
    return PHASE_DONE;
}

static enum phase_result give_health_port(struct service *s)
{
    int64_t port = value_to_int(value_get(s->spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT), 0);
    if (!new_has_health_port(s))
        return PHASE_DONE;
    if (port)
        return take_port(s, port, STR("spec.healthCheckNodePort"));
    port = any_port(s, value_get(s->spec, F_SERVICE_SPEC_PORTS));
    if (!port)
        return request_fail(s->r, ERR_INTERNAL,
                            "Internal error occurred: failed to allocate a HealthCheck NodePort: range is full");
    want_port(s, port);
    value_set_int(s->a, s->spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT, port);
    return PHASE_DONE;
}

static enum phase_result give(struct request *r, struct value *tree, struct value **ret_wanted)
{
    struct service s = {
        .r = r,
        .a = &r->arena,
        .range = server_service_range(r->server),
        .hold = !r->options.dry_run && !fresh_is_needed(r->server),
    };
    s.wanted = *ret_wanted = value_array(s.a);
    s.spec = value_make_object(s.a, tree, F_SERVICE_SPEC);
    s.old = r->creating ? VIEW_ABSENT : view_get(object_root(r->old), F_SERVICE_SPEC);
    s.type = at(s.spec, F_SERVICE_SPEC_TYPE);
    s.old_type = view_str(view_get(s.old, F_SERVICE_SPEC_TYPE));
    if (view_present(s.old)) {
        keep_ip(&s);
        keep_node_ports(&s);
        follow_type(&s);
    }
    if (!type_has_ip(s.type))
        return PHASE_DONE;
    join_ips(&s);
    if (set_families(&s) != PHASE_DONE || give_ip(&s) != PHASE_DONE || give_ports(&s) != PHASE_DONE)
        return PHASE_FAILED;
    return give_health_port(&s);
}

/* --- several servers: what was chosen is reserved first ------------------------------------------------------------ */

struct choice {
    struct request *r;
    struct value *tree, *asked; /* asked: the spec before anything was chosen */
    int attempts;
};

static enum phase_result choose(struct choice *c);

static void on_reserved(void *arg, bool won, const struct error *err)
{
    struct choice *c = arg;
    enum phase_result result = PHASE_DONE;
    if (err) {
        fail(&c->r->err, err->code, "%s", error_text(err));
        c->r->err.retry_after_s = 1;
        result = PHASE_FAILED;
    } else if (!won && ++c->attempts < CHOICES_MAX) {
        value_put(&c->r->arena, c->tree, F_SERVICE_SPEC, c->asked);
        result = choose(c);
    } else if (!won) {
        result = request_fail(c->r, ERR_CONFLICT, "other servers keep taking the addresses chosen for this Service");
    }
    if (result != PHASE_WAIT)
        request_resume(c->r, result);
}

static void on_settled(void *arg, bool current)
{
    struct choice *c = arg;
    (void)current; /* not current: writing the reservation will say so */
    value_put(&c->r->arena, c->tree, F_SERVICE_SPEC, c->asked);
    enum phase_result result = choose(c);
    if (result != PHASE_WAIT)
        request_resume(c->r, result);
}

static enum phase_result choose(struct choice *c)
{
    struct value *wanted;
    c->asked = value_copy(&c->r->arena, value_get(c->tree, F_SERVICE_SPEC));
    enum phase_result result = give(c->r, c->tree, &wanted);
    /* "Full" is not said while some of it is only wanted: most of those who want it get something else. */
    if (result == PHASE_FAILED && c->r->err.code == ERR_INTERNAL && reserve_is_busy(server_reserve(c->r->server)) &&
        ++c->attempts < CHOICES_MAX) {
        error_done(&c->r->err);
        fresh_wait(c->r->server, &c->r->core.wait, on_settled, c);
        return PHASE_WAIT;
    }
    if (result != PHASE_DONE || !wanted->items_count || c->r->options.dry_run || !fresh_is_needed(c->r->server))
        return result;
    reserve_take(c->r, wanted, on_reserved, c);
    return PHASE_WAIT;
}

static enum phase_result mutate(struct request *r, struct value *tree)
{
    struct choice *c = arena_new(&r->arena, struct choice);
    *c = (struct choice){ .r = r, .tree = tree };
    value_make_object(&r->arena, tree, F_SERVICE_SPEC);
    return choose(c);
}

const struct admission_step admission_service_addresses = {
    .name = "ServiceAddresses",
    .applies = applies,
    .mutate = mutate,
};
