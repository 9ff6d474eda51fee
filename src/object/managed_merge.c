/* Putting an applied value over the live one, and taking paths out. Source: structured-merge-diff, typed (merge.go, remove.go). */
#include "object/managed_type.h"

struct merging {
    struct arena *arena;
    struct error *err;
    bool failed;
};

static struct value *merge(struct merging *m, const struct managed_type *t, const struct value *lhs,
                           const struct value *rhs);

/* The empty and the absent are told apart: both empty counts as a leaf, where the right side wins. */
static struct value *leaf(const struct value *lhs, const struct value *rhs)
{
    return (struct value *)(rhs ? rhs : lhs);
}

static struct value *merge_maps(struct merging *m, const struct managed_type *t, const struct value *lhs,
                                const struct value *rhs)
{
    struct value *out = value_object(m->arena);
    struct value_index left, right;

    managed_index(&left, lhs);
    managed_index(&right, rhs);
    for (int side = 0; side < 2; side++) {
        const struct value *map = side ? rhs : lhs;
        for (uint32_t i = 0; value_type(map) == VALUE_OBJECT && i < map->members_count; i++) {
            const struct member *member = &map->members[i];
            struct value *other = value_index_get(side ? &left : &right, member->name), *merged;
            struct managed_type type = managed_member(t, member->id, NULL);

            if (side && other)
                continue;
            merged = merge(m, &type, side ? NULL : member->value, side ? member->value : other);
            if (merged)
                value_add_member(m->arena, out, member->id, member->name, merged);
        }
    }
    value_index_done(&left);
    value_index_done(&right);
    return out->members_count ? out : NULL;
}

/* Which of the items on the right are shared with the left, in order: the next one the result waits for. */
static uint32_t next_shared(const struct managed_items *left, const struct managed_items *right, uint32_t from)
{
    const struct managed_item_at *found;

    while (from < right->count && managed_items_find(left, &right->elements[from], &found) == 0)
        from++;
    return from;
}

static int check_unique(struct merging *m, const struct managed_items *items)
{
    AUTO_BUF struct buf text = BUF_MAX(KIB);

    for (uint32_t i = 1; i < items->count; i++) {
        if (element_compare(&items->sorted[i - 1].element, &items->sorted[i].element) != 0)
            continue;
        element_write(&text, &items->sorted[i].element);
        m->failed = true;
        return fail(m->err, ERR_INTERNAL, "duplicate entries for key %s", text.p);
    }
    return 0;
}

/*
 * Both orders are kept as far as they agree: left-only items stay before the shared item they stood before. Items that are duplicated on
 * the left are replaced by the one on the right. Upstream: merge.go, visitListItems.
 */
static struct value *merge_lists(struct merging *m, const struct managed_type *t, const struct value *lhs,
                                 const struct value *rhs)
{
    AUTO_ITEMS struct managed_items left = managed_items(NULL, t, lhs), right = managed_items(NULL, t, rhs);
    struct managed_type item = managed_item(t);
    struct value *out = value_array(m->arena), *merged;
    const struct managed_item_at *l, *r;

    if (check_unique(m, &right) < 0)
        return NULL;
    bool *taken = arena_alloc_array(&right.own, MAX(right.count, 1), sizeof(*taken));
    uint32_t shared = next_shared(&left, &right, 0);

    for (uint32_t i = 0, j = 0; i < left.count || j < right.count;) {
        bool on_right = i < left.count && managed_items_find(&right, &left.elements[i], &r) > 0;

        if (i < left.count && !on_right) {
            if ((merged = merge(m, &item, lhs->items[i], NULL)))
                value_append(m->arena, out, merged);
            i++;
            continue;
        }
        bool same = i < left.count && j < right.count && element_compare(&left.elements[i], &right.elements[j]) == 0;
        if (i < left.count && j < right.count && !same && shared < right.count && r->at != shared) {
            i++; /* shared, but another one's turn comes first */
            continue;
        }
        i += i < left.count && !same && taken[r->at];
        if (j >= right.count)
            continue;
        uint32_t count = managed_items_find(&left, &right.elements[j], &l);
        if ((merged = merge(m, &item, count == 1 ? l->item : NULL, rhs->items[j])))
            value_append(m->arena, out, merged);
        taken[j] = true;
        if (j == shared)
            shared = next_shared(&left, &right, j + 1);
        i += same;
        j++;
    }
    return out->items_count ? out : NULL;
}

