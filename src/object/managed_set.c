/* Sets of paths: order, search, and the algebra of ownership. */
#include "object/managed_set.h"

#include <stdlib.h>

static int rank(const struct value *v)
{
    switch (v->type) {
    case VALUE_INT:
    case VALUE_DOUBLE:
        return 0;
    case VALUE_STRING:
        return 1;
    case VALUE_BOOL:
        return 2;
    case VALUE_ARRAY:
        return 3;
    case VALUE_OBJECT:
        return 4;
    default:
        return 5;
    }
}

static int order(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* Upstream's value.Compare: numbers, strings, booleans, lists, maps, null. */
static int value_compare(const struct value *a, const struct value *b)
{
    int c;

    if (a->type == VALUE_STRING && b->type == VALUE_STRING) /* nearly always */
        return str_cmp(a->string, b->string);
    if ((c = rank(a) - rank(b)) != 0)
        return c;
    if (a->type == VALUE_INT && b->type == VALUE_INT)
        return order(a->integer, b->integer);
    if (rank(a) == 0) {
        double x = a->type == VALUE_INT ? (double)a->integer : a->number;
        double y = b->type == VALUE_INT ? (double)b->integer : b->number;
        return x < y ? -1 : x > y;
    }
    switch (a->type) {
    case VALUE_BOOL:
        return (int)a->boolean - (int)b->boolean;
    case VALUE_ARRAY:
        for (uint32_t i = 0; i < MIN(a->items_count, b->items_count); i++)
            if ((c = value_compare(a->items[i], b->items[i])) != 0)
                return c;
        return order(a->items_count, b->items_count);
    case VALUE_OBJECT:
        for (uint32_t i = 0; i < MIN(a->members_count, b->members_count); i++) {
            if ((c = str_cmp(a->members[i].name, b->members[i].name)) != 0 ||
                (c = value_compare(a->members[i].value, b->members[i].value)) != 0)
                return c;
        }
        return order(a->members_count, b->members_count);
    default:
        return 0;
    }
}

int element_compare(const struct element *a, const struct element *b)
{
    if (a->type != b->type)
        return (int)a->type - (int)b->type;
    switch (a->type) {
    case ELEMENT_FIELD:
        return str_cmp(a->name, b->name);
    case ELEMENT_INDEX:
        return order(a->index, b->index);
    default:
        return value_compare(a->value, b->value);
    }
}

static int node_compare(const void *a, const void *b)
{
    return element_compare(&((const struct managed_node *)a)->element, &((const struct managed_node *)b)->element);
}

void set_reserve(struct arena *a, struct managed_set *set, uint32_t count)
{
    struct managed_node *larger;

    if (count <= set->capacity)
        return;
    larger = arena_alloc_array(a, count, sizeof(*larger));
    if (set->count)
        memcpy(larger, set->nodes, set->count * sizeof(*larger));
    set->nodes = larger;
    set->capacity = count;
}

void set_append(struct arena *a, struct managed_set *set, const struct managed_node *node)
{
    if (set->count == set->capacity)
        set_reserve(a, set, set->capacity ? set->capacity * 2 : 4);
    set->nodes[set->count++] = *node;
}

void set_sort(struct arena *a, struct managed_set *set)
{
    uint32_t kept = 0;

    uint32_t ordered = 1;
    while (ordered < set->count && node_compare(&set->nodes[ordered - 1], &set->nodes[ordered]) < 0)
        ordered++;
    if (ordered >= set->count)
        return;
    qsort(set->nodes, set->count, sizeof(*set->nodes), node_compare);
    for (uint32_t i = 1; i < set->count; i++) {
        struct managed_node *last = &set->nodes[kept], *node = &set->nodes[i];

        if (element_compare(&last->element, &node->element) != 0) {
            set->nodes[++kept] = *node;
            continue;
        }
        last->member = last->member || node->member;
        last->children = set_union(a, &last->children, &node->children);
    }
    set->count = kept + 1;
}

const struct managed_node *set_find(const struct managed_set *set, const struct element *e)
{
    uint32_t low = 0, high = set->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int c = element_compare(&set->nodes[middle].element, e);

        if (c == 0)
            return &set->nodes[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool set_empty(const struct managed_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->nodes[i].member || !set_empty(&set->nodes[i].children))
            return false;
    return true;
}

/* Walks two sorted sets side by side: the next element, and the nodes that have it. False at the end. */
struct pair {
    uint32_t i, j;
    const struct managed_node *x, *y;
};

static bool pair_next(struct pair *p, const struct managed_set *x, const struct managed_set *y)
{
    const struct managed_node *a = p->i < x->count ? &x->nodes[p->i] : NULL;
    const struct managed_node *b = p->j < y->count ? &y->nodes[p->j] : NULL;

    if (!a && !b)
        return false;
    int c = !a ? 1 : !b ? -1 : element_compare(&a->element, &b->element);
    p->x = c <= 0 ? a : NULL;
    p->y = c >= 0 ? b : NULL;
    p->i += c <= 0;
    p->j += c >= 0;
    return true;
}

/*
 * The result of an operation on x: x itself as long as nothing differs (most sets differ little or not at all), a set of
 * its own from the first node that does. No set is ever changed.
 */
struct building {
    struct arena *arena;
    const struct managed_set *x;
    struct managed_set own;
    uint32_t same; /* nodes of x that are the result so far, while it has no set of its own */
    bool differs;
};

static void differ(struct building *b, uint32_t room)
{
    if (b->differs)
        return;
    b->differs = true;
    set_reserve(b->arena, &b->own, b->same + room);
    if (b->same)
        memcpy(b->own.nodes, b->x->nodes, b->same * sizeof(*b->own.nodes));
    b->own.count = b->same;
}

static void keep(struct building *b, const struct managed_node *node)
{
    if (b->differs && (node->member || node->children.count))
        set_append(b->arena, &b->own, node);
    else
        b->same++;
}

static bool same_children(const struct managed_set *x, const struct managed_set *y)
{
    return x->count == y->count && (x->count == 0 || x->nodes == y->nodes);
}

static struct managed_set built(const struct building *b)
{
    struct managed_set result = *b->x;

    if (b->differs)
        return b->own;
    result.count = b->same;
    result.capacity = b->same; /* appending must not write behind somebody else's set */
    return result;
}

struct managed_set set_union(struct arena *a, const struct managed_set *x, const struct managed_set *y)
{
    struct building b = { .arena = a, .x = x };
    struct pair p = { 0 };

    if (x->count == 0 || y->count == 0 || same_children(x, y))
        return x->count ? *x : *y;
    while (pair_next(&p, x, y)) {
        struct managed_node node = p.x ? *p.x : *p.y;

        if (p.x && p.y) {
            node.member = p.x->member || p.y->member;
            node.children = set_union(a, &p.x->children, &p.y->children);
        }
        if (!p.x || node.member != p.x->member || !same_children(&node.children, &p.x->children))
            differ(&b, x->count - (p.i - (p.x != NULL)) + y->count - (p.j - (p.y != NULL)));
        keep(&b, &node);
    }
    return built(&b);
}

struct managed_set set_intersection(struct arena *a, const struct managed_set *x, const struct managed_set *y)
{
    struct managed_set result = { 0 };
    struct pair p = { 0 };

    if (same_children(x, y))
        return *x;
    while (pair_next(&p, x, y)) {
        if (!p.x || !p.y)
            continue;
        struct managed_node node = { .element = p.x->element, .member = p.x->member && p.y->member };
        node.children = set_intersection(a, &p.x->children, &p.y->children);
        if (node.member || node.children.count)
            set_append(a, &result, &node);
    }
    return result;
}

struct managed_set set_difference(struct arena *a, const struct managed_set *x, const struct managed_set *y,
                                  bool recursive)
{
    struct building b = { .arena = a, .x = x };
    struct pair p = { 0 };

    if (y->count == 0)
        return *x;
    while (pair_next(&p, x, y)) {
        if (!p.x)
            continue;
        struct managed_node node = *p.x;
        bool gone = recursive && p.y && p.y->member;
        if (p.y && !gone) {
            node.member = p.x->member && !p.y->member;
            node.children = set_difference(a, &p.x->children, &p.y->children, recursive);
            gone = !node.member && node.children.count == 0;
        }
        if (gone || node.member != p.x->member || !same_children(&node.children, &p.x->children))
            differ(&b, x->count - (p.i - 1));
        if (!gone)
            keep(&b, &node);
    }
    return built(&b);
}

bool set_contains(const struct managed_set *y, const struct managed_set *x)
{
    struct pair p = { 0 };

    if (same_children(x, y))
        return true;
    while (pair_next(&p, x, y)) {
        static const struct managed_set none;

        if (p.x &&
            ((p.x->member && !(p.y && p.y->member)) || !set_contains(p.y ? &p.y->children : &none, &p.x->children)))
            return false;
    }
    return true;
}

struct managed_set set_copy(struct arena *a, const struct managed_set *set)
{
    struct managed_set copy = { 0 };

    set_reserve(a, &copy, set->count);
    for (uint32_t i = 0; i < set->count; i++) {
        struct managed_node node = set->nodes[i];

        if (node.element.type == ELEMENT_KEY)
            node.element.value = value_copy(a, node.element.value);
        node.children = set_copy(a, &node.children);
        set_append(a, &copy, &node);
    }
    return copy;
}

bool set_equal(const struct managed_set *x, const struct managed_set *y)
{
    struct pair p = { 0 };

    while (pair_next(&p, x, y)) {
        if (!p.x || !p.y) {
            const struct managed_node *only = p.x ? p.x : p.y;
            if (only->member || !set_empty(&only->children))
                return false;
        } else if (p.x->member != p.y->member || !set_equal(&p.x->children, &p.y->children)) {
            return false;
        }
    }
    return true;
}

struct managed_set set_of_paths(struct arena *a, const char *const *paths)
{
    struct managed_set result = { 0 };

    for (; paths && *paths; paths++) {
        struct str rest = str_of(*paths);
        struct managed_set one = { 0 };

        /* From the last name to the first: a.b.c is a(b(c)). */
        while (rest.n) {
            ptrdiff_t dot = str_find_last(rest, '.');
            struct managed_node node = { .element = element_field(str_from(rest, (size_t)(dot + 1))),
                                         .member = one.count == 0,
                                         .children = one };
            one = (struct managed_set){ 0 };
            set_append(a, &one, &node);
            rest = str_part(rest, 0, dot < 0 ? 0 : (size_t)dot);
        }
        result = set_union(a, &result, &one);
    }
    return result;
}
