/*
 * Inside the SQLite engine: what its files share. Users include store.h.
 *
 *   sqlite.c         the engine: queue, thread, group commit, delivery on the loop
 *   sqlite_data.c    the statements: write, list, history, compact; runs on the engine's thread only
 *   sqlite_open.c    folder, lock, format version, schema, reserve file
 *   sqlite_seed.c    reading and filling a folder without the engine
 *   sqlite_vfs.c     counts fsyncs and ends the process when one fails
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#define FOLDER_FORMAT      1          /* of the data folder; see sqlite_open.c */
#define ROUND_REQUESTS_MAX 1000       /* requests in one transaction: bounds the time a writer waits for others */
#define RESERVE_BYTES      (32 * MIB) /* given back to the file system when the disk is full, so that deletes still fit */

enum statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_FIND,
    ST_INSERT_CHANGE,
    ST_SET_CURRENT,
    ST_DEL_CURRENT,
    ST_ADD_OBSOLETE,
    ST_LIST,
    ST_HISTORY,
    ST_COMPACT_FIND,
    ST_COMPACT_CHANGE,
    ST_COMPACT_OBSOLETE,
    ST_SET_META,
    ST_COUNT
};

struct database {
    sqlite3 *db;
    sqlite3_stmt *statements[ST_COUNT];
    uint64_t revision; /* of the last change committed or in the open transaction */
    uint64_t compacted;
    int lock_fd;
    char *folder;
};

/* A change read or made, with memory of its own; freed on the loop after delivery. */
struct owned_change {
    struct store_change change;
    char *key, *value, *previous_value;
};
void owned_change_done(struct owned_change *c);

int database_open(struct database *d, const char *folder, struct error *err);
void database_close(struct database *d);
void database_reserve(struct database *d); /* make the reserve file when there is room and none */
void database_release_reserve(struct database *d);

int database_begin(struct database *d, struct error *err);
int database_commit(struct database *d, struct error *err);
void database_rollback(struct database *d);

/*
 * One write inside the open transaction. 0: done, *ret describes it. -1 with err: refused by its compare (*ret_have is what
 * the key has), or ERR_UNAVAILABLE / ERR_INTERNAL when SQLite failed: then the whole transaction must be rolled back.
 */
int database_write(struct database *d, const struct store_write *w, struct owned_change *ret, uint64_t *ret_have,
                   struct error *err);

/* Walk; the call-backs run on the engine's thread and copy. */
typedef void database_entry_fn(void *arg, struct str key, struct str value, uint64_t revision);
int database_list(struct database *d, struct str prefix, database_entry_fn *entry, void *arg, struct error *err);
typedef void database_change_fn(void *arg, const struct store_change *c);
int database_history(struct database *d, uint64_t from, database_change_fn *change, void *arg, struct error *err);
/* For a new store: one entry with a revision of its own; and the end, which says where revisions go on. See store/seed.h. */
int database_seed(struct database *d, struct str key, struct str value, uint64_t revision, struct error *err);
int database_seed_end(struct database *d, uint64_t base, struct error *err);
/* Remove at most `limit` obsolete rows up to `revision`; *ret_more tells that some are left. */
int database_compact(struct database *d, uint64_t revision, int limit, bool *ret_more, struct error *err);

/* The VFS "klein": SQLite's own, plus a count of syncs. A failed sync ends the process. */
int counting_vfs_register(struct error *err);
uint64_t counting_vfs_syncs(void);

#endif
