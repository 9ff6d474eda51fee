/*
 * Moving a state into a store that nobody uses yet: a new etcd after a migration from SQLite, or after a restore.
 *
 * Always true: the source is only read, so a crash leaves it as it was, and pouring again ends in the same state. Objects get
 * revisions of the new store, above `base` where the engine was opened with it (store_etcd_options.base_if_new).
 */
#ifndef BACKUP_POUR_H
#define BACKUP_POUR_H

#include "store/store.h"

/*
 * Everything below /registry/ of the SQLite store in `folder` (which no process uses) into `to`. done comes once; err: the source cannot be read,
 * `to` holds objects that are not in the source (ERR_CONFLICT), or it does not answer for two minutes. The whole state is in memory meanwhile.
 */
typedef void pour_done_fn(void *arg, uint64_t entries, const struct error *err);
struct pour;
struct pour *pour_start(struct store *to, const char *folder, pour_done_fn *done, void *arg);
void pour_cancel(struct pour *p); /* done is not called; before the store is closed. NULL is fine */

#endif
