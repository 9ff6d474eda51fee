/* Addresses, neighbours and routes by rtnetlink. */
#include "network/link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

/* Run a deletion; what is not there any more is fine. */
static int forget(struct netlink *nl, struct nlmsghdr *h, const char *what, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };

    if (netlink_do(nl, h, &inner) == 0 || inner.sys == ENOENT || inner.sys == ESRCH || inner.sys == EADDRNOTAVAIL ||
        inner.sys == ENODEV)
        return 0;
    error_move(err, &inner);
    return error_context(err, "delete %s", what);
}

static struct nlmsghdr *start_fdb(struct netlink *nl, uint16_t type, uint16_t flags, int index,
                                  const unsigned char *mac, uint32_t remote)
{
    struct ndmsg nd = {
        .ndm_family = AF_BRIDGE, .ndm_ifindex = index, .ndm_state = NUD_NOARP | NUD_PERMANENT, .ndm_flags = NTF_SELF
    };
    struct nlmsghdr *h = netlink_start(nl, type, flags, &nd, sizeof(nd));

    mnl_attr_put(h, NDA_LLADDR, MAC_SIZE, mac);
    mnl_attr_put_u32(h, NDA_DST, remote);
    return h;
}

int link_put_fdb(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], uint32_t remote, struct error *err)
{
    struct nlmsghdr *h = start_fdb(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, mac, remote);

    return netlink_do(nl, h, err) < 0 ? error_context(err, "add a forwarding entry to the tunnel") : 0;
}

int link_delete_fdb(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], uint32_t remote,
                    struct error *err)
{
    return forget(nl, start_fdb(nl, RTM_DELNEIGH, 0, index, mac, remote), "a forwarding entry", err);
}

static struct nlmsghdr *start_neighbor(struct netlink *nl, uint16_t type, uint16_t flags, int index, uint32_t ip)
{
    struct ndmsg nd = { .ndm_family = AF_INET, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT };
    struct nlmsghdr *h = netlink_start(nl, type, flags, &nd, sizeof(nd));

    mnl_attr_put_u32(h, NDA_DST, ip);
    return h;
}

int link_put_neighbor(struct netlink *nl, int index, uint32_t ip, const unsigned char mac[MAC_SIZE], struct error *err)
{
    struct nlmsghdr *h = start_neighbor(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, ip);

    mnl_attr_put(h, NDA_LLADDR, MAC_SIZE, mac);
    return netlink_do(nl, h, err) < 0 ? error_context(err, "add a neighbour") : 0;
}

int link_delete_neighbor(struct netlink *nl, int index, uint32_t ip, struct error *err)
{
    return forget(nl, start_neighbor(nl, RTM_DELNEIGH, 0, index, ip), "a neighbour", err);
}

static struct nlmsghdr *start_address(struct netlink *nl, uint16_t type, uint16_t flags, int index, uint32_t ip,
                                      uint8_t length)
{
    struct ifaddrmsg a = { .ifa_family = AF_INET, .ifa_prefixlen = length, .ifa_index = (uint32_t)index };
    struct nlmsghdr *h;

    if ((ntohl(ip) >> 24) == 127)
        a.ifa_scope = RT_SCOPE_HOST;
    if ((ntohl(ip) >> 16) == 0xa9fe)
        a.ifa_scope = RT_SCOPE_LINK; /* never a source towards others */
    h = netlink_start(nl, type, flags, &a, sizeof(a));
    mnl_attr_put_u32(h, IFA_LOCAL, ip);
    mnl_attr_put_u32(h, IFA_ADDRESS, ip);
    return h;
}

int link_put_address(struct netlink *nl, int index, uint32_t ip, uint8_t length, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };

    if (netlink_do(nl, start_address(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, ip, length), &inner) == 0 ||
        inner.sys == EEXIST)
        return 0;
    error_move(err, &inner);
    return error_context(err, "add an address");
}

int link_delete_address(struct netlink *nl, int index, uint32_t ip, uint8_t length, struct error *err)
{
    return forget(nl, start_address(nl, RTM_DELADDR, 0, index, ip, length), "an address", err);
}

struct each_address {
    link_address_seen *seen;
    void *arg;
};

