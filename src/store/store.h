/*
 * The store: a revisioned, durable map from keys to values. Engines: sqlite (one machine), memory (tests and simulation),
 * etcd (three machines). One contract suite, tests/unit/store/contract.h, runs against all of them.
 *
 * Always true:
 *  - Every change has a revision of its own. Revisions only grow: over restarts, engines and migrations.
 *  - A write reported done is on the disk (or on a majority of disks). After a crash at any point the content is a prefix of the
 *    changes that contains every write reported done.
 *  - Changes are delivered to on_change in the order of their revisions, each exactly once, also those of other servers.
 *  - `done` of a write is called after on_change has been called for it: who was told, sees it.
 *  - history(from) gives exactly the changes with a revision greater than `from`, or fails with ERR_EXPIRED when some of
 *    them have been compacted away.
 *  - A value whose checksum (over key, revision and value) is wrong is never handed out: the engine logs it and ends the process.
 *
 * Threads: a store belongs to one loop (the state loop); all functions are called and all call-backs made there. The
 * engine commits on its own thread and takes what gathered meanwhile in one transaction: one fsync for all who wait.
 * A failed fsync ends the process, because the state of the page cache is unknown afterwards (ATC'20, Rebello et al.).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/env.h"
#include "base/error.h"
#include "loop/loop.h"

#define STORE_KEY_MAX   1024 /* bytes; namespace and name are at most 253 each */
#define STORE_VALUE_MAX (3 * MIB)
#define STORE_QUEUE_MAX 10000 /* writes waiting; more fail at once with ERR_TOO_MANY_REQUESTS */

struct store;

enum store_change_type { STORE_PUT, STORE_DELETE };

struct store_change {
    uint64_t revision;
    enum store_change_type type;
    struct str key;             /* borrowed for the call */
    struct str value;           /* the new value; for STORE_DELETE the last value; borrowed for the call */
    uint64_t previous_revision; /* of the value replaced or deleted; 0 when the key is new */
    struct str previous_value;  /* of the value replaced, so that a replayed watch can tell what left its selector */
    void *cookie;               /* of the write that made it when this process made it; else NULL */
};

#define STORE_EXPECT_ANY    UINT64_MAX    /* unconditional */
#define STORE_EXPECT_ABSENT ((uint64_t)0) /* the key must not exist */
#define STORE_EXPECT_VALUE                                                                                             \
    (UINT64_MAX - 1) /* the key must have the value `expect_value`: for a change made on top of one still on its way */

struct store_write {
    enum store_change_type type;
    struct str key;          /* copied */
    struct str value;        /* borrowed until done; empty for STORE_DELETE */
    uint64_t expect;         /* the revision the key must have now */
    struct str expect_value; /* STORE_EXPECT_VALUE; borrowed until done */
    struct str guard_key;    /* optional second compare in the same transaction: */
    uint64_t guard_revision; /*   guard_key must have this revision (a leader's epoch) */
    bool makes_room;         /* a put on the way to a deletion: taken also while the disk is almost full */
    void *cookie;
};

/* Success: revision > 0 and err NULL. A failed compare: ERR_CONFLICT (ERR_ALREADY_EXISTS for STORE_EXPECT_ABSENT, ERR_NOT_FOUND when the
 * key is absent), and `revision` is what the key has now (0 = absent). A failed guard: ERR_TERM_OVER, before any other compare. ERR_UNAVAILABLE: refused before anything was
 * written (disk almost full, store closed). An engine never reports failure for a write that may still happen. */
typedef void store_done_fn(void *arg, uint64_t revision, const struct error *err);
/* One current entry, in the order of keys; done is called once after the last with the revision the list is consistent at. */
typedef void store_entry_fn(void *arg, struct str key, struct str value, uint64_t revision);
typedef void store_change_fn(void *arg, const struct store_change *change);

struct store_stats {
    uint64_t revision;                /* of the latest change delivered */
    uint64_t compacted_revision;      /* history up to and including this is gone */
    uint64_t commits, writes, fsyncs; /* transactions, writes in them, fsync/fdatasync calls of the engine */
    uint64_t disk_bytes, disk_free_bytes;
    bool read_only; /* refuses writes: the disk is almost full */
};

struct store_ops {
    void (*write)(struct store *s, const struct store_write *w, store_done_fn *done, void *arg);
    void (*list)(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg);
    void (*history)(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done, void *arg);
    void (*barrier)(struct store *s, store_done_fn *done, void *arg);
    void (*compact)(struct store *s, uint64_t revision, store_done_fn *done, void *arg);
    void (*stats)(struct store *s, struct store_stats *ret);
    void (*close)(struct store *s, void (*closed)(void *arg), void *arg);
};

/*
 * Every change up to `revision` has been delivered, though none may have that revision itself: engines that share a
 * store between servers tell it at each barrier, so that the revision of a list made on one server is soon reached on all.
 */
typedef void store_progress_fn(void *arg, uint64_t revision);
/*
 * The order of changes is broken: some were compacted away before they arrived, or another process has taken this server's
 * name. Nothing is delivered and no write is answered any more. Whoever can, opens a new store, lists it, and
 * tells its watchers that they are too late; when on_lost is NULL the engine logs why and ends the process.
 */
typedef void store_lost_fn(void *arg, const struct error *err);

struct store {
    const struct store_ops *ops;
    struct loop *loop;
    store_change_fn *on_change;
    void *on_change_arg;
    bool
        shared; /* other servers write to it, too: what on_change told may lag behind, store_barrier() catches up. Set by the open */
    store_progress_fn *on_progress; /* these two may be set after the open, before the loop goes on; NULL at first */
    store_lost_fn *on_lost;
    void *on_progress_arg, *on_lost_arg;
};

/* Open an engine. on_change receives the changes made after the open; what is there already comes from store_list(). */
struct store *store_open_memory(struct loop *loop, struct env *env, store_change_fn *on_change, void *arg);
/*
 * `folder` is created with mode 0700 when absent; it carries a format version, and a newer one than this program knows is
 * refused with a sentence saying so. Takes an exclusive lock: a second process is refused. Blocking (start-up only).
 */
#define STORE_LOW_WATER_BYTES                                                                                          \
    (64 * MIB) /* with less than this free, writes (not deletes) are refused, until twice as much is free */
struct store *store_open_sqlite(struct loop *loop, struct env *env, const char *folder, store_change_fn *on_change,
                                void *arg, struct error *err);

static inline void store_write(struct store *s, const struct store_write *w, store_done_fn *done, void *arg)
{
    s->ops->write(s, w, done, arg);
}
static inline void store_list(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg)
{
    s->ops->list(s, prefix, entry, done, arg);
}
static inline void store_history(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done,
                                 void *arg)
{
    s->ops->history(s, from, change, done, arg);
}
/* done is called when everything committed anywhere before this call has been delivered: afterwards a read of the cache is linearizable. */
static inline void store_barrier(struct store *s, store_done_fn *done, void *arg)
{
    s->ops->barrier(s, done, arg);
}
/* Forget history up to and including `revision`; current values stay. */
static inline void store_compact(struct store *s, uint64_t revision, store_done_fn *done, void *arg)
{
    s->ops->compact(s, revision, done, arg);
}
static inline void store_stats(struct store *s, struct store_stats *ret)
{
    s->ops->stats(s, ret);
}
/* Waiting writes are finished first. `closed` is the last call-back; the store is freed after it. */
static inline void store_close(struct store *s, void (*closed)(void *arg), void *arg)
{
    s->ops->close(s, closed, arg);
}

#endif
