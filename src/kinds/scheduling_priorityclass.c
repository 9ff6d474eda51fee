/* PriorityClass: which pods go first. Source: pkg/apis/scheduling/validation. */
#include "kinds/cells.h"
#include "kinds/check.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"

#define USER_PRIORITY_MAX 1000000000

static const char *const preemption_policies[] = { "PreemptLowerPriority", "Never", NULL };

/* The only classes whose names may start with "system-", with exactly these values. */
static const struct {
    const char *name;
    int64_t value;
} system_classes[] = {
    { "system-node-critical", 2000001000 },
    { "system-cluster-critical", 2000000000 },
};

static void default_(struct kind_context *c, struct value *class)
{
    default_text(c->arena, class, F_PRIORITY_CLASS_PREEMPTION_POLICY, "PreemptLowerPriority");
}

static bool is_system_class(struct str name, int64_t value, bool global_default)
{
    for (size_t i = 0; i < ARRAY_SIZE(system_classes); i++)
        if (str_is(name, system_classes[i].name))
            return value == system_classes[i].value && !global_default;
    return false;
}

static void validate(struct kind_context *c, struct view class, struct view old, struct error *causes)
{
    struct str name = view_str_at(class, F_PRIORITY_CLASS_METADATA, F_OBJECT_META_NAME);
    struct view policy = view_get(class, F_PRIORITY_CLASS_PREEMPTION_POLICY);
    int64_t value = view_int_at(class, 0, F_PRIORITY_CLASS_VALUE);
    struct check *k = CHECK(c, causes);

    if (!c->create) {
        if (value != view_int_at(old, 0, F_PRIORITY_CLASS_VALUE))
            check_forbidden(k, AT(AT_ROOT, "value"), "may not be changed in an update.");
        check_immutable(k, AT(AT_ROOT, "preemptionPolicy"), policy, view_get(old, F_PRIORITY_CLASS_PREEMPTION_POLICY));
        return;
    }
    if (str_starts(name, STR("system-"))) {
        if (!is_system_class(name, value, view_bool_at(class, false, F_PRIORITY_CLASS_GLOBAL_DEFAULT)))
            check_forbidden(k, AT(AT(AT_ROOT, "metadata"), "name"),
                            arena_printf(k->arena,
                                         "priority class names with 'system-' prefix are reserved for system use only. "
                                         "error: %.*s is not a known system priority class",
                                         STR_ARG(name))
                                .p);
    } else if (value > USER_PRIORITY_MAX) {
        check_forbidden(k, AT(AT_ROOT, "value"), "maximum allowed value of a user defined priority is 1000000000");
    }
    if (view_present(policy))
        check_one_of_required(k, AT(AT_ROOT, "preemptionPolicy"), view_str(policy), preemption_policies);
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Value", "integer", "", "The priority; higher goes first.", 0 },
    { "Global-Default", "boolean", "", "Whether pods without a class get this one.", 0 },
    COLUMN_AGE,
    { "PreemptionPolicy", "string", "", "Whether its pods take the place of others.", 0 },
    { NULL },
};

static void row(struct arena *a, struct view class, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, class);
    cell_int(a, cells, view_int_at(class, 0, F_PRIORITY_CLASS_VALUE));
    value_append(a, cells, value_bool(a, view_bool_at(class, false, F_PRIORITY_CLASS_GLOBAL_DEFAULT)));
    cell_age(a, cells, class, now_ms);
    cell_str(a, cells, view_str_at(class, F_PRIORITY_CLASS_PREEMPTION_POLICY));
}

const struct kind kind_priorityclass = {
    .group = "scheduling.k8s.io",
    .version = "v1",
    .kind = "PriorityClass",
    .list_kind = "PriorityClassList",
    .plural = "priorityclasses",
    .singular = "priorityclass",
    .short_names = (const char *const[]){ "pc", NULL },
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_scheduling_v1_priority_class,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .validate = validate,
};
