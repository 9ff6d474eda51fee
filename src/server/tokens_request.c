/* serviceaccounts/token: a TokenRequest is answered with a signed token. Source: pkg/registry/core/serviceaccount/storage/token.go. */
#include "base/time.h"
#include "kinds/fields.h"
#include "server/authz.h"
#include "server/tokens.h"

#define AUDIENCES_MAX      100
#define LIFETIME_DEFAULT_S 3600

static int bind_pod(struct request *r, struct str name, struct str uid, struct str account, struct tokens_bound *ret)
{
    const struct object *pod = state_get(server_state(r->server), &kind_pod, r->info.namespace_, name);
    if (!pod)
        return fail(&r->err, ERR_NOT_FOUND, "pods \"%.*s\" not found", STR_ARG(name));
    if (!str_empty(uid) && !str_eq(uid, object_uid(pod)))
        return fail(&r->err, ERR_CONFLICT,
                    "Operation cannot be fulfilled on pods \"%.*s\": the UID in the bound object reference (%.*s) does "
                    "not match the UID "
                    "in record. The object might have been deleted and then recreated",
                    STR_ARG(name), STR_ARG(uid));
    struct view spec = view_get(object_root(pod), F_POD_SPEC);
    if (!str_eq(view_str(view_get(spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME)), account))
        return fail(&r->err, ERR_BAD_REQUEST,
                    "cannot bind token for serviceaccount \"%.*s\" to pod running with different serviceaccount name.",
                    STR_ARG(account));
    ret->pod_name = object_name(pod);
    ret->pod_uid = object_uid(pod);
    ret->node_name = view_str(view_get(spec, F_POD_SPEC_NODE_NAME));
    const struct object *node = state_get(server_state(r->server), &kind_node, STR_NONE, ret->node_name);
    if (node)
        ret->node_uid = object_uid(node);
    return 0;
}

static int bind_other(struct request *r, const struct kind *kind, struct str name, struct str uid, struct str *ret_name,
                      struct str *ret_uid)
{
    const struct object *o =
        state_get(server_state(r->server), kind, kind->namespaced ? r->info.namespace_ : STR_NONE, name);
    if (!o)
        return fail(&r->err, ERR_NOT_FOUND, "%s \"%.*s\" not found", kind->plural, STR_ARG(name));
    if (!str_empty(uid) && !str_eq(uid, object_uid(o)))
        return fail(&r->err, ERR_CONFLICT,
                    "Operation cannot be fulfilled on %s \"%.*s\": the UID in the bound object reference (%.*s) does "
                    "not match the UID "
                    "in record. The object might have been deleted and then recreated",
                    kind->plural, STR_ARG(name), STR_ARG(uid));
    *ret_name = object_name(o);
    *ret_uid = object_uid(o);
    return 0;
}

static int bind_object(struct request *r, const struct value *reference, struct str account, struct tokens_bound *ret)
{
    struct str kind = value_to_str(value_get(reference, F_BOUND_OBJECT_REFERENCE_KIND));
    struct str version = value_to_str(value_get(reference, F_BOUND_OBJECT_REFERENCE_API_VERSION));
    struct str name = value_to_str(value_get(reference, F_BOUND_OBJECT_REFERENCE_NAME));
    struct str uid = value_to_str(value_get(reference, F_BOUND_OBJECT_REFERENCE_UID));
    if (str_is(version, "v1") && str_is(kind, "Pod"))
        return bind_pod(r, name, uid, account, ret);
    if (str_is(version, "v1") && str_is(kind, "Secret"))
        return bind_other(r, &kind_secret, name, uid, &ret->secret_name, &ret->secret_uid);
    if (str_is(version, "v1") && str_is(kind, "Node"))
        return bind_other(r, &kind_node, name, uid, &ret->node_name, &ret->node_uid);
    return fail(&r->err, ERR_BAD_REQUEST, "cannot bind token to object of type %.*s, Kind=%.*s", STR_ARG(version),
                STR_ARG(kind));
}

/* A node asks tokens only for its own pods. Source: plugin/pkg/admission/noderestriction, admitServiceAccount. */
static int check_node(struct request *r, const struct tokens_bound *bound)
{
    struct str node = authz_node_name(&r->identity);
    if (str_empty(node) || (!str_empty(bound->pod_name) && str_eq(bound->node_name, node)))
        return 0;
    return fail(&r->err, ERR_FORBIDDEN,
                "serviceaccounts \"%.*s\" is forbidden: node requested token not bound to a pod of its own",
                STR_ARG(r->info.name));
}

