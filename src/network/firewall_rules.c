/* The fixed rules of klein's tables: they do not grow with Services. docs/design/network.md draws them. */
#include "network/firewall_internal.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>

/* <linux/netfilter_bridge.h> does not go together with <net/if.h>. */
#define BRIDGE_PREROUTING    0
#define BRIDGE_PRIORITY      (-200)
#define AFFINITY_CLIENTS_MAX 262144 /* remembered at once; further clients are balanced without memory */
#define LOOPBACK             htonl(0x7f000000)
#define LOOPBACK_MASK        htonl(0xff000000)
#define EXACT                INADDR_NONE
#define FRAME_IPV4           htons(0x0800)
#define FRAME_ARP            htons(0x0806)

static const struct {
    const char *map, *pick;
    bool address;
} kinds_of_frontends[FRONTEND_KINDS] = {
    [FRONTEND_ADDRESS] = { "services", "pick-services", true },
    [FRONTEND_NODE_PORT] = { "node-ports", "pick-node-ports", false },
    [FRONTEND_ADDRESS_LOCAL] = { "services-local", "pick-services-local", true },
    [FRONTEND_NODE_PORT_LOCAL] = { "node-ports-local", "pick-node-ports-local", false },
};

const char *frontend_map(enum frontend_kind kind)
{
    return kinds_of_frontends[kind].map;
}

bool frontend_has_address(enum frontend_kind kind)
{
    return kinds_of_frontends[kind].address;
}

/* --- sets ----------------------------------------------------------------------------------------------------------------- */

static void add_sets(struct nft_batch *b)
{
    const uint32_t address_port = TYPE_3(TYPE_IPV4, TYPE_PROTO, TYPE_PORT), port = TYPE_2(TYPE_PROTO, TYPE_PORT);
    const uint32_t target = TYPE_2(TYPE_IPV4, TYPE_PORT), pair = TYPE_2(TYPE_MARK, TYPE_MARK);
    const uint32_t tracked = TYPE_3(TYPE_MARK, TYPE_IPV4, TYPE_PORT);
    const uint32_t remembered = TYPE_4(TYPE_MARK, TYPE_MARK, TYPE_IPV4, TYPE_PORT);
    const struct nft_set sets[] = {
        { "endpoints", 8, pair, 8, target, false, 0 }, /* list, place -> address, port */
        { "sticky", 12, tracked, 0, 0, false, 0 },     /* list, address, port: endpoints clients may stick to */
        { "affinity", 8, TYPE_2(TYPE_MARK, TYPE_IPV4), 16, remembered, true, AFFINITY_CLIENTS_MAX },
        { "refused", 12, address_port, 0, 0, false, 0 },
        { "refused-ports", 8, port, 0, 0, false, 0 },
        { "host-ports", 12, address_port, 8, target, false, 0 },
        { "hairpin", 8, TYPE_2(TYPE_IPV4, TYPE_IPV4), 0, 0, false, 0 },
        { "nodes", 4, TYPE_IPV4, 0, 0, false, 0 },
    };

    for (int kind = 0; kind < FRONTEND_KINDS; kind++) {
        bool address = kinds_of_frontends[kind].address;
        nft_add_set(b, &(struct nft_set){ kinds_of_frontends[kind].map, address ? 12 : 8, address ? address_port : port,
                                          12, TYPE_3(TYPE_MARK, TYPE_MARK, TYPE_MARK), false, 0 });
        nft_add_set(b, &(struct nft_set){ kinds_of_frontends[kind].pick, 4, TYPE_MARK, 0, NFT_DATA_VERDICT, false, 0 });
    }
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        nft_add_set(b, &sets[i]);
}

/* --- Services ---------------------------------------------------------------------------------------------------------- */

/*
 * A frontend leads to: nothing (R(4)), class (R(5): how to pick), list (R(6): what from). The first word is there because nft(8)
 * 1.0.6 aborts when a rule looks up what a map gave; the registers after the first are unknown to it, and it only complains.
 */

/* (address,) protocol, port of the destination from R(0) on. Packets without ports end the rule here. */
static void load_key(struct nftnl_rule *r, bool address)
{
    if (address)
        x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, R(0));
    x_meta(r, NFT_META_L4PROTO, R(address));
    x_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(1 + address));
}

