/* An agent that begins while no server answers knows what its predecessor knew. */
#include "lab.h"

#include "base/file.h"
#include "network/nft.h"
#include "wire/dns.h"

#include <linux/netfilter.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Leave the machine's namespace before anything else happens. */
__attribute__((constructor)) static void leave(void)
{
    if (unshare(CLONE_NEWNET) < 0) {
        perror("these tests make network namespaces and need root");
        exit(77);
    }
}

#define SERVICE "10.96.0.80"
#define DNS     "10.96.0.10"
#define WEB     "web.default.svc.cluster.local"
#define DB      "db.default.svc.cluster.local"

/* A node with a web server in a pod, a client in another, the Services web and db (headless), and a second Node. */
struct scene {
    struct lab_node *node, *far;
    int server, client;
    char server_ip[46], client_ip[46];
};

static void say_services(struct scene *s)
{
    lab_say_service(s->node->api, "web", SERVICE, "TCP", "");
    lab_say_endpoints(s->node->api, "web", "TCP", (const char *const[]){ s->server_ip, NULL });
}

static struct scene begin(void)
{
    struct scene s = { .node = lab_node(1, 10, 1), .far = lab_node_stopped(1, 11) };

    s.server = lab_pod(s.node, "1", s.server_ip);
    s.client = lab_pod(s.node, "2", s.client_ip);
    lab_serve(s.server, LAB_TCP, 8080, "first");
    lab_say_node(s.node->api, s.node, 1);
    lab_say_node(s.node->api, s.far, 3);
    lab_say_service(s.node->api, "db", "None", "TCP", "");
    lab_say_endpoints(s.node->api, "db", "TCP", (const char *const[]){ "10.244.3.9", NULL });
    say_services(&s);
    lab_synced(s.node->api);
    LAB_UNTIL(s.node, network_is_ready(s.node->network), 2000);
    return s;
}

static void end(struct scene *s)
{
    close(s->server);
    close(s->client);
    lab_node_free(s->node);
    lab_node_free(s->far);
}

static const char *resolve(struct scene *s, const char *name)
{
    return lab_dns(s->node, s->client, LAB_UDP, DNS, DNS_A, name);
}

static char *file_of(const struct scene *s)
{
    return xasprintf("%s/cluster.json", s->node->folder);
}

TEST("DNS answers from what an earlier process knew, until the first lists replace it")
{
    struct scene s = begin();

    lab_node_stop(s.node);
    lab_node_start_away(s.node);
    ASSERT_STR(resolve(&s, WEB), "NOERROR 10.96.0.80");
    ASSERT_STR(resolve(&s, DB), "NOERROR 10.244.3.9");
    ASSERT_STR(resolve(&s, "no.default.svc.cluster.local"), "NXDOMAIN");
    ASSERT(!network_is_ready(s.node->network));
    ASSERT_INT(network_applied_revision(s.node->network), 0);
    ASSERT_STR(lab_ask(s.client, LAB_TCP, SERVICE, 80, NULL), "first 10.244.1.3");

    lab_say_node(s.node->api, s.node, 1);
    say_services(&s);
    lab_synced(s.node->api);
    LAB_UNTIL(s.node, network_is_ready(s.node->network), 2000);
    ASSERT_STR(resolve(&s, WEB), "NOERROR 10.96.0.80");
    ASSERT_STR(resolve(&s, DB), "NXDOMAIN"); /* the list did not name it */
    ASSERT_STR(lab_ask(s.client, LAB_TCP, SERVICE, 80, NULL), "first 10.244.1.3");
    end(&s);
}

TEST("what is known is kept within seconds, also when the agent is killed")
{
    struct scene s = begin();
    AUTO_FREE char *path = file_of(&s), *kept = xasprintf("%s.of-then", path);

    LAB_UNTIL(s.node, file_exists(path), 5000);
    ASSERT_INT(rename(path, kept), 0);
    lab_say_service(s.node->api, "late", "10.96.0.81", "TCP", "");
    LAB_UNTIL(s.node, file_exists(path), 5000);
    ASSERT_INT(rename(path, kept), 0);
    lab_node_stop(s.node);
    ASSERT_INT(rename(kept, path), 0); /* as a kill leaves it: the end wrote nothing */
    lab_node_start_away(s.node);
    ASSERT_STR(resolve(&s, WEB), "NOERROR 10.96.0.80");
    ASSERT_STR(resolve(&s, "late.default.svc.cluster.local"), "NOERROR 10.96.0.81");
    end(&s);
}

