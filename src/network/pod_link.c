/* A veth pair between a pod's namespace and the bridge. */
#include "network/pod_link.h"

#include "network/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define INSIDE_NAME "eth0"

struct inside {
    const struct pod_link *link;
    int netns_fd;
    int result;
    struct error err;
};

static int put_settings(struct error *err)
{
    /* IPv4 only, and no listening to anybody who claims to know a better way (CVE-2020-10749). */
    static const char *const settings[][2] = {
        { "ipv6/conf/" INSIDE_NAME "/accept_ra", "0" },
        { "ipv6/conf/" INSIDE_NAME "/disable_ipv6", "1" },
        { "ipv4/conf/" INSIDE_NAME "/accept_redirects", "0" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (sysctl_put(settings[i][0], settings[i][1], err) < 0)
            return -1;
    return 0;
}

static int put_routes(struct netlink *nl, const struct pod_link *l, int index, struct error *err)
{
    struct route gateway = { .destination = l->gateway, .length = 32, .index = index };
    struct route out = { .gateway = l->gateway, .index = index, .onlink = true, .source = l->ip };
    unsigned char mac[MAC_SIZE];

    ip_mac(l->gateway, mac);
    if (link_put_neighbor(nl, index, l->gateway, mac, err) < 0 || route_put(nl, &gateway, err) < 0)
        return -1;
    return route_put(nl, &out, err);
}

static int configure(const struct inside *in, struct error *err)
{
    struct netlink nl CLEANUP(netlink_close) = { .fd = -1 };
    AUTO_ERROR struct error settings = { 0 };
    struct link_info lo, eth;

    if (setns(in->netns_fd, CLONE_NEWNET) < 0)
        return fail_sys(err, errno, "enter the pod's network namespace");
    if (netlink_open(&nl, NETLINK_ROUTE, err) < 0 || link_find(&nl, "lo", &lo, err) < 0 ||
        link_set_up(&nl, lo.index, err) < 0 || link_find(&nl, INSIDE_NAME, &eth, err) < 0)
        return -1;
    put_settings(&settings); /* the node's rules drop the same packets: a read-only /proc/sys is no reason to fail */
    if (link_put_address(&nl, eth.index, in->link->ip, 32, err) < 0 || link_set_up(&nl, eth.index, err) < 0)
        return -1;
    return put_routes(&nl, in->link, eth.index, err);
}

static void *run_inside(void *arg)
{
    struct inside *in = arg;

    in->result = configure(in, &in->err);
    return NULL;
}

/* The thread ends with its namespace: nothing else ever runs there. */
static int configure_inside(const struct pod_link *l, int netns_fd, struct error *err)
{
    struct inside in = { .link = l, .netns_fd = netns_fd };
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, run_inside, &in);

    if (failed)
        return fail_sys(err, failed, "start a thread");
    pthread_join(thread, NULL);
    if (in.result < 0)
        error_move(err, &in.err);
    return in.result;
}

static int make_pair(struct netlink *nl, const struct pod_link *l, int netns_fd, struct error *err)
{
    struct link_veth veth = {
        .name = l->name, .master = l->bridge, .peer = INSIDE_NAME, .peer_netns_fd = netns_fd, .mtu = l->mtu
    };
    char alias[LINK_ALIAS_MAX + 1], ip[IP_TEXT_SIZE];

    snprintf(alias, sizeof(alias), POD_LINK_ALIAS "%s %s", l->uid, ip_format(l->ip, ip));
    veth.alias = alias;
    ip_mac(l->ip, veth.peer_mac);
    return link_add_veth(nl, &veth, err);
}

static int put_outside(struct netlink *nl, const struct pod_link *l, struct error *err)
{
    unsigned char mac[MAC_SIZE];
    struct link_info port;

    ip_mac(l->ip, mac);
    if (link_find(nl, l->name, &port, err) < 0 || link_isolate_port(nl, port.index, mac, err) < 0)
        return -1;
    return link_put_neighbor(nl, l->bridge, l->ip, mac, err);
}

int pod_link_put(struct netlink *nl, const struct pod_link *l, struct error *err)
{
    AUTO_FD int netns_fd = open(l->netns_path, O_RDONLY | O_CLOEXEC);
    AUTO_ERROR struct error inner = { 0 };
    struct link_info port;

    if (netns_fd < 0)
        return fail_sys(err, errno, "open the network namespace '%s'", l->netns_path);
    if (link_find(nl, l->name, &port, &inner) == 0) {
        /* From an earlier call. When its other end is not in this namespace, the pair belongs to a sandbox that is gone. */
        if (port.master == l->bridge && configure_inside(l, netns_fd, &inner) == 0)
            return put_outside(nl, l, err);
        if (link_delete(nl, l->name, err) < 0)
            return -1;
    }
    if (make_pair(nl, l, netns_fd, err) < 0 || configure_inside(l, netns_fd, err) < 0 || put_outside(nl, l, err) < 0) {
        link_delete(nl, l->name, NULL);
        return -1;
    }
    return 0;
}
