/*
 * A state out of a backup, and of the change log when a later moment is wanted: entry by entry, for whoever fills a store.
 * Revisions are those the objects had.
 */
#ifndef BACKUP_REBUILD_H
#define BACKUP_REBUILD_H

#include "backup/changes.h"

struct rebuild_options {
    const char *backup; /* folder */
    const struct manifest *manifest;
    const struct change_set *changes; /* NULL: the backup as it is */
};
typedef int rebuild_entry_fn(void *arg, struct str key, struct str value, uint64_t revision, struct error *err);
/* *ret_entries: how many. Objects are compared with the backup's digests on the way: a wrong one fails with its name. */
int rebuild(const struct rebuild_options *o, rebuild_entry_fn *fn, void *arg, uint64_t *ret_entries, struct error *err);

/*
 * Where revisions go on after a restore: above every one that can have been handed out since. `highest` is the highest one known (of the
 * manifest, the log, the store that is replaced); the time since the backup stands for those nobody knows.
 */
uint64_t rebuild_base(uint64_t highest, int64_t backup_time_ms, int64_t now_ms);

#endif
