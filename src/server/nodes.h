/*
 * The agents' connections: who is connected, when each was last heard, what it has applied, and calls to it.
 *
 * Every agent opens one tunnel (transport/tunnel.h; docs/reference/agent-protocol.md is the whole protocol). This module accepts it
 * after authentication, reads the agent's status stream, and offers
 *   - facts: nodes_each(), nodes_on_change(), and GET /klein/v1/nodes for controllers;
 *   - a door: nodes_client() for logs, exec, attach, port forwarding and proxying.
 *
 * Always true: a node has at most one live tunnel; the one that came last wins when both show the same key. During
 * the reconnect window after nodes_new() nobody is called silent: nodes_settled() is false.
 *
 * Threads: everything on the loop given to nodes_new(), which must be the loop that serves the tunnels' exchanges.
 */
#ifndef SERVER_NODES_H
#define SERVER_NODES_H

#include "server/server.h"
#include "transport/tunnel.h"

#define NODES_MAX 20000 /* known names; more are refused with ERR_TOO_MANY_REQUESTS */
#define NODES_GATEWAYS_GROUP                                                                                           \
    "system:klein-gateways"            /* organization in the certificate of a node that joined as a gateway */
#define NODES_RECONNECT_WINDOW_MS 5000 /* a server that (re)started calls nobody silent before */

struct nodes;

struct node_facts {
    struct str name; /* borrowed for the call */
    bool connected;
    bool silent;                     /* nothing heard for TUNNEL_SILENT_MS, or not connected */
    int64_t last_seen_age_ms;        /* since the last byte from it */
    uint64_t applied_endpointslices; /* revision in force there; 0: nothing reported yet */
    struct str applied_json;         /* the whole "applied" object as it came; "{}" before */
    struct str key_sha256;           /* of the certificate on its tunnel */
};

struct nodes *server_nodes(struct server *s); /* the server's own (parts.def); NULL before it started */
struct nodes *nodes_new(struct loop *loop);
void nodes_free(struct nodes *n); /* closes all tunnels; NULL is fine */

/*
 * Take the exchange of GET /klein/v1/nodes/NAME/tunnel, already authorised as system:node:NAME; answers it in every case but
 * failure: -1 with err (ERR_BAD_REQUEST no upgrade, ERR_CONFLICT a live tunnel with another key) leaves x to the caller.
 */
int nodes_accept(struct nodes *n, struct str name, struct http_exchange *x, struct error *err);

bool nodes_settled(const struct nodes *n);
/* False when the node has not been connected since the start. */
bool nodes_get(const struct nodes *n, struct str name, struct node_facts *ret);
typedef void nodes_each_fn(void *arg, const struct node_facts *facts);
void nodes_each(const struct nodes *n, nodes_each_fn *fn, void *arg);

/* HTTP to the agent; NULL with ERR_UNAVAILABLE when it is not connected. Valid until the next round of the loop. */
struct http_client *nodes_client(struct nodes *n, struct str name, struct error *err);

/* Called for each change of a node's facts (and with NULL when `settled` changed); see agent-protocol.md section 4 for when. */
struct nodes_watch;
struct nodes_watch *nodes_on_change(struct nodes *n, nodes_each_fn *fn, void *arg);
void nodes_watch_free(struct nodes_watch *w); /* no more calls; allowed inside fn; NULL is fine */

#endif
