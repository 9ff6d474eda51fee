/* IngressClass: a controller that handles ingresses. Source: pkg/apis/networking/validation. */
#include "kinds/cells.h"
#include "kinds/check_format.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "object/validate.h"

#define CONTROLLER_BYTES_MAX 250

static const char *const scopes[] = { "Cluster", "Namespace", NULL };

static void default_(struct kind_context *c, struct value *class)
{
    struct value *parameters = value_path(class, F_INGRESS_CLASS_SPEC, F_INGRESS_CLASS_SPEC_PARAMETERS);

    if (value_type(parameters) == VALUE_OBJECT)
        default_text(c->arena, parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_SCOPE, "Cluster");
}

static void validate_parameters(struct check *k, const struct at *at, struct view parameters)
{
    struct view scope = view_get(parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_SCOPE);
    struct str namespace_ = view_str_at(parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_NAMESPACE);

    if (!view_present(parameters))
        return;
    if (!view_str_at(parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_KIND).n)
        check_required(k, AT(at, "kind"), "kind is required");
    if (!view_str_at(parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_NAME).n)
        check_required(k, AT(at, "name"), "name is required");
    if (view_type(scope) != VALUE_STRING) {
        check_required(k, AT(at, "scope"), "");
        return;
    }
    check_one_of(k, AT(at, "scope"), view_str(scope), scopes);
    if (str_is(view_str(scope), "Namespace") && !namespace_.n)
        check_required(k, AT(at, "namespace"), "`parameters.scope` is set to 'Namespace'");
    else if (str_is(view_str(scope), "Namespace"))
        check_dns_label(k, AT(at, "namespace"), namespace_);
    else if (str_is(view_str(scope), "Cluster") && namespace_.n)
        check_forbidden(k, AT(at, "namespace"), "`parameters.scope` is set to 'Cluster'");
}

static void validate(struct kind_context *c, struct view class, struct view old, struct error *causes)
{
    struct view controller = view_path(class, F_INGRESS_CLASS_SPEC, F_INGRESS_CLASS_SPEC_CONTROLLER);
    struct validate_messages messages = { 0 };
    const struct at *at = AT(AT_ROOT, "spec");
    struct check *k = CHECK(c, causes);

    if (view_str(controller).n > CONTROLLER_BYTES_MAX)
        check_too_long(k, AT(at, "controller"), CONTROLLER_BYTES_MAX);
    if (!view_str(controller).n)
        check_required(k, AT(at, "controller"), "");
    else if (!validate_domain_prefixed_path(view_str(controller), &messages))
        check_invalid(k, AT(at, "controller"), controller, messages.list[0]);
    validate_parameters(k, AT(at, "parameters"),
                        view_path(class, F_INGRESS_CLASS_SPEC, F_INGRESS_CLASS_SPEC_PARAMETERS));
    if (!c->create)
        check_immutable(k, AT(at, "controller"), controller,
                        view_path(old, F_INGRESS_CLASS_SPEC, F_INGRESS_CLASS_SPEC_CONTROLLER));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Controller", "string", "", "Name of the controller.", 0 },
    { "Parameters", "string", "", "Object with its settings.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void row(struct arena *a, struct view class, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(class, F_INGRESS_CLASS_SPEC),
                parameters = view_get(spec, F_INGRESS_CLASS_SPEC_PARAMETERS);
    struct str group = view_str_at(parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_API_GROUP);

    cell_name(a, cells, class);
    cell_str(a, cells, view_str_at(spec, F_INGRESS_CLASS_SPEC_CONTROLLER));
    if (view_present(parameters))
        cell_textf(a, cells, "%.*s%s%.*s/%.*s",
                   STR_ARG(view_str_at(parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_KIND)), group.n ? "." : "",
                   STR_ARG(group), STR_ARG(view_str_at(parameters, F_INGRESS_CLASS_PARAMETERS_REFERENCE_NAME)));
    else
        cell_text(a, cells, CELL_NONE);
    cell_age(a, cells, class, now_ms);
}

const struct kind kind_ingressclass = {
    .group = "networking.k8s.io",
    .version = "v1",
    .kind = "IngressClass",
    .list_kind = "IngressClassList",
    .plural = "ingressclasses",
    .singular = "ingressclass",
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_networking_v1_ingress_class,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .validate = validate,
};
