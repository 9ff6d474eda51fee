/* What the files of network/ share: the parts of one struct network. */
#ifndef NETWORK_INTERNAL_H
#define NETWORK_INTERNAL_H

#include "client/cache.h"
#include "network/link.h"
#include "network/network.h"
#include "network/pods.h"
#include "network/service_plan.h"

#define BRIDGE_NAME    "klein0"
#define TUNNEL_NAME    "klein.vx"
#define TUNNEL_VNI     1
#define TUNNEL_PORT    8472
#define TUNNEL_ADDRESS 0xa9fe6b6bu /* 169.254.107.107 on every node: only to have one */
#define TUNNEL_BYTES   50          /* outer Ethernet, IPv4, UDP and VXLAN headers */
#define MTU_DEFAULT    1500

struct firewall;
struct dns_server;
struct routes;
struct reaper;
struct knowledge;

struct slice_set {
    const struct object **items; /* referenced */
    size_t count, capacity;
};

struct network {
    struct loop *loop;
    struct env *env;
    struct network_config config; /* its strings are ours */
    uint32_t node_ip, dns_ip;
    struct ip_prefix service_range, cluster_range;
    struct netlink rtnl;
    struct api *api;
    struct cluster *cluster;
    struct cache *nodes, *services, *slices;
    struct pods *pods;
    struct routes *routes;
    struct reaper *reaper;
    struct firewall *firewall;
    struct dns_server *dns;
    struct knowledge *knowledge;
    int bridge; /* index of klein0, 0 before it exists */
    uint32_t mtu;
    struct loop_timer check;     /* looks that nobody took away what is ours */
    struct loop_task apply_task; /* brings the round's changes into the kernel */
    struct map dirty;            /* "namespace/name" of Services to look at in this round */
    struct map slices_of;        /* "namespace/name" of a Service -> struct slice_set */
    unsigned checks;
    bool nodes_changed, applied_once;
    bool remembers; /* the caches began with what an earlier process knew */
    bool rebuilt;   /* from that, because the kernel had nothing */
    uint64_t applied_revision;
    void (*on_applied)(void *arg, uint64_t revision);
    void *on_applied_arg;
};

/* --- bridge.c -------------------------------------------------------------------------------------------------------- */
uint32_t network_mtu(struct network *n);              /* of pods and of the tunnel: what the underlay leaves */
int bridge_put(struct network *n, struct error *err); /* klein0 with the DNS address, and the gateway's once known */
void bridge_put_settings(const struct network *n);    /* kernel settings; cheap when they are right */
void bridge_remove(struct network *n);

/* --- reaper.c: what takes the kernel long, on a worker ------------------------------------------------------------------- */
struct reaper *reaper_new(struct network *n);
void reaper_free(struct reaper *r);                                   /* does what is gathered, blocking */
void reaper_add_pod(struct reaper *r, const char *link, uint32_t ip); /* the link may not exist */
void reaper_add_targets(struct reaper *r, const struct service_target *targets, size_t count); /* count > 0 */

/* --- knowledge.c: what was last known of the cluster, in the state folder --------------------------------------------------- */
struct knowledge *knowledge_new(struct network *n);
void knowledge_free(struct knowledge *k); /* writes what is not written yet, blocking; before the caches go */
/* Put what an earlier process knew into the caches; false: nothing usable is there. */
bool knowledge_load(struct knowledge *k);
void knowledge_changed(struct knowledge *k); /* written in a while, once the caches are complete */
void knowledge_remove_file(struct knowledge *k);

/* --- routes.c: ways to other nodes ------------------------------------------------------------------------------------ */
struct routes *routes_new(struct network *n);
void routes_free(struct routes *r);
void routes_sync(
    struct routes *r); /* make the kernel's routes what the Nodes say; logs what fails, retried by the check */
void routes_remove_all(struct routes *r);
/* Addresses of nodes, for the firewall; valid until the next sync. */
const uint32_t *routes_node_ips(const struct routes *r, size_t *ret_count);

#endif
