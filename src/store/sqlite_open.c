/*
 * The data folder of the SQLite engine: lock, format version, schema, reserve file.
 *
 *   FOLDER/lock          held with flock() while a process uses the folder
 *   FOLDER/klein.db      the database (with -wal beside it)
 *   FOLDER/reserve       room given back when the disk is full
 *
 * Tables (format 1): `changes` holds every change that has not been compacted away; `current` says which change is a key's
 * present value; `obsolete` says from which revision on an older change is no longer needed; `meta` is the rest.
 */
#define LOG_PART "store"
#include "store/sqlite.h"

#include "base/crash_point.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS changes (revision INTEGER PRIMARY KEY, key BLOB NOT NULL, type INTEGER NOT NULL,"
    " previous INTEGER NOT NULL, value BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS current (key BLOB PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS obsolete (since INTEGER, revision INTEGER, PRIMARY KEY (since, revision)) WITHOUT "
    "ROWID;";

static const char *const statement_text[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_FIND] = "SELECT c.revision, h.value FROM current c JOIN changes h ON h.revision = c.revision WHERE c.key = ?1",
    [ST_INSERT_CHANGE] = "INSERT INTO changes (revision, key, type, previous, value) VALUES (?1, ?2, ?3, ?4, ?5)",
    [ST_SET_CURRENT] = "INSERT INTO current (key, revision) VALUES (?1, ?2)"
                       " ON CONFLICT (key) DO UPDATE SET revision = excluded.revision",
    [ST_DEL_CURRENT] = "DELETE FROM current WHERE key = ?1",
    [ST_ADD_OBSOLETE] = "INSERT INTO obsolete (since, revision) VALUES (?1, ?2)",
    [ST_LIST] = "SELECT c.key, h.value, h.revision FROM current c JOIN changes h ON h.revision = c.revision"
                " WHERE c.key >= ?1 ORDER BY c.key",
    [ST_HISTORY] = "SELECT h.revision, h.key, h.type, h.previous, h.value, p.value FROM changes h"
                   " LEFT JOIN changes p ON p.revision = h.previous WHERE h.revision > ?1 ORDER BY h.revision",
    [ST_COMPACT_FIND] = "SELECT since, revision FROM obsolete WHERE since <= ?1 ORDER BY since LIMIT ?2",
    [ST_COMPACT_CHANGE] = "DELETE FROM changes WHERE revision = ?1",
    [ST_COMPACT_OBSOLETE] = "DELETE FROM obsolete WHERE since = ?1 AND revision = ?2",
    [ST_SET_META] = "INSERT INTO meta (name, number) VALUES (?1, ?2)"
                    " ON CONFLICT (name) DO UPDATE SET number = excluded.number",
};

static int take_lock(struct database *d, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/lock", d->folder);

    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return fail_sys(err, errno, "open '%s'", path);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return fail(err, ERR_UNAVAILABLE, "the data folder '%s' is in use by another klein process", d->folder);
    return 0;
}