static bool is_filled(const struct value *v, enum managed_form form)
{
    return form == FORM_LIST ? value_type(v) == VALUE_ARRAY && v->items_count
                             : value_type(v) == VALUE_OBJECT && v->members_count;
}

static struct value *merge(struct merging *m, const struct managed_type *t, const struct value *lhs,
                           const struct value *rhs)
{
    enum managed_form form = managed_form(t, rhs ? rhs : lhs);

    if (m->failed)
        return NULL;
    if (form == FORM_LEAF || managed_is_atomic(t, form) || (!is_filled(lhs, form) && !is_filled(rhs, form)))
        return leaf(lhs, rhs);
    return form == FORM_LIST ? merge_lists(m, t, lhs, rhs) : merge_maps(m, t, lhs, rhs);
}

struct value *managed_merge(struct arena *a, const struct schema *s, const struct value *lhs, const struct value *rhs,
                            struct error *err)
{
    struct merging m = { .arena = a, .err = err };
    struct managed_type root = { s, false };
    struct value *merged = merge(&m, &root, lhs, rhs);

    if (m.failed)
        return NULL;
    return merged ? merged : value_object(a);
}

static struct value *take_out(struct arena *a, const struct managed_type *t, const struct value *v,
                              const struct managed_set *set);

static struct value *take_out_map(struct arena *a, const struct managed_type *t, const struct value *v,
                                  const struct managed_set *set)
{
    struct value *out = value_object(a);

    for (uint32_t i = 0; i < v->members_count; i++) {
        struct member m = v->members[i];
        struct element e = element_field(m.name);
        const struct managed_node *node = set_find(set, &e);

        if (node && node->member)
            continue;
        if (node && !set_empty(&node->children)) {
            struct managed_type type = managed_member(t, m.id, NULL);
            m.value = take_out(a, &type, m.value, &node->children);
        }
        value_add_member(a, out, m.id, m.name, m.value);
    }
    return out->members_count ? out : value_null(a);
}

static struct value *take_out_list(struct arena *a, const struct managed_type *t, const struct value *v,
                                   const struct managed_set *set)
{
    struct managed_type type = managed_item(t);
    struct value *out = value_array(a);
    AUTO_ARENA struct arena scratch = { 0 };

    for (uint32_t i = 0; i < v->items_count; i++) {
        struct value *item = v->items[i];
        struct element e;

        arena_reset(&scratch);
        managed_element(&scratch, t, item, i, &e, NULL);
        const struct managed_node *node = set_find(set, &e);
        if (node && node->member)
            continue;
        if (node && !set_empty(&node->children))
            item = take_out(a, &type, item, &node->children);
        value_append(a, out, item);
    }
    return out->items_count ? out : value_null(a);
}

static struct value *take_out(struct arena *a, const struct managed_type *t, const struct value *v,
                              const struct managed_set *set)
{
    enum managed_form form = managed_form(t, v);

    if (form == FORM_LEAF || managed_is_atomic(t, form) || !is_filled(v, form))
        return (struct value *)v;
    return form == FORM_LIST ? take_out_list(a, t, v, set) : take_out_map(a, t, v, set);
}

struct value *managed_remove(struct arena *a, const struct schema *s, const struct value *v,
                             const struct managed_set *set)
{
    struct managed_type root = { s, false };
    struct value *out = take_out(a, &root, v, set);

    return out->type == VALUE_OBJECT ? out : value_object(a);
}

static struct managed_set name_members(struct arena *a, const struct managed_type *t, const struct managed_set *set)
{
    struct managed_set named = { 0 };

    set_reserve(a, &named, set->count);
    for (uint32_t i = 0; i < set->count; i++) {
        struct managed_node node = set->nodes[i];
        struct managed_type type = { 0 };
        bool known = false;

        if (node.element.type == ELEMENT_FIELD)
            type = managed_member(t, name_find(node.element.name), &known);
        else if (node.element.type == ELEMENT_KEY)
            type = managed_item(t);
        node.member = node.member || (known && node.children.count);
        node.children = name_members(a, &type, &node.children);
        set_append(a, &named, &node);
    }
    return named;
}

struct managed_set managed_named(struct arena *a, const struct schema *s, const struct managed_set *set)
{
    struct managed_type root = { s, false };

    return name_members(a, &root, set);
}
