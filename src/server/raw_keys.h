/*
 * Keys of the store that are no objects: everything under /klein/ (docs/design/high-availability.md, section 3). Parts of the
 * server read, watch and write them here; clients of the API never see them.
 *
 * Always true: like objects they are what the store reported up to state_revision(), changes of other servers included; a
 * write reported done is there. Values are small (a name, a counter), each is held in memory.
 *
 * Threads: the state loop.
 */
#ifndef SERVER_RAW_KEYS_H
#define SERVER_RAW_KEYS_H

#include "server/state.h"

#define RAW_ROOT STR("/klein/")

struct raw_value {
    struct str key, value; /* borrowed until the loop goes on */
    uint64_t revision;
};

/* False when absent (*ret_value is {0} then). */
bool raw_get(struct state *s, struct str key, struct raw_value *ret_value);
/* Every key that starts with `prefix`, in the order of keys; fn returns false to stop and must not write. */
typedef bool raw_each_fn(void *arg, const struct raw_value *v);
void raw_each(struct state *s, struct str prefix, raw_each_fn *fn, void *arg);

/*
 * Told of every change of a key that starts with `prefix` (copied), at once and in order, before its writer is told. `gone`: it was
 * deleted; `now` has the last value and the revision of the deletion then. fn must be quick; it may call raw_write(),
 * whose end never comes from inside.
 */
typedef void raw_change_fn(void *arg, const struct raw_value *now, bool gone);
struct raw_listener;
struct raw_listener *raw_listen(struct state *s, struct str prefix, raw_change_fn *fn, void *arg);
void raw_unlisten(struct raw_listener *l); /* NULL is fine */

/*
 * Everything is copied. done (may be NULL) comes once, as store_done_fn: revision > 0, or err with ERR_CONFLICT, ERR_ALREADY_EXISTS,
 * ERR_NOT_FOUND (the compare failed; revision is what the key has), ERR_TERM_OVER (the epoch is another),
 * ERR_UNAVAILABLE or ERR_TOO_MANY_REQUESTS (nothing was written).
 */
struct raw_write {
    enum store_change_type type;
    struct str key, value;
    uint64_t expect; /* STORE_EXPECT_ABSENT, STORE_EXPECT_ANY or the revision the key must have */
    uint64_t epoch;  /* leader's term, compared in the same transaction; 0 for none */
};
void raw_write(struct state *s, const struct raw_write *w, store_done_fn *done, void *arg);

#endif
