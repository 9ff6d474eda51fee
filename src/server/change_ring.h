/*
 * The recent changes of one kind, in the order of revisions: what late watchers read before they are in step.
 *
 * Always true: every change of the kind with a revision greater than `since` is in the ring. It forgets the oldest when it
 * holds CHANGE_RING_MAX changes or CHANGE_RING_BYTES of objects; then `since` moves up.
 */
#ifndef SERVER_CHANGE_RING_H
#define SERVER_CHANGE_RING_H

#include "server/state.h"

#define CHANGE_RING_MAX   16384 /* more than STORE_QUEUE_MAX: one commit never overruns a watcher in step */
#define CHANGE_RING_BYTES (32 * MIB)

struct change_ring {
    struct change **slots; /* a circle of `capacity`, a power of two */
    size_t capacity, first, count, bytes;
    uint64_t since;
};

struct change *change_new(enum change_type type, uint64_t revision, const struct kind *k, const struct object *object,
                          const struct object *previous); /* references both */
struct change *change_ref(struct change *c);
void change_unref(struct change *c); /* NULL is fine */

void change_ring_add(struct change_ring *r, struct change *c); /* references it */
/* Place of the first change after `revision`, for change_ring_at(); -1 when some of those are forgotten. */
ptrdiff_t change_ring_find(const struct change_ring *r, uint64_t revision);
struct change *change_ring_at(const struct change_ring *r, size_t i); /* borrowed; NULL past the end */
/* Forget changes up to and including `revision`, but keep the newest `keep`. */
void change_ring_forget(struct change_ring *r, uint64_t revision, size_t keep);
void change_ring_done(struct change_ring *r);

#endif
