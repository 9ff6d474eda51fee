/* pods/binding: the scheduler gives a pod to a node. Source: pkg/registry/core/pod/storage, BindingREST.assignPod. */
#include "base/time.h"
#include "kinds/fields.h"
#include "server/pods.h"

static int conflict(struct request *r, struct error *err, struct str why)
{
    fail(err, ERR_CONFLICT, "Operation cannot be fulfilled on pods/binding \"%.*s\": %.*s", STR_ARG(r->info.name),
         STR_ARG(why));
    error_set_details(err, STR_NONE, STR("pods/binding"), r->info.name);
    return -1;
}

static void set_scheduled(struct request *r, struct value *pod)
{
    struct arena *a = &r->arena;
    struct value *conditions = value_make_array(a, value_make_object(a, pod, F_POD_STATUS), F_POD_STATUS_CONDITIONS);
    struct value *condition = NULL;
    char now[TIME_TEXT_SIZE];
    for (uint32_t i = 0; i < conditions->items_count; i++)
        if (str_is(value_to_str(value_get(conditions->items[i], F_POD_CONDITION_TYPE)), "PodScheduled"))
            condition = conditions->items[i];
    if (!condition) {
        condition = value_object(a);
        value_append(a, conditions, condition);
    }
    value_set_text(a, condition, F_POD_CONDITION_TYPE, "PodScheduled");
    value_set_text(a, condition, F_POD_CONDITION_STATUS, "True");
    value_put(a, condition, F_POD_CONDITION_LAST_PROBE_TIME, value_null(a));
    value_set(a, condition, F_POD_CONDITION_LAST_TRANSITION_TIME, arena_str(a, str_of(time_format(r->wall_ms, now))));
    value_del(condition, F_POD_CONDITION_REASON);
    value_del(condition, F_POD_CONDITION_MESSAGE);
}

/* Annotations and labels of the binding go over to the pod. */
static void copy_map(struct arena *a, struct value *pod, const struct value *binding, name_id map)
{
    const struct value *from = value_path(binding, F_BINDING_METADATA, map);
    if (value_type(from) != VALUE_OBJECT || !from->members_count)
        return;
    struct value *to = value_make_object(a, value_make_object(a, pod, F_POD_METADATA), map);
    for (uint32_t i = 0; i < from->members_count; i++)
        value_put_str(a, to, from->members[i].name, from->members[i].value);
}

/* The place a pod got is in its labels, so that the downward API can tell it. Source: KEP-4742, PodTopologyLabels admission. */
static void copy_topology(struct request *r, struct value *pod, struct str node_name)
{
    static const struct str keys[] = { STR_INIT("topology.kubernetes.io/zone"),
                                       STR_INIT("topology.kubernetes.io/region") };
    const struct object *node = state_get(server_state(r->server), &kind_node, STR_NONE, node_name);
    struct view from = view_path(object_root(node), F_NODE_METADATA, F_OBJECT_META_LABELS);
    struct arena *a = &r->arena;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        struct str value = view_str(view_get_str(from, keys[i]));
        if (str_empty(value))
            continue;
        struct value *labels = value_make_object(a, value_make_object(a, pod, F_POD_METADATA), F_OBJECT_META_LABELS);
        value_put_str(a, labels, keys[i], value_str(a, arena_str(a, value)));
    }
}

static int assign(struct request *r, struct value *pod, struct view old, struct error *err)
{
    struct value *spec = value_make_object(&r->arena, pod, F_POD_SPEC);
    struct str node = value_to_str(value_path(r->tree, F_BINDING_TARGET, F_OBJECT_REFERENCE_NAME));
    struct str uid = value_to_str(value_path(r->tree, F_BINDING_METADATA, F_OBJECT_META_UID));
    struct str now = view_str_at(old, F_POD_SPEC, F_POD_SPEC_NODE_NAME);
    struct arena *a = &r->arena;
    if (!str_empty(uid) && !str_eq(uid, object_uid(old.o)))
        return conflict(r, err,
                        arena_printf(a, "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                                     STR_ARG(uid), STR_ARG(object_uid(old.o))));
    if (view_present(view_path(old, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)))
        return conflict(
            r, err, arena_printf(a, "pod %.*s is being deleted, cannot be assigned to a host", STR_ARG(r->info.name)));
    if (!str_empty(now))
        return conflict(
            r, err,
            arena_printf(a, "pod %.*s is already assigned to node \"%.*s\"", STR_ARG(r->info.name), STR_ARG(now)));
    if (view_count(view_path(old, F_POD_SPEC, F_POD_SPEC_SCHEDULING_GATES)))
        return conflict(r, err, arena_printf(a, "pod %.*s has non-empty .spec.schedulingGates", STR_ARG(r->info.name)));
    value_set(a, spec, F_POD_SPEC_NODE_NAME, node);
    copy_map(a, pod, r->tree, F_OBJECT_META_ANNOTATIONS);
    copy_map(a, pod, r->tree, F_OBJECT_META_LABELS);
    copy_topology(r, pod, node);
    set_scheduled(r, pod);
    return 0;
}

static enum phase_result invalid(struct request *r, const char *reason, struct str field, struct str why)
{
    fail(&r->err, ERR_INVALID, "Binding \"%.*s\" is invalid: %.*s: %.*s", STR_ARG(r->info.name), STR_ARG(field),
         STR_ARG(why));
    error_add_cause(&r->err, reason, field, "%.*s", STR_ARG(why));
    error_set_details(&r->err, STR_NONE, STR("Binding"), r->info.name);
    return PHASE_FAILED;
}

enum phase_result pods_binding(struct request *r)
{
    struct str name = value_to_str(value_path(r->tree, F_BINDING_METADATA, F_OBJECT_META_NAME));
    struct str kind = value_to_str(value_path(r->tree, F_BINDING_TARGET, F_OBJECT_REFERENCE_KIND));
    struct str node = value_to_str(value_path(r->tree, F_BINDING_TARGET, F_OBJECT_REFERENCE_NAME));
    if (!str_empty(name) && !str_eq(name, r->info.name))
        return request_fail(r, ERR_BAD_REQUEST, "name in URL does not match name in Binding object");
    if (!str_empty(kind) && !str_is(kind, "Node"))
        return invalid(r, "FieldValueNotSupported", STR("target.kind"),
                       arena_printf(&r->arena, "Unsupported value: \"%.*s\": supported values: \"Node\", \"<empty>\"",
                                    STR_ARG(kind)));
    if (str_empty(node))
        return invalid(r, "FieldValueRequired", STR("target.name"), STR("Required value"));
    r->status = 201;
    r->result_is_status = true;
    return request_change(r, &kind_pod, r->info.namespace_, r->info.name, assign);
}
