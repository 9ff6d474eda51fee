/* Find entries of the connection table and delete them. */
#include "network/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

struct tuple {
    uint32_t source, destination;
    uint16_t source_port, destination_port;
    uint8_t protocol;
};

struct search {
    const struct conntrack_forget *what;
    struct tuple *found;
    size_t count, capacity;
};

static void parse_tuple(const struct nlattr *nest, struct tuple *t)
{
    const struct nlattr *part, *attr;

    mnl_attr_for_each_nested(part, nest) mnl_attr_for_each_nested(attr, part)
    {
        bool is_ip = mnl_attr_get_type(part) == CTA_TUPLE_IP;
        unsigned type = mnl_attr_get_type(attr);

        if (is_ip && type == CTA_IP_V4_SRC)
            t->source = mnl_attr_get_u32(attr);
        else if (is_ip && type == CTA_IP_V4_DST)
            t->destination = mnl_attr_get_u32(attr);
        else if (!is_ip && type == CTA_PROTO_NUM)
            t->protocol = mnl_attr_get_u8(attr);
        else if (!is_ip && type == CTA_PROTO_SRC_PORT)
            t->source_port = mnl_attr_get_u16(attr);
        else if (!is_ip && type == CTA_PROTO_DST_PORT)
            t->destination_port = mnl_attr_get_u16(attr);
    }
}

static int target_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct service_target));
}

static int ip_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uint32_t));
}

static bool has_ip(const struct conntrack_forget *what, uint32_t ip)
{
    return what->ips_count && bsearch(&ip, what->ips, what->ips_count, sizeof(ip), ip_cmp);
}

static bool is_wanted(const struct conntrack_forget *what, const struct tuple *original, const struct tuple *reply,
                      uint32_t status)
{
    bool unanswered = original->protocol == IPPROTO_TCP && !(status & IPS_SEEN_REPLY);
    struct service_target from;

    if (has_ip(what, original->source) || has_ip(what, original->destination) || has_ip(what, reply->source))
        return true;
    memset(&from, 0, sizeof(from));
    from.ip = reply->source;
    from.port = reply->source_port;
    return what->targets_count && (original->protocol == IPPROTO_UDP || unanswered) &&
           original->destination != reply->source && /* translated */
           bsearch(&from, what->targets, what->targets_count, sizeof(from), target_cmp);
}

static int take_entry(const struct nlmsghdr *h, void *arg)
{
    struct search *s = arg;
    struct tuple original = { 0 }, reply = { 0 };
    const struct nlattr *attr;
    uint32_t status = 0;

    mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attr) == CTA_TUPLE_ORIG)
            parse_tuple(attr, &original);
        else if (mnl_attr_get_type(attr) == CTA_TUPLE_REPLY)
            parse_tuple(attr, &reply);
        else if (mnl_attr_get_type(attr) == CTA_STATUS)
            status = ntohl(mnl_attr_get_u32(attr));
    }
    if (s->count < CONNTRACK_FORGET_MAX && is_wanted(s->what, &original, &reply, status)) {
        GROW(s->found, s->count, s->capacity);
        s->found[s->count++] = original;
    }
    return MNL_CB_OK;
}

static struct nlmsghdr *start(struct netlink *nl, unsigned type, uint16_t flags)
{
    struct nfgenmsg g = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };

    return netlink_start(nl, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, &g, sizeof(g));
}

static int delete_entry(struct netlink *nl, const struct tuple *t, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };
    struct nlmsghdr *h = start(nl, IPCTNL_MSG_CT_DELETE, 0);
    struct nlattr *tuple = mnl_attr_nest_start(h, CTA_TUPLE_ORIG), *part;

    part = mnl_attr_nest_start(h, CTA_TUPLE_IP);
    mnl_attr_put_u32(h, CTA_IP_V4_SRC, t->source);
    mnl_attr_put_u32(h, CTA_IP_V4_DST, t->destination);
    mnl_attr_nest_end(h, part);
    part = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(h, CTA_PROTO_NUM, t->protocol);
    mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, t->source_port);
    mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, t->destination_port);
    mnl_attr_nest_end(h, part);
    mnl_attr_nest_end(h, tuple);
    if (netlink_do(nl, h, &inner) == 0 || inner.sys == ENOENT ||
        inner.sys == EINVAL) /* gone, or not of these protocols */
        return 0;
    error_move(err, &inner);
    return -1;
}

int conntrack_forget(struct netlink *nl, struct conntrack_forget *what, struct error *err)
{
    struct search s = { .what = what };
    int result = 0;

    if (!what->targets_count && !what->ips_count)
        return 0;
    if (what->targets_count)
        qsort(what->targets, what->targets_count, sizeof(*what->targets), target_cmp);
    if (what->ips_count)
        qsort(what->ips, what->ips_count, sizeof(*what->ips), ip_cmp);
    result = netlink_get(nl, start(nl, IPCTNL_MSG_CT_GET, NLM_F_DUMP), take_entry, &s, err);
    for (size_t i = 0; i < s.count && result == 0; i++)
        result = delete_entry(nl, &s.found[i], err);
    free(s.found);
    return result < 0 ? error_context(err, "forget connections") : 0;
}
