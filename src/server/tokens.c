/* Service account tokens: made and checked. */
#include "server/tokens.h"

#include "base/codec.h"
#include "base/list.h"
#include "base/map.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "server/seams.h"

#include <stdlib.h>

struct cached {
    struct list link;             /* in tokens->recent, newest first */
    char digest[SHA256_HEX_SIZE]; /* of the token: the token itself is not kept */
    struct arena arena;
    struct value *claims; /* parsed once, in the arena */
    int64_t exp_s;
};

struct tokens {
    struct map by_digest; /* -> struct cached */
    struct list recent;
};

int tokens_init(struct server *s, UNUSED struct error *err)
{
    struct tokens *t = xnew(struct tokens);
    list_init(&t->recent);
    server_part_set(s, SERVER_PART_tokens, t);
    return 0;
}

static void cached_drop(struct tokens *t, struct cached *c)
{
    map_del(&t->by_digest, str_of(c->digest));
    list_del(&c->link);
    arena_done(&c->arena);
    free(c);
}

void tokens_done(struct server *s)
{
    struct tokens *t = server_part(s, SERVER_PART_tokens);
    if (!t)
        return;
    while (!list_empty(&t->recent))
        cached_drop(t, list_first(&t->recent, struct cached, link));
    map_done(&t->by_digest);
    free(t);
    server_part_set(s, SERVER_PART_tokens, NULL);
}

struct str tokens_issuer(struct server *s)
{
    return str_of(server_config(s)->service_account_issuer);
}

/* --- issuing ----------------------------------------------------------------------------------------------------- */

static void put(struct arena *a, struct value *object, const char *name, struct value *value)
{
    value_put_str(a, object, str_of(name), value);
}

static void put_reference(struct arena *a, struct value *object, const char *what, struct str name, struct str uid)
{
    if (str_empty(name))
        return;
    struct value *reference = value_object(a);
    put(a, reference, "name", value_str(a, name));
    put(a, reference, "uid", value_str(a, uid));
    put(a, object, what, reference);
}

void tokens_issue(struct server *s, struct arena *a, const struct tokens_request *q, struct secret *ret_token,
                  int64_t *ret_expires_ms, struct str *ret_credential_id)
{
    int64_t now_s = env_wall_ms(server_env(s)) / SECOND_MS;
    const struct object *account = q->service_account;
    char uuid[UUID_TEXT_SIZE];
    struct str id = arena_str(a, str_of(env_uuid(server_env(s), uuid)));
    struct value *claims = value_object(a), *audiences = value_array(a), *bound = value_object(a);
    for (size_t i = 0; i < q->audiences_count; i++)
        value_append(a, audiences, value_str(a, q->audiences[i]));
    put_reference(a, bound, "serviceaccount", object_name(account), object_uid(account));
    put_reference(a, bound, "pod", q->bound.pod_name, q->bound.pod_uid);
    put_reference(a, bound, "secret", q->bound.secret_name, q->bound.secret_uid);
    put_reference(a, bound, "node", q->bound.node_name, q->bound.node_uid);
    put(a, bound, "namespace", value_str(a, object_namespace(account)));
    put(a, claims, "aud", audiences);
    put(a, claims, "exp", value_int(a, now_s + q->lifetime_s));
    put(a, claims, "iat", value_int(a, now_s));
    put(a, claims, "iss", value_str(a, tokens_issuer(s)));
    put(a, claims, "jti", value_str(a, id));
    put(a, claims, "kubernetes.io", bound);
    put(a, claims, "nbf", value_int(a, now_s));
    put(a, claims, "sub",
        value_strf(a, "system:serviceaccount:%.*s:%.*s", STR_ARG(object_namespace(account)),
                   STR_ARG(object_name(account))));
    AUTO_BUF struct buf json = BUF_MAX(AUTHN_TOKEN_MAX_BYTES);
    value_write(&json, claims);
    jwt_sign(ca_token_key(server_ca(s)), buf_str(&json), ret_token);
    *ret_expires_ms = (now_s + q->lifetime_s) * SECOND_MS;
    if (ret_credential_id)
        *ret_credential_id = id;
}

/* --- checking ---------------------------------------------------------------------------------------------------- */

static const struct pki_key *find_key(void *server, struct str kid)
{
    const struct pki_key *key = ca_token_key(server_ca(server));
    char id[44];
    pki_key_id(key, id);
    return str_empty(kid) || str_is(kid, id) ? key : NULL;
}

