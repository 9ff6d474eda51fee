/* Node address ranges: every node gets a /24 of the cluster's pod network. Source: k8s.io/kubernetes/pkg/controller/nodeipam. */
#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#include <arpa/inet.h>

#define NODE_PREFIX 24

static bool parse_cidr(struct str cidr, uint32_t *ret_base, int *ret_prefix)
{
    struct str prefix = cidr, address;
    char text[20] = { 0 };
    struct in_addr in;
    int64_t bits;

    if (!str_cut(&prefix, '/', &address) || address.n >= sizeof(text) || !str_to_i64(prefix, &bits) || bits < 0 ||
        bits > 32)
        return false;
    memcpy(text, address.p, address.n);
    if (inet_pton(AF_INET, text, &in) != 1)
        return false;
    *ret_base = ntohl(in.s_addr);
    *ret_prefix = (int)bits;
    return true;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct objects nodes = reconcile_all(r, &kind_node);
    uint32_t base, used_base;
    int prefix, used_prefix;
    uint32_t count;
    bool *used;

    if (!r->object || pod_is_terminating(r->object) ||
        view_str_at(object_root(r->object), F_NODE_SPEC, F_NODE_SPEC_POD_CIDR).n)
        return 0;
    if (!parse_cidr(str_of(r->config->pod_cidr), &base, &prefix) || prefix > NODE_PREFIX || prefix < 8)
        return fail(err, ERR_INTERNAL, "--pod-cidr '%s' is not an IPv4 range of /8 to /%d", r->config->pod_cidr,
                    NODE_PREFIX);
    count = UINT32_C(1) << (NODE_PREFIX - prefix);
    used = arena_alloc_array(r->arena, count, sizeof(*used));
    for (size_t i = 0; i < nodes.count; i++)
        if (parse_cidr(view_str_at(object_root(nodes.items[i]), F_NODE_SPEC, F_NODE_SPEC_POD_CIDR), &used_base,
                       &used_prefix) &&
            used_base >= base && (used_base - base) >> (32 - NODE_PREFIX) < count)
            used[(used_base - base) >> (32 - NODE_PREFIX)] = true;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t address = base + (i << (32 - NODE_PREFIX));
        struct value *patch, *spec;
        struct str cidr;
        if (used[i])
            continue;
        cidr = arena_printf(r->arena, "%u.%u.%u.%u/%d", address >> 24, address >> 16 & 255, address >> 8 & 255,
                            address & 255, NODE_PREFIX);
        patch = value_object(r->arena);
        spec = value_make_object(r->arena, patch, F_NODE_SPEC);
        value_set(r->arena, spec, F_NODE_SPEC_POD_CIDR, cidr);
        value_append(r->arena, value_make_array(r->arena, spec, F_NODE_SPEC_POD_CIDRS), value_str(r->arena, cidr));
        plan_patch(r, &kind_node, r->object, patch, "");
        return 0;
    }
    plan_event(r, &kind_node, r->object, "Warning", "CIDRNotAvailable", "Node %.*s status is now: CIDRNotAvailable",
               STR_ARG(r->name));
    return 0;
}

static bool ignores(const struct object *old, const struct object *now)
{
    (void)old;
    return view_str_at(object_root(now), F_NODE_SPEC, F_NODE_SPEC_POD_CIDR).n > 0;
}

const struct controller controller_nodeipam = {
    .name = "node-ipam",
    .kind = &kind_node,
    .ignores = ignores,
    .reconcile = reconcile,
    .workers = 1, /* one at a time: each sees what the last one took */
};