static int run(struct database *d, const char *sql, struct error *err)
{
    if (sqlite3_exec(d->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(err, ERR_INTERNAL, "data folder '%s': %s", d->folder, sqlite3_errmsg(d->db));
    return 0;
}

static int read_meta(struct database *d, const char *sql, int64_t *ret, struct error *err)
{
    sqlite3_stmt *st = NULL;

    if (sqlite3_prepare_v2(d->db, sql, -1, &st, NULL) != SQLITE_OK)
        return fail(err, ERR_INTERNAL, "data folder '%s': %s", d->folder, sqlite3_errmsg(d->db));
    int rc = sqlite3_step(st);
    *ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    sqlite3_finalize(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return fail(err, ERR_INTERNAL, "data folder '%s': %s", d->folder, sqlite3_errmsg(d->db));
    return 0;
}

static int check_format(struct database *d, struct error *err)
{
    int64_t format;

    if (read_meta(d, "SELECT number FROM meta WHERE name = 'format'", &format, err) < 0)
        return -1;
    if (format > FOLDER_FORMAT)
        return fail(err, ERR_UNAVAILABLE,
                    "the data folder '%s' has format %lld, this klein knows formats up to %d: start the newer klein "
                    "that wrote it",
                    d->folder, (long long)format, FOLDER_FORMAT);
    if (format < 0)
        return run(d, "INSERT INTO meta (name, number) VALUES ('format', 1)", err);
    return 0;
}

static int read_revisions(struct database *d, struct error *err)
{
    int64_t last, noted, compacted;

    if (read_meta(d, "SELECT max(revision) FROM changes", &last, err) < 0 ||
        read_meta(d, "SELECT number FROM meta WHERE name = 'revision'", &noted, err) < 0 ||
        read_meta(d, "SELECT number FROM meta WHERE name = 'compacted'", &compacted, err) < 0)
        return -1;
    /* Compaction may remove the newest change when it is a deletion; `revision` remembers it, so none is given twice. */
    d->revision = (uint64_t)MAX(MAX(last, noted), 0);
    d->compacted = (uint64_t)MAX(compacted, 0);
    return 0;
}

static int prepare(struct database *d, struct error *err)
{
    for (int i = 0; i < ST_COUNT; i++)
        if (sqlite3_prepare_v3(d->db, statement_text[i], -1, SQLITE_PREPARE_PERSISTENT, &d->statements[i], NULL) !=
            SQLITE_OK)
            return fail(err, ERR_INTERNAL, "data folder '%s': %s", d->folder, sqlite3_errmsg(d->db));
    return 0;
}

/*
 * What a sync could not write, the kernel goes on showing as if it were on the disk (ext4, XFS): a process that begins after
 * one that ended for a failed sync would build on it, and lose that together with what it acknowledges itself at the
 * next power cut. So what is cached is written or, where that was given up, forgotten, and read from the disk again.
 */
static int forget_unwritten(const char *path, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : fail_sys(err, errno, "open '%s'", path);
    if (fdatasync(fd) < 0)
        return fail_sys(err, errno, "sync '%s'", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int open_database(struct database *d, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/klein.db", d->folder);
    AUTO_FREE char *wal = xasprintf("%s-wal", path);

    if (forget_unwritten(path, err) < 0 || forget_unwritten(wal, err) < 0)
        return -1;
    if (!MUTANT("sqlite-unwritten-believed"))
        CRASH_POINT("open.unwritten-forgotten");

    if (counting_vfs_register(err) < 0)
        return -1;
    if (sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, "klein") !=
        SQLITE_OK)
        return fail(err, ERR_INTERNAL, "open '%s': %s", path, d->db ? sqlite3_errmsg(d->db) : "out of memory");
    sqlite3_busy_timeout(d->db, 0); /* the lock file makes us the only user */
    /*
     * Order matters. Exclusive mode before WAL keeps the WAL index on the heap, so no shared memory file is needed. EXTRA before
     * WAL syncs the folder when the rollback journal of the first steps is removed: one that came back with a power cut
     * would be rolled back into the new database, and SQLite would then drop the WAL with everything acknowledged since.
     */
    if (run(d,
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = EXTRA; PRAGMA page_size = 4096;"
            "PRAGMA journal_mode = WAL;"
            "PRAGMA cache_size = -4096; PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 67108864;"
            "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
            err) < 0)
        return -1;
    if (MUTANT("sqlite-not-synced") && run(d, "PRAGMA synchronous = OFF", err) < 0)
        return -1;
    CRASH_POINT("open.before-schema");
    if (run(d, schema, err) < 0 || check_format(d, err) < 0 || read_revisions(d, err) < 0)
        return -1;
    CRASH_POINT("open.ready");
    return prepare(d, err);
}

int database_open(struct database *d, const char *folder, struct error *err)
{
    *d = (struct database){ .lock_fd = -1, .folder = xstrdup(folder) };
    if (file_mkdirs(folder, 0700, err) < 0 || take_lock(d, err) < 0 || open_database(d, err) < 0) {
        database_close(d);
        return -1;
    }
    database_reserve(d);
    return 0;
}

void database_close(struct database *d)
{
    for (int i = 0; i < ST_COUNT; i++)
        sqlite3_finalize(d->statements[i]);
    if (d->db)
        sqlite3_close(d->db);
    cleanup_fd(&d->lock_fd);
    free(d->folder);
    *d = (struct database){ .lock_fd = -1 };
}

void database_reserve(struct database *d)
{
    AUTO_FREE char *path = xasprintf("%s/reserve", d->folder);
    struct statvfs fs;

    if (file_exists(path) || statvfs(d->folder, &fs) < 0 ||
        (uint64_t)fs.f_bavail * fs.f_frsize < 4 * STORE_LOW_WATER_BYTES)
        return;
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (posix_fallocate(fd, 0, RESERVE_BYTES) != 0)
        unlink(path);
}

void database_release_reserve(struct database *d)
{
    AUTO_FREE char *path = xasprintf("%s/reserve", d->folder);

    if (unlink(path) == 0)
        log_warn("the disk of the data folder is full: the reserve file is given back so that deletes still fit",
                 KV("folder", "%s", d->folder));
}
