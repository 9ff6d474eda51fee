/* All paths of a value, and the paths in which two values differ. Source: structured-merge-diff, typed (tofieldset.go, compare.go). */
#include "object/managed_type.h"

static void collect(struct arena *a, const struct managed_type *t, const struct value *v, struct managed_node *ret);

static void collect_list(struct arena *a, const struct managed_type *t, const struct value *v, struct managed_set *ret)
{
    struct managed_items items = managed_items(a, t, v);
    struct managed_type item = managed_item(t);

    set_reserve(a, ret, items.count);
    for (uint32_t i = 0, same; i < items.count; i += same) {
        struct managed_node node = { .element = items.sorted[i].element };

        for (same = 1; i + same < items.count && element_compare(&items.sorted[i + same].element, &node.element) == 0;)
            same++;
        if (same == 1) /* of duplicates only the item as such is owned */
            collect(a, &item, items.sorted[i].item, &node);
        node.member = true;
        set_append(a, ret, &node);
    }
}

static void collect_map(struct arena *a, const struct managed_type *t, const struct value *v, struct managed_set *ret)
{
    set_reserve(a, ret, v->members_count);
    for (uint32_t i = 0; i < v->members_count; i++) {
        const struct member *m = &v->members[i];
        struct managed_node node = { .element = element_field(m->name) };
        bool known;
        struct managed_type member = managed_member(t, m->id, &known);

        collect(a, &member, m->value, &node);
        if (!known || m->value->type == VALUE_NULL || (m->value->type == VALUE_OBJECT && !m->value->members_count))
            node.member = true;
        if (node.member || node.children.count)
            set_append(a, ret, &node);
    }
    set_sort(a, ret);
}

static void collect(struct arena *a, const struct managed_type *t, const struct value *v, struct managed_node *ret)
{
    enum managed_form form = managed_form(t, v);

    if (form == FORM_LEAF || managed_is_atomic(t, form))
        ret->member = true;
    else if (form == FORM_LIST && value_type(v) == VALUE_ARRAY)
        collect_list(a, t, v, &ret->children);
    else if (form == FORM_MAP && value_type(v) == VALUE_OBJECT)
        collect_map(a, t, v, &ret->children);
}

struct managed_set managed_paths(struct arena *a, const struct schema *s, const struct value *v)
{
    struct managed_type root = { s, false };
    struct managed_node node = { 0 };

    collect(a, &root, v, &node);
    return node.children;
}

/* The result for one path: which of the three sets it is in, and what is below it in each. */
enum change { ADDED, REMOVED, MODIFIED, CHANGES };
struct change_node {
    bool member[CHANGES];
    struct managed_set children[CHANGES];
};

static void compare(struct arena *a, const struct managed_type *t, const struct value *lhs, const struct value *rhs,
                    struct change_node *ret);

/* `e` may die after this: what is kept of it is copied. */
static void add_child(struct arena *a, struct change_node *to, const struct element *e, const struct change_node *child)
{
    for (int i = 0; i < CHANGES; i++) {
        struct managed_node node = { *e, child->member[i], child->children[i] };
        if (!node.member && node.children.count == 0)
            continue;
        if (e->type == ELEMENT_KEY)
            node.element.value = value_copy(a, e->value);
        set_append(a, &to->children[i], &node);
    }
}

static void compare_leaf(const struct value *lhs, const struct value *rhs, struct change_node *ret)
{
    if (!lhs)
        ret->member[ADDED] = true;
    else if (!rhs)
        ret->member[REMOVED] = true;
    else if (!value_equal(lhs, rhs))
        ret->member[MODIFIED] = true;
}

static void compare_maps(struct arena *a, const struct managed_type *t, const struct value *lhs,
                         const struct value *rhs, struct change_node *ret)
{
    struct value_index left, right;

    managed_index(&left, lhs);
    managed_index(&right, rhs);
    for (int side = 0; side < 2; side++) {
        const struct value *map = side ? rhs : lhs;
        for (uint32_t i = 0; value_type(map) == VALUE_OBJECT && i < map->members_count; i++) {
            const struct member *m = &map->members[i];
            struct value *other = value_index_get(side ? &left : &right, m->name);
            struct managed_type member = managed_member(t, m->id, NULL);
            struct element e = element_field(m->name);
            struct change_node child = { 0 };

            if (side && other)
                continue; /* seen from the left */
            compare(a, &member, side ? other : m->value, side ? m->value : other, &child);
            add_child(a, ret, &e, &child);
        }
    }
    value_index_done(&left);
    value_index_done(&right);
    for (int i = 0; i < CHANGES; i++)
        set_sort(a, &ret->children[i]);
}

