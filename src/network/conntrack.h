/*
 * Forgetting connections (ctnetlink). UDP has no end of a connection: without this, a client that keeps sending would reach a
 * removed endpoint for ever. A TCP connection that was never answered is forgotten too: its next try, a second after the first, then goes
 * to a living endpoint, and a later client with the same port is not led to a dead one for two minutes. Costs one dump of the table, which is shared by all namespaces of the machine (15 ms are usual): so it is for a worker, and for
 * everything removed in a round together.
 */
#ifndef NETWORK_CONNTRACK_H
#define NETWORK_CONNTRACK_H

#include "network/netlink.h"
#include "network/service_plan.h"

#define CONNTRACK_FORGET_MAX 65536 /* at once */

struct conntrack_forget {
    struct service_target
        *targets; /* UDP flows, and TCP connections without an answer, that were led to these endpoints */
    size_t targets_count;
    uint32_t *ips; /* every connection from or to these addresses: they will belong to other pods */
    size_t ips_count;
};
int conntrack_forget(struct netlink *nl, struct conntrack_forget *what, struct error *err); /* sorts what it is given */

#endif
