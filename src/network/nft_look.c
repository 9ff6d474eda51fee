/* Looking back at what the kernel has: whose generation it is, and how much is in a table. */
#include "network/nft.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

#define ANSWER_MAX (64 * KIB)

/* Send one request and hand the messages of its answer to fn. */
static int ask(struct nft *n, const struct nlmsghdr *h, mnl_cb_t fn, void *arg, struct error *err)
{
    AUTO_FREE char *answer = xmalloc(ANSWER_MAX);
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

    if (sendto(n->fd, h, h->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return fail_sys(err, errno, "ask for firewall rules");
    for (;;) {
        ssize_t got = recv(n->fd, answer, ANSWER_MAX, 0);
        int left = (int)got;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_sys(err, errno, "read firewall rules");
        for (struct nlmsghdr *m = (struct nlmsghdr *)answer; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(m);

            if (m->nlmsg_seq != h->nlmsg_seq)
                continue;
            if (m->nlmsg_type == NLMSG_DONE || (m->nlmsg_type == NLMSG_ERROR && e->error == 0))
                return 0;
            if (m->nlmsg_type == NLMSG_ERROR)
                return fail_sys(err, -e->error, "read firewall rules");
            fn(m, arg);
        }
    }
}

static int take_generation(const struct nlmsghdr *h, void *arg)
{
    const struct nlattr *attr;
    uint32_t *ret = arg;

    mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) == NFTA_GEN_ID) *ret =
        ntohl(mnl_attr_get_u32(attr));
    return MNL_CB_OK;
}

int nft_generation(struct nft *n, uint32_t *ret, struct error *err)
{
    char request[256];
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETGEN, AF_UNSPEC, NLM_F_ACK, ++n->seq | 1u << 31);

    return ask(n, h, take_generation, ret, err);
}

struct counting {
    const char *table;
    struct nft_counts *counts;
    char sets[64][32]; /* names of the sets whose elements are counted */
    size_t sets_count;
};

static bool in_table(const struct nlmsghdr *h, const struct counting *c)
{
    const struct nlattr *attr;

    mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg)) /* attribute 1 is the table in all these messages */
        if (mnl_attr_get_type(attr) == NFTA_CHAIN_TABLE) return str_is(str_of(mnl_attr_get_str(attr)), c->table);
    return false;
}

static int take_chain(const struct nlmsghdr *h, void *arg)
{
    struct counting *c = arg;

    c->counts->chains += in_table(h, c);
    return MNL_CB_OK;
}

static int take_rule(const struct nlmsghdr *h, void *arg)
{
    struct counting *c = arg;

    c->counts->rules += in_table(h, c);
    return MNL_CB_OK;
}

static int take_set(const struct nlmsghdr *h, void *arg)
{
    struct counting *c = arg;
    const struct nlattr *attr;
    uint32_t flags = 0;
    const char *name = "";

    if (!in_table(h, c))
        return MNL_CB_OK;
    c->counts->sets++;
    mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attr) == NFTA_SET_NAME)
            name = mnl_attr_get_str(attr);
        if (mnl_attr_get_type(attr) == NFTA_SET_FLAGS)
            flags = ntohl(mnl_attr_get_u32(attr));
    }
    if (!(flags & NFT_SET_EVAL) && c->sets_count < ARRAY_SIZE(c->sets))
        snprintf(c->sets[c->sets_count++], sizeof(c->sets[0]), "%s", name);
    return MNL_CB_OK;
}

static int take_elements(const struct nlmsghdr *h, void *arg)
{
    struct counting *c = arg;
    const struct nlattr *attr, *element;

    mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
        mnl_attr_for_each_nested(element, attr) c->counts->elements++;
    return MNL_CB_OK;
}

static struct nlmsghdr *dump(struct nft *n, char *request, uint16_t type, uint8_t family)
{
    return nftnl_nlmsg_build_hdr(request, type, family, NLM_F_DUMP, ++n->seq | 1u << 31);
}

int nft_count(struct nft *n, uint8_t family, const char *table, struct nft_counts *ret, struct error *err)
{
    char request[512];
    struct counting c = { .table = table, .counts = ret };

    *ret = (struct nft_counts){ 0 };
    if (ask(n, dump(n, request, NFT_MSG_GETCHAIN, family), take_chain, &c, err) < 0 ||
        ask(n, dump(n, request, NFT_MSG_GETRULE, family), take_rule, &c, err) < 0 ||
        ask(n, dump(n, request, NFT_MSG_GETSET, family), take_set, &c, err) < 0)
        return -1;
    for (size_t i = 0; i < c.sets_count; i++) {
        struct nlmsghdr *h = dump(n, request, NFT_MSG_GETSETELEM, family);

        mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, table);
        mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, c.sets[i]);
        if (ask(n, h, take_elements, &c, err) < 0)
            return -1;
    }
    return 0;
}

static int ignore(UNUSED const struct nlmsghdr *h, UNUSED void *arg)
{
    return MNL_CB_OK;
}

bool nft_has_table(struct nft *n, uint8_t family, const char *table)
{
    AUTO_ERROR struct error err = { 0 };
    char request[256];
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETTABLE, family, NLM_F_ACK, ++n->seq | 1u << 31);

    mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
    return ask(n, h, ignore, NULL, &err) == 0 || err.sys != ENOENT;
}
