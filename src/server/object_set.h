/*
 * An ordered set of objects, by namespace and name, whose snapshots are free: a B-tree with counted nodes that are copied
 * only when somebody else still looks at them.
 *
 * Always true: at most one object per (namespace, name); the set holds one reference on each object; a snapshot never changes.
 * Reading a snapshot is allowed from any thread; changing a set belongs to its owner. Cost: O(log n); positions and
 * counts (for remainingItemCount) too, because every node knows how many objects are below it.
 */
#ifndef SERVER_OBJECT_SET_H
#define SERVER_OBJECT_SET_H

#include "object/object.h"

struct object_node;
struct object_set {
    struct object_node *root; /* NULL: empty; {0} is the empty set */
};

void object_set_done(struct object_set *s);                        /* drops every reference; empty afterwards */
struct object_set object_set_snapshot(const struct object_set *s); /* object_set_done() it */
size_t object_set_count(const struct object_set *s);
const struct object *object_set_get(const struct object_set *s, struct str namespace_, struct str name); /* borrowed */
/* Takes the caller's reference; returns the object that was there (now the caller's) or NULL. */
struct object *object_set_put(struct object_set *s, struct object *o);
struct object *object_set_del(struct object_set *s, struct str namespace_, struct str name); /* the caller's, or NULL */
/* How many objects stand before (namespace, name). */
size_t object_set_rank(const struct object_set *s, struct str namespace_, struct str name);
/* How many objects a namespace has; all when it is empty and the kind has no namespaces or all are meant. */
size_t object_set_count_in(const struct object_set *s, struct str namespace_);

/* Where a walk stands. The set must not change below it: walk a snapshot when the loop goes on in between. */
#define OBJECT_SET_DEPTH_MAX 12
struct object_cursor {
    struct {
        const struct object_node *node;
        unsigned i;
    } path[OBJECT_SET_DEPTH_MAX];
    int depth; /* 0: at the end */
};
/* To the first object at or behind (namespace, name); both empty: the first of all. */
void object_set_seek(const struct object_set *s, struct str namespace_, struct str name, struct object_cursor *ret);
const struct object *object_cursor_next(struct object_cursor *c); /* NULL at the end; borrowed from the set */

#endif
