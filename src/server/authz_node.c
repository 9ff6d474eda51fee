/*
 * The node authorizer: a node reads and writes only what its own pods need.
 *
 * Source: plugin/pkg/auth/authorizer/node, with the field selector rules of KEP-4601. Two differences: a klein agent may
 * read all Nodes, for it makes the routes to their pod networks itself; and a node that joined as a gateway reads
 * Ingresses and the TLS secrets they can name.
 */
#include "server/authz.h"

#include "kinds/claim.h"
#include "kinds/fields.h"
#include "server/nodes.h"

struct ask {
    struct server *server;
    struct arena *arena;
    const struct authz_attributes *a;
    struct str node;
    struct str name; /* of the object: from the path, or from metadata.name=... of a list */
    bool found;
};

struct str authz_node_name(const struct identity *identity)
{
    struct str prefix = STR("system:node:");
    if (!str_starts(identity->user, prefix) || !identity_in_group(identity, STR("system:nodes")))
        return STR_NONE;
    return str_from(identity->user, prefix.n);
}

/* The value that a field selector demands for a label with "=" or "=="; "" when it demands none. */
static struct str selector_value(struct str selector, struct str label)
{
    struct str part, name;
    while (str_next(&selector, ',', &part)) {
        if (!str_cut(&part, '=', &name) || !str_eq(str_trim(name), label))
            continue;
        if (str_starts(part, STR("=")))
            part = str_from(part, 1);
        return str_trim(part);
    }
    return STR_NONE;
}

/* --- which pods of the node need the object --------------------------------------------------------------------- */

static bool named(struct view object, name_id field, struct str name)
{
    struct view v = view_get(object, field);
    return view_present(v) && str_eq(view_str(v), name);
}

static bool volumes_need(struct view volumes, bool secret, struct str name)
{
    struct view_iter it = { 0 }, source = { 0 };
    while (view_next(volumes, &it)) {
        struct view sources = view_path(it.value, F_VOLUME_PROJECTED, F_PROJECTED_VOLUME_SOURCE_SOURCES);
        if (secret && named(view_get(it.value, F_VOLUME_SECRET), F_SECRET_VOLUME_SOURCE_SECRET_NAME, name))
            return true;
        if (!secret && named(view_get(it.value, F_VOLUME_CONFIG_MAP), F_CONFIG_MAP_VOLUME_SOURCE_NAME, name))
            return true;
        source = (struct view_iter){ 0 };
        while (view_next(sources, &source))
            if (named(view_get(source.value, secret ? F_VOLUME_PROJECTION_SECRET : F_VOLUME_PROJECTION_CONFIG_MAP),
                      F_SECRET_PROJECTION_NAME, name))
                return true;
    }
    return false;
}

static bool containers_need(struct view containers, bool secret, struct str name)
{
    struct view_iter it = { 0 };
    while (view_next(containers, &it)) {
        struct view_iter env = { 0 }, from = { 0 };
        struct view envs = view_get(it.value, F_CONTAINER_ENV), froms = view_get(it.value, F_CONTAINER_ENV_FROM);
        while (view_next(envs, &env))
            if (named(view_path(env.value, F_ENV_VAR_VALUE_FROM,
                                secret ? F_ENV_VAR_SOURCE_SECRET_KEY_REF : F_ENV_VAR_SOURCE_CONFIG_MAP_KEY_REF),
                      F_SECRET_KEY_SELECTOR_NAME, name))
                return true;
        while (view_next(froms, &from))
            if (named(view_get(from.value, secret ? F_ENV_FROM_SOURCE_SECRET_REF : F_ENV_FROM_SOURCE_CONFIG_MAP_REF),
                      F_SECRET_ENV_SOURCE_NAME, name))
                return true;
    }
    return false;
}

static bool pod_needs_data(struct view spec, bool secret, struct str name)
{
    struct view_iter it = { 0 };
    struct view pulls = view_get(spec, F_POD_SPEC_IMAGE_PULL_SECRETS);
    if (volumes_need(view_get(spec, F_POD_SPEC_VOLUMES), secret, name) ||
        containers_need(view_get(spec, F_POD_SPEC_CONTAINERS), secret, name) ||
        containers_need(view_get(spec, F_POD_SPEC_INIT_CONTAINERS), secret, name) ||
        containers_need(view_get(spec, F_POD_SPEC_EPHEMERAL_CONTAINERS), secret, name))
        return true;
    while (secret && view_next(pulls, &it))
        if (named(it.value, F_LOCAL_OBJECT_REFERENCE_NAME, name))
            return true;
    return false;
}

