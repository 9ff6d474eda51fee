/* The ordered set of objects behind the state: a B-tree with counted nodes, copied when shared. */
#include "server/object_set.h"

#include <stdatomic.h>
#include <stdlib.h>

#define NODE_MAX   32
#define NODE_MERGE 20 /* two neighbours that fit into so many places become one */

struct object_node {
    atomic_uint count; /* who points here: one parent or set, and one each snapshot */
    uint16_t n;
    bool leaf;
    size_t total;          /* objects at and below this node */
    void *items[NODE_MAX]; /* struct object * in a leaf, else struct object_node * */
};

static struct object_node *node_new(bool leaf)
{
    struct object_node *n = xnew(struct object_node);
    atomic_init(&n->count, 1);
    n->leaf = leaf;
    return n;
}

static void node_unref(struct object_node *n)
{
    if (!n || atomic_fetch_sub(&n->count, 1) != 1)
        return;
    for (unsigned i = 0; i < n->n; i++) {
        if (n->leaf)
            object_unref(n->items[i]);
        else
            node_unref(n->items[i]);
    }
    free(n);
}

/* The node itself when nobody else looks at it, else a copy; takes and returns one reference. */
static struct object_node *node_own(struct object_node *n)
{
    if (atomic_load(&n->count) == 1)
        return n;
    struct object_node *copy = node_new(n->leaf);
    copy->n = n->n;
    copy->total = n->total;
    for (unsigned i = 0; i < n->n; i++) {
        copy->items[i] = n->items[i];
        if (n->leaf)
            object_ref(n->items[i]);
        else
            atomic_fetch_add(&((struct object_node *)n->items[i])->count, 1);
    }
    node_unref(n);
    return copy;
}

static void node_recount(struct object_node *n)
{
    if (n->leaf) {
        n->total = n->n;
        return;
    }
    n->total = 0;
    for (unsigned i = 0; i < n->n; i++)
        n->total += ((struct object_node *)n->items[i])->total;
}

static int compare(const struct object *o, struct str namespace_, struct str name)
{
    int c = str_cmp(object_namespace(o), namespace_);
    return c ? c : str_cmp(object_name(o), name);
}

static const struct object *node_first(const struct object_node *n)
{
    while (!n->leaf)
        n = n->items[0];
    return n->items[0];
}

