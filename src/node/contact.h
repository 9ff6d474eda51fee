/*
 * What the agent knows of being cut off, put together: servers (servers.h), peers (peers.h), the fence guard (fence.h). Tells the servers
 * who this node's peers are and whom it does not hear, the guard when there was contact, and pods that must be one when they may start.
 *
 * Kept in DATA: peers.key (0600), the key of the messages; peers.json, the nodes with their addresses, for a start while no server answers.
 */
#ifndef NODE_CONTACT_H
#define NODE_CONTACT_H

#include "node/agent_state.h"

struct contact;

/* After the pods were recovered; a machine without pods (gateway only) has no peers and no guard. */
struct contact *contact_new(struct agent *a, struct error *err);
void contact_free(struct contact *c); /* NULL is fine */
void contact_server_up(struct contact *c);
void contact_changed(struct contact *c);      /* servers_contact_ms() may have grown */
void contact_pods_changed(struct contact *c); /* a pod came or went: the guard is told before it starts; NULL is fine */
/* The part of a line of the status stream after "applied". */
void contact_write_report(const struct contact *c, struct buf *to, size_t max);

#endif
