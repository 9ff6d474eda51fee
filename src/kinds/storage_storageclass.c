/* StorageClass: who makes volumes of a certain sort, and how. Source: pkg/apis/storage. */
#include "kinds/cells.h"
#include "kinds/check_format.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"

#include <ctype.h>

#define PARAMETERS_BYTES_MAX (256 * KIB)
#define PARAMETERS_MAX       512

static const char *const reclaim_policies[] = { "Delete", "Retain", NULL };
static const char *const binding_modes[] = { "Immediate", "WaitForFirstConsumer", NULL };

static void default_(struct kind_context *c, struct value *class)
{
    /* Both are pointers in Go: "" is something said. */
    if (value_unset(value_get(class, F_STORAGE_CLASS_RECLAIM_POLICY)))
        value_set_text(c->arena, class, F_STORAGE_CLASS_RECLAIM_POLICY, "Delete");
    if (value_unset(value_get(class, F_STORAGE_CLASS_VOLUME_BINDING_MODE)))
        value_set_text(c->arena, class, F_STORAGE_CLASS_VOLUME_BINDING_MODE, "Immediate");
}

/* The name of a provisioner is judged without regard to case. */
static void check_provisioner(struct check *k, struct str provisioner)
{
    char *lower = arena_strdup(k->arena, provisioner);

    if (!provisioner.n) {
        check_required(k, AT(AT_ROOT, "provisioner"), "");
        return;
    }
    for (char *p = lower; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    check_qualified_name(k, AT(AT_ROOT, "provisioner"), str_of(lower));
}

static void check_parameters(struct check *k, struct view parameters)
{
    const struct at *at = AT(AT_ROOT, "parameters");
    struct view_iter it = { 0 };
    size_t bytes = 0;

    if (view_count(parameters) > PARAMETERS_MAX) {
        check_too_long(k, AT(AT_ROOT, "Provisioner Parameters Length"), PARAMETERS_MAX);
        return;
    }
    while (view_next(parameters, &it)) {
        if (!it.key.n)
            check_invalid_str(k, at, it.key, "field can not be empty.");
        bytes += it.key.n + view_str(it.value).n;
    }
    if (bytes > PARAMETERS_BYTES_MAX)
        check_too_long(k, at, PARAMETERS_BYTES_MAX);
}

static void check_topologies(struct check *k, struct view topologies)
{
    struct view_iter it = { 0 }, term;

    for (size_t i = 0; view_next(topologies, &it) && !check_full(k); i++) {
        const struct at *at = AT(AT_INDEX(AT(AT_ROOT, "allowedTopologies"), i), "matchLabelExpressions");

        term = (struct view_iter){ 0 };
        for (size_t j = 0; view_next(view_get(it.value, F_TOPOLOGY_SELECTOR_TERM_MATCH_LABEL_EXPRESSIONS), &term);
             j++) {
            check_qualified_name(k, AT(AT_INDEX(at, j), "key"),
                                 view_str_at(term.value, F_TOPOLOGY_SELECTOR_LABEL_REQUIREMENT_KEY));
            if (!view_count(view_get(term.value, F_TOPOLOGY_SELECTOR_LABEL_REQUIREMENT_VALUES)))
                check_required(k, AT(AT_INDEX(at, j), "values"), "");
        }
    }
}

static void validate(struct kind_context *c, struct view class, struct view old, struct error *causes)
{
    struct str policy = view_str_at(class, F_STORAGE_CLASS_RECLAIM_POLICY);
    struct check *k = CHECK(c, causes);

    if (!c->create) {
        if (!view_equal(view_get(class, F_STORAGE_CLASS_PARAMETERS), view_get(old, F_STORAGE_CLASS_PARAMETERS)) &&
            view_count(view_get(class, F_STORAGE_CLASS_PARAMETERS)) +
                view_count(view_get(old, F_STORAGE_CLASS_PARAMETERS)))
            check_forbidden(k, AT(AT_ROOT, "parameters"), "updates to parameters are forbidden.");
        if (!str_eq(view_str_at(class, F_STORAGE_CLASS_PROVISIONER), view_str_at(old, F_STORAGE_CLASS_PROVISIONER)))
            check_forbidden(k, AT(AT_ROOT, "provisioner"), "updates to provisioner are forbidden.");
        if (!str_eq(view_str_at(class, F_STORAGE_CLASS_RECLAIM_POLICY),
                    view_str_at(old, F_STORAGE_CLASS_RECLAIM_POLICY)))
            check_forbidden(k, AT(AT_ROOT, "reclaimPolicy"), "updates to reclaimPolicy are forbidden.");
        check_immutable(k, AT(AT_ROOT, "volumeBindingMode"), view_get(class, F_STORAGE_CLASS_VOLUME_BINDING_MODE),
                        view_get(old, F_STORAGE_CLASS_VOLUME_BINDING_MODE));
    }
    check_provisioner(k, view_str_at(class, F_STORAGE_CLASS_PROVISIONER));
    check_parameters(k, view_get(class, F_STORAGE_CLASS_PARAMETERS));
    if (policy.n)
        check_one_of(k, AT(AT_ROOT, "reclaimPolicy"), policy, reclaim_policies);
    check_one_of_required(k, AT(AT_ROOT, "volumeBindingMode"), view_str_at(class, F_STORAGE_CLASS_VOLUME_BINDING_MODE),
                          binding_modes);
    check_topologies(k, view_get(class, F_STORAGE_CLASS_ALLOWED_TOPOLOGIES));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Provisioner", "string", "", "Who makes its volumes.", 0 },
    { "ReclaimPolicy", "string", "", "What becomes of a volume whose claim is gone.", 0 },
    { "VolumeBindingMode", "string", "", "Whether a volume is made at once, or when a pod needs it.", 0 },
    { "AllowVolumeExpansion", "string", "", "Whether volumes can grow.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void row(struct arena *a, struct view class, int64_t now_ms, struct value *cells)
{
    struct view annotations = view_path(class, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
    struct str name = view_str_at(class, F_POD_METADATA, F_OBJECT_META_NAME);
    bool is_default =
        str_is(view_str(view_get_str(annotations, STR("storageclass.kubernetes.io/is-default-class"))), "true") ||
        str_is(view_str(view_get_str(annotations, STR("storageclass.beta.kubernetes.io/is-default-class"))), "true");

    cell_textf(a, cells, "%.*s%s", STR_ARG(name), is_default ? " (default)" : "");
    cell_str(a, cells, view_str_at(class, F_STORAGE_CLASS_PROVISIONER));
    cell_or(a, cells, view_str_at(class, F_STORAGE_CLASS_RECLAIM_POLICY), "Delete");
    cell_or(a, cells, view_str_at(class, F_STORAGE_CLASS_VOLUME_BINDING_MODE), CELL_UNSET);
    cell_text(a, cells, view_bool_at(class, false, F_STORAGE_CLASS_ALLOW_VOLUME_EXPANSION) ? "true" : "false");
    cell_age(a, cells, class, now_ms);
}

const struct kind kind_storageclass = {
    .group = "storage.k8s.io",
    .version = "v1",
    .kind = "StorageClass",
    .list_kind = "StorageClassList",
    .plural = "storageclasses",
    .singular = "storageclass",
    .short_names = (const char *const[]){ "sc", NULL },
    .verbs = VERBS_ALL,
    .delete_returns_object = true,
    .schema = &schema_storage_v1_storage_class,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .validate = validate,
};
