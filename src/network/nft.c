/* Batches: tables, chains, sets and elements as messages, and the commit. */
#include "network/nft.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX      (16 * KIB)
#define ANSWER_MAX       (64 * KIB)
#define ANSWER_TIMEOUT_S 2

int nft_open(struct nft *n, struct error *err)
{
    struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
    int send_bytes = (int)NFT_BATCH_MAX, receive_bytes = 4 * (int)MIB, on = 1;

    *n = (struct nft){ .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER) };
    if (n->fd < 0)
        return fail_sys(err, errno, "open a netfilter socket");
    /* A transaction is one datagram, however many services there are. */
    setsockopt(n->fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
    setsockopt(n->fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof(receive_bytes));
    setsockopt(n->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(n->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    return 0;
}

void nft_close(struct nft *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

/* --- messages ------------------------------------------------------------------------------------------------------------- */

/* Room for a message; NULL once the batch is too large, which the commit reports. */
static struct nlmsghdr *begin(struct nft_batch *b, uint16_t type, uint16_t flags)
{
    char *at = b->muted ? NULL : buf_reserve(&b->bytes, MESSAGE_MAX);

    return at ? nftnl_nlmsg_build_hdr(at, type, b->family, flags, ++b->messages) : NULL;
}

static void end(struct nft_batch *b, const struct nlmsghdr *h)
{
    b->bytes.n += MNL_ALIGN(h->nlmsg_len);
}

void nft_begin(struct nft_batch *b, uint8_t family, const char *table)
{
    b->bytes.max = NFT_BATCH_MAX;
    b->family = family;
    b->table = table;
    b->messages = 0;
    b->muted = false;
    buf_clear(&b->bytes);
    if (buf_reserve(&b->bytes, MESSAGE_MAX))
        end(b, nftnl_batch_begin(b->bytes.p, 0));
}

void nft_batch_done(struct nft_batch *b)
{
    buf_done(&b->bytes);
}

void nft_add_table(struct nft_batch *b)
{
    struct nlmsghdr *h = begin(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);

    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
    end(b, h);
}

void nft_delete_table(struct nft_batch *b)
{
    struct nlmsghdr *h = begin(b, NFT_MSG_DELTABLE, 0);

    if (!h)
        return;
    mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
    end(b, h);
    b->counts = (struct nft_counts){ 0 };
}

void nft_add_chain(struct nft_batch *b, const struct nft_chain *c)
{
    struct nlmsghdr *h = begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    struct nftnl_chain *chain;

    if (!h)
        return;
    chain = nftnl_chain_alloc();
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, b->table);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, c->name);
    if (c->type) {
        nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, c->type);
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, (uint32_t)c->hook);
        nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, c->priority);
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
    }
    nftnl_chain_nlmsg_build_payload(h, chain);
    nftnl_chain_free(chain);
    end(b, h);
    b->counts.chains++;
}

void nft_add_set(struct nft_batch *b, const struct nft_set *s)
{
    struct nlmsghdr *h = begin(b, NFT_MSG_NEWSET, NLM_F_CREATE);
    struct nftnl_set *set;
    uint32_t flags = s->dynamic ? NFT_SET_EVAL | NFT_SET_TIMEOUT : 0;

    if (!h)
        return;
    set = nftnl_set_alloc();
    nftnl_set_set_str(set, NFTNL_SET_TABLE, b->table);
    nftnl_set_set_str(set, NFTNL_SET_NAME, s->name);
    nftnl_set_set_u32(set, NFTNL_SET_ID, ++b->set_id);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, s->key_bytes);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, s->key_type);
    if (s->data_type) {
        flags |= NFT_SET_MAP;
        nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, s->data_type);
        if (s->data_type != NFT_DATA_VERDICT)
            nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, s->data_bytes);
    }
    if (s->size_max)
        nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, s->size_max);
    nftnl_set_set_u32(set, NFTNL_SET_FLAGS, flags);
    nftnl_set_nlmsg_build_payload(h, set);
    nftnl_set_free(set);
    end(b, h);
    b->counts.sets++;
}

/* Elements are what is many: written straight, without a libnftnl object each. */
static struct nlmsghdr *begin_element(struct nft_batch *b, uint16_t type, const char *set, const void *key,
                                      uint32_t key_bytes, struct nlattr *nests[2])
{
    struct nlmsghdr *h = begin(b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
    struct nlattr *nest;

    if (!h)
        return NULL;
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, b->table);
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
    nests[0] = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    nests[1] = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
    nest = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
    mnl_attr_put(h, NFTA_DATA_VALUE, key_bytes, key);
    mnl_attr_nest_end(h, nest);
    return h;
}

static void end_element(struct nft_batch *b, struct nlmsghdr *h, struct nlattr *nests[2])
{
    mnl_attr_nest_end(h, nests[1]);
    mnl_attr_nest_end(h, nests[0]);
    end(b, h);
    if ((h->nlmsg_type & 0xff) == NFT_MSG_NEWSETELEM)
        b->counts.elements++;
    else
        b->counts.elements--;
}

