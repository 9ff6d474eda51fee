/* Rules of a pod spec as a whole: its own fields, in the order of upstream's ValidatePodSpec. */
#include "kinds/pod.h"

#include "kinds/meta.h"

#define NAMESERVERS_MAX  3
#define SEARCHES_MAX     32
#define SEARCH_BYTES_MAX 2048

static const char *const restart_policies[] = { "Always", "OnFailure", "Never", NULL };
static const char *const dns_policies[] = { "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", NULL };
static const char *const preemption_policies[] = { "PreemptLowerPriority", "Never", NULL };
static const char *const operating_systems[] = { "linux", "windows", NULL };

static void check_claims(struct pod_check *p, const struct at *at, struct view claims)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(claims, &it) && !check_full(p->k); i++) {
        const struct at *item = AT_INDEX(at, i);
        struct str name = view_str_at(it.value, F_POD_RESOURCE_CLAIM_NAME);
        bool by_name = view_present(view_get(it.value, F_POD_RESOURCE_CLAIM_RESOURCE_CLAIM_NAME));
        bool by_template = view_present(view_get(it.value, F_POD_RESOURCE_CLAIM_RESOURCE_CLAIM_TEMPLATE_NAME));

        if (!name.n)
            check_required(p->k, AT(item, "name"), "");
        else if (seen_before(&p->claims, name))
            check_duplicate_str(p->k, AT(item, "name"), name);
        else
            check_dns_label(p->k, AT(item, "name"), name);
        if (by_name && by_template)
            check_invalid(p->k, item, it.value,
                          "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
        else if (!by_name && !by_template)
            check_invalid(p->k, item, it.value,
                          "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    }
}

static void check_dns_config(struct check *k, const struct at *at, struct view config, bool policy_none)
{
    struct view servers = view_get(config, F_POD_DNS_CONFIG_NAMESERVERS);
    struct view searches = view_get(config, F_POD_DNS_CONFIG_SEARCHES),
                options = view_get(config, F_POD_DNS_CONFIG_OPTIONS);
    struct view_iter it = { 0 };
    size_t bytes = 0;

    if (policy_none && !view_present(config)) {
        check_required(k, at, "must provide `dnsConfig` when `dnsPolicy` is None");
        return;
    }
    if (policy_none && !view_count(servers)) {
        check_required(k, AT(at, "nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
        return;
    }
    if (view_count(servers) > NAMESERVERS_MAX)
        check_invalid(k, AT(at, "nameservers"), servers, "must not have more than 3 nameservers");
    for (size_t i = 0; view_next(servers, &it) && !check_full(k); i++)
        check_ip(k, AT_INDEX(AT(at, "nameservers"), i), view_str(it.value));
    if (view_count(searches) > SEARCHES_MAX)
        check_invalid(k, AT(at, "searches"), searches, "must not have more than 32 search paths");
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(searches, &it) && !check_full(k); i++) {
        struct str search = view_str(it.value);

        bytes += search.n + 1;
        if (str_is(search, "."))
            continue;
        if (str_ends(search, STR(".")))
            search.n--;
        check_dns_search(k, AT_INDEX(AT(at, "searches"), i), search);
    }
    if (bytes > SEARCH_BYTES_MAX + 1)
        check_invalid(k, AT(at, "searches"), searches,
                      "must not have more than 2048 characters (including spaces) in the search list");
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(options, &it) && !check_full(k); i++)
        if (!view_str_at(it.value, F_POD_DNS_CONFIG_OPTION_NAME).n)
            check_required(k, AT_INDEX(AT(at, "options"), i), "must not be empty");
}

static void check_scheduling_gates(struct check *k, const struct at *at, struct view gates)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(gates, &it) && !check_full(k); i++) {
        struct str name = view_str_at(it.value, F_POD_SCHEDULING_GATE_NAME);

        check_qualified_name(k, AT_INDEX(at, i), name);
        if (seen_before(&seen, name))
            check_duplicate_str(k, AT_INDEX(at, i), name);
    }
}

static void check_host_aliases(struct check *k, const struct at *at, struct view aliases)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(aliases, &it) && !check_full(k); i++) {
        struct view_iter name = { 0 };

        check_ip(k, AT(AT_INDEX(at, i), "ip"), view_str_at(it.value, F_HOST_ALIAS_IP));
        for (size_t j = 0; view_next(view_get(it.value, F_HOST_ALIAS_HOSTNAMES), &name) && !check_full(k); j++)
            check_dns_subdomain(k, AT_INDEX(AT(AT_INDEX(at, i), "hostnames"), j), view_str(name.value));
    }
}