/* The claims of a token whose signature and time hold, from the cache or checked now; valid until the next call. */
static int verified_claims(struct server *s, struct str token, const struct value **ret, struct error *err)
{
    struct tokens *t = server_part(s, SERVER_PART_tokens);
    int64_t now_ms = env_wall_ms(server_env(s));
    char digest[SHA256_HEX_SIZE];
    struct cached *c = map_get(&t->by_digest, str_of(sha256_hex(token, digest)));
    if (c && now_ms / SECOND_MS < c->exp_s) {
        list_del(&c->link);
        list_add_head(&t->recent, &c->link);
        *ret = c->claims;
        return 0;
    }
    if (c)
        cached_drop(t, c);
    struct jwt jwt = { 0 };
    if (!jwt_looks_like(token))
        return fail(err, ERR_UNAUTHORIZED, "the token has no form known here");
    if (jwt_verify(token, find_key, s, now_ms, 0, &jwt, err) < 0)
        return -1;
    c = xnew(struct cached);
    c->claims = value_parse(&c->arena, arena_str(&c->arena, buf_str(&jwt.claims)), NULL, err);
    buf_done(&jwt.claims);
    if (!c->claims) {
        arena_done(&c->arena);
        free(c);
        return -1;
    }
    memcpy(c->digest, digest, sizeof(digest));
    c->exp_s = jwt.exp_s;
    map_put(&t->by_digest, str_of(c->digest), c);
    list_add_head(&t->recent, &c->link);
    if (t->by_digest.count > TOKENS_CACHE_MAX)
        cached_drop(t, container_of(t->recent.prev, struct cached, link));
    *ret = c->claims;
    return 0;
}

static struct value *claim(const struct value *object, const char *name)
{
    return value_get_str(object, str_of(name));
}

static bool has_audience(const struct value *aud, struct str wanted)
{
    if (value_type(aud) == VALUE_STRING)
        return str_eq(value_to_str(aud), wanted);
    for (uint32_t i = 0; value_type(aud) == VALUE_ARRAY && i < aud->items_count; i++)
        if (str_eq(value_to_str(aud->items[i]), wanted))
            return true;
    return false;
}

static int check_audience(struct server *s, struct arena *a, const struct value *aud, struct authn_audiences wanted,
                          struct authn_audiences *ret, struct error *err)
{
    struct str own = tokens_issuer(s);
    if (!wanted.count)
        wanted = (struct authn_audiences){ &own, 1 };
    struct str *both = arena_alloc_array(a, wanted.count, sizeof(*both));
    size_t count = 0;
    for (size_t i = 0; i < wanted.count; i++)
        if (has_audience(aud, wanted.items[i]))
            both[count++] = wanted.items[i];
    if (!count)
        return fail(err, ERR_UNAUTHORIZED, "the token has another audience");
    if (ret)
        *ret = (struct authn_audiences){ both, count };
    return 0;
}

/* The bound object must stand, with the same uid; one that is being deleted counts for a last minute. */
static int check_bound(struct server *s, const struct kind *kind, struct str namespace_, const struct value *reference,
                       struct error *err)
{
    if (!reference)
        return 0;
    const struct object *o = state_get(server_state(s), kind, namespace_, value_to_str(claim(reference, "name")));
    if (!o || !str_eq(object_uid(o), value_to_str(claim(reference, "uid"))))
        return fail(err, ERR_UNAUTHORIZED, "the %s the token is bound to is gone", kind->singular);
    struct str deleted = view_str_at(object_root(o), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP);
    int64_t deleted_ms;
    if (time_parse(deleted, &deleted_ms) && deleted_ms + TOKENS_LEEWAY_S * SECOND_MS < env_wall_ms(server_env(s)))
        return fail(err, ERR_UNAUTHORIZED, "the %s the token is bound to is deleted", kind->singular);
    return 0;
}

static void extra_add(struct arena *a, struct identity_extra *extra, size_t *count, const char *key, struct str value)
{
    if (str_empty(value))
        return;
    struct str *values = arena_new(a, struct str);
    *values = arena_str(a, value); /* the cache may drop its own */
    extra[(*count)++] = (struct identity_extra){ str_of(key), values, 1 };
}

