/*
 * Service accounts: every namespace has a ServiceAccount "default" and the cluster's CA in ConfigMap "kube-root-ca.crt".
 * Source: k8s.io/kubernetes/pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher.
 */
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

static struct value *new_object(struct arena *a, const char *kind, const char *name, struct str namespace_)
{
    struct value *tree = value_object(a), *metadata;

    value_set_text(a, tree, F_POD_API_VERSION, "v1");
    value_set_text(a, tree, F_POD_KIND, kind);
    metadata = value_make_object(a, tree, F_POD_METADATA);
    value_set_text(a, metadata, F_OBJECT_META_NAME, name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, namespace_);
    return tree;
}

static void set_ca(struct reconcile *r, struct value *tree)
{
    struct value *data = value_object(r->arena);

    value_put_str(r->arena, data, STR("ca.crt"), value_text(r->arena, r->config->service_account_ca_pem));
    value_put(r->arena, tree, F_CONFIG_MAP_DATA, data);
}

static void reconcile_ca(struct reconcile *r)
{
    const struct object *old = reconcile_get(r, &kind_configmap, r->name, STR("kube-root-ca.crt"));
    struct value *tree;

    if (!r->config->service_account_ca_pem)
        return;
    if (!old) {
        tree = new_object(r->arena, "ConfigMap", "kube-root-ca.crt", r->name);
        value_put_str(r->arena, value_make_object(r->arena, value_get(tree, F_POD_METADATA), F_OBJECT_META_ANNOTATIONS),
                      STR("kubernetes.io/description"),
                      value_text(r->arena,
                                 "Contains a CA bundle that can be used to verify the kube-apiserver when using "
                                 "internal endpoints such as the internal service IP or kubernetes.default.svc. "
                                 "No other usage is guaranteed across distributions of Kubernetes clusters."));
        set_ca(r, tree);
        plan_create(r, &kind_configmap, r->name, tree);
        return;
    }
    if (str_is(view_str(view_get_str(view_get(object_root(old), F_CONFIG_MAP_DATA), STR("ca.crt"))),
               r->config->service_account_ca_pem))
        return;
    tree = value_of_view(r->arena, object_root(old));
    set_ca(r, tree);
    plan_update(r, &kind_configmap, old, tree, "");
}

static int reconcile(struct reconcile *r, struct error *err)
{
    (void)err;
    if (!r->object || pod_is_terminating(r->object))
        return 0;
    if (!reconcile_get(r, &kind_serviceaccount, r->name, STR("default")))
        plan_create(r, &kind_serviceaccount, r->name, new_object(r->arena, "ServiceAccount", "default", r->name));
    reconcile_ca(r);
    return 0;
}

/* Only the one ConfigMap matters; others must not cost a pass. */
static void config_map_keys(struct cluster *cluster, const struct object *changed, trigger_emit_fn *emit, void *arg)
{
    (void)cluster;
    if (str_is(object_name(changed), "kube-root-ca.crt"))
        emit(arg, STR_NONE, object_namespace(changed));
}

const struct controller controller_serviceaccount = {
    .name = "serviceaccount",
    .kind = &kind_namespace,
    .triggers = { { &kind_serviceaccount, BY_NAMESPACE }, { &kind_configmap, BY_FUNCTION, config_map_keys } },
    .reconcile = reconcile,
};
