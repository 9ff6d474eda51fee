/* Node: a machine that runs pods. Source: pkg/registry/core/node/strategy.go, pkg/apis/core/validation. */
#include "base/map.h"
#include "kinds/cells.h"
#include "kinds/pod.h"
#include "kinds/schemas.h"

#include <stdlib.h>

#define ROLES_MAX 64

/* podCIDR is the old name of the first of podCIDRs; both always say the same. */
static void default_(struct kind_context *c, struct value *node)
{
    struct value *spec = value_get(node, F_NODE_SPEC), *status = value_get(node, F_NODE_STATUS);
    struct str first = value_to_str(value_at(value_get(spec, F_NODE_SPEC_POD_CIDRS), 0));
    struct str cidr = value_to_str(value_get(spec, F_NODE_SPEC_POD_CIDR));

    if (!first.n && cidr.n)
        value_append(c->arena, value_make_array(c->arena, spec, F_NODE_SPEC_POD_CIDRS), value_str(c->arena, cidr));
    else if (first.n && !str_eq(first, cidr))
        value_set(c->arena, spec, F_NODE_SPEC_POD_CIDR, first);
    if (value_unset(value_get(status, F_NODE_STATUS_ALLOCATABLE)) &&
        !value_empty(value_get(status, F_NODE_STATUS_CAPACITY)))
        value_put(c->arena, status, F_NODE_STATUS_ALLOCATABLE,
                  value_copy(c->arena, value_get(status, F_NODE_STATUS_CAPACITY)));
}

/* A node brings its status along when it registers itself. */
static void prepare(struct kind_context *c, struct value *node, struct view old)
{
    if (!c->create)
        strategy_spec_and_status(c, node, old);
}

static void validate_taints(struct check *k, struct view taints)
{
    const struct at *at = AT(AT(AT_ROOT, "metadata"), "taints"); /* upstream's path, off by one level */
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(taints, &it) && !check_full(k); i++) {
        struct str key = view_str_at(it.value, F_TAINT_KEY), effect = view_str_at(it.value, F_TAINT_EFFECT);

        check_qualified_name(k, AT(AT_INDEX(at, i), "key"), key);
        check_label_value(k, AT(AT_INDEX(at, i), "value"), view_str_at(it.value, F_TAINT_VALUE));
        check_taint_effect(k, AT(AT_INDEX(at, i), "effect"), effect, false);
        if (seen_before(&seen, arena_printf(k->arena, "%.*s:%.*s", STR_ARG(key), STR_ARG(effect))))
            check_duplicate(k, AT_INDEX(at, i), it.value);
    }
}

static void validate_resources(struct check *k, struct view status, name_id name, struct str text)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(status, name), &it) && !check_full(k))
        check_resource_quantity(k, AT_STR(AT_STR(AT(AT_ROOT, "status"), text), it.key), it.key, it.value);
}

static void validate_cidrs(struct check *k, struct view spec, struct view old)
{
    struct view cidrs = view_get(spec, F_NODE_SPEC_POD_CIDRS), old_cidrs = view_get(old, F_NODE_SPEC_POD_CIDRS);
    const struct at *at = AT(AT(AT_ROOT, "spec"), "podCIDRs");
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };
    size_t v6 = 0;

    for (size_t i = 0; view_next(cidrs, &it) && !check_full(k); i++) {
        check_cidr(k, AT_INDEX(at, i), view_str(it.value));
        v6 += str_is_ipv6(view_str(it.value));
        if (seen_before(&seen, view_str(it.value)))
            check_duplicate(k, AT_INDEX(at, i), it.value);
    }
    if (view_count(cidrs) > 1 && (view_count(cidrs) > 2 || v6 != 1))
        check_invalid(k, at, cidrs, "may specify no more than one CIDR for each IP family");
    if (view_count(old_cidrs) && !view_equal(cidrs, old_cidrs))
        check_forbidden(k, at, "node updates may not change podCIDR except from \"\" to valid");
}

static void validate_addresses(struct check *k, struct view addresses)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(addresses, &it) && !check_full(k); i++)
        if (seen_before(&seen, view_json(it.value)))
            check_duplicate(k, AT_INDEX(AT(AT(AT_ROOT, "status"), "addresses"), i), it.value);
}

static void validate(struct kind_context *c, struct view node, struct view old, struct error *causes)
{
    struct view spec = view_get(node, F_NODE_SPEC), status = view_get(node, F_NODE_STATUS);
    struct view old_spec = view_get(old, F_NODE_SPEC);
    struct str provider = view_str_at(old_spec, F_NODE_SPEC_PROVIDER_ID);
    struct check *k = CHECK(c, causes);

    validate_taints(k, view_get(spec, F_NODE_SPEC_TAINTS));
    validate_resources(k, status, F_NODE_STATUS_CAPACITY, STR("capacity"));
    validate_resources(k, status, F_NODE_STATUS_ALLOCATABLE, STR("allocatable"));
    validate_cidrs(k, spec, old_spec);
    if (c->create)
        return;
    validate_addresses(k, view_get(status, F_NODE_STATUS_ADDRESSES));
    if (provider.n && !str_eq(provider, view_str_at(spec, F_NODE_SPEC_PROVIDER_ID)))
        check_forbidden(k, AT(AT(AT_ROOT, "spec"), "providerID"),
                        "node updates may not change providerID except from \"\" to valid");
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Status", "string", "", "Whether it is ready, and whether pods may be scheduled on it.", 0 },
    { "Roles", "string", "", "Its roles, from labels node-role.kubernetes.io/ROLE.", 0 },
    COLUMN_AGE,
    { "Version", "string", "", "Version of its agent.", 0 },
    { "Internal-IP", "string", "", "Its address inside the cluster.", 1 },
    { "External-IP", "string", "", "Its address outside the cluster.", 1 },
    { "OS-Image", "string", "", "Its operating system.", 1 },
    { "Kernel-Version", "string", "", "Its kernel.", 1 },
    { "Container-Runtime", "string", "", "What runs its containers.", 1 },
    { NULL },
};

