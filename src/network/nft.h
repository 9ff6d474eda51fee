/*
 * nftables by typed netlink messages: one struct nft_batch is one transaction, all of it or nothing.
 *
 * A batch belongs to one table. Rules are built from expressions (x_...), which work on registers R(0) .. R(15) of four bytes each;
 * a key or value of n bytes takes the registers from its first on. Messages take effect in the order they were added.
 * Element keys and values are raw bytes, each part padded to four, numbers in the order the expression loads them.
 * Errors of a commit say which message the kernel refused and carry its errno.
 */
#ifndef NETWORK_NFT_H
#define NETWORK_NFT_H

#include "base/buf.h"
#include "base/error.h"

#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#define NFT_BATCH_MAX (256 * MIB)
#define R(n)          ((uint32_t)NFT_REG32_00 + (n))

struct nft { /* a socket; one thread */
    int fd;
    uint32_t seq;
};

struct nft_counts {
    uint32_t chains, rules, sets, elements; /* elements: only of sets that rules do not fill themselves */
};

struct nft_batch {
    struct buf bytes;
    const char *table;
    uint8_t family; /* NFPROTO_IPV4, NFPROTO_BRIDGE */
    uint32_t messages, set_id;
    bool muted;               /* what is added is dropped: everything will be built again */
    struct nft_counts counts; /* what the table holds after all batches so far */
};

int nft_open(struct nft *n, struct error *err);
void nft_close(struct nft *n);

void nft_begin(struct nft_batch *b, uint8_t family, const char *table);
void nft_batch_done(struct nft_batch *b);
int nft_commit(struct nft *n, struct nft_batch *b, struct error *err); /* the batch is empty after */

void nft_add_table(struct nft_batch *b);
void nft_delete_table(struct nft_batch *b); /* fails the batch when absent: add first */

struct nft_chain {
    const char *name;
    const char *type; /* "filter", "nat"; NULL: a chain others jump to */
    int hook, priority;
};
void nft_add_chain(struct nft_batch *b, const struct nft_chain *c);

struct nft_set {
    const char *name;
    uint32_t key_bytes, key_type;
    uint32_t data_bytes, data_type; /* a map when data_type is not 0; data_type NFT_DATA_VERDICT: to chains */
    bool dynamic;                   /* rules add elements with timeouts; size_max then holds */
    uint32_t size_max;
};
void nft_add_set(struct nft_batch *b, const struct nft_set *s);
void nft_add_element(struct nft_batch *b, const char *set, const void *key, uint32_t key_bytes, const void *data,
                     uint32_t data_bytes);
void nft_add_jump(struct nft_batch *b, const char *map, const void *key, uint32_t key_bytes, int verdict,
                  const char *chain);
void nft_delete_element(struct nft_batch *b, const char *set, const void *key, uint32_t key_bytes);

/* What nft(8) prints types by; the kernel ignores them. Parts of a concatenation, six bits each. */
enum nft_type { TYPE_IPV4 = 7, TYPE_PROTO = 12, TYPE_PORT = 13, TYPE_MARK = 19, TYPE_IFNAME = 41 };
#define TYPE_2(a, b)       ((uint32_t)(a) << 6 | (b))
#define TYPE_3(a, b, c)    (TYPE_2(a, b) << 6 | (c))
#define TYPE_4(a, b, c, d) (TYPE_3(a, b, c) << 6 | (d))

/* --- rules -------------------------------------------------------------------------------------------------------------- */

struct nftnl_rule;
struct nftnl_rule *nft_rule(const char *chain);
void nft_add_rule(struct nft_batch *b, struct nftnl_rule *r); /* at the chain's end; takes the rule over */

void x_payload(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t n, uint32_t to);
void x_cmp(struct nftnl_rule *r, uint32_t reg, uint32_t op, const void *value, uint32_t n);
void x_mask(struct nftnl_rule *r, uint32_t reg, uint32_t mask, uint32_t xor); /* reg = reg & mask ^ xor, as bytes */
void x_value(struct nftnl_rule *r, uint32_t to, const void *value, uint32_t n);
void x_meta(struct nftnl_rule *r, uint32_t key, uint32_t to);
void x_meta_set(struct nftnl_rule *r, uint32_t key, uint32_t from);
void x_ct(struct nftnl_rule *r, uint32_t key, uint32_t to);
void x_destination_type(struct nftnl_rule *r, uint32_t to); /* fib daddr type */
void x_in_set(struct nftnl_rule *r, const char *set, uint32_t key, bool inverted);
void x_map(struct nftnl_rule *r, const char *map, uint32_t key, uint32_t to); /* to NFT_REG_VERDICT: goes there */
void x_random(struct nftnl_rule *r, uint32_t below, uint32_t to);
void x_dynset(struct nftnl_rule *r, uint32_t op, const char *set, uint32_t key, uint32_t data, uint64_t timeout_ms);
void x_dnat(struct nftnl_rule *r, uint32_t address, uint32_t port);
void x_snat(struct nftnl_rule *r, uint32_t address);
void x_masquerade(struct nftnl_rule *r);
void x_reject(struct nftnl_rule *r, uint32_t type, uint8_t code);
void x_verdict(struct nftnl_rule *r, int verdict, const char *chain); /* NF_ACCEPT, NF_DROP, NFT_GOTO ... */

/* Frequent pairs. */
void x_link_is(struct nftnl_rule *r, uint32_t meta_key, const char *name, bool inverted); /* iifname, oifname */
void x_link_starts(struct nftnl_rule *r, uint32_t meta_key, const char *prefix);
void x_source_in(struct nftnl_rule *r, uint32_t ip, uint32_t mask, bool inverted);
void x_destination_in(struct nftnl_rule *r, uint32_t ip, uint32_t mask, bool inverted);

/* --- looking back -------------------------------------------------------------------------------------------------------- */

int nft_generation(struct nft *n, uint32_t *ret,
                   struct error *err); /* grows with every commit of anybody in this namespace */
/* False only when the kernel says so. */
bool nft_has_table(struct nft *n, uint8_t family, const char *table);
int nft_count(struct nft *n, uint8_t family, const char *table, struct nft_counts *ret, struct error *err);

#endif
