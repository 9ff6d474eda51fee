/*
 * Acknowledged removal: an agent asks whether new connections can still reach a deleted pod, and the answer waits until
 * no EndpointSlice calls it ready and every live node has applied that. Section 5 of docs/reference/agent-protocol.md.
 */
#ifndef SERVER_NODES_REMOVAL_H
#define SERVER_NODES_REMOVAL_H

#include "server/request.h"

#define REMOVAL_TIMEOUT_MS 2000
#define REMOVALS_MAX       10000 /* waiting at a time; more are told "not acknowledged" at once */

enum phase_result nodes_removal(struct request *r);

int nodes_removal_init(struct server *s, struct error *err); /* parts.def, after nodes */
void nodes_removal_done(struct server *s);

#endif