static bool pod_needs_claim(const struct object *pod, struct view spec, struct str name)
{
    struct view_iter it = { 0 };
    struct view volumes = view_get(spec, F_POD_SPEC_VOLUMES);
    while (view_next(volumes, &it)) {
        if (named(view_get(it.value, F_VOLUME_PERSISTENT_VOLUME_CLAIM),
                  F_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE_CLAIM_NAME, name))
            return true;
        struct str volume = view_str(view_get(it.value, F_VOLUME_NAME)), own = object_name(pod);
        if (view_present(view_get(it.value, F_VOLUME_EPHEMERAL)) && name.n == own.n + 1 + volume.n &&
            str_starts(name, own) && name.p[own.n] == '-' && str_ends(name, volume))
            return true;
    }
    return false;
}

static bool pod_asks(void *arg, const struct object *pod)
{
    struct ask *ask = arg;
    struct str resource = ask->a->resource;
    struct view spec = view_get(object_root(pod), F_POD_SPEC);
    if (!str_eq(object_namespace(pod), ask->a->namespace_))
        return true;
    if (str_is(resource, "secrets"))
        ask->found = pod_needs_data(spec, true, ask->name);
    else if (str_is(resource, "configmaps"))
        ask->found = pod_needs_data(spec, false, ask->name);
    else if (str_is(resource, "serviceaccounts"))
        ask->found = named(spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME, ask->name);
    else
        ask->found = pod_needs_claim(pod, spec, ask->name);
    return !ask->found;
}

/* --- volumes ------------------------------------------------------------------------------------------------------ */

