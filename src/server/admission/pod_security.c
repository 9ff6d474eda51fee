/*
 * A namespace's labels say which Pod Security Standard its pods must keep: enforce refuses pods, warn tells whoever makes
 * pods or what makes them. Source: KEP-2579, pod-security-admission/admission.
 */
#include "kinds/fields.h"
#include "server/admission.h"
#include "server/admission/pod_security_checks.h"

static enum pod_security_level level_of(struct view labels, const char *label)
{
    struct view value = view_get_str(labels, str_of(label));
    struct str text = view_str(value);
    if (!view_present(value) || str_is(text, "privileged"))
        return POD_SECURITY_PRIVILEGED;
    /* A level nobody knows is taken for the strictest, as upstream does. */
    return str_is(text, "baseline") ? POD_SECURITY_BASELINE : POD_SECURITY_RESTRICTED;
}

static bool applies(const struct request *r)
{
    if (!r->kind || admission_is_delete(r))
        return false;
    if (r->kind == &kind_pod)
        return str_empty(r->info.subresource) || str_is(r->info.subresource, "ephemeralcontainers");
    return str_empty(r->info.subresource) && (r->kind == &kind_deployment || r->kind == &kind_replicaset);
}

static const char *level_text(enum pod_security_level level)
{
    return level == POD_SECURITY_BASELINE ? "baseline:latest" : "restricted:latest";
}

static enum phase_result validate(struct request *r, struct view object, struct view old)
{
    const struct object *home = state_get(server_state(r->server), &kind_namespace, STR_NONE, r->info.namespace_);
    struct view labels = view_path(object_root(home), F_NAMESPACE_METADATA, F_OBJECT_META_LABELS);
    bool pod = r->kind == &kind_pod;
    struct view holder = pod ? object : view_path(object, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_TEMPLATE);
    struct view metadata = view_get(holder, F_POD_METADATA), spec = view_get(holder, F_POD_SPEC);
    enum pod_security_level enforce =
        pod ? level_of(labels, "pod-security.kubernetes.io/enforce") : POD_SECURITY_PRIVILEGED;
    enum pod_security_level warn = level_of(labels, "pod-security.kubernetes.io/warn");
    AUTO_BUF struct buf broken = BUF_MAX(32 * KIB);
    /* Changes of metadata do not judge a running pod again. */
    if (pod && view_present(old) && view_equal(spec, view_get(old, F_POD_SPEC)))
        return PHASE_DONE;
    pod_security_check(&broken, enforce, metadata, spec);
    if (broken.n)
        return admission_forbid(r, "violates PodSecurity \"%s\": %.*s", level_text(enforce), STR_ARG(buf_str(&broken)));
    pod_security_check(&broken, warn, metadata, spec);
    if (broken.n)
        request_warn(r, "would violate PodSecurity \"%s\": %.*s", level_text(warn), STR_ARG(buf_str(&broken)));
    return PHASE_DONE;
}

const struct admission_step admission_pod_security = {
    .name = "PodSecurity",
    .applies = applies,
    .validate = validate,
};
