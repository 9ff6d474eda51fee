/* Namespaces, machines and pods of the laboratory. */
#include "lab.h"

#include "network/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

static int router = -1;
static bool zones[16];

struct job {
    int netns;
    void (*fn)(void *arg);
    void *arg;
};

static void *run_job(void *arg)
{
    struct job *j = arg;

    if (j->netns >= 0 ? setns(j->netns, CLONE_NEWNET) : unshare(CLONE_NEWNET))
        abort();
    j->fn(j->arg);
    return NULL;
}

void lab_run(int netns, void (*fn)(void *arg), void *arg)
{
    struct job j = { netns, fn, arg };
    pthread_t thread;

    ASSERT_INT(pthread_create(&thread, NULL, run_job, &j), 0);
    pthread_join(thread, NULL);
}

static void open_self(void *arg)
{
    *(int *)arg = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

int lab_netns(void)
{
    int fd = -1;

    lab_run(-1, open_self, &fd);
    ASSERT(fd >= 0);
    return fd;
}

const char *lab_path(int netns)
{
    static char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", netns);
    return path;
}

void lab_enter(int netns)
{
    ASSERT_INT(setns(netns, CLONE_NEWNET), 0);
}

int lab_router(void)
{
    struct netlink nl;
    struct link_info lo;
    AUTO_ERROR struct error err = { 0 };

    if (router >= 0)
        return router;
    router = lab_netns();
    lab_enter(router);
    ASSERT_OK(sysctl_put("ipv4/ip_forward", "1", &err), &err);
    ASSERT_OK(sysctl_put("ipv4/conf/all/rp_filter", "0", &err), &err);
    ASSERT_OK(sysctl_put("ipv4/conf/default/rp_filter", "0", &err), &err);
    ASSERT_OK(netlink_open(&nl, NETLINK_ROUTE, &err), &err);
    ASSERT_OK(link_find(&nl, "lo", &lo, &err), &err);
    ASSERT_OK(link_set_up(&nl, lo.index, &err), &err);
    netlink_close(&nl);
    return router;
}

static void make_zone(struct netlink *nl, int zone, struct link_info *bridge)
{
    AUTO_ERROR struct error err = { 0 };
    char name[16];
    uint32_t ip = htonl(0x0a090001 | (uint32_t)zone << 8);
    unsigned char mac[MAC_SIZE];

    snprintf(name, sizeof(name), "br%d", zone);
    ip_mac(ip, mac);
    if (!zones[zone]) {
        ASSERT_OK(link_add_bridge(nl, name, 1500, mac, &err), &err);
        ASSERT_OK(link_find(nl, name, bridge, &err), &err);
        ASSERT_OK(link_put_address(nl, bridge->index, ip, 24, &err), &err);
        zones[zone] = true;
    }
    ASSERT_OK(link_find(nl, name, bridge, &err), &err);
}

static void configure_machine(int netns, uint32_t ip)
{
    AUTO_ERROR struct error err = { 0 };
    struct netlink nl;
    struct link_info lo, eth;
    struct route out = { .gateway = (ip & htonl(0xffffff00)) | htonl(1), .protocol = RTPROT_BOOT };

    lab_enter(netns);
    ASSERT_OK(netlink_open(&nl, NETLINK_ROUTE, &err), &err);
    ASSERT_OK(link_find(&nl, "lo", &lo, &err), &err);
    ASSERT_OK(link_set_up(&nl, lo.index, &err), &err);
    ASSERT_OK(link_find(&nl, "eth0", &eth, &err), &err);
    ASSERT_OK(link_put_address(&nl, eth.index, ip, 24, &err), &err);
    ASSERT_OK(link_set_up(&nl, eth.index, &err), &err);
    ASSERT_OK(route_put(&nl, &out, &err), &err);
    netlink_close(&nl);
}

struct lab_node *lab_node_stopped(int zone, int number)
{
    AUTO_ERROR struct error err = { 0 };
    struct lab_node *n = xnew(struct lab_node);
    struct link_info bridge;
    struct netlink nl;
    char name[16];
    struct link_veth veth = { .name = name, .alias = "", .peer = "eth0", .mtu = 1500 };
    uint32_t ip = htonl(0x0a090000 | (uint32_t)zone << 8 | (uint32_t)number);

    n->netns = lab_netns();
    snprintf(n->name, sizeof(n->name), "node-%d-%d", zone, number);
    ip_format(ip, n->address);
    snprintf(n->folder, sizeof(n->folder), "%s/%s", test_folder(), n->name);
    lab_enter(lab_router());
    ASSERT_OK(netlink_open(&nl, NETLINK_ROUTE, &err), &err);
    make_zone(&nl, zone, &bridge);
    snprintf(name, sizeof(name), "v%d-%d", zone, number);
    ASSERT_OK(link_delete(&nl, name, &err), &err); /* of a test that failed */
    veth.master = bridge.index;
    veth.peer_netns_fd = n->netns;
    ip_mac(ip, veth.peer_mac);
    ASSERT_OK(link_add_veth(&nl, &veth, &err), &err);
    netlink_close(&nl);
    configure_machine(n->netns, ip);
    n->loop = loop_new_system(env_system());
    return n;
}

static void start(struct lab_node *n, bool pods)
{
    AUTO_ERROR struct error err = { 0 };
    struct network_config config = { .node_name = n->name,
                                     .zone = "near",
                                     .node_address = n->address,
                                     .state_folder = n->folder,
                                     .cluster_domain = "cluster.local",
                                     .service_cidr = "10.96.0.0/16",
                                     .dns_service_address = "10.96.0.10",
                                     .cluster_cidr = "10.244.0.0/16",
                                     .upstream_dns = "10.9.1.1:5353",
                                     .pods = pods };

    lab_enter(n->netns);
    n->api = lab_api();
    n->network = network_start(n->loop, env_system(), n->api, &config, &err);
    ASSERT_OK(n->network, &err);
}

void lab_node_start_away(struct lab_node *n)
{
    start(n, true);
}

void lab_node_start(struct lab_node *n, int cidr)
{
    AUTO_ERROR struct error err = { 0 };
    char text[32];

    start(n, cidr >= 0);
    snprintf(text, sizeof(text), "10.244.%d.0/24", cidr);
    if (cidr >= 0)
        ASSERT_OK(network_set_pod_cidr(n->network, str_of(text), &err), &err);
}

struct lab_node *lab_node(int zone, int number, int cidr)
{
    struct lab_node *n = lab_node_stopped(zone, number);

    lab_node_start(n, cidr);
    return n;
}

void lab_node_stop(struct lab_node *n)
{
    lab_enter(n->netns);
    network_stop(n->network);
    lab_api_free(n->api);
    n->network = NULL;
    n->api = NULL;
}

void lab_node_free(struct lab_node *n)
{
    AUTO_ERROR struct error err = { 0 };
    struct netlink nl;
    char name[16];
    int zone, number;

    if (n->network)
        lab_node_stop(n);
    loop_free(n->loop);
    lab_enter(lab_router());
    ASSERT_INT(sscanf(n->name, "node-%d-%d", &zone, &number), 2);
    snprintf(name, sizeof(name), "v%d-%d", zone, number);
    ASSERT_OK(netlink_open(&nl, NETLINK_ROUTE, &err), &err);
    ASSERT_OK(link_delete(&nl, name, &err), &err);
    netlink_close(&nl);
    close(n->netns);
    free(n);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

void lab_turn(struct lab_node *n, int64_t ms)
{
    struct loop_timer timer = { 0 };

    lab_enter(n->netns);
    loop_timer_init(&timer, n->loop, stop, n->loop);
    loop_timer_start(&timer, ms);
    loop_run(n->loop);
    loop_timer_stop(&timer);
}

int lab_pod(struct lab_node *n, const char *uid, char ret_ip[46])
{
    AUTO_ERROR struct error err = { 0 };
    int netns = lab_netns();

    lab_enter(n->netns);
    ASSERT_OK(network_attach(n->network, str_of(uid), lab_path(netns), ret_ip, &err), &err);
    return netns;
}

static void add_address(void *arg)
{
    AUTO_ERROR struct error err = { 0 };
    struct netlink nl;
    struct link_info eth;
    uint32_t ip;

    if (!ip_parse(str_of(arg), &ip) || netlink_open(&nl, NETLINK_ROUTE, &err) < 0 ||
        link_find(&nl, "eth0", &eth, &err) < 0 || link_put_address(&nl, eth.index, ip, 32, &err) < 0)
        abort();
    netlink_close(&nl);
}

void lab_add_address(int netns, const char *ip)
{
    lab_run(netns, add_address, (void *)ip);
}