/* A volume of the node itself, or one whose claim a pod of the node uses. */
static const char *check_volume(struct ask *ask)
{
    const struct object *volume =
        str_empty(ask->name) ? NULL : state_get(server_state(ask->server), &kind_persistentvolume, STR_NONE, ask->name);
    struct view claim = view_path(object_root(volume), F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
    struct authz_attributes claims = { .resource = STR("persistentvolumeclaims"),
                                       .namespace_ = view_str_at(claim, F_OBJECT_REFERENCE_NAMESPACE) };
    struct ask of_claim = *ask;

    if (volume && str_eq(volume_node(object_root(volume)), ask->node))
        return NULL;
    of_claim.a = &claims;
    of_claim.name = view_str_at(claim, F_OBJECT_REFERENCE_NAME);
    if (of_claim.name.n)
        state_by_index(server_state(ask->server), &kind_pod, "spec.nodeName", ask->node, pod_asks, &of_claim);
    if (of_claim.found)
        return NULL;
    return arena_printf(ask->arena, "no relationship found between node '%.*s' and this object", STR_ARG(ask->node)).p;
}

static const char *check_volumes(struct ask *ask)
{
    if (str_eq(selector_value(ask->a->field_selector, STR(VOLUME_NODE_LABEL)), ask->node))
        return NULL;
    return check_volume(ask);
}

/* --- rules ------------------------------------------------------------------------------------------------------- */

typedef const char *check_fn(struct ask *ask); /* NULL: allowed; else why not */

static const char *check_any(UNUSED struct ask *ask)
{
    return NULL;
}

static const char *check_needed(struct ask *ask)
{
    if (str_empty(ask->name) || str_empty(ask->a->namespace_))
        return "No Object name found";
    state_by_index(server_state(ask->server), &kind_pod, "spec.nodeName", ask->node, pod_asks, ask);
    if (ask->found)
        return NULL;
    return arena_printf(ask->arena, "no relationship found between node '%.*s' and this object", STR_ARG(ask->node)).p;
}

static const char *check_own_node(struct ask *ask)
{
    /* A create carries its name in the body: admission compares it. */
    if (str_eq(ask->name, ask->node) || (str_empty(ask->name) && str_is(ask->a->verb, "create")))
        return NULL;
    return arena_printf(ask->arena, "node '%.*s' cannot %.*s this object", STR_ARG(ask->node), STR_ARG(ask->a->verb)).p;
}

static const char *check_own_lease(struct ask *ask)
{
    if (!str_is(ask->a->namespace_, "kube-node-lease"))
        return "can only access leases in the \"kube-node-lease\" system namespace";
    if (str_eq(ask->name, ask->node) || (str_empty(ask->name) && str_is(ask->a->verb, "create")))
        return NULL;
    return "can only access node lease with the same name as the requesting node";
}

static const char *check_own_pod(struct ask *ask)
{
    const struct object *pod = state_get(server_state(ask->server), &kind_pod, ask->a->namespace_, ask->name);
    if (!pod) /* The answer to everything about an absent pod is "not found", for all nodes alike. */
        return NULL;
    if (named(view_get(object_root(pod), F_POD_SPEC), F_POD_SPEC_NODE_NAME, ask->node))
        return NULL;
    return arena_printf(ask->arena, "no relationship found between node '%.*s' and this object", STR_ARG(ask->node)).p;
}

static const char *check_pods_by_node(struct ask *ask)
{
    if (!str_empty(ask->name) && str_empty(selector_value(ask->a->field_selector, STR("spec.nodeName"))))
        return check_own_pod(ask);
    if (str_eq(selector_value(ask->a->field_selector, STR("spec.nodeName")), ask->node))
        return NULL;
    return "can only list/watch pods with spec.nodeName field selector";
}

static const char *check_gateway(struct ask *ask)
{
    return identity_in_group(ask->a->identity, STR(NODES_GATEWAYS_GROUP))
               ? NULL
               : "only nodes that joined as gateways may do this";
}

static const char *check_gateway_secrets(struct ask *ask)
{
    if (check_gateway(ask))
        return check_needed(ask);
    /* All of them at once, for Ingresses name them; but no secret of another type. */
    return str_is(selector_value(ask->a->field_selector, STR("type")), "kubernetes.io/tls") ? NULL : check_needed(ask);
}

struct node_rule {
    const char *group, *resource, *subresource;
    const char *verbs; /* separated by spaces */
    check_fn *check;
};

static const struct node_rule node_rules[] = {
    { "", "secrets", "", "get", check_needed },
    { "", "secrets", "", "list watch", check_gateway_secrets },
    { "", "configmaps", "", "get list watch", check_needed },
    { "", "serviceaccounts", "", "get", check_needed },
    { "", "serviceaccounts", "token", "create", check_needed },
    { "", "persistentvolumeclaims", "", "get list watch", check_needed },
    { "", "persistentvolumes", "", "get patch", check_volume },
    { "", "persistentvolumes", "", "list watch", check_volumes },
    { "", "pods", "", "get delete", check_own_pod },
    { "", "pods", "", "list watch", check_pods_by_node },
    { "", "pods", "status", "get update patch", check_own_pod },
    { "", "pods", "eviction", "create", check_own_pod },
    { "", "nodes", "", "get list watch", check_any },
    { "", "nodes", "", "create update patch", check_own_node },
    { "", "nodes", "status", "get update patch", check_own_node },
    { "", "services", "", "get list watch", check_any },
    { "", "endpoints", "", "get list watch", check_any },
    { "discovery.k8s.io", "endpointslices", "", "get list watch", check_any },
    { "", "events", "", "create update patch", check_any },
    { "events.k8s.io", "events", "", "create update patch", check_any },
    { "coordination.k8s.io", "leases", "", "get create update patch delete", check_own_lease },
    { "authentication.k8s.io", "tokenreviews", "", "create", check_any },
    { "authorization.k8s.io", "subjectaccessreviews", "", "create", check_any },
    { "authorization.k8s.io", "localsubjectaccessreviews", "", "create", check_any },
    { "networking.k8s.io", "ingresses", "", "get list watch", check_gateway },
    { "networking.k8s.io", "ingresses", "status", "get update patch", check_gateway },
    { "networking.k8s.io", "ingressclasses", "", "get list watch", check_gateway },
    { "node.k8s.io", "runtimeclasses", "", "get list watch", check_any },
};

static bool verbs_have(const char *verbs, struct str verb)
{
    struct str rest = str_of(verbs), part;
    while (str_next(&rest, ' ', &part))
        if (str_eq(part, verb))
            return true;
    return false;
}

static bool allows_path(const struct authz_attributes *a, struct str node)
{
    struct str prefix = STR("/klein/v1/nodes/");
    if (str_is(a->path, "/klein/v1/join"))
        return str_is(a->verb, "post");
    if (str_is(a->path, "/klein/v1/servers"))
        return str_is(a->verb, "get");
    if (!str_starts(a->path, prefix) || !str_is(a->verb, "get"))
        return false;
    struct str rest = str_from(a->path, prefix.n), name;
    return str_cut(&rest, '/', &name) && str_eq(name, node) &&
           (str_is(rest, "tunnel") || str_is(rest, "removal") || str_is(rest, "peer-key"));
}

enum authz_opinion authz_node(struct server *s, struct arena *arena, const struct authz_attributes *a,
                              struct str *ret_reason)
{
    struct ask ask = { .server = s, .arena = arena, .a = a, .node = authz_node_name(a->identity), .name = a->name };
    if (str_empty(ask.node))
        return AUTHZ_NO_OPINION;
    if (!a->is_resource)
        return allows_path(a, ask.node) ? AUTHZ_ALLOW : AUTHZ_NO_OPINION;
    if (str_empty(ask.name))
        ask.name = selector_value(a->field_selector, STR("metadata.name"));
    for (size_t i = 0; i < ARRAY_SIZE(node_rules); i++) {
        const struct node_rule *rule = &node_rules[i];
        if (!str_is(a->group, rule->group) || !str_is(a->resource, rule->resource) ||
            !str_is(a->subresource, rule->subresource) || !verbs_have(rule->verbs, a->verb))
            continue;
        const char *why = rule->check(&ask);
        if (!why)
            return AUTHZ_ALLOW;
        *ret_reason = str_of(why);
    }
    return AUTHZ_NO_OPINION;
}