/* Leaf: the first place at or behind the key. Inner node: the child whose range holds the key. */
static unsigned node_find(const struct object_node *n, struct str namespace_, struct str name)
{
    unsigned low = n->leaf ? 0 : 1, high = n->n;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct object *o = n->leaf ? n->items[middle] : node_first(n->items[middle]);
        int c = compare(o, namespace_, name);
        if (n->leaf ? c < 0 : c <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return n->leaf ? low : low - 1;
}

static void node_insert(struct object_node *n, unsigned at, void *item)
{
    memmove(&n->items[at + 1], &n->items[at], (n->n - at) * sizeof(n->items[0]));
    n->items[at] = item;
    n->n++;
}

static void node_erase(struct object_node *n, unsigned at)
{
    n->n--;
    memmove(&n->items[at], &n->items[at + 1], (n->n - at) * sizeof(n->items[0]));
}

/* Move the upper half of a full node into a new one. Keys mostly grow at the end, so the last place splits unevenly. */
static struct object_node *node_split(struct object_node *n, bool at_end)
{
    struct object_node *right = node_new(n->leaf);
    unsigned keep = at_end ? NODE_MAX - 4 : NODE_MAX / 2;
    right->n = n->n - keep;
    memcpy(right->items, &n->items[keep], right->n * sizeof(n->items[0]));
    n->n = keep;
    node_recount(right);
    node_recount(n);
    return right;
}

/* Takes and returns a reference on the node; *ret_right is set when it was split. */
static struct object_node *node_put(struct object_node *n, struct object *o, struct object **ret_old,
                                    struct object_node **ret_right)
{
    n = node_own(n);
    struct str namespace_ = object_namespace(o), name = object_name(o);
    unsigned at = node_find(n, namespace_, name);
    if (n->leaf) {
        if (at < n->n && compare(n->items[at], namespace_, name) == 0) {
            *ret_old = n->items[at];
            n->items[at] = o;
            return n;
        }
        if (n->n == NODE_MAX) {
            *ret_right = node_split(n, at == n->n);
            if (at > n->n) {
                node_insert(*ret_right, at - n->n, o);
                node_recount(*ret_right);
                return n;
            }
        }
        node_insert(n, at, o);
        node_recount(n);
        return n;
    }
    struct object_node *right = NULL;
    n->items[at] = node_put(n->items[at], o, ret_old, &right);
    if (right) {
        struct object_node *into = n;
        at++;
        if (n->n == NODE_MAX) {
            *ret_right = node_split(n, at == n->n);
            if (at > n->n) {
                at -= n->n;
                into = *ret_right;
            }
        }
        node_insert(into, at, right);
        node_recount(into);
    }
    node_recount(n);
    return n;
}

/* Join the child at `at` with a neighbour when both are small, so that deletes do not leave a thin tree behind. */
static void node_tidy(struct object_node *n, unsigned at)
{
    struct object_node *child = n->items[at];
    if (child->n == 0) {
        node_unref(child);
        node_erase(n, at);
        return;
    }
    for (int side = -1; side <= 0; side++) {
        int left = (int)at + side;
        if (left < 0 || left + 1 >= n->n)
            continue;
        struct object_node *a = n->items[left], *b = n->items[left + 1];
        if (a->n + b->n > NODE_MERGE)
            continue;
        a = n->items[left] = node_own(a);
        b = n->items[left + 1] = node_own(b);
        memcpy(&a->items[a->n], b->items, b->n * sizeof(b->items[0]));
        a->n += b->n;
        b->n = 0;
        node_recount(a);
        node_unref(b);
        node_erase(n, left + 1);
        return;
    }
}

/* The key is known to be there. */
static struct object_node *node_del(struct object_node *n, struct str namespace_, struct str name,
                                    struct object **ret_old)
{
    n = node_own(n);
    unsigned at = node_find(n, namespace_, name);
    if (n->leaf) {
        *ret_old = n->items[at];
        node_erase(n, at);
    } else {
        n->items[at] = node_del(n->items[at], namespace_, name, ret_old);
        node_tidy(n, at);
    }
    node_recount(n);
    return n;
}

void object_set_done(struct object_set *s)
{
    node_unref(s->root);
    s->root = NULL;
}

struct object_set object_set_snapshot(const struct object_set *s)
{
    if (s->root)
        atomic_fetch_add(&s->root->count, 1);
    return *s;
}

size_t object_set_count(const struct object_set *s)
{
    return s->root ? s->root->total : 0;
}

const struct object *object_set_get(const struct object_set *s, struct str namespace_, struct str name)
{
    const struct object_node *n = s->root;
    while (n && !n->leaf)
        n = n->items[node_find(n, namespace_, name)];
    if (!n)
        return NULL;
    unsigned at = node_find(n, namespace_, name);
    return at < n->n && compare(n->items[at], namespace_, name) == 0 ? n->items[at] : NULL;
}

struct object *object_set_put(struct object_set *s, struct object *o)
{
    struct object *old = NULL;
    struct object_node *right = NULL;
    if (!s->root)
        s->root = node_new(true);
    s->root = node_put(s->root, o, &old, &right);
    if (right) {
        struct object_node *root = node_new(false);
        root->n = 2;
        root->items[0] = s->root;
        root->items[1] = right;
        node_recount(root);
        s->root = root;
    }
    return old;
}

struct object *object_set_del(struct object_set *s, struct str namespace_, struct str name)
{
    struct object *old = NULL;
    if (!object_set_get(s, namespace_, name))
        return NULL;
    s->root = node_del(s->root, namespace_, name, &old);
    while (!s->root->leaf && s->root->n == 1) {
        struct object_node *child = s->root->items[0];
        atomic_fetch_add(&child->count, 1);
        node_unref(s->root);
        s->root = child;
    }
    if (s->root->n == 0)
        object_set_done(s);
    return old;
}

size_t object_set_rank(const struct object_set *s, struct str namespace_, struct str name)
{
    size_t rank = 0;
    const struct object_node *n = s->root;
    while (n) {
        unsigned at = node_find(n, namespace_, name);
        if (n->leaf)
            return rank + at;
        for (unsigned i = 0; i < at; i++)
            rank += ((const struct object_node *)n->items[i])->total;
        n = n->items[at];
    }
    return rank;
}

size_t object_set_count_in(const struct object_set *s, struct str namespace_)
{
    if (str_empty(namespace_))
        return object_set_count(s);
    /* No name has the byte 0xff: it is not UTF-8. So this stands behind all of them. */
    return object_set_rank(s, namespace_, STR("\xff")) - object_set_rank(s, namespace_, STR_NONE);
}

void object_set_seek(const struct object_set *s, struct str namespace_, struct str name, struct object_cursor *ret)
{
    ret->depth = 0;
    const struct object_node *n = s->root;
    while (n) {
        assert(ret->depth < OBJECT_SET_DEPTH_MAX);
        unsigned at = node_find(n, namespace_, name);
        ret->path[ret->depth].node = n;
        ret->path[ret->depth++].i = at;
        n = n->leaf ? NULL : n->items[at];
    }
}

const struct object *object_cursor_next(struct object_cursor *c)
{
    while (c->depth > 0) {
        const struct object_node *n = c->path[c->depth - 1].node;
        unsigned i = c->path[c->depth - 1].i;
        if (i >= n->n) {
            c->depth--;
            if (c->depth > 0)
                c->path[c->depth - 1].i++;
            continue;
        }
        if (n->leaf) {
            c->path[c->depth - 1].i++;
            return n->items[i];
        }
        c->path[c->depth].node = n->items[i];
        c->path[c->depth++].i = 0;
    }
    return NULL;
}
