/* Links by rtnetlink: look up, make, change, delete. */
#include "network/link.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

static struct nlmsghdr *start_link(struct netlink *nl, uint16_t type, uint16_t flags, struct ifinfomsg info)
{
    return netlink_start(nl, type, flags, &info, sizeof(info));
}

static void text_of(const struct nlattr *attr, char *to, size_t size)
{
    snprintf(to, size, "%.*s", (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
}

static void parse_link(const struct nlmsghdr *h, struct link_info *l)
{
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
    const struct nlattr *attr, *inner;

    *l = (struct link_info){ .index = info->ifi_index, .up = info->ifi_flags & IFF_UP };
    mnl_attr_for_each(attr, h, sizeof(*info))
    {
        switch (mnl_attr_get_type(attr)) {
        case IFLA_IFNAME:
            text_of(attr, l->name, sizeof(l->name));
            break;
        case IFLA_IFALIAS:
            text_of(attr, l->alias, sizeof(l->alias));
            break;
        case IFLA_ADDRESS:
            if (mnl_attr_get_payload_len(attr) == MAC_SIZE)
                memcpy(l->mac, mnl_attr_get_payload(attr), MAC_SIZE);
            break;
        case IFLA_MTU:
            l->mtu = mnl_attr_get_u32(attr);
            break;
        case IFLA_MASTER:
            l->master = (int)mnl_attr_get_u32(attr);
            break;
        case IFLA_LINKINFO:
            mnl_attr_for_each_nested(inner, attr) if (mnl_attr_get_type(inner) == IFLA_INFO_KIND)
                text_of(inner, l->kind, sizeof(l->kind));
            break;
        default:
            break;
        }
    }
}

static int take_link(const struct nlmsghdr *h, void *arg)
{
    parse_link(h, arg);
    return MNL_CB_OK;
}

int link_find(struct netlink *nl, const char *name, struct link_info *ret, struct error *err)
{
    struct nlmsghdr *h = start_link(nl, RTM_GETLINK, 0, (struct ifinfomsg){ 0 });

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    return netlink_get(nl, h, take_link, ret, err) < 0 ? error_context(err, "find link '%s'", name) : 0;
}

struct each {
    link_seen *seen;
    void *arg;
};

static int take_each(const struct nlmsghdr *h, void *arg)
{
    struct each *e = arg;
    struct link_info l;

    parse_link(h, &l);
    e->seen(e->arg, &l);
    return MNL_CB_OK;
}

int link_each_link(struct netlink *nl, link_seen *seen, void *arg, struct error *err)
{
    struct nlmsghdr *h = start_link(nl, RTM_GETLINK, NLM_F_DUMP, (struct ifinfomsg){ 0 });

    return netlink_get(nl, h, take_each, &(struct each){ seen, arg }, err);
}

int link_delete(struct netlink *nl, const char *name, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };
    struct nlmsghdr *h = start_link(nl, RTM_DELLINK, 0, (struct ifinfomsg){ 0 });

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    if (netlink_do(nl, h, &inner) == 0 || inner.sys == ENODEV)
        return 0;
    error_move(err, &inner);
    return error_context(err, "delete link '%s'", name);
}

int link_delete_index(struct netlink *nl, int index, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };

    if (netlink_do(nl, start_link(nl, RTM_DELLINK, 0, (struct ifinfomsg){ .ifi_index = index }), &inner) == 0 ||
        inner.sys == ENODEV)
        return 0;
    error_move(err, &inner);
    return error_context(err, "delete a link");
}

int link_set_up(struct netlink *nl, int index, struct error *err)
{
    struct ifinfomsg info = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };

    return netlink_do(nl, start_link(nl, RTM_NEWLINK, 0, info), err);
}

int link_set_down(struct netlink *nl, int index, struct error *err)
{
    struct ifinfomsg info = { .ifi_index = index, .ifi_change = IFF_UP };

    return netlink_do(nl, start_link(nl, RTM_NEWLINK, 0, info), err);
}

int link_set_master(struct netlink *nl, int index, int master, struct error *err)
{
    struct nlmsghdr *h = start_link(nl, RTM_NEWLINK, 0, (struct ifinfomsg){ .ifi_index = index });

    mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
    return netlink_do(nl, h, err);
}

int link_set_mac(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], struct error *err)
{
    struct nlmsghdr *h = start_link(nl, RTM_NEWLINK, 0, (struct ifinfomsg){ .ifi_index = index });

    mnl_attr_put(h, IFLA_ADDRESS, MAC_SIZE, mac);
    return netlink_do(nl, h, err);
}