static struct str status_text(struct arena *a, struct view node)
{
    struct view_iter it = { 0 };
    const char *text = "Unknown";

    while (view_next(view_path(node, F_NODE_STATUS, F_NODE_STATUS_CONDITIONS), &it))
        if (str_is(view_str_at(it.value, F_NODE_CONDITION_TYPE), "Ready"))
            text = str_is(view_str_at(it.value, F_NODE_CONDITION_STATUS), "True") ? "Ready" : "NotReady";
    return arena_printf(a, "%s%s", text,
                        view_bool_at(node, false, F_NODE_SPEC, F_NODE_SPEC_UNSCHEDULABLE) ? ",SchedulingDisabled" : "");
}

static int compare_texts(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static struct str roles_text(struct arena *a, struct view node)
{
    struct str prefix = STR("node-role.kubernetes.io/"), roles[ROLES_MAX];
    AUTO_BUF struct buf text = BUF_MAX(16 * KIB);
    struct view_iter it = { 0 };
    size_t count = 0;

    while (count < ROLES_MAX && view_next(view_path(node, F_NODE_METADATA, F_OBJECT_META_LABELS), &it)) {
        if (str_starts(it.key, prefix) && it.key.n > prefix.n)
            roles[count++] = str_from(it.key, prefix.n);
        else if (str_is(it.key, "kubernetes.io/role") && view_str(it.value).n)
            roles[count++] = view_str(it.value);
    }
    qsort(roles, count, sizeof(roles[0]), compare_texts);
    for (size_t i = 0; i < count; i++) {
        if (i && str_eq(roles[i], roles[i - 1]))
            continue;
        buf_add_text(&text, text.n ? "," : "");
        buf_add(&text, roles[i]);
    }
    return text.n ? arena_str(a, buf_str(&text)) : STR(CELL_NONE);
}

static struct str address_text(struct view node, const char *type)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(node, F_NODE_STATUS, F_NODE_STATUS_ADDRESSES), &it))
        if (str_is(view_str_at(it.value, F_NODE_ADDRESS_TYPE), type))
            return view_str_at(it.value, F_NODE_ADDRESS_ADDRESS);
    return STR(CELL_NONE);
}

static void row(struct arena *a, struct view node, int64_t now_ms, struct value *cells)
{
    struct view info = view_path(node, F_NODE_STATUS, F_NODE_STATUS_NODE_INFO);

    cell_name(a, cells, node);
    cell_str(a, cells, status_text(a, node));
    cell_str(a, cells, roles_text(a, node));
    cell_age(a, cells, node, now_ms);
    cell_str(a, cells, view_str_at(info, F_NODE_SYSTEM_INFO_KUBELET_VERSION));
    cell_str(a, cells, address_text(node, "InternalIP"));
    cell_str(a, cells, address_text(node, "ExternalIP"));
    cell_or(a, cells, view_str_at(info, F_NODE_SYSTEM_INFO_OS_IMAGE), CELL_UNKNOWN);
    cell_or(a, cells, view_str_at(info, F_NODE_SYSTEM_INFO_KERNEL_VERSION), CELL_UNKNOWN);
    cell_or(a, cells, view_str_at(info, F_NODE_SYSTEM_INFO_CONTAINER_RUNTIME_VERSION), CELL_UNKNOWN);
}

static struct str label_unschedulable(struct view o, struct arena *a)
{
    (void)a;
    return view_bool_at(o, false, F_NODE_SPEC, F_NODE_SPEC_UNSCHEDULABLE) ? STR("true") : STR("false");
}

static const struct kind_field_label field_labels[] = {
    { "spec.unschedulable", label_unschedulable },
    { NULL },
};

static const struct kind_subresource subresources[] = {
    { "proxy", VERB_CREATE | VERB_DELETE | VERB_GET | VERB_PATCH | VERB_UPDATE, NULL, NULL, "NodeProxyOptions" },
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_node = {
    .group = "",
    .version = "v1",
    .kind = "Node",
    .list_kind = "NodeList",
    .plural = "nodes",
    .singular = "node",
    .short_names = (const char *const[]){ "no", NULL },
    .verbs = VERBS_ALL,
    .schema = &schema_core_v1_node,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .field_labels = field_labels,
    .default_ = default_,
    .prepare = prepare,
    .validate = validate,
};