static void if_local_destination(struct nftnl_rule *r, bool inverted)
{
    uint32_t local = RTN_LOCAL;

    x_destination_type(r, R(0));
    x_cmp(r, R(0), inverted ? NFT_CMP_NEQ : NFT_CMP_EQ, &local, 4);
}

static void add_dispatch(struct nft_batch *b, const char *chain, enum frontend_kind kind)
{
    struct nftnl_rule *r = nft_rule(chain);

    if (!kinds_of_frontends[kind].address)
        if_local_destination(r, false);
    load_key(r, kinds_of_frontends[kind].address);
    x_map(r, kinds_of_frontends[kind].map, R(0), R(4));
    x_map(r, kinds_of_frontends[kind].pick, R(5), NFT_REG_VERDICT);
    nft_add_rule(b, r);
}

static void mark(struct nftnl_rule *r)
{
    x_meta(r, NFT_META_MARK, R(12));
    x_mask(r, R(12), ~MARK_SERVICE, MARK_SERVICE);
    x_meta_set(r, NFT_META_MARK, R(12));
}

static struct nftnl_rule *start_pick(const char *chain, enum frontend_kind kind)
{
    struct nftnl_rule *r = nft_rule(chain);

    load_key(r, kinds_of_frontends[kind].address);
    x_map(r, kinds_of_frontends[kind].map, R(0), R(4));
    return r;
}

/* A client that was here before goes where it went, if that still is an endpoint. */
static void add_sticky_rules(struct nft_batch *b, const char *chain, enum frontend_kind kind, uint32_t count,
                             uint64_t timeout_ms)
{
    struct nftnl_rule *r = start_pick(chain, kind);

    x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 12, 4, R(7)); /* R(6) list, R(7) client */
    x_map(r, "affinity", R(6), R(8));                      /* R(8) class, R(9) list, R(10) address, R(11) port */
    x_in_set(r, "sticky", R(9), false);
    x_dynset(r, NFT_DYNSET_OP_UPDATE, "affinity", R(6), R(8), timeout_ms);
    mark(r);
    x_dnat(r, R(10), R(11));
    nft_add_rule(b, r);

    r = start_pick(chain, kind);
    x_random(r, count, R(7));
    x_map(r, "endpoints", R(6), R(7));                  /* now R(5) class, R(6) list, R(7) address, R(8) port */
    x_map(r, kinds_of_frontends[kind].map, R(0), R(9)); /* R(11) list */
    x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 12, 4, R(12));
    /* An old memory does not change its value when it is updated: away with it. */
    x_dynset(r, NFT_DYNSET_OP_DELETE, "affinity", R(11), R(5), 0);
    x_dynset(r, NFT_DYNSET_OP_ADD, "affinity", R(11), R(5), timeout_ms);
    mark(r);
    x_dnat(r, R(7), R(8));
    nft_add_rule(b, r);
}

void firewall_add_pick(struct firewall *f, enum frontend_kind kind, uint32_t class, uint32_t count, uint32_t timeout_s)
{
    struct nft_batch *b = &f->batch;
    char chain[CHAIN_NAME_SIZE];
    struct nftnl_rule *r;

    snprintf(chain, sizeof(chain), "%s-%u", kinds_of_frontends[kind].map, class);
    if (map_put(&f->chains, str_of(chain), f))
        return;
    nft_add_chain(b, &(struct nft_chain){ .name = chain });
    if (timeout_s)
        add_sticky_rules(b, chain, kind, count, (uint64_t)timeout_s * 1000);
    r = start_pick(chain, kind);
    x_random(r, count, R(7));
    x_map(r, "endpoints", R(6), R(8)); /* key: R(6) list, R(7) place; R(8) address, R(9) port */
    mark(r);
    x_dnat(r, R(8), R(9));
    nft_add_rule(b, r);
    nft_add_jump(b, kinds_of_frontends[kind].pick, &class, 4, NFT_GOTO, chain);
}

static void add_host_port_rule(struct nft_batch *b, bool any_address)
{
    struct nftnl_rule *r = nft_rule("destinations");
    uint32_t any = 0;

    load_key(r, true);
    if (any_address)
        x_value(r, R(0), &any, 4);
    x_map(r, "host-ports", R(0), R(8));
    mark(r);
    x_dnat(r, R(8), R(9));
    nft_add_rule(b, r);
}