static int take_address(const struct nlmsghdr *h, void *arg)
{
    const struct each_address *e = arg;
    const struct ifaddrmsg *a = mnl_nlmsg_get_payload(h);
    const struct nlattr *attr;

    if (a->ifa_family == AF_INET)
        mnl_attr_for_each(attr, h, sizeof(*a)) if (mnl_attr_get_type(attr) == IFA_LOCAL)
            e->seen(e->arg, (int)a->ifa_index, mnl_attr_get_u32(attr), a->ifa_prefixlen);
    return MNL_CB_OK;
}

int link_each_address(struct netlink *nl, link_address_seen *seen, void *arg, struct error *err)
{
    struct ifaddrmsg a = { .ifa_family = AF_INET };

    return netlink_get(nl, netlink_start(nl, RTM_GETADDR, NLM_F_DUMP, &a, sizeof(a)), take_address,
                       &(struct each_address){ seen, arg }, err);
}

static struct nlmsghdr *start_route(struct netlink *nl, uint16_t type, uint16_t flags, const struct route *r)
{
    struct rtmsg m = { .rtm_family = AF_INET,
                       .rtm_dst_len = r->length,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = r->protocol ? r->protocol : ROUTE_PROTOCOL,
                       .rtm_type = RTN_UNICAST,
                       .rtm_scope = r->gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                       .rtm_flags = r->onlink ? RTNH_F_ONLINK : 0 };
    struct nlmsghdr *h = netlink_start(nl, type, flags, &m, sizeof(m));

    if (r->length)
        mnl_attr_put_u32(h, RTA_DST, r->destination);
    if (r->gateway)
        mnl_attr_put_u32(h, RTA_GATEWAY, r->gateway);
    if (r->source)
        mnl_attr_put_u32(h, RTA_PREFSRC, r->source);
    if (r->index)
        mnl_attr_put_u32(h, RTA_OIF, (uint32_t)r->index);
    return h;
}

int route_put(struct netlink *nl, const struct route *r, struct error *err)
{
    char ip[IP_TEXT_SIZE];

    if (netlink_do(nl, start_route(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, r), err) < 0)
        return error_context(err, "add a route to %s/%d", ip_format(r->destination, ip), r->length);
    return 0;
}

int route_delete(struct netlink *nl, const struct route *r, struct error *err)
{
    return forget(nl, start_route(nl, RTM_DELROUTE, 0, r), "a route", err);
}

static void parse_route(const struct nlmsghdr *h, struct route *r)
{
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    const struct nlattr *attr;

    *r = (struct route){ .length = m->rtm_dst_len, .onlink = m->rtm_flags & RTNH_F_ONLINK };
    mnl_attr_for_each(attr, h, sizeof(*m))
    {
        switch (mnl_attr_get_type(attr)) {
        case RTA_DST:
            r->destination = mnl_attr_get_u32(attr);
            break;
        case RTA_GATEWAY:
            r->gateway = mnl_attr_get_u32(attr);
            break;
        case RTA_PREFSRC:
            r->source = mnl_attr_get_u32(attr);
            break;
        case RTA_OIF:
            r->index = (int)mnl_attr_get_u32(attr);
            break;
        default:
            break;
        }
    }
}

struct each_route {
    route_seen *seen;
    void *arg;
};

static int take_each_route(const struct nlmsghdr *h, void *arg)
{
    const struct each_route *e = arg;
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    struct route r;

    if (m->rtm_family != AF_INET || m->rtm_table != RT_TABLE_MAIN || m->rtm_protocol != ROUTE_PROTOCOL)
        return MNL_CB_OK;
    parse_route(h, &r);
    e->seen(e->arg, &r);
    return MNL_CB_OK;
}

int route_each(struct netlink *nl, route_seen *seen, void *arg, struct error *err)
{
    struct rtmsg m = { .rtm_family = AF_INET };

    return netlink_get(nl, netlink_start(nl, RTM_GETROUTE, NLM_F_DUMP, &m, sizeof(m)), take_each_route,
                       &(struct each_route){ seen, arg }, err);
}

static int take_route(const struct nlmsghdr *h, void *arg)
{
    parse_route(h, arg);
    return MNL_CB_OK;
}

int route_lookup(struct netlink *nl, uint32_t ip, struct route *ret, struct error *err)
{
    struct rtmsg m = { .rtm_family = AF_INET, .rtm_dst_len = 32 };
    struct nlmsghdr *h = netlink_start(nl, RTM_GETROUTE, 0, &m, sizeof(m));

    mnl_attr_put_u32(h, RTA_DST, ip);
    return netlink_get(nl, h, take_route, ret, err) < 0 ? error_context(err, "look up a route") : 0;
}
