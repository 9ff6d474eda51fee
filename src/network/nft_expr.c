/* Expressions of rules, each one call. */
#include "network/nft.h"

#include <stdio.h> /* libnftnl wants FILE */
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <net/if.h>
#include <netinet/in.h>

static struct nftnl_expr *add(struct nftnl_rule *r, const char *name)
{
    struct nftnl_expr *e = nftnl_expr_alloc(name);

    assert(e); /* only an unknown name or no memory */
    nftnl_rule_add_expr(r, e);
    return e;
}

void x_payload(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t n, uint32_t to)
{
    struct nftnl_expr *e = add(r, "payload");

    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, n);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, to);
}

void x_cmp(struct nftnl_rule *r, uint32_t reg, uint32_t op, const void *value, uint32_t n)
{
    struct nftnl_expr *e = add(r, "cmp");

    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, value, n);
}

void x_mask(struct nftnl_rule *r, uint32_t reg, uint32_t mask, uint32_t xor)
{
    struct nftnl_expr *e = add(r, "bitwise");

    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof(mask));
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof(mask));
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &xor, sizeof(xor));
}

void x_value(struct nftnl_rule *r, uint32_t to, const void *value, uint32_t n)
{
    struct nftnl_expr *e = add(r, "immediate");

    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, to);
    nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, value, n);
}

void x_meta(struct nftnl_rule *r, uint32_t key, uint32_t to)
{
    struct nftnl_expr *e = add(r, "meta");

    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, to);
}

void x_meta_set(struct nftnl_rule *r, uint32_t key, uint32_t from)
{
    struct nftnl_expr *e = add(r, "meta");

    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, from);
}

void x_ct(struct nftnl_rule *r, uint32_t key, uint32_t to)
{
    struct nftnl_expr *e = add(r, "ct");

    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, to);
}

void x_destination_type(struct nftnl_rule *r, uint32_t to)
{
    struct nftnl_expr *e = add(r, "fib");

    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, to);
}

void x_in_set(struct nftnl_rule *r, const char *set, uint32_t key, bool inverted)
{
    struct nftnl_expr *e = add(r, "lookup");

    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, key);
    if (inverted)
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void x_map(struct nftnl_rule *r, const char *map, uint32_t key, uint32_t to)
{
    struct nftnl_expr *e = add(r, "lookup");

    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, map);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, to);
}

void x_random(struct nftnl_rule *r, uint32_t below, uint32_t to)
{
    struct nftnl_expr *e = add(r, "numgen");

    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, below);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, to);
}

void x_dynset(struct nftnl_rule *r, uint32_t op, const char *set, uint32_t key, uint32_t data, uint64_t timeout_ms)
{
    struct nftnl_expr *e = add(r, "dynset");

    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, op);
    nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, set);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, key);
    if (data)
        nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_DATA, data);
    if (timeout_ms)
        nftnl_expr_set_u64(e, NFTNL_EXPR_DYNSET_TIMEOUT, timeout_ms);
}

static struct nftnl_expr *add_nat(struct nftnl_rule *r, uint32_t type, uint32_t address)
{
    struct nftnl_expr *e = add(r, "nat");

    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, type);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, address);
    return e;
}

void x_dnat(struct nftnl_rule *r, uint32_t address, uint32_t port)
{
    nftnl_expr_set_u32(add_nat(r, NFT_NAT_DNAT, address), NFTNL_EXPR_NAT_REG_PROTO_MIN, port);
}

void x_snat(struct nftnl_rule *r, uint32_t address)
{
    add_nat(r, NFT_NAT_SNAT, address);
}

void x_masquerade(struct nftnl_rule *r)
{
    add(r, "masq");
}

void x_reject(struct nftnl_rule *r, uint32_t type, uint8_t code)
{
    struct nftnl_expr *e = add(r, "reject");

    nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
    nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
}

void x_verdict(struct nftnl_rule *r, int verdict, const char *chain)
{
    struct nftnl_expr *e = add(r, "immediate");

    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
    if (chain)
        nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

void x_link_is(struct nftnl_rule *r, uint32_t meta_key, const char *name, bool inverted)
{
    char full[IFNAMSIZ] = { 0 };

    memcpy(full, name, MIN(strlen(name), sizeof(full) - 1));
    x_meta(r, meta_key, R(12));
    x_cmp(r, R(12), inverted ? NFT_CMP_NEQ : NFT_CMP_EQ, full, sizeof(full));
}

void x_link_starts(struct nftnl_rule *r, uint32_t meta_key, const char *prefix)
{
    x_meta(r, meta_key, R(12));
    x_cmp(r, R(12), NFT_CMP_EQ, prefix, (uint32_t)strlen(prefix));
}

static void address_in(struct nftnl_rule *r, uint32_t offset, uint32_t ip, uint32_t mask, bool inverted)
{
    x_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offset, 4, R(12));
    if (mask != INADDR_NONE)
        x_mask(r, R(12), mask, 0);
    x_cmp(r, R(12), inverted ? NFT_CMP_NEQ : NFT_CMP_EQ, &ip, 4);
}

void x_source_in(struct nftnl_rule *r, uint32_t ip, uint32_t mask, bool inverted)
{
    address_in(r, 12, ip, mask, inverted);
}

void x_destination_in(struct nftnl_rule *r, uint32_t ip, uint32_t mask, bool inverted)
{
    address_in(r, 16, ip, mask, inverted);
}