static void add_destinations(const struct firewall *f, struct nft_batch *b)
{
    struct nftnl_rule *r;

    nft_add_chain(b, &(struct nft_chain){ .name = "destinations" });
    nft_add_chain(b, &(struct nft_chain){ "prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST });
    nft_add_chain(b, &(struct nft_chain){ "output-nat", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST });

    r = nft_rule("prerouting"); /* the cluster's own pods see all endpoints, whatever the external policy */
    x_source_in(r, f->config.cluster_range.ip, f->config.cluster_range.mask, false);
    x_verdict(r, NFT_GOTO, "destinations");
    nft_add_rule(b, r);
    add_dispatch(b, "prerouting", FRONTEND_ADDRESS_LOCAL);
    add_dispatch(b, "prerouting", FRONTEND_NODE_PORT_LOCAL);
    r = nft_rule("prerouting");
    x_verdict(r, NFT_GOTO, "destinations");
    nft_add_rule(b, r);
    r = nft_rule("output-nat");
    x_verdict(r, NFT_GOTO, "destinations");
    nft_add_rule(b, r);

    add_dispatch(b, "destinations", FRONTEND_ADDRESS);
    r = nft_rule("destinations"); /* from here on: addresses of this node, except loopback, which cannot leave it */
    if_local_destination(r, true);
    x_verdict(r, NF_ACCEPT, NULL);
    nft_add_rule(b, r);
    r = nft_rule("destinations");
    x_destination_in(r, LOOPBACK, LOOPBACK_MASK, false);
    x_verdict(r, NF_ACCEPT, NULL);
    nft_add_rule(b, r);
    add_host_port_rule(b, false);
    add_host_port_rule(b, true);
    add_dispatch(b, "destinations", FRONTEND_NODE_PORT);
    for (uint32_t kind = 0, none = 0; kind < FRONTEND_KINDS; kind++) /* policy Local, and no endpoint here: drop */
        nft_add_jump(b, kinds_of_frontends[kind].pick, &none, 4, NF_DROP, NULL);
}

/* --- sources ----------------------------------------------------------------------------------------------------------- */

static struct nftnl_rule *start_marked(void)
{
    struct nftnl_rule *r = nft_rule("postrouting");
    uint32_t zero = 0;

    x_meta(r, NFT_META_MARK, R(12));
    x_mask(r, R(12), MARK_SERVICE, 0);
    x_cmp(r, R(12), NFT_CMP_NEQ, &zero, 4);
    return r;
}

/*
 * A destination we chose, not for a pod of this node, leaving it: the answer must come back through here. That includes pods of
 * other nodes, which come here for a node port: their own node does not know of our choice.
 */
static struct nftnl_rule *start_from_elsewhere(const struct firewall *f)
{
    const struct firewall_config *c = &f->config;
    struct nftnl_rule *r = start_marked();

    if (c->pod_range.mask)
        x_source_in(r, c->pod_range.ip, c->pod_range.mask, true);
    else
        x_source_in(r, c->cluster_range.ip, c->cluster_range.mask, true);
    return r;
}

static void add_masquerade(const struct firewall *f, struct nft_batch *b)
{
    const struct firewall_config *c = &f->config;
    struct nftnl_rule *r;

    nft_add_chain(b, &(struct nft_chain){ "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC });
    r = start_marked(); /* a pod that reached itself would refuse a packet from its own address */
    x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 12, 8, R(0));
    x_in_set(r, "hairpin", R(0), false);
    x_masquerade(r);
    nft_add_rule(b, r);

    r = start_from_elsewhere(f); /* the tunnel has no address of its own */
    x_link_is(r, NFT_META_OIFNAME, c->tunnel, false);
    x_value(r, R(0), &c->node_ip, 4);
    x_snat(r, R(0));
    nft_add_rule(b, r);

    r = start_from_elsewhere(f);
    x_link_is(r, NFT_META_OIFNAME, c->bridge, true);
    x_link_is(r, NFT_META_OIFNAME, "lo", true);
    x_masquerade(r);
    nft_add_rule(b, r);

    if (!c->pod_range.mask)
        return;
    r = nft_rule("postrouting"); /* pods to the rest of the world */
    x_source_in(r, c->pod_range.ip, c->pod_range.mask, false);
    x_destination_in(r, c->cluster_range.ip, c->cluster_range.mask, true);
    x_destination_in(r, c->service_range.ip, c->service_range.mask, true);
    x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, R(0));
    x_in_set(r, "nodes", R(0), true);
    x_link_is(r, NFT_META_OIFNAME, c->bridge, true);
    x_link_is(r, NFT_META_OIFNAME, "lo", true);
    x_masquerade(r);
    nft_add_rule(b, r);
}

/* --- filters ------------------------------------------------------------------------------------------------------------- */

static void add_refusals(const struct firewall *f, struct nft_batch *b)
{
    static const char *const users[] = { "forward", "output" };
    uint8_t tcp = IPPROTO_TCP;
    struct nftnl_rule *r;

    nft_add_chain(b, &(struct nft_chain){ .name = "refuse" });
    nft_add_chain(b, &(struct nft_chain){ .name = "refusals" });
    r = nft_rule("refuse");
    x_meta(r, NFT_META_L4PROTO, R(0));
    x_cmp(r, R(0), NFT_CMP_EQ, &tcp, 1);
    x_reject(r, NFT_REJECT_TCP_RST, 0);
    nft_add_rule(b, r);
    r = nft_rule("refuse");
    x_reject(r, NFT_REJECT_ICMP_UNREACH, 3); /* port unreachable */
    nft_add_rule(b, r);

    r = nft_rule("refusals");
    load_key(r, true);
    x_in_set(r, "refused", R(0), false);
    x_verdict(r, NFT_GOTO, "refuse");
    nft_add_rule(b, r);
    r = nft_rule("refusals");
    if_local_destination(r, false);
    load_key(r, false);
    x_in_set(r, "refused-ports", R(0), false);
    x_verdict(r, NFT_GOTO, "refuse");
    nft_add_rule(b, r);

    for (size_t i = 0; i < ARRAY_SIZE(users); i++) { /* what no Service took must not leave for the default route */
        r = nft_rule(users[i]);
        x_verdict(r, NFT_JUMP, "refusals");
        nft_add_rule(b, r);
        r = nft_rule(users[i]);
        x_destination_in(r, f->config.service_range.ip, f->config.service_range.mask, false);
        x_link_is(r, NFT_META_OIFNAME, "lo", true);
        x_verdict(r, NFT_GOTO, "refuse");
        nft_add_rule(b, r);
    }
    r = nft_rule("input");
    x_verdict(r, NFT_JUMP, "refusals");
    nft_add_rule(b, r);
}

static void add_early_drops(const struct firewall *f, struct nft_batch *b)
{
    const struct firewall_config *c = &f->config;
    struct nftnl_rule *r;

    nft_add_chain(b, &(struct nft_chain){ "early", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW });
    r = nft_rule("early"); /* CVE-2020-8558: neighbours do not reach services on loopback, even with route_localnet */
    x_destination_in(r, LOOPBACK, LOOPBACK_MASK, false);
    x_link_is(r, NFT_META_IIFNAME, "lo", true);
    x_verdict(r, NF_DROP, NULL);
    nft_add_rule(b, r);
    if (!c->pod_range.mask)
        return;
    r = nft_rule("early"); /* our pods are here: nobody else speaks for them */
    x_source_in(r, c->pod_range.ip, c->pod_range.mask, false);
    x_link_is(r, NFT_META_IIFNAME, c->bridge, true);
    x_link_is(r, NFT_META_IIFNAME, "lo", true);
    x_verdict(r, NF_DROP, NULL);
    nft_add_rule(b, r);
}

static void add_input(const struct firewall *f, struct nft_batch *b)
{
    const struct firewall_config *c = &f->config;
    uint16_t tunnel_port = htons(8472);
    uint8_t udp = IPPROTO_UDP;
    struct nftnl_rule *r = nft_rule("input"); /* the tunnel has no keys: only nodes may fill it */

    x_meta(r, NFT_META_L4PROTO, R(0));
    x_cmp(r, R(0), NFT_CMP_EQ, &udp, 1);
    x_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(0));
    x_cmp(r, R(0), NFT_CMP_EQ, &tunnel_port, 2);
    x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 12, 4, R(0));
    x_in_set(r, "nodes", R(0), true);
    x_verdict(r, NF_DROP, NULL);
    nft_add_rule(b, r);
    if (!c->dns_ip)
        return;
    r = nft_rule("input"); /* not a resolver for the world */
    x_destination_in(r, c->dns_ip, EXACT, false);
    x_link_is(r, NFT_META_IIFNAME, c->bridge, true);
    x_link_is(r, NFT_META_IIFNAME, "lo", true);
    x_verdict(r, NF_DROP, NULL);
    nft_add_rule(b, r);
}

