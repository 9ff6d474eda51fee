/*
 * Nothing is made in a namespace that is absent or ends, and the namespaces every cluster needs cannot be deleted.
 * Source: apiserver/pkg/admission/plugin/namespace/lifecycle.
 */
#include "kinds/fields.h"
#include "server/admission.h"

static bool is_immortal(struct str name)
{
    return str_is(name, "default") || str_is(name, "kube-system") || str_is(name, "kube-public");
}

static bool applies(const struct request *r)
{
    if (!r->kind)
        return false;
    return r->kind == &kind_namespace ? admission_is_delete(r) : r->kind->namespaced && !r->system;
}

static enum phase_result mutate(struct request *r, UNUSED struct value *tree)
{
    struct str namespace_ = r->info.namespace_;
    if (r->kind == &kind_namespace || str_is(r->info.resource, "localsubjectaccessreviews"))
        return PHASE_DONE;
    const struct object *home = state_get(server_state(r->server), &kind_namespace, STR_NONE, namespace_);
    if (!home) {
        fail(&r->err, ERR_NOT_FOUND, "namespaces \"%.*s\" not found", STR_ARG(namespace_));
        error_set_details(&r->err, STR_NONE, STR("namespaces"), namespace_);
        return PHASE_FAILED;
    }
    struct view root = object_root(home);
    bool ends = view_present(view_path(root, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)) ||
                str_is(view_str_at(root, F_NAMESPACE_STATUS, F_NAMESPACE_STATUS_PHASE), "Terminating");
    if (!ends || !r->creating || !str_empty(r->info.subresource))
        return PHASE_DONE;
    admission_forbid(r, "unable to create new content in namespace %.*s because it is being terminated",
                     STR_ARG(namespace_));
    error_add_cause(&r->err, "NamespaceTerminating", STR("metadata.namespace"), "namespace %.*s is being terminated",
                    STR_ARG(namespace_));
    return PHASE_FAILED;
}

static enum phase_result validate(struct request *r, UNUSED struct view object, struct view old)
{
    /* Deletes do not pass mutate; nor do they need an existing namespace: cleaning up is always allowed. */
    struct str name = view_present(old) ? object_name(old.o) : r->info.name;
    if (r->kind != &kind_namespace || !is_immortal(name))
        return PHASE_DONE;
    return admission_forbid(r, "this namespace may not be deleted");
}

const struct admission_step admission_namespace_lifecycle = {
    .name = "NamespaceLifecycle",
    .applies = applies,
    .mutate = mutate,
    .validate = validate,
};