/* With the host's network a container's port is the host's port: a pod must say so, a template may leave it open. */
static void check_host_network(struct pod_check *p, const struct at *at)
{
    struct view_iter it = { 0 };

    if (!view_bool_at(p->spec, false, F_POD_SPEC_HOST_NETWORK))
        return;
    for (size_t i = 0; view_next(view_get(p->spec, F_POD_SPEC_CONTAINERS), &it); i++) {
        struct view_iter port = { 0 };

        for (size_t j = 0; view_next(view_get(it.value, F_CONTAINER_PORTS), &port) && !check_full(p->k); j++) {
            int64_t host = view_int_at(port.value, 0, F_CONTAINER_PORT_HOST_PORT);
            int64_t container = view_int_at(port.value, 0, F_CONTAINER_PORT_CONTAINER_PORT);

            if ((p->is_pod || host) && host != container)
                check_invalid_int(p->k, AT(AT_INDEX(AT(AT_INDEX(AT(at, "containers"), i), "ports"), j), "hostPort"),
                                  host, "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

static void check_user_namespace(struct check *k, const struct at *at, struct view spec)
{
    if (view_bool_at(spec, true, F_POD_SPEC_HOST_USERS))
        return;
    if (view_bool_at(spec, false, F_POD_SPEC_HOST_NETWORK))
        check_forbidden(k, AT(at, "hostNetwork"), "when `hostUsers` is false");
    if (view_bool_at(spec, false, F_POD_SPEC_HOST_PID))
        check_forbidden(k, AT(at, "hostPID"), "when `hostUsers` is false");
    if (view_bool_at(spec, false, F_POD_SPEC_HOST_IPC))
        check_forbidden(k, AT(at, "hostIPC"), "when `hostUsers` is false");
}

static void check_names(struct check *k, const struct at *at, struct view spec)
{
    static const struct {
        name_id name;
        struct str text;
        bool (*check)(struct check *, const struct at *, struct str);
    } names[] = {
        { F_POD_SPEC_SERVICE_ACCOUNT_NAME, STR_INIT("serviceAccountName"), check_dns_subdomain },
        { F_POD_SPEC_NODE_NAME, STR_INIT("nodeName"), check_dns_subdomain },
        { F_POD_SPEC_HOSTNAME, STR_INIT("hostname"), check_dns_label },
        { F_POD_SPEC_SUBDOMAIN, STR_INIT("subdomain"), check_dns_label },
        { F_POD_SPEC_PRIORITY_CLASS_NAME, STR_INIT("priorityClassName"), check_dns_subdomain },
        { F_POD_SPEC_RUNTIME_CLASS_NAME, STR_INIT("runtimeClassName"), check_dns_subdomain },
    };
    struct view deadline = view_get(spec, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct str name = view_str_at(spec, names[i].name);

        if (name.n)
            names[i].check(k, AT_STR(at, names[i].text), name);
    }
    if (view_present(deadline) && (view_int(deadline, 0) < 1 || view_int(deadline, 0) > INT32_MAX))
        check_invalid(k, AT(at, "activeDeadlineSeconds"), deadline, "must be between 1 and 2147483647, inclusive");
}

static void check_scheduling(struct pod_check *p, const struct at *at)
{
    struct view gates = view_get(p->spec, F_POD_SPEC_READINESS_GATES);
    struct view_iter it = { 0 };

    pod_check_affinity(p->k, AT(at, "affinity"), view_get(p->spec, F_POD_SPEC_AFFINITY));
    check_dns_config(p->k, AT(at, "dnsConfig"), view_get(p->spec, F_POD_SPEC_DNS_CONFIG),
                     str_is(view_str_at(p->spec, F_POD_SPEC_DNS_POLICY), "None"));
    for (size_t i = 0; view_next(gates, &it) && !check_full(p->k); i++)
        check_qualified_name(p->k, AT(AT_INDEX(AT(at, "readinessGates"), i), "conditionType"),
                             view_str_at(it.value, F_POD_READINESS_GATE_CONDITION_TYPE));
    check_scheduling_gates(p->k, AT(at, "schedulingGates"), view_get(p->spec, F_POD_SPEC_SCHEDULING_GATES));
    pod_check_topology_spread(p->k, AT(at, "topologySpreadConstraints"),
                              view_get(p->spec, F_POD_SPEC_TOPOLOGY_SPREAD_CONSTRAINTS));
    check_user_namespace(p->k, at, p->spec);
    check_names(p->k, at, p->spec);
    pod_check_tolerations(p->k, AT(at, "tolerations"), view_get(p->spec, F_POD_SPEC_TOLERATIONS));
    check_host_aliases(p->k, AT(at, "hostAliases"), view_get(p->spec, F_POD_SPEC_HOST_ALIASES));
}

static void check_os(struct check *k, const struct at *at, struct view os)
{
    struct str name = view_str_at(os, F_POD_OS_NAME);

    if (!view_present(os))
        return;
    if (!name.n)
        check_required(k, AT(at, "name"), "cannot be empty");
    else
        check_one_of(k, at, name, operating_systems);
}

void pod_spec_validate(struct check *k, const struct at *at, struct view spec, struct view metadata, bool is_pod)
{
    struct pod_check p = { .k = k, .spec = spec, .metadata = metadata, .is_pod = is_pod };
    struct view preemption = view_get(spec, F_POD_SPEC_PREEMPTION_POLICY);

    pod_check_volumes(&p, AT(at, "volumes"), view_get(spec, F_POD_SPEC_VOLUMES));
    check_claims(&p, AT(at, "resourceClaims"), view_get(spec, F_POD_SPEC_RESOURCE_CLAIMS));
    pod_check_containers(&p, AT(at, "containers"));
    pod_check_init_containers(&p, AT(at, "initContainers"));
    pod_check_ephemeral_containers(&p, AT(at, "ephemeralContainers"));
    if (view_present(view_get(spec, F_POD_SPEC_RESOURCES)))
        check_resources(k, AT(at, "resources"), view_get(spec, F_POD_SPEC_RESOURCES), NULL, true);
    check_host_network(&p, at);
    check_one_of_required(k, AT(at, "restartPolicy"), view_str_at(spec, F_POD_SPEC_RESTART_POLICY), restart_policies);
    check_one_of_required(k, AT(at, "dnsPolicy"), view_str_at(spec, F_POD_SPEC_DNS_POLICY), dns_policies);
    check_labels(k, AT(at, "nodeSelector"), view_get(spec, F_POD_SPEC_NODE_SELECTOR));
    pod_check_security(&p, at);
    check_scheduling(&p, at);
    if (view_present(preemption))
        check_one_of_required(k, AT(at, "preemptionPolicy"), view_str(preemption), preemption_policies);
    check_os(k, AT(at, "os"), view_get(spec, F_POD_SPEC_OS));
    map_done(&p.volumes);
    map_done(&p.claim_volumes);
    map_done(&p.claims);
}

/* Annotations that have a meaning for pods. */
void pod_check_annotations(struct check *k, const struct at *at, struct view annotations, struct view spec)
{
    struct view mirror = view_get_str(annotations, STR("kubernetes.io/config.mirror"));
    struct view cost = view_get_str(annotations, STR("controller.kubernetes.io/pod-deletion-cost"));
    struct str text = view_str(cost), digits = text.n && text.p[0] == '-' ? str_from(text, 1) : text;
    int64_t n;

    if (view_present(mirror) && !view_str_at(spec, F_POD_SPEC_NODE_NAME).n)
        check_invalid(k, AT_KEY(at, STR("kubernetes.io/config.mirror")), mirror,
                      "must set spec.nodeName if mirror pod annotation is set");
    /* Written as Go's strconv would write it back: no sign "+", no leading zeros. */
    if (view_present(cost) && (!str_to_i64(text, &n) || n < INT32_MIN || n > INT32_MAX || !digits.n ||
                               digits.p[0] == '+' || (digits.p[0] == '0' && text.n > 1)))
        check_invalid(k, AT_KEY(at, STR("controller.kubernetes.io/pod-deletion-cost")), cost,
                      "must be a 32bit integer");
}

void pod_template_validate(struct check *k, const struct at *at, struct view template_)
{
    struct view metadata = view_get(template_, F_POD_TEMPLATE_SPEC_METADATA);
    struct view annotations = view_get(metadata, F_OBJECT_META_ANNOTATIONS);
    struct view spec = view_get(template_, F_POD_TEMPLATE_SPEC_SPEC);

    check_labels(k, AT(at, "labels"), view_get(metadata, F_OBJECT_META_LABELS));
    meta_check_annotations(k, AT(at, "annotations"), annotations);
    pod_check_annotations(k, AT(at, "annotations"), annotations, spec);
    pod_spec_validate(k, AT(at, "spec"), spec, VIEW_ABSENT, false);
    if (view_count(view_get(spec, F_POD_SPEC_EPHEMERAL_CONTAINERS)))
        check_forbidden(k, AT(AT(at, "spec"), "ephemeralContainers"),
                        "ephemeral containers not allowed in pod template");
}