void nft_add_element(struct nft_batch *b, const char *set, const void *key, uint32_t key_bytes, const void *data,
                     uint32_t data_bytes)
{
    struct nlattr *nests[2], *nest;
    struct nlmsghdr *h = begin_element(b, NFT_MSG_NEWSETELEM, set, key, key_bytes, nests);

    if (!h)
        return;
    if (data) {
        nest = mnl_attr_nest_start(h, NFTA_SET_ELEM_DATA);
        mnl_attr_put(h, NFTA_DATA_VALUE, data_bytes, data);
        mnl_attr_nest_end(h, nest);
    }
    end_element(b, h, nests);
}

void nft_add_jump(struct nft_batch *b, const char *map, const void *key, uint32_t key_bytes, int verdict,
                  const char *chain)
{
    struct nlattr *nests[2], *data, *inner;
    struct nlmsghdr *h = begin_element(b, NFT_MSG_NEWSETELEM, map, key, key_bytes, nests);

    if (!h)
        return;
    data = mnl_attr_nest_start(h, NFTA_SET_ELEM_DATA);
    inner = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
    mnl_attr_put_u32(h, NFTA_VERDICT_CODE, htonl((uint32_t)verdict));
    if (chain)
        mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
    mnl_attr_nest_end(h, inner);
    mnl_attr_nest_end(h, data);
    end_element(b, h, nests);
}

void nft_delete_element(struct nft_batch *b, const char *set, const void *key, uint32_t key_bytes)
{
    struct nlattr *nests[2];
    struct nlmsghdr *h = begin_element(b, NFT_MSG_DELSETELEM, set, key, key_bytes, nests);

    if (h)
        end_element(b, h, nests);
}

struct nftnl_rule *nft_rule(const char *chain)
{
    struct nftnl_rule *r = nftnl_rule_alloc();

    nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
    return r;
}

void nft_add_rule(struct nft_batch *b, struct nftnl_rule *r)
{
    struct nlmsghdr *h = begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);

    if (h) {
        nftnl_rule_set_str(r, NFTNL_RULE_TABLE, b->table);
        nftnl_rule_nlmsg_build_payload(h, r);
        end(b, h);
        b->counts.rules++;
    }
    nftnl_rule_free(r);
}

/* --- commit --------------------------------------------------------------------------------------------------------------- */

static const char *const message_names[] = {
    [NFT_MSG_NEWTABLE] = "add the table",
    [NFT_MSG_DELTABLE] = "delete the table",
    [NFT_MSG_NEWCHAIN] = "add a chain",
    [NFT_MSG_NEWRULE] = "add a rule",
    [NFT_MSG_NEWSET] = "add a set",
    [NFT_MSG_NEWSETELEM] = "add a set element",
    [NFT_MSG_DELSETELEM] = "delete a set element",
};

static const char *name_of_message(const struct nft_batch *b, uint32_t seq)
{
    int left = (int)b->bytes.n;

    for (struct nlmsghdr *h = (struct nlmsghdr *)b->bytes.p; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
        unsigned type = h->nlmsg_type & 0xff;
        if (h->nlmsg_seq == seq && h->nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES && type < ARRAY_SIZE(message_names) &&
            message_names[type])
            return message_names[type];
    }
    return "commit";
}

/* The kernel has answered before sendmsg() returned: no message means that everything was taken. */
static int read_answers(struct nft *n, const struct nft_batch *b, struct error *err)
{
    AUTO_FREE char *answer = xmalloc(ANSWER_MAX);
    int result = 0;

    for (;;) {
        ssize_t got = recv(n->fd, answer, ANSWER_MAX, MSG_DONTWAIT);
        int left;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return result;
        if (got < 0) /* ENOBUFS: more errors than the buffer holds */
            return result < 0 ? result : fail_sys(err, errno, "change the firewall");
        left = (int)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)answer; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            if (h->nlmsg_type == NLMSG_ERROR && e->error && result == 0)
                result = fail_sys(err, -e->error, "change the firewall: %s (message %u of %u)",
                                  name_of_message(b, h->nlmsg_seq), h->nlmsg_seq, b->messages);
        }
    }
}

int nft_commit(struct nft *n, struct nft_batch *b, struct error *err)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    int result = 0;

    if (b->messages) {
        char *at = buf_reserve(&b->bytes, MESSAGE_MAX);
        if (at)
            end(b, nftnl_batch_end(at, b->messages + 1));
        if (b->bytes.full)
            result = fail(err, ERR_TOO_LARGE, "the firewall's rules are larger than %zu bytes", NFT_BATCH_MAX);
        else if (sendto(n->fd, b->bytes.p, b->bytes.n, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
            result = fail_sys(err, errno, "send %zu bytes of firewall rules", b->bytes.n);
        else
            result = read_answers(n, b, err);
    }
    if (b->bytes.capacity > 4 * MIB)
        buf_done(&b->bytes);
    nft_begin(b, b->family, b->table);
    return result;
}
