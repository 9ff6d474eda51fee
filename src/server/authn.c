/* The authenticate phase: what a request shows becomes r->identity. */
#define LOG_PART "server"
#include "server/authn.h"

#include "base/codec.h"
#include "base/log.h"
#include "server/server.h"

#define WS_TOKEN_PROTOCOL STR("base64url.bearer.authorization.k8s.io.")

static const struct str anonymous_group = STR_INIT("system:unauthenticated");
static const struct identity anonymous = { .user = STR_INIT("system:anonymous"),
                                           .groups = &anonymous_group,
                                           .groups_count = 1 };

void authn_groups_add(struct authn_groups *g, struct arena *a, struct str group)
{
    for (size_t i = 0; i < g->count; i++)
        if (str_eq(g->items[i], group))
            return;
    if (g->count == g->capacity) {
        size_t capacity = g->capacity ? g->capacity * 2 : 8;
        struct str *items = arena_alloc_array(a, capacity, sizeof(*items));
        if (g->count)
            memcpy(items, g->items, g->count * sizeof(*items));
        g->items = items;
        g->capacity = capacity;
    }
    g->items[g->count++] = group;
}

bool authn_service_account(struct str user, struct str *ret_namespace, struct str *ret_name)
{
    struct str prefix = STR("system:serviceaccount:");
    if (!str_starts(user, prefix))
        return false;
    struct str rest = str_from(user, prefix.n), namespace_;
    if (!str_cut(&rest, ':', &namespace_) || str_empty(namespace_) || str_empty(rest) || str_find(rest, ':') >= 0)
        return false;
    *ret_namespace = namespace_;
    *ret_name = rest;
    return true;
}

/* Source: apiserver/pkg/authentication/request/x509, CommonNameUserConversion. */
void authn_certificate(struct arena *a, const struct http_peer *peer, struct identity *ret)
{
    struct authn_groups groups = { 0 };
    for (size_t i = 0; i < peer->organizations_count; i++)
        authn_groups_add(&groups, a, arena_str(a, peer->organizations[i]));
    authn_groups_add(&groups, a, STR("system:authenticated"));
    /* Copies: the identity outlives the exchange, in the audit log. */
    *ret = (struct identity){ .user = arena_str(a, peer->common_name),
                              .groups = groups.items,
                              .groups_count = groups.count };
    if (!str_empty(peer->certificate_der_sha256)) {
        struct identity_extra *extra = arena_new(a, struct identity_extra);
        struct str *value = arena_new(a, struct str);
        *value = arena_printf(a, "X509SHA256=%.*s", STR_ARG(peer->certificate_der_sha256));
        *extra = (struct identity_extra){ STR("authentication.kubernetes.io/credential-id"), value, 1 };
        ret->extra = extra;
        ret->extra_count = 1;
    }
}

struct str authn_certificate_key(const struct request *r)
{
    const struct http_peer *peer = r->exchange ? r->exchange->peer : NULL;
    return peer && peer->certificate && !peer->certificate_error ? peer->certificate_der_sha256 : STR_NONE;
}

enum shown { SHOWN_NOTHING, SHOWN_TOKEN, SHOWN_BAD };

/* A token in Sec-WebSocket-Protocol, for browsers, which cannot set headers. It must come with another protocol.
 * Source: apiserver/pkg/authentication/request/websocket, ProtocolAuthenticator. */
static enum shown websocket_token(struct request *r, struct str *ret)
{
    struct str offered = request_header(r, "sec-websocket-protocol"), part;
    enum shown shown = SHOWN_NOTHING;
    bool other = false;
    while (str_next(&offered, ',', &part)) {
        part = str_trim(part);
        if (!str_starts(part, WS_TOKEN_PROTOCOL)) {
            other |= !str_empty(part);
            continue;
        }
        struct buf token = BUF_MAX(AUTHN_TOKEN_MAX_BYTES);
        bool good = base64url_decode(&token, str_from(part, WS_TOKEN_PROTOCOL.n)) && token.n > 0;
        *ret = arena_str(&r->arena, buf_str(&token));
        if (token.p)
            explicit_bzero(token.p, token.n);
        buf_done(&token);
        if (!good || shown != SHOWN_NOTHING)
            return SHOWN_BAD;
        shown = SHOWN_TOKEN;
    }
    return shown == SHOWN_TOKEN && !other ? SHOWN_BAD : shown;
}

static enum shown bearer_token(struct request *r, struct str *ret)
{
    size_t found = 0;
    const struct http_request *request = r->exchange->request;
    for (size_t i = 0; i < request->headers_count; i++)
        found += str_is(request->headers[i].name, "authorization");
    if (found == 0)
        return request->upgrade ? websocket_token(r, ret) : SHOWN_NOTHING;
    struct str value = str_trim(request_header(r, "authorization")), scheme;
    if (found > 1 || !str_cut(&value, ' ', &scheme) || !str_eq_nocase(scheme, STR("bearer")))
        return SHOWN_BAD; /* basic authentication and the like are credentials too, and not ours */
    *ret = str_trim(value);
    return str_empty(*ret) || ret->n > AUTHN_TOKEN_MAX_BYTES ? SHOWN_BAD : SHOWN_TOKEN;
}

static enum phase_result refuse(struct request *r, const char *why)
{
    log_debug("credential refused", KV("why", "%s", why), KV("audit-id", "%s", r->id));
    return request_fail(r, ERR_UNAUTHORIZED, "Unauthorized");
}

enum phase_result authn_phase(struct request *r)
{
    if (r->source == REQUEST_LOCAL)
        return PHASE_DONE; /* server_api() took a trusted identity */
    const struct http_peer *peer = r->exchange->peer;
    struct str token;
    if (peer->certificate && peer->certificate_error)
        return refuse(r, peer->certificate_error);
    if (peer->certificate && str_empty(peer->common_name))
        return refuse(r, "the certificate has no common name");
    if (peer->certificate) {
        authn_certificate(&r->arena, peer, &r->identity);
        return PHASE_DONE;
    }
    switch (bearer_token(r, &token)) {
    case SHOWN_BAD:
        return refuse(r, "the Authorization header is no bearer token");
    case SHOWN_TOKEN: {
        AUTO_ERROR struct error err = { 0 };
        bool guessable = authn_looks_like_bootstrap_token(token);
        if (guessable && !authn_attempts_left(r)) {
            request_fail(r, ERR_TOO_MANY_REQUESTS, "too many attempts from this address, try again later");
            r->err.retry_after_s = 1;
            return PHASE_FAILED;
        }
        if (authn_token(r->server, &r->arena, token, (struct authn_audiences){ 0 }, &r->identity, NULL, &err) < 0) {
            if (guessable)
                authn_attempt(r);
            return refuse(r, error_text(&err));
        }
        return PHASE_DONE;
    }
    case SHOWN_NOTHING:
        break;
    }
    if (server_config(r->server)->no_anonymous)
        return refuse(r, "no credential");
    r->identity = anonymous;
    return PHASE_DONE;
}
