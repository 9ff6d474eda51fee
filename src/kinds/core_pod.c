/* Pod: containers that run together on one node. Its rules are in the files that kinds/pod.h lists. */
#include "kinds/pod.h"

#include "kinds/schemas.h"

static struct str label_node(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_POD_SPEC, F_POD_SPEC_NODE_NAME);
}

static struct str label_restart_policy(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_POD_SPEC, F_POD_SPEC_RESTART_POLICY);
}

static struct str label_scheduler(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_POD_SPEC, F_POD_SPEC_SCHEDULER_NAME);
}

static struct str label_service_account(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_POD_SPEC, F_POD_SPEC_SERVICE_ACCOUNT_NAME);
}

static struct str label_host_network(struct view o, struct arena *a)
{
    (void)a;
    return view_bool_at(o, false, F_POD_SPEC, F_POD_SPEC_HOST_NETWORK) ? STR("true") : STR("false");
}

static struct str label_phase(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_POD_STATUS, F_POD_STATUS_PHASE);
}

static struct str label_ip(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(view_item(view_path(o, F_POD_STATUS, F_POD_STATUS_POD_IPS), 0), F_POD_IP_IP);
}

static struct str label_nominated(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_POD_STATUS, F_POD_STATUS_NOMINATED_NODE_NAME);
}

static const struct kind_field_label field_labels[] = {
    { "spec.nodeName", label_node },
    { "spec.restartPolicy", label_restart_policy },
    { "spec.schedulerName", label_scheduler },
    { "spec.serviceAccountName", label_service_account },
    { "spec.hostNetwork", label_host_network },
    { "status.phase", label_phase },
    { "status.podIP", label_ip },
    { "status.nominatedNodeName", label_nominated },
    { NULL },
};

