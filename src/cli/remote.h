/* One call after the other to a cluster's API, as its administrator. Blocking; for commands. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "base/secret.h"
#include "object/object.h"
#include "transport/http_client.h"

#define REMOTE_SERVERS_MAX 8

struct remote {
    char *servers[REMOTE_SERVERS_MAX]; /* "https://10.100.255.2:6443": the first that can be reached is asked */
    struct str server_texts[REMOTE_SERVERS_MAX];
    struct tls_context *tls;
    struct http_client_options options;
    char ca_pin[65]; /* CAHASH of join tokens */
};

/* pki_folder holds ca.crt, admin.crt, admin.key (server/ca.h). */
int remote_open(struct remote *r, const char *server, const char *pki_folder, struct error *err);
int remote_open_any(struct remote *r, const char *const *servers, int count, const char *pki_folder, struct error *err);
/* The same for a local cluster, by its record. */
struct cluster_record;
int remote_open_cluster(struct remote *r, const struct cluster_record *c, struct error *err);
void remote_close(struct remote *r);
/* Ask the next server first from now on: this one is slow or gone. */
void remote_turn(struct remote *r);
/* body empty: none. Any answer but 2xx is a failure with the Status' own message. *ret (may be NULL) is the answer's object. */
int remote_call(struct remote *r, const char *method, const char *target, struct str body, int64_t timeout_ms,
                struct object **ret, struct error *err);
/* The same for answers that are not objects. */
int remote_fetch(struct remote *r, const char *target, int64_t timeout_ms, struct buf *ret, struct error *err);

/* A merge patch. */
int remote_patch(struct remote *r, const char *target, struct str body, int64_t timeout_ms, struct error *err);
/* A long answer, piece by piece: take returns -1 with err to break it off. No deadline but one for the first byte. */
int remote_stream(struct remote *r, const char *target, int (*take)(void *arg, struct str bytes, struct error *err),
                  void *arg, struct error *err);

/*
 * Make a bootstrap token that expires after ttl_s; *ret is TOKENID.TOKENSECRET.CAHASH (docs/reference/agent-protocol.md, 1). For nodes and
 * gateways, or for one server.
 */
enum remote_token { REMOTE_TOKEN_NODE, REMOTE_TOKEN_SERVER };
int remote_token_create(struct remote *r, enum remote_token kind, int64_t ttl_s, struct secret *ret, struct error *err);

#endif
