/* Steps on links and packets, by netlink in the network namespace of a machine. */
#include "chaos/step.h"

#include "network/link.h"
#include "network/nft.h"
#include "network/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BRIDGE_PREROUTING  0 /* <linux/netfilter_bridge.h> does not go together with <net/if.h> */
#define BRIDGE_POSTROUTING 4
#define INET_PREROUTING    0
#define INET_POSTROUTING   4
#define EARLY              (-400) /* before connection tracking: a cut link remembers nothing */
#define FRAME_MTU          1500
#define BURST_BYTES        (32 * 1024)
#define QUEUE_BYTES        (256 * 1024)

int net_enter(pid_t pid, struct error *err)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/ns/net", (int)pid);
    AUTO_FD int before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    AUTO_FD int there = open(path, O_RDONLY | O_CLOEXEC);

    if (before < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
        return fail_sys(err, errno, "enter the network namespace of process %d", (int)pid);
    return TAKE_FD(before);
}

void net_leave(int before_fd)
{
    if (setns(before_fd, CLONE_NEWNET) < 0)
        abort(); /* going on in the wrong namespace would change the wrong links */
    close(before_fd);
}

/* A netlink socket stays in the namespace it was opened in. */
static int open_there(const struct step *s, struct netlink *ret, struct error *err)
{
    int before = net_enter(s->pid, err), result;

    *ret = (struct netlink){ .fd = -1 };
    if (before < 0)
        return -1;
    result = netlink_open(ret, NETLINK_ROUTE, err);
    net_leave(before);
    return result;
}

int net_link_set(const struct step *s, bool up, struct error *err)
{
    struct netlink nl;
    struct link_info link;
    int result = -1;

    if (open_there(s, &nl, err) < 0)
        return -1;
    if (link_find(&nl, s->link, &link, err) == 0)
        result = up ? link_set_up(&nl, link.index, err) : link_set_down(&nl, link.index, err);
    netlink_close(&nl);
    return result;
}

/* --- packets ------------------------------------------------------------------------------------------------------------------ */

static void add_rule(struct nft_batch *b, const char *chain, uint32_t meta_key, const struct step *s, uint32_t port_at)
{
    struct nftnl_rule *r = nft_rule(chain);
    uint16_t port = htons(s->port);
    uint8_t tcp = IPPROTO_TCP;

    x_link_is(r, meta_key, s->link, false);
    if (s->port) {
        x_meta(r, NFT_META_L4PROTO, R(0));
        x_cmp(r, R(0), NFT_CMP_EQ, &tcp, 1);
        x_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, port_at, 2, R(0));
        x_cmp(r, R(0), NFT_CMP_EQ, &port, 2);
    }
    x_verdict(r, NF_DROP, NULL);
    nft_add_rule(b, r);
}

static void add_way(struct nft_batch *b, const char *chain, int hook, uint32_t meta_key, const struct step *s)
{
    nft_add_chain(b, &(struct nft_chain){ chain, "filter", hook, EARLY });
    add_rule(b, chain, meta_key, s, 0);
    if (s->port)
        add_rule(b, chain, meta_key, s, 2);
}

static int commit_there(const struct step *s, struct nft_batch *b, struct error *err)
{
    struct nft nft;
    int before = net_enter(s->pid, err), result;

    if (before < 0)
        return -1;
    result = nft_open(&nft, err);
    net_leave(before);
    if (result < 0)
        return -1;
    result = nft_commit(&nft, b, err);
    nft_close(&nft);
    return result;
}

int net_drop(const struct step *s, const char *table, struct error *err)
{
    struct nft_batch b = { 0 };
    int result;

    nft_begin(&b, s->frames ? NFPROTO_BRIDGE : NFPROTO_IPV4, table);
    nft_add_table(&b);
    if (s->way != DROP_TO)
        add_way(&b, "from", s->frames ? BRIDGE_PREROUTING : INET_PREROUTING, NFT_META_IIFNAME, s);
    if (s->way != DROP_FROM)
        add_way(&b, "to", s->frames ? BRIDGE_POSTROUTING : INET_POSTROUTING, NFT_META_OIFNAME, s);
    result = commit_there(s, &b, err);
    nft_batch_done(&b);
    return result;
}

int net_undrop(const struct step *s, const char *table, struct error *err)
{
    struct nft_batch b = { 0 };
    int result;

    nft_begin(&b, s->frames ? NFPROTO_BRIDGE : NFPROTO_IPV4, table);
    nft_add_table(&b); /* deleting what is not there would fail */
    nft_delete_table(&b);
    result = commit_there(s, &b, err);
    nft_batch_done(&b);
    return result;
}

/* --- rates: a token bucket at the link's root. Source: linux/net/sched/sch_tbf.c --------------------------------------------------- */

static struct nlmsghdr *start_qdisc(struct netlink *nl, uint16_t type, uint16_t flags, int index)
{
    struct tcmsg tc = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index, .tcm_parent = TC_H_ROOT };

    return netlink_start(nl, type, flags, &tc, sizeof(tc));
}

