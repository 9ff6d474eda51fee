/* What an update of a pod may change: very little, since its containers run already. */
#include "kinds/pod.h"

/* Kept word for word: people and tools know this sentence. */
#define ONLY_THESE_MAY_CHANGE                                                                                          \
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"          \
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"                        \
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

static const struct at *const spec_at = &(const struct at){ AT_ROOT, STR_INIT("spec"), -1, false };

/* An update may not add or remove containers; false when it does, and then nothing else is worth saying. */
static bool check_same_count(struct check *k, const struct at *at, struct view now, struct view old)
{
    if (view_count(now) == view_count(old))
        return true;
    check_forbidden(k, at, "pod updates may not add or remove containers");
    return false;
}

static bool check_deadline(struct check *k, struct view deadline, struct view old)
{
    const struct at *at = AT(spec_at, "activeDeadlineSeconds");

    if (!view_present(deadline)) {
        if (view_present(old))
            check_invalid(k, at, deadline, "must not update from a positive integer to nil value");
        return true;
    }
    if (view_present(old) && view_int(old, 0) < view_int(deadline, 0)) {
        check_invalid(k, at, deadline, "must be less than or equal to previous value");
        return false;
    }
    return true;
}

/* Every old toleration must still be there, its tolerationSeconds aside. */
static void check_added_tolerations(struct check *k, struct view now, struct view old)
{
    struct view_iter before = { 0 };

    while (view_next(old, &before)) {
        struct value *wanted = value_of_view(k->arena, before.value);
        struct view_iter it = { 0 };
        bool found = false;

        value_del(wanted, F_TOLERATION_TOLERATION_SECONDS);
        while (!found && view_next(now, &it)) {
            struct value *candidate = value_of_view(k->arena, it.value);

            value_del(candidate, F_TOLERATION_TOLERATION_SECONDS);
            found = value_equal(wanted, candidate);
        }
        if (!found) {
            check_forbidden(k, AT(spec_at, "tolerations"),
                            "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

static void check_removed_gates(struct check *k, struct view now, struct view old)
{
    AUTO_MAP struct map names = { 0 };
    struct view_iter it = { 0 };

    while (view_next(old, &it))
        seen_before(&names, view_str_at(it.value, F_POD_SCHEDULING_GATE_NAME));
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(now, &it) && !check_full(k); i++) {
        struct str name = view_str_at(it.value, F_POD_SCHEDULING_GATE_NAME);

        if (!map_has(&names, name))
            check_forbidden(
                k, AT(AT_INDEX(AT(spec_at, "schedulingGates"), i), "name"),
                arena_printf(k->arena, "only deletion is allowed, but found new scheduling gate '%.*s'", STR_ARG(name))
                    .p);
    }
}

static void copy_member(struct arena *a, struct value *to, const struct value *from, name_id name)
{
    value_put(a, to, name, value_get(from, name));
}

/* A gated pod is not scheduled yet: where it may go can still be narrowed. */
static void allow_narrowing(struct check *k, struct value *spec, const struct value *old)
{
    const struct value *selector = value_get(spec, F_POD_SPEC_NODE_SELECTOR);
    const struct value *old_selector = value_get(old, F_POD_SPEC_NODE_SELECTOR);
    struct value *affinity = value_get(spec, F_POD_SPEC_AFFINITY);
    struct value *old_node = value_path(old, F_POD_SPEC_AFFINITY, F_AFFINITY_NODE_AFFINITY);

    for (size_t i = 0; value_type(old_selector) == VALUE_OBJECT && i < old_selector->members_count; i++)
        if (!value_equal(value_get_str(selector, old_selector->members[i].name), old_selector->members[i].value)) {
            check_forbidden(k, AT(spec_at, "nodeSelector"),
                            "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
            break;
        }
    copy_member(k->arena, spec, old, F_POD_SPEC_NODE_SELECTOR);
    if (!value_get(old_node, F_NODE_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION)) {
        if (old_node || value_type(value_get(old, F_POD_SPEC_AFFINITY)) == VALUE_OBJECT)
            value_put(k->arena, value_make_object(k->arena, spec, F_POD_SPEC_AFFINITY), F_AFFINITY_NODE_AFFINITY,
                      old_node);
        else if (affinity && affinity->members_count == 1 && value_get(affinity, F_AFFINITY_NODE_AFFINITY))
            value_del(spec, F_POD_SPEC_AFFINITY);
    }
}

static void copy_images(struct arena *a, struct value *spec, const struct value *old, name_id list)
{
    struct value *container;

    for (size_t i = 0; (container = value_at(value_get(spec, list), i)); i++)
        copy_member(a, container, value_at(value_get(old, list), i), F_CONTAINER_IMAGE);
}

/* The sentence, and which members of the spec differ, so that nobody has to guess. */
static void check_rest_equal(struct check *k, const struct value *spec, const struct value *old)
{
    AUTO_BUF struct buf detail = BUF_MAX(4 * KIB);

    if (value_equal(spec, old))
        return;
    buf_add_text(&detail, ONLY_THESE_MAY_CHANGE "\n");
    for (size_t i = 0; i < spec->members_count; i++)
        if (!value_equal(spec->members[i].value, value_get_str(old, spec->members[i].name)))
            buf_addf(&detail, "  spec.%.*s differs\n", STR_ARG(spec->members[i].name));
    for (size_t i = 0; i < old->members_count; i++)
        if (!value_get_str(spec, old->members[i].name))
            buf_addf(&detail, "  spec.%.*s is missing\n", STR_ARG(old->members[i].name));
    check_forbidden(k, spec_at, detail.p);
}

static void check_mirror(struct check *k, struct view pod, struct view old)
{
    struct str name = STR("kubernetes.io/config.mirror");
    struct view now = view_get_str(view_path(pod, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS), name);
    struct view before = view_get_str(view_path(old, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS), name);
    const struct at *at = AT_KEY(AT(AT(AT_ROOT, "metadata"), "annotations"), name);

    if (view_present(before) && !str_eq(view_str(now), view_str(before)))
        check_forbidden(k, at, "may not remove or update mirror pod annotation");
    else if (!view_present(before) && view_present(now))
        check_forbidden(k, at, "may not add mirror pod annotation");
}

void pod_validate_update(struct check *k, struct view pod, struct view old)
{
    struct view spec = view_get(pod, F_POD_SPEC), old_spec = view_get(old, F_POD_SPEC);
    struct value *copy = value_of_view(k->arena, spec), *old_copy = value_of_view(k->arena, old_spec);
    struct view gates = view_get(old_spec, F_POD_SPEC_SCHEDULING_GATES);

    check_mirror(k, pod, old);
    if (!check_same_count(k, AT(spec_at, "containers"), view_get(spec, F_POD_SPEC_CONTAINERS),
                          view_get(old_spec, F_POD_SPEC_CONTAINERS)) ||
        !check_same_count(k, AT(spec_at, "initContainers"), view_get(spec, F_POD_SPEC_INIT_CONTAINERS),
                          view_get(old_spec, F_POD_SPEC_INIT_CONTAINERS)))
        return;
    if (!check_deadline(k, view_get(spec, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS),
                        view_get(old_spec, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS)))
        return;
    check_added_tolerations(k, view_get(spec, F_POD_SPEC_TOLERATIONS), view_get(old_spec, F_POD_SPEC_TOLERATIONS));
    check_removed_gates(k, view_get(spec, F_POD_SPEC_SCHEDULING_GATES), gates);
    /* What may change is set back; whatever differs after that may not. */
    copy_images(k->arena, copy, old_copy, F_POD_SPEC_CONTAINERS);
    copy_images(k->arena, copy, old_copy, F_POD_SPEC_INIT_CONTAINERS);
    copy_member(k->arena, copy, old_copy, F_POD_SPEC_ACTIVE_DEADLINE_SECONDS);
    copy_member(k->arena, copy, old_copy, F_POD_SPEC_TOLERATIONS);
    copy_member(k->arena, copy, old_copy, F_POD_SPEC_SCHEDULING_GATES);
    if (view_int_at(old_spec, 0, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS) < 0 &&
        view_int_at(spec, 0, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS) == 1)
        copy_member(k->arena, copy, old_copy, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS);
    if (view_count(gates))
        allow_narrowing(k, copy, old_copy);
    check_rest_equal(k, copy, old_copy);
}

/* A container that has ended for good stays so. */
static void check_transitions(struct check *k, const struct at *at, struct view statuses, struct view old_statuses,
                              struct str policy)
{
    struct view_iter before = { 0 };

    if (str_is(policy, "Always"))
        return;
    for (size_t i = 0; view_next(old_statuses, &before) && !check_full(k); i++) {
        struct view ended = view_path(before.value, F_CONTAINER_STATUS_STATE, F_CONTAINER_STATE_TERMINATED);
        struct view_iter it = { 0 };

        if (!view_present(ended) ||
            (str_is(policy, "OnFailure") && view_int_at(ended, 0, F_CONTAINER_STATE_TERMINATED_EXIT_CODE) != 0))
            continue;
        while (view_next(statuses, &it))
            if (str_eq(view_str_at(it.value, F_CONTAINER_STATUS_NAME),
                       view_str_at(before.value, F_CONTAINER_STATUS_NAME)) &&
                !view_present(view_path(it.value, F_CONTAINER_STATUS_STATE, F_CONTAINER_STATE_TERMINATED)))
                check_forbidden(k, AT(AT_INDEX(at, i), "state"), "may not be transitioned to non-terminated state");
    }
}

static void check_ips(struct check *k, const struct at *at, struct view ips)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };
    size_t v6 = 0, i = 0;

    for (; view_next(ips, &it) && !check_full(k); i++) {
        struct str ip = view_str_at(it.value, F_POD_IP_IP);

        check_ip(k, AT_INDEX(at, i), ip);
        if (seen_before(&seen, ip))
            check_duplicate(k, AT_INDEX(at, i), it.value);
        v6 += str_is_ipv6(ip);
    }
    if (i > 1 && (i > 2 || v6 != 1))
        check_invalid(k, at, ips, "may specify no more than one IP for each IP family");
}

void pod_validate_status_update(struct check *k, struct view pod, struct view old)
{
    struct view status = view_get(pod, F_POD_STATUS), old_status = view_get(old, F_POD_STATUS);
    struct str policy = view_str_at(old, F_POD_SPEC, F_POD_SPEC_RESTART_POLICY);
    struct str nominated = view_str_at(status, F_POD_STATUS_NOMINATED_NODE_NAME);
    const struct at *at = AT(AT_ROOT, "status");
    struct view_iter it = { 0 };

    check_mirror(k, pod, old);
    for (size_t i = 0; view_next(view_get(status, F_POD_STATUS_CONDITIONS), &it) && !check_full(k); i++)
        check_qualified_name(k, AT(AT_INDEX(AT(AT(AT_ROOT, "metadata"), "conditions"), i), "Type"),
                             view_str_at(it.value, F_POD_CONDITION_TYPE));
    if (nominated.n && !view_equal(view_get(status, F_POD_STATUS_NOMINATED_NODE_NAME),
                                   view_get(old_status, F_POD_STATUS_NOMINATED_NODE_NAME)))
        check_dns_subdomain(k, AT(at, "nominatedNodeName"), nominated);
    check_immutable(k, AT(at, "qosClass"), view_get(status, F_POD_STATUS_QOS_CLASS),
                    view_get(old_status, F_POD_STATUS_QOS_CLASS));
    check_transitions(k, AT(at, "containerStatuses"), view_get(status, F_POD_STATUS_CONTAINER_STATUSES),
                      view_get(old_status, F_POD_STATUS_CONTAINER_STATUSES), policy);
    check_transitions(k, AT(at, "ephemeralContainerStatuses"),
                      view_get(status, F_POD_STATUS_EPHEMERAL_CONTAINER_STATUSES),
                      view_get(old_status, F_POD_STATUS_EPHEMERAL_CONTAINER_STATUSES), STR("Never"));
    check_ips(k, AT(at, "podIPs"), view_get(status, F_POD_STATUS_POD_IPS));
    check_ips(k, AT(at, "hostIPs"), view_get(status, F_POD_STATUS_HOST_IPS));
}

void pod_validate_ephemeral_update(struct check *k, struct view pod, struct view old)
{
    const struct at *at = AT(spec_at, "ephemeralContainers");
    struct view_iter before = { 0 };

    while (view_next(view_path(old, F_POD_SPEC, F_POD_SPEC_EPHEMERAL_CONTAINERS), &before)) {
        struct str name = view_str_at(before.value, F_EPHEMERAL_CONTAINER_NAME);
        const char *problem = "removed\n";
        struct view_iter it = { 0 };

        while (view_next(view_path(pod, F_POD_SPEC, F_POD_SPEC_EPHEMERAL_CONTAINERS), &it))
            if (str_eq(view_str_at(it.value, F_EPHEMERAL_CONTAINER_NAME), name))
                problem = view_equal(it.value, before.value) ? NULL : "changed\n";
        if (problem)
            check_forbidden(
                k, at,
                arena_printf(k->arena, "existing ephemeral containers \"%.*s\" may not be %s", STR_ARG(name), problem)
                    .p);
    }
}

/* The door of resize lets through resources and resize policies only (prepare sees to that); what remains is their rules. */
void pod_validate_resize(struct check *k, struct view pod, struct view old)
{
    struct view containers = view_path(pod, F_POD_SPEC, F_POD_SPEC_CONTAINERS);
    struct value *spec = value_of_view(k->arena, view_get(pod, F_POD_SPEC));
    struct value *old_spec = value_of_view(k->arena, view_get(old, F_POD_SPEC));
    struct view_iter it = { 0 };

    if (strcmp(pod_qos_class(spec), pod_qos_class(old_spec)) != 0)
        check_invalid(k, spec_at, view_path(pod, F_POD_STATUS, F_POD_STATUS_QOS_CLASS),
                      "Pod QOS Class may not change as a result of resizing");
    for (size_t i = 0; view_next(view_path(old, F_POD_SPEC, F_POD_SPEC_CONTAINERS), &it) && !check_full(k); i++) {
        static const struct {
            name_id name;
            struct str text;
            const char *removed;
        } maps[] = {
            { F_RESOURCE_REQUIREMENTS_REQUESTS, STR_INIT("requests"), "resource requests cannot be removed" },
            { F_RESOURCE_REQUIREMENTS_LIMITS, STR_INIT("limits"), "resource limits cannot be removed" },
        };

        for (size_t m = 0; m < ARRAY_SIZE(maps); m++) {
            struct view now = view_path(view_item(containers, i), F_CONTAINER_RESOURCES, maps[m].name);
            struct view_iter name = { 0 };

            while (view_next(view_path(it.value, F_CONTAINER_RESOURCES, maps[m].name), &name))
                if (!view_present(view_get_str(now, name.key))) {
                    check_forbidden(k, AT_STR(AT(AT_INDEX(AT(spec_at, "containers"), i), "resources"), maps[m].text),
                                    maps[m].removed);
                    break;
                }
        }
    }
}
