/* Rules of requests and limits, and the quality-of-service class that follows from them. */
#include "kinds/pod.h"

#include "object/quantity.h"

static const char *const pod_level_resources[] = { "cpu", "memory", NULL };
static const char *const container_resources[] = { "cpu", "memory", "ephemeral-storage", NULL };
/* Names without a domain that mean something somewhere. */
static const char *const standard_resources[] = { "cpu",
                                                  "memory",
                                                  "ephemeral-storage",
                                                  "requests.cpu",
                                                  "requests.memory",
                                                  "requests.ephemeral-storage",
                                                  "limits.cpu",
                                                  "limits.memory",
                                                  "limits.ephemeral-storage",
                                                  "pods",
                                                  "resourcequotas",
                                                  "services",
                                                  "replicationcontrollers",
                                                  "secrets",
                                                  "configmaps",
                                                  "persistentvolumeclaims",
                                                  "storage",
                                                  "requests.storage",
                                                  "services.nodeports",
                                                  "services.loadbalancers",
                                                  NULL };
/* What is counted in whole things. */
static const char *const whole_resources[] = {
    "pods",       "resourcequotas",         "services",           "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers", NULL
};

static bool is_huge_pages(struct str resource)
{
    return str_starts(resource, STR("hugepages-"));
}

static bool is_native(struct str resource)
{
    return str_find(resource, '/') < 0 || str_contains(resource, STR("kubernetes.io/"));
}

static bool is_extended(struct str resource)
{
    return !is_native(resource) && !str_starts(resource, STR("requests."));
}

bool resource_is_standard(struct str resource)
{
    return str_in(resource, standard_resources) || is_huge_pages(resource) ||
           str_starts(resource, STR("requests.hugepages-"));
}

/* Extended resources and huge pages are given out whole: what is asked for is what is used. */
static bool may_overcommit(struct str resource)
{
    return is_native(resource) && !is_huge_pages(resource);
}

void check_resource_name(struct check *k, const struct at *at, struct str resource)
{
    if (check_qualified_name(k, at, resource) && str_find(resource, '/') < 0 && !resource_is_standard(resource))
        check_invalid_str(k, at, resource, "must be a standard resource type or fully qualified");
}

static void check_name(struct check *k, const struct at *at, struct str resource, bool of_pod)
{
    check_resource_name(k, at, resource);
    if (of_pod) {
        if (!is_huge_pages(resource))
            check_one_of(k, at, resource, pod_level_resources);
        return;
    }
    if (str_find(resource, '/') < 0 && !str_in(resource, container_resources) && !is_huge_pages(resource))
        check_invalid_str(k, at, resource, "must be a standard resource for containers");
    else if (!is_native(resource) && !is_extended(resource))
        check_invalid_str(k, at, resource, "doesn't follow extended resource name standard");
}

static struct quantity quantity_of_view(struct view v)
{
    struct quantity q = { 0 };

    quantity_parse(view_type(v) == VALUE_STRING ? view_str(v) : view_json(v), &q, NULL);
    return q;
}

void check_resource_quantity(struct check *k, const struct at *at, struct str resource, struct view quantity)
{
    struct quantity q = quantity_of_view(quantity);

    if (quantity_sign(q) < 0)
        check_invalid(k, at, quantity, "must be greater than or equal to 0");
    if ((str_in(resource, whole_resources) || is_extended(resource)) && !quantity_is_whole(q))
        check_invalid(k, at, quantity, "must be an integer");
}

static void check_huge_pages(struct check *k, const struct at *at, struct str resource, struct view quantity)
{
    struct quantity page, q = quantity_of_view(quantity);

    if (!is_huge_pages(resource))
        return;
    if (quantity_parse(str_from(resource, strlen("hugepages-")), &page, NULL) == 0 && quantity_value(page) > 0 &&
        quantity_sign(q) >= 0 && quantity_value(q) % quantity_value(page) == 0)
        return;
    check_invalid(k, at, quantity,
                  arena_printf(k->arena, "%.*s is not positive integer multiple of %.*s", STR_ARG(view_str(quantity)),
                               STR_ARG(resource))
                      .p);
}

static void check_request(struct check *k, const struct at *at, const struct at *limits_at, struct str resource,
                          struct view request, struct view limit)
{
    int cmp = quantity_cmp(quantity_of_view(request), quantity_of_view(limit));
    const char *must = NULL;

    if (!view_present(limit)) {
        if (!may_overcommit(resource))
            check_required(k, limits_at, "Limit must be set for non overcommitable resources");
        return;
    }
    if (cmp != 0 && !may_overcommit(resource))
        must = "must be equal to";
    else if (cmp > 0)
        must = "must be less than or equal to";
    if (must)
        check_invalid(
            k, at, request,
            arena_printf(k->arena, "%s %.*s limit of %.*s", must, STR_ARG(resource), STR_ARG(view_str(limit))).p);
}

