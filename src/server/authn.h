/*
 * Authentication: from what a request shows to an identity. Client certificates of the cluster CA, service account tokens,
 * bootstrap tokens, else system:anonymous.
 *
 * Always true: a credential that is shown and does not hold is 401, never anonymous; two credentials are not mixed: the
 * certificate comes first. What is wrong with a credential is logged at debug level and not told to the client.
 * Everything returned lives in the arena. State loop only.
 */
#ifndef SERVER_AUTHN_H
#define SERVER_AUTHN_H

#include "server/request.h"

#define AUTHN_TOKEN_MAX_BYTES (16 * KIB)

/* A growing list of strings in an arena, for groups. */
struct authn_groups {
    struct str *items;
    size_t count, capacity;
};
void authn_groups_add(struct authn_groups *g, struct arena *a, struct str group); /* borrows; equal ones once */

/*
 * Who a bearer token is: a service account's or a bootstrap token. `audiences` are those the token must have one of, empty: the API
 * server's own. ret_audiences (may be NULL; `count` strings in the arena) are those of both. ERR_UNAUTHORIZED.
 */
struct authn_audiences {
    const struct str *items;
    size_t count;
};
int authn_token(struct server *s, struct arena *a, struct str token, struct authn_audiences wanted,
                struct identity *ret, struct authn_audiences *ret_audiences, struct error *err);
int authn_bootstrap_token(struct server *s, struct arena *a, struct str token, struct identity *ret, struct error *err);
bool authn_looks_like_bootstrap_token(struct str token);

/* Takes an attempt from the caller's address (a wrong bootstrap token, a join); false: too many, answer 429. */
bool authn_attempt(struct request *r);
bool authn_attempts_left(struct request *r); /* without taking one */

/* The identity of a verified client certificate. */
void authn_certificate(struct arena *a, const struct http_peer *peer, struct identity *ret);

/* UserInfo as a tree; strings are borrowed. */
struct value *authn_user_info(struct arena *a, const struct identity *i);

/* "system:serviceaccount:NS:NAME" in its parts; false for other users. */
bool authn_service_account(struct str user, struct str *ret_namespace, struct str *ret_name);

/* The key by which a node's certificate is told from another's; "" without a certificate. */
struct str authn_certificate_key(const struct request *r);

#endif
