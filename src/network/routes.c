/* Ways to the pods of other nodes: over the link where the node is on it, else through the tunnel. */
#include "network/internal.h"

#include "kinds/fields.h"

#include <errno.h>
#include <stdlib.h>

#define LOG_PART "network"
#include "base/log.h"

struct remote {
    uint32_t node_ip;
    struct ip_prefix range; /* length 0: no pods there */
    struct route route;
    bool tunnelled, present; /* present: the kernel has exactly this route */
};

struct routes {
    struct network *network;
    struct remote *remotes;
    size_t count, capacity;
    uint32_t *node_ips;
    size_t node_ips_count, node_ips_capacity;
    int tunnel; /* index of klein.vx, 0 without one */
    struct route *stale;
    size_t stale_count, stale_capacity;
};

struct routes *routes_new(struct network *n)
{
    struct routes *r = xnew(struct routes);

    r->network = n;
    return r;
}

void routes_free(struct routes *r)
{
    if (!r)
        return;
    free(r->remotes);
    free(r->node_ips);
    free(r->stale);
    free(r);
}

const uint32_t *routes_node_ips(const struct routes *r, size_t *ret_count)
{
    *ret_count = r->node_ips_count;
    return r->node_ips;
}

/* --- what the Nodes say ----------------------------------------------------------------------------------------------- */

static bool node_ip(struct view node, uint32_t *ret)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(node, F_NODE_STATUS, F_NODE_STATUS_ADDRESSES), &it))
        if (str_is(view_str_at(it.value, F_NODE_ADDRESS_TYPE), "InternalIP") &&
            ip_parse(view_str_at(it.value, F_NODE_ADDRESS_ADDRESS), ret))
            return true;
    return false;
}

static void read_nodes(struct routes *r)
{
    struct network *n = r->network;
    struct objects all = cache_all(n->nodes);

    r->count = r->node_ips_count = 0;
    for (size_t i = 0; i < all.count; i++) {
        struct view node = object_root(all.items[i]);
        struct remote remote = { 0 };

        if (!node_ip(node, &remote.node_ip))
            continue;
        GROW(r->node_ips, r->node_ips_count, r->node_ips_capacity);
        r->node_ips[r->node_ips_count++] = remote.node_ip;
        if (remote.node_ip == n->node_ip || str_is(object_name(all.items[i]), n->config.node_name))
            continue;
        if (!ip_prefix_parse(view_str_at(node, F_NODE_SPEC, F_NODE_SPEC_POD_CIDR), &remote.range))
            continue;
        /* A Node may not draw other traffic to itself: only parts of the cluster's range are routed. */
        if (n->cluster_range.mask && !ip_prefix_has(&n->cluster_range, remote.range.ip))
            continue;
        GROW(r->remotes, r->count, r->capacity);
        r->remotes[r->count++] = remote;
    }
}

/* --- how to get there -------------------------------------------------------------------------------------------------- */

static int tunnel_put(struct routes *r, struct error *err)
{
    struct network *n = r->network;
    AUTO_ERROR struct error inner = { 0 };
    struct link_vxlan v = { .name = TUNNEL_NAME, .vni = TUNNEL_VNI, .local = n->node_ip, .port = TUNNEL_PORT };
    struct link_info link;

    if (link_find(&n->rtnl, TUNNEL_NAME, &link, &inner) < 0) {
        v.mtu = network_mtu(n); /* routes may come before the bridge, and a gateway has none */
        ip_mac(n->node_ip, v.mac);
        v.mac[1] = MAC_VXLAN_FIRST;
        if (link_add_vxlan(&n->rtnl, &v, err) < 0 || link_find(&n->rtnl, TUNNEL_NAME, &link, err) < 0)
            return -1;
    }
    if (!link.up && link_set_up(&n->rtnl, link.index, err) < 0)
        return -1;
    r->tunnel = link.index;
    /* Reverse path filtering, even loose, drops all asymmetric traffic of a link without any address (fib_validate_source). */
    return link_put_address(&n->rtnl, link.index, htonl(TUNNEL_ADDRESS), 32, err);
}

