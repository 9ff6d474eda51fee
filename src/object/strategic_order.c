/* Strategic merge patch: in which order the items of a merged list stand, and $setElementOrder. */
#include "object/strategic_internal.h"
#include "object/schema_walk.h"

/* Where an item stands in the two lists that give the order; -1 where it is not in one. */
struct placed {
    struct value *item;
    ptrdiff_t patch_at, server_at;
};

/* Stable, and leaves items that the order does not know where they are. */
static void sort_placed(struct placed *items, size_t count, bool by_patch)
{
    for (size_t i = 1; i < count; i++) {
        struct placed moved = items[i];
        ptrdiff_t at = by_patch ? moved.patch_at : moved.server_at;
        size_t to = i;

        for (; at >= 0 && to > 0; to--) {
            ptrdiff_t before = by_patch ? items[to - 1].patch_at : items[to - 1].server_at;
            if (before < 0 || before <= at)
                break;
            items[to] = items[to - 1];
        }
        items[to] = moved;
    }
}

struct value *strategic_order(struct strategic *c, name_id key, const struct value *merged,
                              const struct value *patch_order, const struct value *server_order)
{
    struct placed *ours = arena_alloc_array(c->arena, MAX(merged->items_count, 1), sizeof(*ours));
    struct placed *theirs = arena_alloc_array(c->arena, MAX(merged->items_count, 1), sizeof(*theirs));
    struct value *ordered = value_array(c->arena);
    size_t ours_count = 0, theirs_count = 0;

    for (uint32_t i = 0; i < merged->items_count; i++) {
        struct placed p = { .item = merged->items[i] };

        if (key && !value_get(p.item, key))
            return strategic_no_key(c, p.item, key), NULL;
        p.patch_at = strategic_find(c, key, patch_order, p.item);
        p.server_at = strategic_find(c, key, server_order, p.item);
        if (p.patch_at == -2 || p.server_at == -2)
            return NULL;
        if (p.patch_at >= 0)
            ours[ours_count++] = p;
        else
            theirs[theirs_count++] = p;
    }
    if ((c->steps += ours_count * ours_count / 4 + theirs_count * theirs_count / 4) > STRATEGIC_STEPS_MAX)
        return fail_null(c->err, ERR_TOO_LARGE, "the lists are too long to be merged");
    sort_placed(ours, ours_count, true);
    sort_placed(theirs, theirs_count, false);
    for (size_t i = 0, j = 0; i < theirs_count || j < ours_count;) {
        bool first = j >= ours_count || (i < theirs_count && theirs[i].server_at >= 0 && ours[j].server_at >= 0 &&
                                         theirs[i].server_at < ours[j].server_at);
        value_append(c->arena, ordered, first ? theirs[i++].item : ours[j++].item);
    }
    return ordered;
}

/* The items of the patch must come in the order that $setElementOrder gives. Upstream: validatePatchWithSetOrderList. */
static int check_order(struct strategic *c, name_id key, const struct value *patch, const struct value *order)
{
    uint32_t at = 0;

    for (uint32_t i = 0; patch && i < patch->items_count; i++) {
        const struct value *item = patch->items[i];
        const struct value *wanted = key ? value_get(item, key) : item;

        if (key && value_get_str(item, STR(DIRECTIVE_PATCH)))
            continue;
        for (; at < order->items_count; at++) {
            const struct value *have = key ? value_get(order->items[at], key) : order->items[at];
            if (wanted && have && value_equal(wanted, have))
                break;
        }
        if (at == order->items_count) {
            AUTO_BUF struct buf text = BUF_MAX(16 * KIB), order_text = BUF_MAX(16 * KIB);
            value_write_go(&text, patch);
            value_write_go(&order_text, order);
            return fail(c->err, ERR_INTERNAL, "The order in patch list:\n%s\n doesn't match %s list:\n%s\n",
                        text.p ? text.p : "", DIRECTIVE_ORDER, order_text.p ? order_text.p : "");
        }
        at++;
    }
    return 0;
}

static int apply_order(struct strategic *c, const struct schema *s, struct str name, struct value *order,
                       struct value *original, struct value *patch)
{
    struct value *old = value_get_str(original, name), *new = value_get_str(patch, name), *merged;
    struct strategic_field field = strategic_lookup(s, name);

    if (order->type != VALUE_ARRAY || (old && old->type != VALUE_ARRAY && old->type != VALUE_NULL) ||
        (new &&new->type != VALUE_ARRAY))
        return fail(c->err, ERR_BAD_REQUEST, "invalid patch format of setElementOrder list");
    if (old && old->type == VALUE_NULL)
        old = NULL;
    if (!old && !new)
        return 0;
    if (check_order(c, field.key, new, order) < 0)
        return -1;
    if (!new)
        merged = old;
    else if (!old)
        merged = strategic_clean(new);
    else if (field.merge)
        merged = strategic_merge_list(c, &field, old, new, false);
    else
        merged = new;
    if (!merged || !(merged = strategic_order(c, field.key, merged, order, old)))
        return -1;
    value_put_str(c->arena, original, name, merged);
    value_del_str(patch, name);
    return 0;
}

int strategic_element_orders(struct strategic *c, const struct schema *s, struct value *original, struct value *patch)
{
    static const struct str prefix = STR_INIT(DIRECTIVE_ORDER "/");

    for (uint32_t i = 0; i < patch->members_count;) {
        struct member m = patch->members[i];

        if (!str_starts(m.name, STR(DIRECTIVE_ORDER))) {
            i++;
            continue;
        }
        if (!str_starts(m.name, prefix))
            return fail(c->err, ERR_BAD_REQUEST, "invalid patch format of setElementOrder list");
        value_del_str(patch, m.name);
        if (apply_order(c, s, str_from(m.name, prefix.n), m.value, original, patch) < 0)
            return -1;
        if ((c->steps += i) > STRATEGIC_STEPS_MAX)
            return fail(c->err, ERR_TOO_LARGE, "the patch has too many members");
        i = 0; /* members moved */
    }
    return 0;
}
