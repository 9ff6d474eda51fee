/*
 * Doing faults and undoing them: docs/guide/prove.md is for people.
 *
 * Always true: a fault is recorded before its first step is done; undoing is idempotent and forgiving (what is gone is undone);
 * a record stays until every step of it is undone. Blocking; for commands, which have one thread.
 */
#ifndef CHAOS_CHAOS_H
#define CHAOS_CHAOS_H

#include "chaos/fault.h"

/* Record and do. On failure what was done is undone again. */
int chaos_inject(const char *folder, struct fault *f, struct error *err);
/* *ret_needs_up: a machine has lost its power, `klein up` makes it again. */
int chaos_undo(const char *folder, const struct fault *f, bool *ret_needs_up, struct error *err);
/* Every fault on record, newest first, or those whose owner is dead. Goes on after a failure and reports the first. */
int chaos_undo_all(const char *folder, bool orphans_only, int *ret_count, bool *ret_needs_up, struct error *err);

#endif
