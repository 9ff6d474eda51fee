/*
 * The pods of this node and their addresses.
 *
 * Always true: an address belongs to at most one pod; a pod keeps its address until it is released, over restarts (a
 * checksummed file, written by a worker, and as a second source the alias of the pod's link in the kernel); a released
 * address is handed out again only after all others that are free (a cursor walks the range).
 */
#ifndef NETWORK_PODS_H
#define NETWORK_PODS_H

#include "base/map.h"
#include "loop/loop.h"
#include "network/ip.h"
#include "network/network.h"

#include <net/if.h>

#define PODS_PREFIX_SHORTEST 16 /* the largest range of one node: 65,536 addresses */
#define POD_UID_MAX          128
#define POD_HOST_PORTS_MAX   256

struct pod_host_port {
    uint8_t protocol;
    uint32_t host_ip; /* 0: every address of the node */
    uint16_t host_port, container_port;
};

struct net_pod {
    uint32_t ip;
    char link[IFNAMSIZ]; /* our side of its veth pair */
    char *uid;
    bool attached;                     /* its link exists, as far as we know */
    bool in_bridge_table, in_ip_table; /* the firewall's elements of it are loaded */
    struct pod_host_port *host_ports;
    size_t host_ports_count;
};

struct pods;
struct pods *pods_new(struct loop *loop, const char *folder);
void pods_free(struct pods *p); /* writes what is not written yet, blocking */
/* Read the file; a missing or damaged one (reported in err, and set aside) leaves the set empty. */
int pods_load(struct pods *p, struct error *err);
/* The range; false when it differs from what pods have addresses of: those outside are dropped. */
void pods_set_range(struct pods *p, const struct ip_prefix *range);
const struct ip_prefix *pods_range(const struct pods *p); /* length 0: not known yet */
uint32_t pods_gateway(const struct pods *p);              /* the first address of the range */

struct net_pod *pods_find(const struct pods *p, struct str uid);
/* The pod's entry, made with a free address when it is new. ERR_UNAVAILABLE. */
struct net_pod *pods_reserve(struct pods *p, struct str uid, struct error *err);
/* Adopt what the kernel says (a link's alias) when the file did not know it. */
void pods_adopt(struct pods *p, struct str uid, uint32_t ip);
void pods_release(struct pods *p, struct str uid);
bool pods_next(const struct pods *p, size_t *i, struct net_pod **ret);
size_t pods_count(const struct pods *p);
void pods_remove_file(struct pods *p);

#endif
