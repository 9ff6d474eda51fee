/* The links of a local cluster, made with iproute2 and nft in the cluster's own namespaces. */
#include "cli/links.h"

#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int open_netns(const struct machine *m, struct error *err)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/ns/net", (int)m->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? fail_sys(err, errno, "open the network namespace of '%s'", m->name) : fd;
}

static int ip_batch(int netns_fd, const struct buf *lines, struct error *err)
{
    static const char *const argv[] = { "ip", "-batch", "-", NULL };

    return run_command(argv, netns_fd, buf_str(lines), NULL, err);
}

/*
 * Bridges are one switch each, routed by the edge. Masquerading keeps pods and nodes unknown to the host: everything that
 * leaves comes from the edge's own address, so the host needs no forwarding and no firewall table of ours.
 */
static int make_inside(const struct cluster_record *c, struct error *err)
{
    AUTO_BUF struct buf ip = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf nft = BUF_MAX(16 * KIB);
    static const char *const nft_argv[] = { "nft", "-f", "-", NULL };
    AUTO_FD int ns = open_netns(&c->edge, err);

    if (ns < 0)
        return -1;
    buf_addf(&ip, "link set lo up\naddr add 10.%d.255.2/30 dev uplink\nlink set uplink up\n", c->number);
    buf_addf(&ip, "route add default via 10.%d.255.1\n", c->number);
    for (int zone = 0; zone < c->zones; zone++) {
        char name[16];
        cluster_zone_name(zone, name);
        buf_addf(&ip,
                 "link add br-%s type bridge forward_delay 0\naddr add 10.%d.%d.1/24 dev br-%s\nlink set br-%s up\n",
                 name, c->number, zone + 1, name, name);
    }
    buf_addf(&nft, "table ip klein-edge {\n chain postrouting {\n  type nat hook postrouting priority 100;\n"
                   "  oifname \"uplink\" masquerade\n }\n}\n");
    if (ip_batch(ns, &ip, err) < 0)
        return -1;
    return run_command(nft_argv, ns, buf_str(&nft), NULL, err);
}

int links_make_edge(const struct cluster_record *c, struct error *err)
{
    AUTO_BUF struct buf ip = BUF_MAX(4 * KIB);

    buf_addf(&ip, "link add klein%d type veth peer name uplink netns %d\n", c->number, (int)c->edge.pid);
    buf_addf(&ip, "addr add 10.%d.255.1/30 dev klein%d\nlink set klein%d up\n", c->number, c->number, c->number);
    if (ip_batch(-1, &ip, err) < 0 || make_inside(c, err) < 0)
        return error_context(err, "make the cluster's links");
    buf_clear(&ip);
    /* People and tests reach each server and node from this machine; the route goes with the link. */
    buf_addf(&ip, "route replace 10.%d.0.0/16 via 10.%d.255.2 dev klein%d\n", c->number, c->number, c->number);
    if (ip_batch(-1, &ip, err) < 0)
        return error_context(err, "make the route to the cluster");
    return 0;
}

/* A machine that is made again keeps its link-layer address: else its neighbours talk to the old one until their caches age, 30 s. */
static void add_link_address(struct buf *to, const char *address)
{
    struct str rest = str_of(address), part;

    buf_addf(to, "02:6b");
    while (str_next(&rest, '.', &part)) {
        uint64_t number = 0;
        str_to_u64(part, &number);
        buf_addf(to, ":%02x", (unsigned)number & 0xff);
    }
}

int links_make_node(const struct cluster_record *c, const struct machine *node, struct error *err)
{
    AUTO_BUF struct buf outside = BUF_MAX(4 * KIB);
    AUTO_BUF struct buf inside = BUF_MAX(4 * KIB);
    AUTO_FD int edge_ns = open_netns(&c->edge, err);
    AUTO_FD int node_ns = edge_ns < 0 ? -1 : open_netns(node, err);
    struct str address = str_of(node->address);

    if (node_ns < 0)
        return -1;
    /* The kernel takes its time to end the namespace of a machine that was destroyed: its link may still be there. */
    const char *const old[] = { "ip", "link", "del", node->name, NULL };
    run_command(old, edge_ns, STR_NONE, NULL, NULL);
    /* `ip` runs inside the edge's network namespace but sees the host's /proc, so the pid is the host's. */
    buf_addf(&outside, "link add %s type veth peer name eth0 address ", node->name);
    add_link_address(&outside, node->address);
    buf_addf(&outside, " netns %d\nlink set %s master br-%s\nlink set %s up\n", (int)node->pid, node->name, node->zone,
             node->name);
    buf_addf(&inside, "link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\nroute add default via %.*s.1\n",
             node->address, (int)str_find_last(address, '.'), node->address);
    if (ip_batch(edge_ns, &outside, err) < 0 || ip_batch(node_ns, &inside, err) < 0)
        return error_context(err, "make the links of node '%s'", node->name);
    return 0;
}

void links_remove_host(const struct cluster_record *c)
{
    AUTO_FREE char *link = xasprintf("klein%d", c->number);
    const char *const argv[] = { "ip", "link", "del", link, NULL };

    run_command(argv, -1, STR_NONE, NULL, NULL);
}