static bool has_table(struct lab_node *n)
{
    AUTO_ERROR struct error err = { 0 };
    struct nft nft;
    bool has;

    lab_enter(n->netns);
    ASSERT_OK(nft_open(&nft, &err), &err);
    has = nft_has_table(&nft, NFPROTO_IPV4, "klein");
    nft_close(&nft);
    return has;
}

static bool has_route(struct lab_node *n, struct route *ret)
{
    AUTO_ERROR struct error err = { 0 };
    struct netlink nl;
    uint32_t ip;

    lab_enter(n->netns);
    ASSERT(ip_parse(STR("10.244.3.9"), &ip));
    ASSERT_OK(netlink_open(&nl, NETLINK_ROUTE, &err), &err);
    ASSERT_OK(route_lookup(&nl, ip, ret, &err), &err);
    netlink_close(&nl);
    return ret->gateway != 0 && ip_parse(STR("10.9.1.11"), &ip) && ret->gateway == ip;
}

/* A reboot takes everything of the kernel's; the state folder stays. */
TEST("after a reboot without a server, Services and ways to other nodes are made from the file")
{
    struct scene s = begin();
    AUTO_FREE char *path = file_of(&s), *kept = xasprintf("%s.of-then", path);
    struct route route;

    LAB_UNTIL(s.node, file_exists(path), 5000);
    ASSERT_INT(rename(path, kept), 0);
    lab_enter(s.node->netns);
    network_remove_all(s.node->network);
    lab_node_stop(s.node);
    ASSERT(!has_table(s.node) && !has_route(s.node, &route));
    close(s.server);
    close(s.client);

    ASSERT_INT(rename(kept, path), 0);
    lab_node_start_away(s.node);
    LAB_UNTIL(s.node, has_table(s.node), 2000);
    ASSERT(has_route(s.node, &route));
    s.server = lab_pod(s.node, "1", s.server_ip); /* the range is known again */
    s.client = lab_pod(s.node, "2", s.client_ip);
    ASSERT_STR(s.server_ip, "10.244.1.2");
    lab_serve(s.server, LAB_TCP, 8080, "again");
    ASSERT_STR(lab_ask(s.client, LAB_TCP, SERVICE, 80, NULL), "again 10.244.1.3");
    ASSERT_STR(resolve(&s, WEB), "NOERROR 10.96.0.80");

    say_services(&s);
    lab_synced(s.node->api);
    LAB_UNTIL(s.node, network_is_ready(s.node->network), 2000);
    ASSERT_STR(lab_ask(s.client, LAB_TCP, SERVICE, 80, NULL), "again 10.244.1.3");
    LAB_UNTIL(s.node, !has_route(s.node, &route), 2000); /* the list does not name that node */
    end(&s);
}

static void start_with(struct scene *s, struct str content)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *path = file_of(s);

    lab_node_stop(s->node);
    ASSERT_OK(file_write(path, content, 0600, &err) == 0, &err);
    lab_node_start(s->node, 1);
    ASSERT_STR(resolve(s, WEB), "ERROR"); /* SERVFAIL: not known yet */
    ASSERT_STR(lab_ask(s->client, LAB_TCP, SERVICE, 80, NULL), "first 10.244.1.3");
}

TEST("a damaged file is ignored and written anew")
{
    struct scene s = begin();
    AUTO_FREE char *path = file_of(&s), *rest = NULL;
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf good = BUF_MAX(MIB);

    lab_node_stop(s.node);
    ASSERT_OK(file_read(path, &good, &err) == 0, &err);
    lab_node_start(s.node, 1);
    start_with(&s, str_part(buf_str(&good), 0, good.n / 2));
    start_with(&s, STR_NONE);
    start_with(&s, STR("{\"version\":1,\"checksum\":0}\n{}"));
    good.p[good.n - 10] ^= 1;
    start_with(&s, buf_str(&good));
    rest = xasprintf("%s.Ab12Cd", path);
    ASSERT_OK(file_write(rest, STR("half"), 0600, &err) == 0, &err);
    start_with(&s, STR("{\"version\":2,\"checksum\":0}\n"));
    ASSERT(!file_exists(rest)); /* what a kill left of a write */
    say_services(&s);
    lab_synced(s.node->api);
    LAB_UNTIL(s.node, network_is_ready(s.node->network), 2000);
    lab_node_stop(s.node);
    lab_node_start_away(s.node);
    lab_turn(s.node, 10);
    lab_node_stop(s.node);
    lab_node_start(s.node, 1);
    ASSERT_STR(resolve(&s, WEB), "NOERROR 10.96.0.80");
    end(&s);
}
