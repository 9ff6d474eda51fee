/*
 * How a node gets and keeps its identity: a key of its own, a certificate for system:node:NAME signed by the cluster, and the
 * cluster's CA pinned by the token. docs/reference/agent-protocol.md, section 1.
 *
 * Files in DATA: node.key and node.crt (0600), ca.crt, servers.json.
 */
#ifndef NODE_JOIN_H
#define NODE_JOIN_H

#include "base/secret.h"
#include "node/agent.h"
#include "wire/tls.h"

struct identity {
    struct secret key_pem;
    char *certificate_pem, *ca_pem;
    char **servers;
    size_t servers_count;
    int64_t not_before_ms, not_after_ms;
};

void identity_done(struct identity *i);
/* ERR_NOT_FOUND when the node has not joined yet. */
int identity_load(const char *data, struct identity *ret, struct error *err);
/* Blocking; one try. With `present` the certificate is renewed over a connection that shows it, else the token proves who we are. */
int identity_join(const struct agent_config *config, const struct identity *present, int64_t now_ms,
                  struct identity *ret, struct error *err);
struct tls_context *identity_tls(const struct identity *i, struct error *err);
bool identity_needs_renewal(const struct identity *i, int64_t now_ms);

#endif
