/*
 * What clients and watches saw of a store (or of the API above it), and whether it can be true.
 *
 * Every change has a revision of its own, so the union of what watches told is *the* order of changes, and each promise is a
 * sentence about it:
 *  - every watch tells the same changes, in order, each once, none left out between where it began and where it is;
 *  - each change follows from the one before it on its key (type, previous revision, previous value);
 *  - an acknowledged write is in the order, with its revision, its value, and a condition that was true there;
 *  - a write that failed is not in it; one whose end nobody knows may be, once; no change has no author;
 *  - what ended before something began has the lower revision (linearizability: of all keys together, not only of each);
 *  - a consistent read shows what was true at one moment between its start and its end;
 *  - no revision is used twice and none goes back, over restarts and servers.
 *
 * The order of calls into this file is the order of time: one thread. Values must be unique for each write (a counter in them
 * will do), because a value says who wrote it. Strings are copied. history_check() says what is wrong in one sentence.
 */
#ifndef TESTS_LIB_HISTORY_H
#define TESTS_LIB_HISTORY_H

#include "base/arena.h"
#include "store/store.h"

struct history;
struct history_op;
struct history_watch;

struct history *history_new(void);
void history_free(struct history *h);

/* --- writes ------------------------------------------------------------------------------------------------------------ */

/* A client begins a write. An op that is never ended may have happened or not. */
struct history_op *history_write(struct history *h, const char *client, const struct store_write *w);
void history_written(struct history_op *op, uint64_t revision);
/* It certainly did not happen. code: ERR_CONFLICT, ERR_NOT_FOUND and ERR_ALREADY_EXISTS are checked to be true, too. */
void history_failed(struct history_op *op, enum error_code code);

/* --- reads ------------------------------------------------------------------------------------------------------------- */

struct history_op *history_read(struct history *h, const char *client, struct str key);
/* revision: what the value was read at or, when it is not known, 0. value.p NULL: absent. */
void history_read_done(struct history_op *op, struct str value, uint64_t revision);
struct history_op *history_barrier(struct history *h, const char *client);
void history_barrier_done(struct history_op *op, uint64_t revision);
void history_abandon(struct history_op *op); /* a read without an answer */

/* --- watches ------------------------------------------------------------------------------------------------------------ */

/* A watch that tells what happens after `from`; only keys with this prefix. */
struct history_watch *history_watch(struct history *h, const char *name, struct str prefix, uint64_t from);
#define HISTORY_PREVIOUS_UNKNOWN UINT64_MAX /* previous_revision of a change told by somebody who does not tell it */
/* Returns NULL, or what is wrong already (revision not above the last). */
const char *history_event(struct history_watch *w, const struct store_change *c);
/* Everything up to here has been told: what is missing below it is an error. */
void history_progress(struct history_watch *w, uint64_t revision);
/* The watch begins anew, at a list of this revision: what lies between is not asked of it. */
void history_relisted(struct history_watch *w, uint64_t revision);

/* A list: at `revision` these and only these keys with the prefix existed. Call once an entry, then done. */
struct history_list *history_list(struct history *h, const char *client, struct str prefix);
void history_list_entry(struct history_list *l, struct str key, struct str value, uint64_t revision);
void history_list_done(struct history_list *l, uint64_t revision);

/* --- judgement ----------------------------------------------------------------------------------------------------------- */

/* NULL: all of it can be true. Else one sentence, in memory of `arena`. */
const char *history_check(struct history *h, struct arena *arena);
size_t history_acknowledged(const struct history *h); /* writes that ended well: a run without any proves nothing */
size_t history_events(const struct history *h);       /* different changes seen */

#endif
