/*
 * What a Service means for one node: which addresses and ports lead to which endpoints. A pure function of the Service, its
 * EndpointSlices and the node.
 *
 * Sources: Service and EndpointSlice documentation; KEP-1669 (terminating endpoints), KEP-2086 (internalTrafficPolicy), KEP-4444 and
 * KEP-3015 (traffic distribution by hints).
 */
#ifndef NETWORK_SERVICE_PLAN_H
#define NETWORK_SERVICE_PLAN_H

#include "base/arena.h"
#include "network/ip.h"
#include "object/object.h"

/*
 * Without any word about it in the Service, endpoints of the own zone are preferred, but only so much: each is drawn four times as
 * often as another. So most traffic stays in the zone when pods are spread evenly, one pod in a zone is never drowned by all clients
 * there, and every endpoint is reached. `trafficDistribution` asks for more.
 */
#define SERVICE_NEAR_WEIGHT 4
#define SERVICE_NEAR_MAX    64 /* endpoints; more are all alike, for the sake of the kernel's sets */

#define SERVICE_ENDPOINTS_MAX 10000 /* of one port; more are left out */

struct service_target {
    uint32_t ip;
    uint16_t port; /* network order, like ip */
};

enum frontend_kind {
    FRONTEND_ADDRESS,       /* ClusterIP, external IP, load balancer IP */
    FRONTEND_NODE_PORT,     /* a port of every address of the node */
    FRONTEND_ADDRESS_LOCAL, /* the same two for traffic from outside under externalTrafficPolicy Local */
    FRONTEND_NODE_PORT_LOCAL,
    FRONTEND_KINDS
};

struct service_frontend {
    enum frontend_kind kind;
    uint32_t ip; /* 0 for node ports */
    uint16_t port;
    bool local; /* leads to this node's endpoints only */
};

struct service_port {
    struct str name;
    uint8_t protocol;
    uint32_t affinity_s;                            /* 0: none */
    struct service_target *targets, *local_targets; /* without doubles, sorted */
    uint32_t targets_count, local_targets_count;
    /* Those of `targets` that get SERVICE_NEAR_WEIGHT times as many new connections: in the node's zone, while there are others too. */
    struct service_target *near_targets;
    uint32_t near_targets_count;
    struct service_frontend *frontends;
    uint32_t frontends_count;
};

struct service_plan {
    struct service_port *ports;
    uint32_t ports_count;
};

struct service_context {
    const char *node_name;
    const char *zone; /* the node's; NULL: unknown, then hints do not count */
    uint32_t dns_ip;  /* a Service at this address is answered by klein itself: no rules */
};

/* Headless and external-name Services give an empty plan. Memory from `a`. */
void service_plan_make(struct arena *a, const struct service_context *c, struct view service,
                       const struct object *const *slices, size_t slices_count, struct service_plan *ret);
bool service_address_is_allowed(uint32_t ip); /* endpoints on loopback and link-local are refused (CVE-2021-25737) */
uint8_t service_protocol(struct str name);    /* IPPROTO_TCP for "" */

#endif
