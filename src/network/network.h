/*
 * The network of one node: addresses for pods, routes to other nodes, Services in nftables, and DNS.
 *
 * It follows the cluster through its own watches (Service, EndpointSlice, Node, Pod of this node only where it must) and keeps
 * working on its last knowledge while no server answers. Everything runs on one loop; the netlink calls below are
 * synchronous and take well under a millisecond. State on the kernel's side is owned by klein's names (bridge, veth
 * prefix, nftables table), found again after a restart, and re-asserted when somebody flushes it.
 */
#ifndef NETWORK_NETWORK_H
#define NETWORK_NETWORK_H

#include "base/env.h"
#include "kinds/api.h"
#include "loop/loop.h"

struct network_config {
    const char *node_name;
    const char *zone;                /* topology.kubernetes.io/zone of this machine; NULL: unknown */
    const char *node_address;        /* this node's InternalIP */
    const char *state_folder;        /* addresses handed out survive a restart of the agent here */
    const char *cluster_domain;      /* "cluster.local" */
    const char *service_cidr;        /* "10.96.0.0/16" */
    const char *dns_service_address; /* "10.96.0.10": bound on the node's bridge, answered by klein itself */
    const char *cluster_cidr;        /* pod addresses of the whole cluster, never masqueraded */
    const char *
        upstream_dns; /* "ADDRESS[:PORT]" queries for other names go to; NULL = first nameserver of /etc/resolv.conf; "" = refuse */
    bool pods; /* false on a gateway-only node: routes and services, no bridge */
};

struct network;
struct cache;

struct network *network_start(struct loop *loop, struct env *env, struct api *api, const struct network_config *config,
                              struct error *err);
/* The agent stops; the kernel keeps what is loaded, so that pods go on. */
void network_stop(struct network *n);
/* klein leaves this machine: links, routes, tables, address files. */
void network_remove_all(struct network *n);

/* spec.podCIDR of our Node became known (or the same again); pods can be attached from then on. */
int network_set_pod_cidr(struct network *n, struct str cidr, struct error *err);

/* Give the pod's network namespace (a path, e.g. a bind-mounted nsfs file) an interface eth0, an address and routes. Idempotent
 * per uid: a second call gives the same address. Also sets up lo. ERR_UNAVAILABLE before the pod CIDR is known or when no address is free. */
int network_attach(struct network *n, struct str pod_uid, const char *netns_path, char ret_ip[46], struct error *err);
/* Idempotent; frees the address (it is not handed out again for a while) and the conntrack of it. */
void network_detach(struct network *n, struct str pod_uid);
/* Reclaim what belongs to pods that are not in `uids` any more (after a crash of the agent). */
void network_keep_only(struct network *n, const struct str *uids, size_t count);

/* Host ports of a pod (hostPort): DNAT on this node; replaced as a whole per pod, removed by network_detach. */
struct network_host_port {
    const char *protocol; /* "TCP", "UDP" */
    const char *host_ip;  /* "" = all */
    uint16_t host_port, container_port;
};
int network_set_host_ports(struct network *n, struct str pod_uid, const char *pod_ip,
                           const struct network_host_port *ports, size_t count, struct error *err);

/* The Nodes it follows, for others to listen to as well. */
struct cache *network_nodes(struct network *n);
/* The greatest EndpointSlice revision whose effect is in the kernel, for acknowledged removal; on_applied is called when it grows. */
uint64_t network_applied_revision(const struct network *n);
void network_on_applied(struct network *n, void (*applied)(void *arg, uint64_t revision), void *arg);
/* All first lists have arrived and been applied. */
bool network_is_ready(const struct network *n);

#endif
