/*
 * The state: every object of every kind in memory, in order, with its recent changes. What the server reads.
 *
 * Always true:
 *  - The state is what the store reported up to state_revision(); a write reported done is in it.
 *  - Objects carry their resourceVersion; they are immutable. A borrowed object is valid until the loop goes on: object_ref()
 *    to keep it.
 *  - A snapshot is all objects of one kind at one revision; taking one costs nothing and it never changes.
 *  - Kinds that are other faces of one storage (events.k8s.io/v1 Event) share it; objects are in the storage's own form.
 *
 * Threads: the state loop. Cost: get, put O(log n) with 32 objects a node; 16 bytes an object beside the block itself.
 */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include "kinds/kinds.h"
#include "store/store.h"

struct state;

/* NULL when absent. Borrowed. */
const struct object *state_get(struct state *s, const struct kind *k, struct str namespace_, struct str name);
/* Every object of a namespace (all when empty), ordered by namespace and name; fn returns false to stop. fn must not write. */
typedef bool state_each_fn(void *arg, const struct object *o);
void state_each(struct state *s, const struct kind *k, struct str namespace_, state_each_fn *fn, void *arg);
size_t state_count(struct state *s, const struct kind *k);
/* Objects whose indexed field (indexes.def, e.g. pods by "spec.nodeName") has this value. The label must be indexed. */
void state_by_index(struct state *s, const struct kind *k, const char *label, struct str value, state_each_fn *fn,
                    void *arg);
uint64_t state_revision(const struct state *s); /* of the latest change, over all kinds */

/* One change of one object: immutable, counted, shared by all watchers. */
enum change_type { CHANGE_ADDED, CHANGE_MODIFIED, CHANGE_DELETED };
struct change {
    unsigned count; /* atomic */
    enum change_type type;
    uint64_t revision;
    const struct kind *kind;      /* of the storage */
    struct object *object;        /* new; for DELETED the last state with the revision of the deletion */
    struct object *previous;      /* NULL for ADDED */
    struct change_frames *frames; /* encoded forms, made when first wanted (watch_frames.c) */
};
/* Told of every change of a kind (NULL: all kinds), at once and in order, before the writer is told. For caches of RBAC rules,
 * authorizers and the like. fn must be quick and must not write. */
typedef void state_change_fn(void *arg, const struct change *c);
struct state_listener;
struct state_listener *state_listen(struct state *s, const struct kind *k, state_change_fn *fn, void *arg);
void state_unlisten(struct state_listener *l); /* NULL is fine */

#endif
