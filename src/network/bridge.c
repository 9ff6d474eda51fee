/* The node's bridge klein0: the gateway of its pods, with the address of the DNS service beside the gateway's. */
#include "network/internal.h"

#include "network/sysctl.h"

#include <errno.h>

#define LOG_PART "network"
#include "base/log.h"

struct underlay {
    uint32_t ip;
    int index;
    uint32_t mtu;
};

static void find_index(void *arg, int index, uint32_t ip, UNUSED uint8_t length)
{
    struct underlay *u = arg;

    if (ip == u->ip)
        u->index = index;
}

static void find_mtu(void *arg, const struct link_info *link)
{
    struct underlay *u = arg;

    if (link->index == u->index)
        u->mtu = link->mtu;
}

/* Room for the tunnel's headers is always left: whether the next node is on this link is not known when a pod starts. */
uint32_t network_mtu(struct network *n)
{
    struct underlay u = { .ip = n->node_ip, .mtu = MTU_DEFAULT };

    if (link_each_address(&n->rtnl, find_index, &u, NULL) == 0 && u.index)
        link_each_link(&n->rtnl, find_mtu, &u, NULL);
    if (u.mtu > 9000) /* loopback */
        u.mtu = MTU_DEFAULT;
    return u.mtu - TUNNEL_BYTES;
}

void bridge_put_settings(const struct network *n)
{
    static const char *const everywhere[][2] = {
        { "ipv4/ip_forward", "1" },
        /* Loose: replies to other zones leave another way than requests come. The kernel takes the larger of all and the link's. */
        { "ipv4/conf/all/rp_filter", "2" },
        { "ipv4/conf/default/rp_filter", "2" },
    };
    static const char *const bridge[][2] = {
        /* Pods reach each other through us on purpose: "go there directly" would be wrong advice. */
        { "ipv4/conf/all/send_redirects", "0" },
        { "ipv4/conf/" BRIDGE_NAME "/send_redirects", "0" },
        /* Else br_netfilter (present where Docker is) translates while bridging, and sends to ports that do not hear each other. */
        { "bridge/bridge-nf-call-iptables", "0" },
        { "ipv6/conf/" BRIDGE_NAME "/accept_ra", "0" },
        { "ipv6/conf/" BRIDGE_NAME "/disable_ipv6", "1" },
    };
    AUTO_ERROR struct error err = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(everywhere); i++)
        if (sysctl_put(everywhere[i][0], everywhere[i][1], &err) < 0)
            log_warn("kernel setting not made", KV_ERR(&err));
    for (size_t i = 0; n->bridge && i < ARRAY_SIZE(bridge); i++)
        if (sysctl_put(bridge[i][0], bridge[i][1], &err) < 0)
            log_warn("kernel setting not made", KV_ERR(&err));
}

static int find_or_make(struct network *n, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };
    unsigned char mac[MAC_SIZE];
    struct link_info bridge;

    n->mtu = network_mtu(n);
    if (link_find(&n->rtnl, BRIDGE_NAME, &bridge, &inner) < 0) {
        ip_mac(pods_range(n->pods)->length ? pods_gateway(n->pods) : n->node_ip, mac);
        if (inner.sys != ENODEV) {
            error_move(err, &inner);
            return -1;
        }
        if (link_add_bridge(&n->rtnl, BRIDGE_NAME, n->mtu, mac, err) < 0 ||
            link_find(&n->rtnl, BRIDGE_NAME, &bridge, err) < 0)
            return -1;
    }
    if (!bridge.up && link_set_up(&n->rtnl, bridge.index, err) < 0)
        return -1;
    n->bridge = bridge.index;
    return 0;
}

int bridge_put(struct network *n, struct error *err)
{
    if (!n->config.pods) {
        bridge_put_settings(n);
        return 0;
    }
    /* The bridge's MAC follows the gateway's address, which pods know by heart: without a range there is no bridge yet. */
    if (!pods_range(n->pods)->length)
        return 0;
    if (find_or_make(n, err) < 0)
        return -1;
    bridge_put_settings(n);
    if (n->dns_ip && link_put_address(&n->rtnl, n->bridge, n->dns_ip, 32, err) < 0)
        return -1;
    return link_put_address(&n->rtnl, n->bridge, pods_gateway(n->pods), pods_range(n->pods)->length, err);
}

void bridge_remove(struct network *n)
{
    AUTO_ERROR struct error err = { 0 };

    if (link_delete(&n->rtnl, BRIDGE_NAME, &err) < 0)
        log_warn("bridge not removed", KV_ERR(&err));
    n->bridge = 0;
}
