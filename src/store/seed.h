/*
 * Offline access to a SQLite store's folder: reading all of it, and filling a new one. For restore and migration; no server
 * may use the folder meanwhile (the same lock is taken). Blocking.
 */
#ifndef STORE_SEED_H
#define STORE_SEED_H

#include "store/store.h"

/* Every entry in the order of keys; *ret_revision is the highest revision that was ever given out. fn returns -1 with err to stop.
 * Absent folder: ERR_NOT_FOUND. */
typedef int store_dump_fn(void *arg, struct str key, struct str value, uint64_t revision, struct error *err);
int store_sqlite_dump(const char *folder, store_dump_fn *fn, void *arg, uint64_t *ret_revision, struct error *err);

/* Only the revision. */
int store_sqlite_last_revision(const char *folder, uint64_t *ret_revision, struct error *err);

struct store_seed;
/* `folder` is made and must not hold a store yet. */
struct store_seed *store_seed_new(const char *folder, struct error *err);
/* Keys once each, in any order; entries keep their revisions, which may not be 0 or given twice. */
int store_seed_add(struct store_seed *s, struct str key, struct str value, uint64_t revision, struct error *err);
/* All is on the disk afterwards. The next change gets a revision above `base`, which may be no lower than any entry's; history up to it
 * is gone: watchers that come with an older revision get 410 and list again. Frees, also on failure. */
int store_seed_end(struct store_seed *s, uint64_t base, struct error *err);
void store_seed_abort(struct store_seed *s); /* NULL is fine; the folder is of no use afterwards */

#endif
