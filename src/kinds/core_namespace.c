/*
 * Namespace: a scope for names, and what the exemplar of a kind looks like. Everything that is special about it is in this file, in the
 * order in which it happens: defaults, what a door lets through (prepare), rules (validate), the row of `kubectl get`,
 * the declaration. Source: pkg/registry/core/namespace/strategy.go, pkg/apis/core/validation.
 */
#include "kinds/cells.h"
#include "kinds/check_format.h"
#include "kinds/meta.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"

#define FINALIZER  "kubernetes"
#define LABEL_NAME "kubernetes.io/metadata.name"

/* Every namespace carries its name as a label, so that selectors can name one. A generated name is known only in prepare. */
static void default_(struct kind_context *c, struct value *namespace_)
{
    struct value *metadata = value_get(namespace_, F_NAMESPACE_METADATA);
    struct str name = value_to_str(value_get(metadata, F_OBJECT_META_NAME));

    if (name.n)
        value_put_str(c->arena, value_make_object(c->arena, metadata, F_OBJECT_META_LABELS), STR(LABEL_NAME),
                      value_str(c->arena, name));
}

static bool has_finalizer(const struct value *finalizers)
{
    const struct value *item;

    for (size_t i = 0; (item = value_at(finalizers, i)); i++)
        if (str_is(value_to_str(item), FINALIZER))
            return true;
    return false;
}

static void prepare_create(struct kind_context *c, struct value *namespace_)
{
    struct value *spec = value_make_object(c->arena, namespace_, F_NAMESPACE_SPEC);
    struct value *finalizers = value_make_array(c->arena, spec, F_NAMESPACE_SPEC_FINALIZERS);
    struct value *status = value_object(c->arena);

    default_(c, namespace_);
    if (!has_finalizer(finalizers))
        value_append(c->arena, finalizers, value_text(c->arena, FINALIZER));
    value_set_text(c->arena, status, F_NAMESPACE_STATUS_PHASE, "Active");
    value_put(c->arena, namespace_, F_NAMESPACE_STATUS, status);
}

/* Its contents are removed before its last finalizer goes, through the door "finalize" alone. */
static void prepare(struct kind_context *c, struct value *namespace_, struct view old)
{
    if (c->create) {
        prepare_create(c, namespace_);
        return;
    }
    if (!context_is(c, "finalize"))
        strategy_keep(c, namespace_, old, F_NAMESPACE_SPEC);
    if (!context_is(c, "status"))
        strategy_keep(c, namespace_, old, F_NAMESPACE_STATUS);
}

static void validate_phase(struct check *k, struct view namespace_)
{
    struct view phase = view_path(namespace_, F_NAMESPACE_STATUS, F_NAMESPACE_STATUS_PHASE);
    bool deleting = view_str_at(namespace_, F_NAMESPACE_METADATA, F_OBJECT_META_DELETION_TIMESTAMP).n > 0;
    const struct at *at = AT(AT(AT_ROOT, "status"), "Phase");

    if (!deleting && !str_is(view_str(phase), "Active"))
        check_invalid(k, at, phase, "may only be 'Active' if `deletionTimestamp` is empty");
    if (deleting && !str_is(view_str(phase), "Terminating"))
        check_invalid(k, at, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
}

static void validate(struct kind_context *c, struct view namespace_, struct view old, struct error *causes)
{
    const struct at *at = AT(AT(AT_ROOT, "spec"), "finalizers");
    struct check *k = CHECK(c, causes);
    struct view_iter it = { 0 };

    (void)old;
    if (context_is(c, "status")) {
        validate_phase(k, namespace_);
        return;
    }
    while (view_next(view_path(namespace_, F_NAMESPACE_SPEC, F_NAMESPACE_SPEC_FINALIZERS), &it) && !check_full(k))
        meta_check_finalizer(k, at, view_str(it.value));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Status", "string", "", "Active, or Terminating while its contents are being removed.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void row(struct arena *a, struct view namespace_, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, namespace_);
    cell_str(a, cells, view_str_at(namespace_, F_NAMESPACE_STATUS, F_NAMESPACE_STATUS_PHASE));
    cell_age(a, cells, namespace_, now_ms);
}

static struct str label_phase(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_NAMESPACE_STATUS, F_NAMESPACE_STATUS_PHASE);
}

static const struct kind_field_label field_labels[] = {
    { "status.phase", label_phase },
    { NULL },
};

static const struct kind_subresource subresources[] = {
    { "finalize", VERB_UPDATE },
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

static bool delete_held(struct view namespace_)
{
    return view_count(view_path(namespace_, F_NAMESPACE_SPEC, F_NAMESPACE_SPEC_FINALIZERS)) > 0;
}

static void delete_begin(struct arena *a, struct value *namespace_)
{
    value_set_text(a, value_make_object(a, namespace_, F_NAMESPACE_STATUS), F_NAMESPACE_STATUS_PHASE, "Terminating");
}

const struct kind kind_namespace = {
    .group = "",
    .version = "v1",
    .kind = "Namespace",
    .list_kind = "NamespaceList",
    .plural = "namespaces",
    .singular = "namespace",
    .short_names = (const char *const[]){ "ns", NULL },
    .verbs = VERBS_ALL & ~VERB_DELETECOLLECTION,
    .schema = &schema_core_v1_namespace,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .field_labels = field_labels,
    .default_ = default_,
    .prepare = prepare,
    .validate = validate,
    .name_check = name_is_dns_label,
    .delete_held = delete_held,
    .delete_begin = delete_begin,
};