static void account_identity(struct arena *a, const struct value *claims, struct identity *ret)
{
    const struct value *bound = claim(claims, "kubernetes.io"), *pod = claim(bound, "pod"),
                       *node = claim(bound, "node");
    struct str namespace_ = value_to_str(claim(bound, "namespace")), id = value_to_str(claim(claims, "jti"));
    struct authn_groups groups = { 0 };
    authn_groups_add(&groups, a, STR("system:serviceaccounts"));
    authn_groups_add(&groups, a, arena_printf(a, "system:serviceaccounts:%.*s", STR_ARG(namespace_)));
    authn_groups_add(&groups, a, STR("system:authenticated"));
    struct identity_extra *extra = arena_alloc_array(a, 5, sizeof(*extra));
    size_t count = 0;
    if (!str_empty(id))
        extra_add(a, extra, &count, "authentication.kubernetes.io/credential-id",
                  arena_printf(a, "JTI=%.*s", STR_ARG(id)));
    extra_add(a, extra, &count, "authentication.kubernetes.io/node-name", value_to_str(claim(node, "name")));
    extra_add(a, extra, &count, "authentication.kubernetes.io/node-uid", value_to_str(claim(node, "uid")));
    extra_add(a, extra, &count, "authentication.kubernetes.io/pod-name", value_to_str(claim(pod, "name")));
    extra_add(a, extra, &count, "authentication.kubernetes.io/pod-uid", value_to_str(claim(pod, "uid")));
    *ret = (struct identity){
        .user = arena_str(a, value_to_str(claim(claims, "sub"))),
        .uid = arena_str(a, value_to_str(claim(claim(bound, "serviceaccount"), "uid"))),
        .groups = groups.items,
        .groups_count = groups.count,
        .extra = extra,
        .extra_count = count,
    };
}

int tokens_authenticate(struct server *s, struct arena *a, struct str token, struct authn_audiences wanted,
                        struct identity *ret, struct authn_audiences *ret_audiences, struct error *err)
{
    struct str namespace_, name;
    const struct value *claims = NULL;
    if (verified_claims(s, token, &claims, err) < 0)
        return -1;
    const struct value *bound = claim(claims, "kubernetes.io"), *account = claim(bound, "serviceaccount");
    if (!str_eq(value_to_str(claim(claims, "iss")), tokens_issuer(s)))
        return fail(err, ERR_UNAUTHORIZED, "the token has another issuer");
    if (check_audience(s, a, claim(claims, "aud"), wanted, ret_audiences, err) < 0)
        return -1;
    if (!authn_service_account(value_to_str(claim(claims, "sub")), &namespace_, &name) || !account ||
        !str_eq(namespace_, value_to_str(claim(bound, "namespace"))) ||
        !str_eq(name, value_to_str(claim(account, "name"))))
        return fail(err, ERR_UNAUTHORIZED, "the token's subject is no service account");
    if (check_bound(s, &kind_serviceaccount, namespace_, account, err) < 0 ||
        check_bound(s, &kind_secret, namespace_, claim(bound, "secret"), err) < 0 ||
        check_bound(s, &kind_pod, namespace_, claim(bound, "pod"), err) < 0)
        return -1;
    /* A pod's token names its node for information only; a token bound to a node falls with it. */
    if (!claim(bound, "pod") && check_bound(s, &kind_node, STR_NONE, claim(bound, "node"), err) < 0)
        return -1;
    account_identity(a, claims, ret);
    return 0;
}

int authn_token(struct server *s, struct arena *a, struct str token, struct authn_audiences wanted,
                struct identity *ret, struct authn_audiences *ret_audiences, struct error *err)
{
    if (token.n > AUTHN_TOKEN_MAX_BYTES)
        return fail(err, ERR_UNAUTHORIZED, "the token is too long");
    /* The two forms exclude each other; of a signed token the cache is asked before anything of it is decoded. */
    if (!authn_looks_like_bootstrap_token(token))
        return tokens_authenticate(s, a, token, wanted, ret, ret_audiences, err);
    struct str own = tokens_issuer(s);
    for (size_t i = 0; i < wanted.count; i++)
        if (str_eq(wanted.items[i], own))
            wanted.count = 0;
    if (wanted.count)
        return fail(err, ERR_UNAUTHORIZED, "a bootstrap token is for the API server alone");
    if (ret_audiences) {
        struct str *items = arena_new(a, struct str);
        *items = own;
        *ret_audiences = (struct authn_audiences){ items, 1 };
    }
    return authn_bootstrap_token(s, a, token, ret, err);
}
