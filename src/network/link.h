/*
 * Links, addresses, routes and neighbours of one network namespace by rtnetlink: typed calls, nothing decided here.
 *
 * "put" calls are idempotent: what is there already as wanted is left or replaced. Missing things to delete are no error.
 */
#ifndef NETWORK_LINK_H
#define NETWORK_LINK_H

#include "network/ip.h"
#include "network/netlink.h"

#include <net/if.h>

#define LINK_ALIAS_MAX 255
#define ROUTE_PROTOCOL 107 /* 'k': rtm_protocol of the routes that are klein's */

struct link_info {
    int index, master;
    uint32_t mtu;
    char name[IFNAMSIZ], kind[16], alias[LINK_ALIAS_MAX + 1];
    unsigned char mac[MAC_SIZE];
    bool up;
};

int link_find(struct netlink *nl, const char *name, struct link_info *ret, struct error *err); /* ERR with sys ENODEV */
typedef void link_seen(void *arg, const struct link_info *link);
int link_each_link(struct netlink *nl, link_seen *seen, void *arg, struct error *err);
int link_delete(struct netlink *nl, const char *name, struct error *err); /* absent: fine */
int link_delete_index(struct netlink *nl, int index, struct error *err);  /* the same */
int link_set_up(struct netlink *nl, int index, struct error *err);
int link_set_down(struct netlink *nl, int index, struct error *err);
int link_set_master(struct netlink *nl, int index, int master, struct error *err); /* 0: of none */
int link_set_mac(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], struct error *err);

int link_add_bridge(struct netlink *nl, const char *name, uint32_t mtu, const unsigned char mac[MAC_SIZE],
                    struct error *err);

struct link_veth {
    const char *name, *alias; /* our side, up at once */
    int master;               /* bridge of our side */
    const char *peer;
    int peer_netns_fd;
    unsigned char peer_mac[MAC_SIZE];
    uint32_t mtu;
};
int link_add_veth(struct netlink *nl, const struct link_veth *v, struct error *err);
/* Port of a bridge that reaches only the bridge itself, learns nothing, and gets only what is addressed to `mac`. */
int link_isolate_port(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], struct error *err);

struct link_vxlan {
    const char *name;
    uint32_t vni, local;
    uint16_t port;
    unsigned char mac[MAC_SIZE];
    uint32_t mtu;
};
int link_add_vxlan(struct netlink *nl, const struct link_vxlan *v, struct error *err);
/* Frames for `mac` leave through the tunnel to node `remote`; permanent. */
int link_put_fdb(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], uint32_t remote, struct error *err);
int link_delete_fdb(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], uint32_t remote,
                    struct error *err);

int link_put_neighbor(struct netlink *nl, int index, uint32_t ip, const unsigned char mac[MAC_SIZE], struct error *err);
int link_delete_neighbor(struct netlink *nl, int index, uint32_t ip, struct error *err);
int link_put_address(struct netlink *nl, int index, uint32_t ip, uint8_t prefix_length, struct error *err);
int link_delete_address(struct netlink *nl, int index, uint32_t ip, uint8_t prefix_length, struct error *err);
typedef void link_address_seen(void *arg, int index, uint32_t ip, uint8_t prefix_length);
int link_each_address(struct netlink *nl, link_address_seen *seen, void *arg, struct error *err);

struct route {
    uint32_t destination; /* 0/0: the default route */
    uint8_t length;
    uint32_t gateway; /* 0: on the link itself */
    uint32_t source;  /* preferred source, 0: the kernel's choice */
    int index;
    uint8_t protocol; /* 0: klein's */
    bool onlink;      /* take the gateway as reachable on this link whatever the other routes say */
};
int route_put(struct netlink *nl, const struct route *r, struct error *err); /* replaces klein's route to there */
int route_delete(struct netlink *nl, const struct route *r, struct error *err);
typedef void route_seen(void *arg, const struct route *route);
int route_each(struct netlink *nl, route_seen *seen, void *arg,
               struct error *err); /* klein's routes of the main table */
/* Where a packet to `ip` would go now: gateway 0 means directly on link `index`. sys ENETUNREACH when nowhere. */
int route_lookup(struct netlink *nl, uint32_t ip, struct route *ret, struct error *err);

#endif