static bool same_items(const struct managed_item_at *x, uint32_t x_count, const struct managed_item_at *y,
                       uint32_t y_count)
{
    if (x_count != y_count)
        return false;
    for (uint32_t i = 0; i < x_count; i++)
        if (!value_equal(x[i].item, y[i].item))
            return false;
    return true;
}

/* Duplicates are owned only as the item as such; upstream: compare.go, visitListItems. */
static void compare_items(struct arena *a, const struct managed_type *item, const struct managed_item_at *x,
                          uint32_t x_count, const struct managed_item_at *y, uint32_t y_count, struct change_node *ret)
{
    if (x_count <= 1 && y_count <= 1) {
        compare(a, item, x_count ? x->item : NULL, y_count ? y->item : NULL, ret);
    } else if (x_count > 1 && y_count > 1) {
        ret->member[MODIFIED] = !same_items(x, x_count, y, y_count);
    } else if (x_count > 1) {
        if (y_count)
            compare(a, item, NULL, y->item, ret);
        ret->member[REMOVED] = true;
    } else {
        if (x_count)
            compare(a, item, x->item, NULL, ret);
        ret->member[ADDED] = true;
    }
}

static void compare_lists(struct arena *a, const struct managed_type *t, const struct value *lhs,
                          const struct value *rhs, struct change_node *ret)
{
    AUTO_ITEMS struct managed_items left = managed_items(NULL, t, lhs), right = managed_items(NULL, t, rhs);
    struct managed_type item = managed_item(t);

    for (uint32_t i = 0, j = 0; i < left.count || j < right.count;) {
        const struct managed_item_at *x = &left.sorted[i], *y = &right.sorted[j];
        int c = i == left.count ? 1 : j == right.count ? -1 : element_compare(&x->element, &y->element);
        struct element e = c <= 0 ? x->element : y->element;
        struct change_node child = { 0 };
        uint32_t x_count = 0, y_count = 0;

        while (i + x_count < left.count && element_compare(&x[x_count].element, &e) == 0)
            x_count++;
        while (j + y_count < right.count && element_compare(&y[y_count].element, &e) == 0)
            y_count++;
        compare_items(a, &item, x, x_count, y, y_count, &child);
        add_child(a, ret, &e, &child);
        i += x_count;
        j += y_count;
    }
}

static size_t size_of(const struct value *v, enum managed_form form)
{
    if (form == FORM_LIST)
        return value_type(v) == VALUE_ARRAY ? v->items_count : 0;
    return value_type(v) == VALUE_OBJECT ? v->members_count : 0;
}

static void compare(struct arena *a, const struct managed_type *t, const struct value *lhs, const struct value *rhs,
                    struct change_node *ret)
{
    enum managed_form form = managed_form(t, rhs ? rhs : lhs);

    if (lhs && rhs && form != managed_form(t, lhs) && lhs->type != VALUE_NULL && rhs->type != VALUE_NULL)
        form = FORM_LEAF; /* untyped, and of another form than before */
    if (form == FORM_LEAF || managed_is_atomic(t, form) || (size_of(lhs, form) == 0 && size_of(rhs, form) == 0)) {
        compare_leaf(lhs, rhs, ret);
        return;
    }
    if (form == FORM_LIST)
        compare_lists(a, t, lhs, rhs, ret);
    else
        compare_maps(a, t, lhs, rhs, ret);
    ret->member[ADDED] = ret->member[ADDED] || !lhs;
    ret->member[REMOVED] = ret->member[REMOVED] || !rhs;
}

struct managed_diff managed_compare(struct arena *a, const struct schema *s, const struct value *lhs,
                                    const struct value *rhs)
{
    struct managed_type root = { s, false };
    struct change_node node = { 0 };

    compare(a, &root, lhs, rhs, &node);
    return (struct managed_diff){ node.children[ADDED], node.children[REMOVED], node.children[MODIFIED] };
}
