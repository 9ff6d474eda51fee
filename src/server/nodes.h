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

#define NODES_MAX         20000 /* known names; more are refused with ERR_TOO_MANY_REQUESTS */
#define NODES_SERVERS_MAX 8     /* other servers that are followed */
#define NODES_GATEWAYS_GROUP                                                                                           \
    "system:klein-gateways"            /* organization in the certificate of a node that joined as a gateway */
#define NODES_RECONNECT_WINDOW_MS 5000 /* a server that (re)started calls nobody silent before */

struct nodes;
struct node_report;

/* Of all servers together, unless a function says first-hand: then of this server's own tunnels alone. */
struct node_facts {
    struct str name; /* borrowed for the call */
    bool connected;
    bool connected_here;              /* by a tunnel of this server */
    bool silent;                      /* nothing heard for TUNNEL_SILENT_MS, or not connected */
    bool confirmed;                   /* nor do other nodes hear it: nodes_judge.h */
    bool fenced;                      /* its guard has stopped what must be one */
    int64_t last_seen_age_ms;         /* since the last byte from it */
    uint64_t applied_endpointslices;  /* revision in force there; 0: nothing reported yet */
    struct str applied_json;          /* the whole "applied" object as it came; "{}" before */
    struct str key_sha256;            /* of the certificate on its tunnel */
    const struct node_report *report; /* nodes_internal.h: its peers, and whom it does not hear */
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
/* False for a name nobody knows. A Node that never connected since the start is known 5 s later, as silent. */
bool nodes_get(const struct nodes *n, struct str name, struct node_facts *ret);
typedef void nodes_each_fn(void *arg, const struct node_facts *facts);
void nodes_each(const struct nodes *n, nodes_each_fn *fn, void *arg);
bool nodes_get_first_hand(const struct nodes *n, struct str name, struct node_facts *ret);
void nodes_each_first_hand(const struct nodes *n, nodes_each_fn *fn, void *arg);

/* HTTP to the agent; NULL with ERR_UNAVAILABLE when it is not connected. Valid until the next round of the loop. */
struct http_client *nodes_client(struct nodes *n, struct str name, struct error *err);

/* Called for each change of a node's facts (and with NULL when `settled` changed); see agent-protocol.md section 4 for when. */
struct nodes_watch; /* called for changes at first hand, too */
struct nodes_watch *nodes_on_change(struct nodes *n, nodes_each_fn *fn, void *arg);
/* Only for what this server heard itself (nodes_get_first_hand()): what it passes on to other servers. */
struct nodes_watch *nodes_on_change_first_hand(struct nodes *n, nodes_each_fn *fn, void *arg);
void nodes_watch_free(struct nodes_watch *w); /* no more calls; allowed inside fn; NULL is fine */

/*
 * What other servers say (nodes_follow.c, tests): one line of their GET /klein/v1/nodes?watch=true&firstHand=true; an empty one says that they
 * are there. slot < NODES_SERVERS_MAX. lost: the stream ended and the grace is over; forget: the server has left the cluster.
 */
void nodes_word(struct nodes *n, size_t slot, struct str line);
/* A stream begins: what it has not named again by its line "settled", which ends the first list, is forgotten then. */
void nodes_word_begin(struct nodes *n, size_t slot);
void nodes_word_lost(struct nodes *n, size_t slot);
void nodes_word_forget(struct nodes *n, size_t slot);
void nodes_set_servers_count(struct nodes *n, size_t count); /* of the cluster, this one included */

#endif
