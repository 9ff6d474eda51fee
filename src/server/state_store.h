/*
 * The writing side of the state, and its windows for lists and watches: for the verbs of the server only.
 *
 * Every write goes to the store with a condition; when it is done the state holds it, and then the writer is told. Two
 * writers of one object stand in line by key_lock(): without it each group commit would let one through and send the
 * others back to start.
 */
#ifndef SERVER_STATE_STORE_H
#define SERVER_STATE_STORE_H

#include "server/alias.h"
#include "server/change_ring.h"
#include "server/object_set.h"

/* `ready` comes once, after everything is loaded: err set when the store holds what cannot be read. */
struct state *state_new(struct loop *loop, struct env *env);
typedef void state_done_fn(void *arg, const struct error *err);
void state_load(struct state *s, struct store *store, state_done_fn *ready, void *arg);
store_change_fn state_on_change;     /* give it to the store's open, with the state as argument */
store_progress_fn state_on_progress; /* the same for what the store tells of revisions without changes */
void state_free(struct state *s);    /* after the store is closed; NULL is fine */
struct store *state_store(struct state *s);

/* --- writes ----------------------------------------------------------------------------------------------------- */

struct state_write {
    const struct kind *kind; /* any face of the storage */
    enum store_change_type type;
    struct str namespace_, name;
    const struct object *object; /* STORE_PUT: in the storage's form, without resourceVersion; referenced until done */
    uint64_t expect;             /* STORE_EXPECT_ABSENT, a revision, or STORE_EXPECT_ANY */
    const struct object *base;   /* not NULL: expect this object's bytes instead (key_base()) */
    uint64_t epoch;              /* leader's term, 0 for none */
    struct str guard_key;        /* without an epoch: another key that must have guard_revision; empty for none */
    uint64_t guard_revision;
};
/* written: the object with its new revision (for a delete: the last object with the deletion's); borrowed; NULL with err. */
typedef void state_written_fn(void *arg, const struct object *written, const struct error *err);
void state_write(struct state *s, const struct state_write *w, state_written_fn *done, void *arg);
/* From now on puts fail with ERR_UNAVAILABLE and this sentence (static); deletes, and keys that are no objects, go on. NULL: accepted. */
void state_refuse_puts(struct state *s, const char *why);

/*
 * A line of writers for each object: one at a time makes its change. {0} is a lock not held. Waiting is fair; `granted` never
 * comes from inside key_lock().
 *
 * A writer that has handed its change to the store calls key_pass(): the next may begin before that change is on the
 * disk, on top of it (key_base()), so that changes of one object share commits. Only writers that name no revision can do
 * that (`on_top`); the others wait until nothing is on its way. Every passed lock must be settled.
 */
struct key_lock {
    struct list link;
    struct key_line *line;
    bool held, passed, on_top;
    struct object *base; /* what key_base() says; counted */
    void (*granted)(struct key_lock *l, void *arg);
    void *arg;
};
/* True: it is yours now. False: `granted` will come. */
bool key_lock(struct state *s, struct key_lock *l, const struct kind *k, struct str namespace_, struct str name,
              bool on_top, void (*granted)(struct key_lock *l, void *arg), void *arg);
/* The object as the change before left it, without resourceVersion, in the storage's form: expect its value (STORE_EXPECT_VALUE).
 * NULL: nothing is on its way, the state holds the newest. Borrowed until key_unlock(). */
const struct object *key_base(const struct key_lock *l);
/* The write was given to the store; `made` is the object it will leave, NULL for a deletion. */
void key_pass(struct state *s, struct key_lock *l, const struct object *made);
/* The store's answer came. When it failed, nobody builds on it any more. Ends the lock. */
void key_settle(struct state *s, struct key_lock *l, bool written);
void key_unlock(struct state *s, struct key_lock *l); /* held, waiting or {0}: all fine; not when passed */

/* --- lists and watches -------------------------------------------------------------------------------------------- */

struct object_set state_snapshot(struct state *s, const struct kind *k); /* at state_revision(); object_set_done() it */
/* The kind as it was at `revision`: the present set with the later changes undone. -1 when the ring does not reach back so far. */
int state_snapshot_at(struct state *s, const struct kind *k, uint64_t revision, struct object_set *ret);
const struct change_ring *state_ring(struct state *s, const struct kind *k);
uint64_t state_kind_revision(struct state *s, const struct kind *k); /* of the kind's latest change */
void state_key(struct buf *to, const struct kind *k, struct str namespace_, struct str name);
/* Every ring forgets changes up to `revision` but keeps the newest `keep`: memory follows the compaction of the store. */
void state_forget(struct state *s, uint64_t revision, size_t keep);
/* A change of another engine or an older time as a struct change (caller's reference); NULL when the key is of no kind known. */
struct change *state_change_of(struct state *s, const struct store_change *c, struct error *err);

#endif
