/* The number behind a pod's priority class. Source: plugin/pkg/admission/priority. */
#include "kinds/fields.h"
#include "server/admission.h"

static bool applies(const struct request *r)
{
    return admission_is_create(r, &kind_pod) || admission_is_update(r, &kind_pod) ||
           admission_is_create(r, &kind_priorityclass) || admission_is_update(r, &kind_priorityclass);
}

struct search {
    const struct object *found;
    struct str except;
};

static bool find_default(void *arg, const struct object *class)
{
    struct search *s = arg;
    if (!view_bool_at(object_root(class), false, F_PRIORITY_CLASS_GLOBAL_DEFAULT) ||
        str_eq(object_name(class), s->except))
        return true;
    /* Of two defaults, which a race can leave, the lower value counts. */
    if (!s->found || view_int_at(object_root(class), 0, F_PRIORITY_CLASS_VALUE) <
                         view_int_at(object_root(s->found), 0, F_PRIORITY_CLASS_VALUE))
        s->found = class;
    return true;
}

static const struct object *default_class(struct request *r, struct str except)
{
    struct search s = { .except = except };
    state_each(server_state(r->server), &kind_priorityclass, STR_NONE, find_default, &s);
    return s.found;
}

/* An update that does not mention what was computed keeps it. */
static void keep(struct request *r, struct value *spec)
{
    struct view old = view_get(object_root(r->old), F_POD_SPEC);
    static const name_id fields[] = { F_POD_SPEC_PRIORITY, F_POD_SPEC_PREEMPTION_POLICY };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (!value_get(spec, fields[i]) && view_present(view_get(old, fields[i])))
            value_put(&r->arena, spec, fields[i], value_of_view(&r->arena, view_get(old, fields[i])));
}

static enum phase_result mutate(struct request *r, struct value *tree)
{
    struct arena *a = &r->arena;
    struct value *spec = value_make_object(a, tree, F_POD_SPEC);
    struct str name = value_to_str(value_get(spec, F_POD_SPEC_PRIORITY_CLASS_NAME));
    if (r->kind != &kind_pod)
        return PHASE_DONE;
    if (!r->creating) {
        keep(r, spec);
        return PHASE_DONE;
    }
    const struct object *class = str_empty(name)
                                     ? default_class(r, STR_NONE)
                                     : state_get(server_state(r->server), &kind_priorityclass, STR_NONE, name);
    if (!class && !str_empty(name))
        return admission_forbid(r, "no PriorityClass with name %.*s was found", STR_ARG(name));
    int64_t priority = view_int_at(object_root(class), 0, F_PRIORITY_CLASS_VALUE);
    struct str preemption = view_str_at(object_root(class), F_PRIORITY_CLASS_PREEMPTION_POLICY);
    const struct value *given = value_get(spec, F_POD_SPEC_PRIORITY);
    const struct value *given_preemption = value_get(spec, F_POD_SPEC_PREEMPTION_POLICY);
    if (str_empty(preemption))
        preemption = STR("PreemptLowerPriority");
    if (given && value_to_int(given, 0) != priority)
        return admission_forbid(
            r,
            "the integer value of priority (%lld) must not be provided in pod spec; priority admission controller "
            "computed %lld from the given PriorityClass name",
            (long long)value_to_int(given, 0), (long long)priority);
    if (given_preemption && !str_eq(value_to_str(given_preemption), preemption))
        return admission_forbid(
            r,
            "the string value of PreemptionPolicy (%.*s) must not be provided in pod spec; priority admission "
            "controller computed %.*s from the given PriorityClass name",
            STR_ARG(value_to_str(given_preemption)), STR_ARG(preemption));
    if (class && str_empty(name))
        value_set(a, spec, F_POD_SPEC_PRIORITY_CLASS_NAME, arena_str(a, object_name(class)));
    value_set_int(a, spec, F_POD_SPEC_PRIORITY, priority);
    value_set(a, spec, F_POD_SPEC_PREEMPTION_POLICY, arena_str(a, preemption));
    return PHASE_DONE;
}

static enum phase_result validate(struct request *r, struct view object, UNUSED struct view old)
{
    if (r->kind != &kind_priorityclass || !view_bool_at(object, false, F_PRIORITY_CLASS_GLOBAL_DEFAULT))
        return PHASE_DONE;
    const struct object *other = default_class(r, object_name(object.o));
    if (!other)
        return PHASE_DONE;
    return admission_forbid(r, "PriorityClass %.*s is already marked as default. Only one default can exist",
                            STR_ARG(object_name(other)));
}

const struct admission_step admission_priority = {
    .name = "Priority",
    .applies = applies,
    .mutate = mutate,
    .validate = validate,
};
