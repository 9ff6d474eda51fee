/*
 * Forgetting connections (ctnetlink). UDP has no end of a connection: without this, a client that keeps sending would reach a
 * removed endpoint for ever. Costs one dump of the table, so it is done for all removed endpoints of a batch together.
 */
#ifndef NETWORK_CONNTRACK_H
#define NETWORK_CONNTRACK_H

#include "network/netlink.h"
#include "network/service_plan.h"

#define CONNTRACK_FORGET_MAX 65536 /* at once */

/* UDP flows that were led to one of these endpoints. */
int conntrack_forget_targets(struct netlink *nl, const struct service_target *targets, size_t count, struct error *err);
/* Every connection from or to this address: it will belong to another pod. */
int conntrack_forget_ip(struct netlink *nl, uint32_t ip, struct error *err);

#endif
