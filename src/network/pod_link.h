/*
 * The network interface of one pod: a veth pair, eth0 inside, a port of the node's bridge outside.
 *
 * A pod has its address as a /32 and one way out, the bridge: traffic between pods of a node is routed like any other, so
 * Services and policies see it, nothing depends on bridge-nf-call-iptables, and a hairpin needs no special case. The port is
 * isolated: no frame passes from pod to pod, which ends ARP spoofing and rogue router advertisements (CVE-2020-10749).
 */
#ifndef NETWORK_POD_LINK_H
#define NETWORK_POD_LINK_H

#include "network/link.h"

struct pod_link {
    const char *name, *uid; /* our side; the uid goes into its alias, "klein UID IP" */
    const char *netns_path;
    uint32_t ip, gateway;
    int bridge;
    uint32_t mtu;
};

/* Idempotent. Some 1 ms; uses a short-lived thread that enters the namespace. */
int pod_link_put(struct netlink *nl, const struct pod_link *l, struct error *err);
#define POD_LINK_ALIAS "klein "

#endif