static void add_forward(const struct firewall *f, struct nft_batch *b)
{
    uint32_t invalid = NF_CT_STATE_INVALID_BIT, zero = 0;
    struct nftnl_rule *r = nft_rule("forward");

    /* A late packet of a translated connection would reach the client untranslated, and be answered by a reset. */
    x_link_is(r, NFT_META_IIFNAME, f->config.bridge, false);
    x_ct(r, NFT_CT_STATE, R(0));
    x_mask(r, R(0), invalid, 0);
    x_cmp(r, R(0), NFT_CMP_NEQ, &zero, 4);
    x_verdict(r, NF_DROP, NULL);
    nft_add_rule(b, r);
}

void firewall_add_fixed(struct firewall *f)
{
    struct nft_batch *b = &f->batch;
    static const struct nft_chain filters[] = {
        { "input", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER },
        { "forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER },
        { "output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER },
    };

    nft_add_table(b);
    nft_delete_table(b);
    nft_add_table(b);
    add_sets(b);
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
        nft_add_chain(b, &filters[i]);
    add_early_drops(f, b);
    add_input(f, b);
    add_forward(f, b);
    add_refusals(f, b);
    add_destinations(f, b);
    add_masquerade(f, b);
    for (size_t i = 0; i < f->nodes_count; i++)
        nft_add_element(b, "nodes", &f->nodes[i], 4, NULL, 0);
}

/* --- bridge: a pod sends only from its own address ---------------------------------------------------------------------- */

static void add_sender_rule(struct nft_batch *b, uint16_t ethertype, uint32_t source_offset)
{
    struct nftnl_rule *r = nft_rule("from-pods");

    x_link_starts(r, NFT_META_IIFNAME, POD_LINKS);
    x_meta(r, NFT_META_PROTOCOL, R(0));
    x_cmp(r, R(0), NFT_CMP_EQ, &ethertype, 2);
    x_meta(r, NFT_META_IIFNAME, R(0)); /* 16 bytes: R(0) .. R(3) */
    x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, source_offset, 4, R(4));
    x_in_set(r, "senders", R(0), false);
    x_verdict(r, NF_ACCEPT, NULL);
    nft_add_rule(b, r);
}

void firewall_add_bridge_table(const struct firewall *f, struct nft_batch *b)
{
    struct nftnl_rule *r;
    struct net_pod *pod;

    nft_add_table(b);
    nft_delete_table(b);
    nft_add_table(b);
    nft_add_set(b, &(struct nft_set){ "senders", 20, TYPE_2(TYPE_IFNAME, TYPE_IPV4), 0, 0, false, 0 });
    nft_add_chain(b, &(struct nft_chain){ "from-pods", "filter", BRIDGE_PREROUTING, BRIDGE_PRIORITY });
    add_sender_rule(b, FRAME_IPV4, 12);
    add_sender_rule(b, FRAME_ARP, 14);
    r = nft_rule("from-pods"); /* IPv6 with it, so no router advertisements either (CVE-2020-10749) */
    x_link_starts(r, NFT_META_IIFNAME, POD_LINKS);
    x_verdict(r, NF_DROP, NULL);
    nft_add_rule(b, r);
    for (size_t i = 0; pods_next(f->config.pods, &i, &pod);) {
        unsigned char key[20] = { 0 };
        memcpy(key, pod->link, sizeof(pod->link));
        memcpy(key + 16, &pod->ip, 4);
        nft_add_element(b, "senders", key, sizeof(key), NULL, 0);
        pod->in_bridge_table = true;
    }
}
