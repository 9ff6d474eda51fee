/*
 * A watcher: one reader of a kind's changes, from the present or from an older revision on.
 *
 * Always true: events come in the order of revisions, each at most once, those of one round of the loop together at its end; a
 * reader that says "enough" is left alone until watcher_resume() and costs writers nothing meanwhile. One that falls behind what
 * the ring (change_ring.h) remembers is told `failed` with ERR_EXPIRED and must begin anew.
 *
 * Where events come from, in this order: a snapshot (when initial events are wanted), the store's history (when the
 * start is older than the ring, as after a restart of the server), the ring.
 */
#ifndef SERVER_WATCHER_H
#define SERVER_WATCHER_H

#include "server/filter.h"
#include "server/state_store.h"
#include "server/watch_frames.h"

struct watcher;
struct watcher_callbacks {
    /* `o` is in the storage's form and carries the event's revision; borrowed. c is NULL for initial events. False: enough for now. */
    bool (*event)(void *arg, enum watch_event_type type, const struct object *o, struct change *c);
    void (*synced)(void *arg, uint64_t revision);       /* initial events are complete; may be NULL */
    void (*failed)(void *arg, const struct error *err); /* nothing comes afterwards; free it */
};

#define WATCHER_FROM_PRESENT UINT64_MAX /* `from`: only what changes from now on */

/* Takes the filter over. initial: ADDED for what is there, then changes; else changes after revision `from`. No call-back from inside. */
struct watcher *watcher_new(struct state *s, struct loop *loop, struct filter *filter, bool initial, uint64_t from,
                            const struct watcher_callbacks *cb, void *arg);
void watcher_resume(struct watcher *w);
/* Everything up to this revision was handed out; 0 while that is not so (still catching up). */
uint64_t watcher_revision(const struct watcher *w);
void watcher_free(struct watcher *w); /* no call-back afterwards; allowed inside one; NULL is fine */

#endif