static int lifetime_read(struct request *r, const struct value *spec, int64_t *ret_s)
{
    *ret_s = value_to_int(value_get(spec, F_TOKEN_REQUEST_SPEC_EXPIRATION_SECONDS), LIFETIME_DEFAULT_S);
    if (*ret_s >= TOKENS_LIFETIME_MIN_S && *ret_s <= TOKENS_LIFETIME_MAX_S)
        return 0;
    bool low = *ret_s < TOKENS_LIFETIME_MIN_S;
    const char *rule =
        low ? "may not specify a duration less than 10 minutes" : "may not specify a duration larger than 2^32 seconds";
    fail(&r->err, ERR_INVALID,
         "TokenRequest.authentication.k8s.io \"%.*s\" is invalid: spec.expirationSeconds: Invalid value: %lld: %s",
         STR_ARG(r->info.name), (long long)*ret_s, rule);
    error_add_cause(&r->err, "FieldValueInvalid", STR("spec.expirationSeconds"), "Invalid value: %lld: %s",
                    (long long)*ret_s, rule);
    return -1;
}

enum phase_result tokens_request(struct request *r)
{
    struct arena *a = &r->arena;
    struct value *spec = value_get(r->tree, F_TOKEN_REQUEST_SPEC), *status = value_object(a);
    struct value *audiences = value_get(spec, F_TOKEN_REQUEST_SPEC_AUDIENCES);
    struct value *reference = value_get(spec, F_TOKEN_REQUEST_SPEC_BOUND_OBJECT_REF);
    struct str wanted[AUDIENCES_MAX];
    struct tokens_request q = { .audiences = wanted };
    q.service_account = state_get(server_state(r->server), &kind_serviceaccount, r->info.namespace_, r->info.name);
    if (!q.service_account) {
        fail(&r->err, ERR_NOT_FOUND, "serviceaccounts \"%.*s\" not found", STR_ARG(r->info.name));
        error_set_details(&r->err, STR_NONE, STR("serviceaccounts"), r->info.name);
        return PHASE_FAILED;
    }
    if (value_type(audiences) == VALUE_ARRAY && audiences->items_count > AUDIENCES_MAX)
        return request_fail(r, ERR_BAD_REQUEST, "too many audiences, the limit is %d", AUDIENCES_MAX);
    for (uint32_t i = 0; value_type(audiences) == VALUE_ARRAY && i < audiences->items_count; i++)
        wanted[q.audiences_count++] = value_to_str(audiences->items[i]);
    if (q.audiences_count == 0) {
        wanted[q.audiences_count++] = tokens_issuer(r->server);
        value_append(
            a, value_make_array(a, value_make_object(a, r->tree, F_TOKEN_REQUEST_SPEC), F_TOKEN_REQUEST_SPEC_AUDIENCES),
            value_str(a, wanted[0]));
        spec = value_get(r->tree, F_TOKEN_REQUEST_SPEC);
    }
    if (lifetime_read(r, spec, &q.lifetime_s) < 0 ||
        (value_type(reference) == VALUE_OBJECT && bind_object(r, reference, r->info.name, &q.bound) < 0) ||
        check_node(r, &q.bound) < 0)
        return PHASE_FAILED;

    AUTO_SECRET struct secret token = { 0 };
    int64_t expires_ms;
    char text[TIME_TEXT_SIZE];
    tokens_issue(r->server, a, &q, &token, &expires_ms, NULL);
    value_set_int(a, spec, F_TOKEN_REQUEST_SPEC_EXPIRATION_SECONDS, q.lifetime_s);
    value_put(a, status, F_TOKEN_REQUEST_STATUS_TOKEN, value_str(a, arena_str(a, secret_reveal(&token))));
    value_put(a, status, F_TOKEN_REQUEST_STATUS_EXPIRATION_TIMESTAMP,
              value_str(a, arena_str(a, str_of(time_format(expires_ms, text)))));
    value_put(a, r->tree, F_TOKEN_REQUEST_STATUS, status);
    struct value *metadata = value_make_object(a, r->tree, F_TOKEN_REQUEST_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, r->info.name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, r->info.namespace_);
    char now[TIME_TEXT_SIZE];
    value_set(a, metadata, F_OBJECT_META_CREATION_TIMESTAMP, arena_str(a, str_of(time_format(r->wall_ms, now))));
    return request_answer_tree(r, 201, r->tree);
}
