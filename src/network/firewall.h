/*
 * klein's nftables tables: "ip klein" (Services, host ports, masquerading, protection of the node) and "bridge klein" (a
 * pod sends only from its own address). Owned: loaded as a whole at first, changed by small batches, loaded again when
 * somebody took something away.
 *
 * Everything that is many is an element of a map; rules do not grow with the number of Services. See docs/design/network.md.
 */
#ifndef NETWORK_FIREWALL_H
#define NETWORK_FIREWALL_H

#include "network/nft.h"
#include "network/pods.h"
#include "network/service_plan.h"

struct firewall_config {
    uint32_t node_ip, dns_ip; /* dns_ip 0: no DNS here */
    struct ip_prefix service_range, cluster_range;
    struct ip_prefix pod_range; /* of this node; length 0: no pods (yet) */
    const char *bridge, *tunnel;
    const struct pods *pods; /* borrowed */
};

struct firewall;
struct firewall *firewall_new(const struct firewall_config *config, struct error *err);
void firewall_free(struct firewall *f);          /* the kernel keeps the tables */
void firewall_remove_tables(struct firewall *f); /* klein leaves */
/* The next commit loads everything again. Until the first commit nothing is sent, and what an earlier process left works on. */
void firewall_configure(struct firewall *f, const struct ip_prefix *pod_range, uint32_t dns_ip);
void firewall_reload(struct firewall *f);

/* Collect changes; they take effect together at firewall_commit(). */
void firewall_set_nodes(struct firewall *f, const uint32_t *ips, size_t count);
void firewall_put_service(struct firewall *f, struct str key, const struct service_plan *plan); /* NULL: gone */

/* Pods' addresses and host ports, in effect on return (pods start one by one). The bridge's table also before the first commit. */
int firewall_put_pod(struct firewall *f, struct net_pod *pod, struct error *err);
void firewall_delete_pod(struct firewall *f, struct net_pod *pod);
int firewall_set_host_ports(struct firewall *f, struct net_pod *pod, struct pod_host_port *ports, size_t count,
                            struct error *err); /* takes `ports` over on success */

/* One transaction with everything collected. On failure everything is sent again at the next commit. */
int firewall_commit(struct firewall *f, struct error *err);
/* Are the rules of Services there, whoever loaded them? Two messages, whatever their number. */
bool firewall_is_in_kernel(struct firewall *f);
bool firewall_is_changed(const struct firewall *f);
/* Cheap when nobody else changed any table. True: something of ours was gone; commit now. */
bool firewall_check(struct firewall *f);

/* Endpoints that new commits took away (address and port), for conntrack; cleared by the call's caller with count 0. */
struct firewall_removed {
    struct service_target *targets;
    size_t count, capacity;
};
struct firewall_removed *firewall_removed_targets(struct firewall *f);

#endif
