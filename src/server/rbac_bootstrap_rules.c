/* Default roles, bindings, priority classes and the gateway's class: read from the facts, repaired where autoupdate is on.
 * Source: pkg/registry/rbac/reconciliation (rules and subjects are added, never taken away). */
#include "server/rbac_bootstrap.h"
#include "server/rbac_bootstrap_facts.h"

#include "kinds/fields.h"

struct place {
    const char *path, *version;
    const struct kind *kind;
};

static const struct place places[] = {
    { "/apis/rbac.authorization.k8s.io/v1/clusterroles", "rbac.authorization.k8s.io/v1", &kind_clusterrole },
    { "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", "rbac.authorization.k8s.io/v1",
      &kind_clusterrolebinding },
    { "/apis/rbac.authorization.k8s.io/v1/roles", "rbac.authorization.k8s.io/v1", &kind_role },
    { "/apis/rbac.authorization.k8s.io/v1/rolebindings", "rbac.authorization.k8s.io/v1", &kind_rolebinding },
    { "/apis/scheduling.k8s.io/v1/priorityclasses", "scheduling.k8s.io/v1", &kind_priorityclass },
    { "/apis/networking.k8s.io/v1/ingressclasses", "networking.k8s.io/v1", &kind_ingressclass },
    { "/apis/storage.k8s.io/v1/storageclasses", "storage.k8s.io/v1", &kind_storageclass },
};

static int add_json(struct arena *a, struct bootstrap_items *l, const char *json, struct error *err)
{
    struct value *facts = value_parse(a, str_of(json), NULL, err);
    if (!facts)
        return error_context(err, "embedded facts");
    for (size_t p = 0; p < ARRAY_SIZE(places); p++) {
        const struct value *list = value_get_str(facts, str_of(places[p].path));
        for (uint32_t i = 0; value_type(list) == VALUE_ARRAY && i < list->items_count; i++) {
            struct value *o = list->items[i];
            value_set_text(a, o, F_POD_API_VERSION, places[p].version);
            value_set_text(a, o, F_POD_KIND, places[p].kind->kind);
            bootstrap_add(l, places[p].kind, o);
        }
    }
    return 0;
}

int bootstrap_add_facts(struct arena *a, struct bootstrap_items *l, struct error *err)
{
    if (add_json(a, l, bootstrap_facts_kubernetes, err) < 0)
        return -1;
    return add_json(a, l, bootstrap_facts_klein, err);
}

/* Append the items of `wanted` that `now` lacks; returns whether there were any. */
static bool add_missing(struct arena *a, struct value *now, const struct value *wanted)
{
    bool added = false;
    for (uint32_t i = 0; value_type(wanted) == VALUE_ARRAY && i < wanted->items_count; i++) {
        bool found = false;
        for (uint32_t j = 0; !found && j < now->items_count; j++)
            found = value_equal(now->items[j], wanted->items[i]);
        if (!found)
            value_append(a, now, wanted->items[i]);
        added |= !found;
    }
    return added;
}

static struct value *repair_list(struct arena *a, const struct value *wanted, const struct object *now, name_id list)
{
    struct view annotations = view_path(object_root(now), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
    if (!str_is(view_str(view_get_str(annotations, STR("rbac.authorization.kubernetes.io/autoupdate"))), "true"))
        return NULL;
    /* An aggregated role's rules follow from other roles. */
    if (view_present(view_get(object_root(now), F_CLUSTER_ROLE_AGGREGATION_RULE)))
        return NULL;
    struct value *tree = value_of_view(a, object_root(now));
    return add_missing(a, value_make_array(a, tree, list), value_get(wanted, list)) ? tree : NULL;
}

/* Endpoints of default/kubernetes follow the address the server has now. */
static struct value *repair_whole(struct arena *a, const struct value *wanted, const struct object *now,
                                  const name_id *fields, size_t count)
{
    struct value *tree = value_of_view(a, object_root(now));
    bool differs = false;
    for (size_t i = 0; i < count; i++) {
        differs |= !value_equal(value_get(tree, fields[i]), value_get(wanted, fields[i]));
        value_put(a, tree, fields[i], value_get(wanted, fields[i]));
    }
    return differs ? tree : NULL;
}

struct value *bootstrap_repair(struct arena *a, const struct kind *kind, const struct value *wanted,
                               const struct object *now)
{
    if (kind == &kind_role || kind == &kind_clusterrole)
        return repair_list(a, wanted, now, F_ROLE_RULES);
    if (kind == &kind_rolebinding || kind == &kind_clusterrolebinding)
        return repair_list(a, wanted, now, F_ROLE_BINDING_SUBJECTS);
    if (kind == &kind_endpoints)
        return repair_whole(a, wanted, now, (const name_id[]){ F_ENDPOINTS_SUBSETS }, 1);
    if (kind == &kind_endpointslice)
        return repair_whole(a, wanted, now, (const name_id[]){ F_ENDPOINT_SLICE_ENDPOINTS, F_ENDPOINT_SLICE_PORTS }, 2);
    return NULL;
}