static void check_claim_names(struct check *k, const struct at *at, struct view used, struct map *claims)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(used, &it) && !check_full(k); i++) {
        struct str name = view_str_at(it.value, F_RESOURCE_CLAIM_NAME);

        if (!name.n)
            check_required(k, AT_INDEX(at, i), "");
        else if (!claims || !map_has(claims, name))
            check_not_found(k, AT_INDEX(at, i), name);
        else if (!view_str_at(it.value, F_RESOURCE_CLAIM_REQUEST).n && seen_before(&seen, name))
            check_duplicate_str(k, AT_INDEX(at, i), name);
    }
}

void check_resources(struct check *k, const struct at *at, struct view resources, struct map *claims, bool of_pod)
{
    struct view limits = view_get(resources, F_RESOURCE_REQUIREMENTS_LIMITS);
    struct view requests = view_get(resources, F_RESOURCE_REQUIREMENTS_REQUESTS);
    bool compute = false, huge = false;
    struct view_iter it = { 0 };

    while (view_next(limits, &it) && !check_full(k)) {
        const struct at *limit = AT_KEY(AT(at, "limits"), it.key);

        check_name(k, limit, it.key, of_pod);
        check_resource_quantity(k, limit, it.key, it.value);
        check_huge_pages(k, limit, it.key, it.value);
        huge |= is_huge_pages(it.key);
        compute |= str_in(it.key, pod_level_resources);
    }
    it = (struct view_iter){ 0 };
    while (view_next(requests, &it) && !check_full(k)) {
        const struct at *request = AT_KEY(AT(at, "requests"), it.key);

        check_name(k, request, it.key, of_pod);
        check_resource_quantity(k, request, it.key, it.value);
        check_request(k, AT(at, "requests"), AT(at, "limits"), it.key, it.value, view_get_str(limits, it.key));
        check_huge_pages(k, request, it.key, it.value);
        huge |= is_huge_pages(it.key);
        compute |= str_in(it.key, pod_level_resources);
    }
    if (huge && !compute)
        check_forbidden(k, at, "HugePages require cpu or memory");
    if (of_pod && view_present(view_get(resources, F_RESOURCE_REQUIREMENTS_CLAIMS)))
        check_forbidden(k, AT(at, "claims"), "claims cannot be set for Resources at pod-level");
    else
        check_claim_names(k, AT(at, "claims"), view_get(resources, F_RESOURCE_REQUIREMENTS_CLAIMS), claims);
}

/* Sums of cpu and memory over containers; `*complete` stays true while every container has limits on both. */
struct qos_sums {
    struct quantity requests[2], limits[2];
    bool complete;
};

static void add_resources(struct qos_sums *sums, const struct value *resources)
{
    static const struct str names[2] = { STR_INIT("cpu"), STR_INIT("memory") };

    for (size_t i = 0; i < 2; i++) {
        const struct value *request = value_get_str(value_get(resources, F_RESOURCE_REQUIREMENTS_REQUESTS), names[i]);
        const struct value *limit = value_get_str(value_get(resources, F_RESOURCE_REQUIREMENTS_LIMITS), names[i]);
        struct quantity q = { 0 }, l = { 0 };

        quantity_parse(value_to_str(request), &q, NULL);
        quantity_parse(value_to_str(limit), &l, NULL);
        sums->requests[i] = quantity_add(sums->requests[i], q);
        sums->limits[i] = quantity_add(sums->limits[i], l);
        if (quantity_sign(l) <= 0)
            sums->complete = false;
    }
}

/* Source: pkg/apis/core/v1/helper/qos, ComputePodQOS. */
const char *pod_qos_class(const struct value *spec)
{
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS };
    const struct value *own = value_get(spec, F_POD_SPEC_RESOURCES), *container;
    struct qos_sums sums = { .complete = true };
    bool any = false, equal = true;

    if (!value_empty(own))
        add_resources(&sums, own);
    else
        for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
            for (size_t i = 0; (container = value_at(value_get(spec, lists[l]), i)); i++)
                add_resources(&sums, value_get(container, F_CONTAINER_RESOURCES));
    for (size_t i = 0; i < 2; i++) {
        any |= quantity_sign(sums.requests[i]) > 0 || quantity_sign(sums.limits[i]) > 0;
        equal &= quantity_cmp(sums.requests[i], sums.limits[i]) == 0;
    }
    return !any ? "BestEffort" : sums.complete && equal ? "Guaranteed" : "Burstable";
}