static const struct kind_subresource subresources[] = {
    { "attach", VERB_CREATE | VERB_GET, NULL, NULL, "PodAttachOptions" },
    { "binding", VERB_CREATE, NULL, NULL, "Binding" },
    { "ephemeralcontainers", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { "eviction", VERB_CREATE, "policy", "v1", "Eviction" },
    { "exec", VERB_CREATE | VERB_GET, NULL, NULL, "PodExecOptions" },
    { "log", VERB_GET },
    { "portforward", VERB_CREATE | VERB_GET, NULL, NULL, "PodPortForwardOptions" },
    { "proxy", VERB_CREATE | VERB_DELETE | VERB_GET | VERB_PATCH | VERB_UPDATE, NULL, NULL, "PodProxyOptions" },
    { "resize", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

static void prepare_create(struct kind_context *c, struct value *pod)
{
    struct value *spec = value_get(pod, F_POD_SPEC), *status = value_object(c->arena), *conditions, *condition;

    value_set_text(c->arena, status, F_POD_STATUS_PHASE, "Pending");
    value_set_text(c->arena, status, F_POD_STATUS_QOS_CLASS, pod_qos_class(spec));
    value_put(c->arena, pod, F_POD_STATUS, status);
    if (value_empty(value_get(spec, F_POD_SPEC_SCHEDULING_GATES)))
        return;
    conditions = value_make_array(c->arena, status, F_POD_STATUS_CONDITIONS);
    condition = value_object(c->arena);
    value_set_text(c->arena, condition, F_POD_CONDITION_TYPE, "PodScheduled");
    value_set_text(c->arena, condition, F_POD_CONDITION_STATUS, "False");
    value_set_text(c->arena, condition, F_POD_CONDITION_REASON, "SchedulingGated");
    value_set_text(c->arena, condition, F_POD_CONDITION_MESSAGE,
                   "Scheduling is blocked due to non-empty scheduling gates");
    value_append(c->arena, conditions, condition);
}

/* Only what a door lets through is taken from the new object, all else from the old one. */
static void take_only(struct kind_context *c, struct value *pod, struct view old, name_id member)
{
    struct value *spec = value_of_view(c->arena, view_get(old, F_POD_SPEC));

    value_put(c->arena, spec, member, value_path(pod, F_POD_SPEC, member));
    value_put(c->arena, pod, F_POD_SPEC, spec);
    strategy_keep(c, pod, old, F_POD_METADATA);
    strategy_keep(c, pod, old, F_POD_STATUS);
}

static void take_resources(struct kind_context *c, struct value *pod, struct view old)
{
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS };
    struct value *spec = value_of_view(c->arena, view_get(old, F_POD_SPEC)), *to;

    for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
        for (size_t i = 0; (to = value_at(value_get(spec, lists[l]), i)); i++) {
            struct value *from = value_at(value_get(value_get(pod, F_POD_SPEC), lists[l]), i);

            if (!from)
                continue;
            value_put(c->arena, to, F_CONTAINER_RESOURCES, value_get(from, F_CONTAINER_RESOURCES));
            value_put(c->arena, to, F_CONTAINER_RESIZE_POLICY, value_get(from, F_CONTAINER_RESIZE_POLICY));
        }
    value_put(c->arena, pod, F_POD_SPEC, spec);
    strategy_keep(c, pod, old, F_POD_METADATA);
    strategy_keep(c, pod, old, F_POD_STATUS);
}

static void prepare(struct kind_context *c, struct value *pod, struct view old)
{
    if (c->create)
        prepare_create(c, pod);
    else if (context_is(c, ""))
        strategy_keep(c, pod, old, F_POD_STATUS);
    else if (context_is(c, "status"))
        strategy_keep(c, pod, old, F_POD_SPEC);
    else if (context_is(c, "ephemeralcontainers"))
        take_only(c, pod, old, F_POD_SPEC_EPHEMERAL_CONTAINERS);
    else if (context_is(c, "resize"))
        take_resources(c, pod, old);
}

static void validate_create(struct check *k, struct view pod)
{
    struct view spec = view_get(pod, F_POD_SPEC);
    const struct at *at = AT(AT_ROOT, "spec");

    if (view_count(view_get(spec, F_POD_SPEC_EPHEMERAL_CONTAINERS)))
        check_forbidden(k, AT(at, "ephemeralContainers"), "cannot be set on create");
    if (view_str_at(spec, F_POD_SPEC_NODE_NAME).n && view_count(view_get(spec, F_POD_SPEC_SCHEDULING_GATES)))
        check_forbidden(k, AT(at, "nodeName"), "cannot be set until all schedulingGates have been cleared");
}

static void validate(struct kind_context *c, struct view pod, struct view old, struct error *causes)
{
    struct view metadata = view_get(pod, F_POD_METADATA), spec = view_get(pod, F_POD_SPEC);
    struct check *k = CHECK(c, causes);

    if (context_is(c, "status")) {
        pod_validate_status_update(k, pod, old);
        return;
    }
    pod_check_annotations(k, AT(AT(AT_ROOT, "metadata"), "annotations"), view_get(metadata, F_OBJECT_META_ANNOTATIONS),
                          spec);
    pod_spec_validate(k, AT(AT_ROOT, "spec"), spec, metadata, true);
    if (c->create)
        validate_create(k, pod);
    else if (context_is(c, ""))
        pod_validate_update(k, pod, old);
    else if (context_is(c, "ephemeralcontainers"))
        pod_validate_ephemeral_update(k, pod, old);
    else if (context_is(c, "resize"))
        pod_validate_resize(k, pod, old);
}

/* None when no agent has it or when it has ended. Source: core/pod/strategy.go CheckGracefulDelete. */
static int64_t delete_grace(struct view pod, int64_t asked_s)
{
    struct str phase = view_str_at(pod, F_POD_STATUS, F_POD_STATUS_PHASE);

    if (str_empty(view_str_at(pod, F_POD_SPEC, F_POD_SPEC_NODE_NAME)) || str_is(phase, "Failed") ||
        str_is(phase, "Succeeded"))
        return 0;
    if (asked_s == -1)
        asked_s = view_int_at(pod, 30, F_POD_SPEC, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS);
    return asked_s < 0 ? 1 : asked_s;
}

const struct kind kind_pod = {
    .group = "",
    .version = "v1",
    .kind = "Pod",
    .list_kind = "PodList",
    .plural = "pods",
    .singular = "pod",
    .short_names = (const char *const[]){ "po", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_core_v1_pod,
    .subresources = subresources,
    .columns = pod_columns,
    .row = pod_row,
    .field_labels = field_labels,
    .default_ = pod_default,
    .prepare = prepare,
    .validate = validate,
    .delete_returns_object = true,
    .delete_grace = delete_grace,
};