static int put_bucket(struct netlink *nl, int index, int64_t bits, struct error *err)
{
    struct nlmsghdr *h = start_qdisc(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index);
    struct tc_tbf_qopt options = { .limit = QUEUE_BYTES,
                                   .rate = { .linklayer = TC_LINKLAYER_ETHERNET,
                                             .rate = (uint32_t)MIN(MAX(bits / 8, 1), (int64_t)UINT32_MAX) } };
    struct nlattr *nest;

    mnl_attr_put_strz(h, TCA_KIND, "tbf");
    nest = mnl_attr_nest_start(h, TCA_OPTIONS);
    mnl_attr_put(h, TCA_TBF_PARMS, sizeof(options), &options);
    mnl_attr_put_u32(h, TCA_TBF_BURST, BURST_BYTES);
    mnl_attr_nest_end(h, nest);
    return netlink_do(nl, h, err);
}

int net_slow(const struct step *s, struct error *err)
{
    struct netlink nl;
    struct link_info link;
    int result = -1;

    if (open_there(s, &nl, err) < 0)
        return -1;
    if (link_find(&nl, s->link, &link, err) == 0)
        result = put_bucket(&nl, link.index, s->amount, err);
    netlink_close(&nl);
    return result < 0 ? error_context(err, "slow link '%s'", s->link) : 0;
}

int net_unslow(const struct step *s, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };
    struct netlink nl;
    struct link_info link;
    int result = 0;

    if (open_there(s, &nl, err) < 0)
        return -1;
    if (link_find(&nl, s->link, &link, &inner) == 0 &&
        netlink_do(&nl, start_qdisc(&nl, RTM_DELQDISC, 0, link.index), &inner) < 0 && inner.sys != ENOENT &&
        inner.sys != EINVAL) { /* EINVAL: only the kernel's own queue is there */
        error_move(err, &inner);
        result = -1;
    }
    netlink_close(&nl);
    return result;
}

/* --- a detour through a relay ------------------------------------------------------------------------------------------------------ */

static void detour_names(const struct step *s, char name[16], char other[16])
{
    snprintf(name, 16, "cb-%.12s", s->link);
    snprintf(other, 16, "cr-%.12s", s->link);
}

/* The link's namespace must not answer for its own addresses on a link that is no bridge's port for a while. */
static int set_answers(const struct step *s, bool answers, struct error *err)
{
    AUTO_FREE char *setting = xasprintf("ipv4/conf/%s/arp_ignore", s->link);
    int before = net_enter(s->pid, err), result;

    if (before < 0)
        return -1;
    result = sysctl_put(setting, answers ? "0" : "8", err);
    net_leave(before);
    return result;
}

static int make_detour(const struct step *s, struct netlink *nl, int netns_fd, const char *name, const char *other,
                       struct error *err)
{
    struct link_info link, bridge, end;
    unsigned char mac[MAC_SIZE];
    struct link_veth veth = {
        .name = name, .alias = "klein-chaos", .peer = other, .peer_netns_fd = netns_fd, .mtu = FRAME_MTU
    };

    if (link_find(nl, s->link, &link, err) < 0 || link_find(nl, s->bridge, &bridge, err) < 0)
        return -1;
    veth.master = bridge.index;
    memcpy(veth.peer_mac, (unsigned char[]){ 0x02, 0x6b, 0xc4, 0, 0, 1 }, MAC_SIZE);
    memcpy(mac, (unsigned char[]){ 0x02, 0x6b, 0xc5, 0, (unsigned char)(link.index >> 8), (unsigned char)link.index },
           MAC_SIZE);
    /*
     * A bridge has the least address of its ports until it is given one: it keeps the one its machines know. And the link must not
     * have that one too, or the kernel would take its frames for its own beside the relay.
     */
    if (link_set_mac(nl, bridge.index, bridge.mac, err) < 0 || link_set_mac(nl, link.index, mac, err) < 0)
        return -1;
    if (link_add_veth(nl, &veth, err) < 0 || link_find(nl, other, &end, err) < 0 || link_set_up(nl, end.index, err) < 0)
        return -1;
    return link_set_master(nl, link.index, 0, err);
}

int net_detour(const struct step *s, char name[16], char other[16], struct error *err)
{
    AUTO_FREE char *path = xasprintf("/proc/%d/ns/net", (int)s->pid);
    AUTO_FD int netns_fd = open(path, O_RDONLY | O_CLOEXEC);
    struct netlink nl;
    int result;

    detour_names(s, name, other);
    if (netns_fd < 0)
        return fail_sys(err, errno, "open '%s'", path);
    if (set_answers(s, false, err) < 0 || open_there(s, &nl, err) < 0)
        return -1;
    result = make_detour(s, &nl, netns_fd, name, other, err);
    netlink_close(&nl);
    return result < 0 ? error_context(err, "lead link '%s' through a relay", s->link) : 0;
}

int net_undetour(const struct step *s, struct error *err)
{
    char name[16], other[16];
    struct netlink nl;
    struct link_info link, bridge;
    int result = -1;

    detour_names(s, name, other);
    if (open_there(s, &nl, err) < 0)
        return -1;
    if (link_delete(&nl, name, err) == 0 && link_find(&nl, s->bridge, &bridge, err) == 0)
        result = link_find(&nl, s->link, &link, NULL) < 0 ? 0 /* the machine behind it is gone, and the link with it */
                                                          : link_set_master(&nl, link.index, bridge.index, err);
    netlink_close(&nl);
    return result < 0 ? -1 : set_answers(s, true, err);
}

int net_frame_socket(const char *link, struct error *err)
{
    AUTO_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex(link) };
    int on = 1, bytes = 4 * 1024 * 1024;

    /* With the kernel's own header, checksums that are not computed yet and large segments pass as they are. */
    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return fail_sys(err, errno, "listen for frames on '%s'", link);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    return TAKE_FD(fd);
}
