/*
 * Service account tokens: JSON Web Tokens signed by the cluster, bound to a service account and optionally to a pod, secret or node.
 *
 * A token holds as long as its time has not passed AND the service account and the bound object still stand with the same
 * uid: that is looked up at every use. Only the signature check is remembered, for TOKENS_CACHE_MAX tokens.
 * Source: pkg/serviceaccount (claims.go), KEP-1205, KEP-4193. State loop only.
 */
#ifndef SERVER_TOKENS_H
#define SERVER_TOKENS_H

#include "server/authn.h"

#define TOKENS_CACHE_MAX      4096
#define TOKENS_LIFETIME_MIN_S 600 /* as upstream: 10 minutes */
#define TOKENS_LIFETIME_MAX_S ((int64_t)1 << 32)
#define TOKENS_LEEWAY_S       60 /* a deleted pod's token goes on for its last minute */

struct tokens_bound { /* all empty: bound to the service account alone */
    struct str pod_name, pod_uid, secret_name, secret_uid, node_name, node_uid;
};
struct tokens_request {
    const struct object *service_account;
    const struct str *audiences;
    size_t audiences_count;
    int64_t lifetime_s;
    struct tokens_bound bound;
};
/* Sign a token. ret_credential_id (may be NULL): its jti, in the arena. */
void tokens_issue(struct server *s, struct arena *a, const struct tokens_request *request, struct secret *ret_token,
                  int64_t *ret_expires_ms, struct str *ret_credential_id);
/* See authn_token(). */
int tokens_authenticate(struct server *s, struct arena *a, struct str token, struct authn_audiences wanted,
                        struct identity *ret, struct authn_audiences *ret_audiences, struct error *err);

struct str tokens_issuer(struct server *s); /* also the default audience */

int tokens_init(struct server *s, struct error *err); /* parts.def */
void tokens_done(struct server *s);

#endif