static int plan_one(struct routes *r, struct remote *remote, struct error *err)
{
    struct network *n = r->network;
    struct route way = { 0 };

    if (route_lookup(&n->rtnl, remote->node_ip, &way, err) < 0)
        return -1;
    remote->route = (struct route){
        .destination = remote->range.ip, .length = remote->range.length, .gateway = remote->node_ip, .index = way.index
    };
    if (way.gateway == 0 && way.index != r->tunnel && way.index != n->bridge)
        return 0;
    if (!r->tunnel && tunnel_put(r, err) < 0)
        return -1;
    remote->tunnelled = true;
    remote->route.index = r->tunnel;
    remote->route.onlink = true;
    remote->route.source = n->node_ip; /* klein.vx has no address others know */
    return 0;
}

static int put_one(struct routes *r, struct remote *remote, struct error *err)
{
    struct netlink *nl = &r->network->rtnl;
    unsigned char mac[MAC_SIZE];

    if (remote->tunnelled) {
        ip_mac(remote->node_ip, mac);
        mac[1] = MAC_VXLAN_FIRST;
        if (link_put_fdb(nl, r->tunnel, mac, remote->node_ip, err) < 0 ||
            link_put_neighbor(nl, r->tunnel, remote->node_ip, mac, err) < 0)
            return -1;
    }
    return remote->present ? 0 : route_put(nl, &remote->route, err);
}

/* A route of ours in the kernel: one we want, or one to take away (deleting inside the dump would disturb it). */
static void on_route(void *arg, const struct route *have)
{
    struct routes *r = arg;

    for (size_t i = 0; i < r->count; i++) {
        const struct route *want = &r->remotes[i].route;

        if (want->destination != have->destination || want->length != have->length)
            continue;
        if (want->gateway == have->gateway && want->index == have->index) {
            r->remotes[i].present = true;
            return;
        }
        return; /* replaced by putting the wanted one */
    }
    GROW(r->stale, r->stale_count, r->stale_capacity);
    r->stale[r->stale_count++] = *have;
}

static void remove_stale(struct routes *r)
{
    struct netlink *nl = &r->network->rtnl;

    for (size_t i = 0; i < r->stale_count; i++) {
        const struct route *route = &r->stale[i];
        unsigned char mac[MAC_SIZE];

        route_delete(nl, route, NULL);
        if (route->index != r->tunnel || !r->tunnel)
            continue;
        ip_mac(route->gateway, mac);
        mac[1] = MAC_VXLAN_FIRST;
        link_delete_neighbor(nl, r->tunnel, route->gateway, NULL);
        link_delete_fdb(nl, r->tunnel, mac, route->gateway, NULL);
    }
    r->stale_count = 0;
}

static void find_tunnel(struct routes *r)
{
    struct link_info link;

    r->tunnel = link_find(&r->network->rtnl, TUNNEL_NAME, &link, NULL) == 0 ? link.index : 0;
}

static void drop_failed(struct routes *r, size_t i, const struct error *err)
{
    char ip[IP_TEXT_SIZE];

    log_warn("no way to a node's pods for now", KV("node_ip", "%s", ip_format(r->remotes[i].node_ip, ip)), KV_ERR(err));
}

void routes_sync(struct routes *r)
{
    AUTO_ERROR struct error err = { 0 };

    find_tunnel(r);
    read_nodes(r);
    for (size_t i = 0; i < r->count; i++)
        if (plan_one(r, &r->remotes[i], &err) < 0) {
            drop_failed(r, i, &err);
            r->remotes[i].route =
                (struct route){ .destination = r->remotes[i].range.ip, .length = r->remotes[i].range.length };
        }
    if (route_each(&r->network->rtnl, on_route, r, &err) < 0) {
        log_warn("routes cannot be read", KV_ERR(&err));
        return;
    }
    remove_stale(r);
    for (size_t i = 0; i < r->count; i++)
        if (r->remotes[i].route.index && put_one(r, &r->remotes[i], &err) < 0)
            drop_failed(r, i, &err);
}

void routes_remove_all(struct routes *r)
{
    AUTO_ERROR struct error err = { 0 };

    r->count = 0;
    find_tunnel(r);
    if (route_each(&r->network->rtnl, on_route, r, &err) == 0)
        remove_stale(r);
    if (link_delete(&r->network->rtnl, TUNNEL_NAME, &err) < 0)
        log_warn("tunnel not removed", KV_ERR(&err));
}