int link_add_bridge(struct netlink *nl, const char *name, uint32_t mtu, const unsigned char mac[MAC_SIZE],
                    struct error *err)
{
    struct ifinfomsg info = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    struct nlmsghdr *h = start_link(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, info);
    struct nlattr *nest, *data;

    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    mnl_attr_put_u32(h, IFLA_MTU, mtu);
    mnl_attr_put(h, IFLA_ADDRESS, MAC_SIZE, mac);
    nest = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    mnl_attr_put_u32(h, IFLA_BR_FORWARD_DELAY, 0); /* no spanning tree: a port forwards at once */
    mnl_attr_put_u32(h, IFLA_BR_STP_STATE, 0);
    mnl_attr_put_u8(h, IFLA_BR_MCAST_SNOOPING, 0);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, nest);
    return netlink_do(nl, h, err) < 0 ? error_context(err, "make bridge '%s'", name) : 0;
}

static void put_peer(struct nlmsghdr *h, const struct link_veth *v)
{
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);

    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg)); /* the peer's own, all zero */
    mnl_attr_put_strz(h, IFLA_IFNAME, v->peer);
    mnl_attr_put(h, IFLA_ADDRESS, MAC_SIZE, v->peer_mac);
    mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)v->peer_netns_fd); /* born there: moving it would cost an RCU wait */
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, data);
}

int link_add_veth(struct netlink *nl, const struct link_veth *v, struct error *err)
{
    struct ifinfomsg info = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    struct nlmsghdr *h = start_link(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, info);
    struct nlattr *nest;

    mnl_attr_put_strz(h, IFLA_IFNAME, v->name);
    mnl_attr_put_strz(h, IFLA_IFALIAS, v->alias);
    mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
    mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)v->master);
    nest = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    put_peer(h, v);
    mnl_attr_nest_end(h, nest);
    return netlink_do(nl, h, err) < 0 ? error_context(err, "make veth '%s'", v->name) : 0;
}

static int put_bridge_fdb(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], struct error *err)
{
    struct ndmsg nd = {
        .ndm_family = AF_BRIDGE, .ndm_ifindex = index, .ndm_state = NUD_NOARP, .ndm_flags = NTF_MASTER
    };
    struct nlmsghdr *h = netlink_start(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &nd, sizeof(nd));

    mnl_attr_put(h, NDA_LLADDR, MAC_SIZE, mac);
    return netlink_do(nl, h, err) < 0 ? error_context(err, "add the port's MAC") : 0;
}

int link_isolate_port(struct netlink *nl, int index, const unsigned char mac[MAC_SIZE], struct error *err)
{
    struct nlmsghdr *h =
        start_link(nl, RTM_SETLINK, 0, (struct ifinfomsg){ .ifi_family = AF_BRIDGE, .ifi_index = index });
    struct nlattr *port = mnl_attr_nest_start(h, IFLA_PROTINFO | NLA_F_NESTED);

    mnl_attr_put_u8(h, IFLA_BRPORT_ISOLATED, 1);
    mnl_attr_put_u8(h, IFLA_BRPORT_MODE, 1); /* hairpin */
    mnl_attr_put_u8(h, IFLA_BRPORT_LEARNING, 0);
    mnl_attr_put_u8(h, IFLA_BRPORT_UNICAST_FLOOD, 0);
    mnl_attr_put_u8(h, IFLA_BRPORT_MCAST_FLOOD, 0);
    mnl_attr_nest_end(h, port);
    if (netlink_do(nl, h, err) < 0)
        return error_context(err, "isolate a bridge port");
    return put_bridge_fdb(nl, index, mac, err);
}

int link_add_vxlan(struct netlink *nl, const struct link_vxlan *v, struct error *err)
{
    struct ifinfomsg info = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    struct nlmsghdr *h = start_link(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, info);
    struct nlattr *nest, *data;

    mnl_attr_put_strz(h, IFLA_IFNAME, v->name);
    mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
    mnl_attr_put(h, IFLA_ADDRESS, MAC_SIZE, v->mac);
    nest = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "vxlan");
    data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    mnl_attr_put_u32(h, IFLA_VXLAN_ID, v->vni);
    mnl_attr_put_u32(h, IFLA_VXLAN_LOCAL, v->local);
    mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(v->port));
    mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0); /* who is where comes from the API, not from packets */
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, nest);
    return netlink_do(nl, h, err) < 0 ? error_context(err, "make tunnel '%s'", v->name) : 0;
}
