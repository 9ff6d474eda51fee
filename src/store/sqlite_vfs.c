/*
 * A thin SQLite VFS over the default one: it counts fsyncs and ends the process when one fails.
 *
 * After a failed fsync the kernel may have dropped the dirty pages and will report success next time, so neither a retry
 * nor a rollback can be trusted (Rebello et al., "Can Applications Recover from fsync Failures?", ATC'20). The process ends;
 * the next start recovers from what is really on the disk.
 */
#define LOG_PART "store"
#include "store/sqlite.h"

#include "base/crash_point.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

struct counted_file {
    sqlite3_file base;
    sqlite3_file *real; /* follows this struct in the same allocation */
};

static atomic_uint_fast64_t syncs;
static sqlite3_vfs *real_vfs;

static sqlite3_file *real(sqlite3_file *f)
{
    return ((struct counted_file *)f)->real;
}

static int file_close(sqlite3_file *f)
{
    return real(f)->pMethods ? real(f)->pMethods->xClose(real(f)) : SQLITE_OK;
}

static int file_read_at(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return real(f)->pMethods->xRead(real(f), to, n, at);
}

static int file_write_at(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    CRASH_POINT("disk.before-write");
    int rc = real(f)->pMethods->xWrite(real(f), from, n, at);
    CRASH_POINT("disk.after-write");
    return rc;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    CRASH_POINT("disk.before-truncate");
    return real(f)->pMethods->xTruncate(real(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    CRASH_POINT("disk.before-sync");
    int rc = real(f)->pMethods->xSync(real(f), flags);
    CRASH_POINT("disk.after-sync");

    atomic_fetch_add(&syncs, 1);
    if (rc != SQLITE_OK && MUTANT("sqlite-failed-sync-ignored"))
        return SQLITE_OK;
    if (rc != SQLITE_OK) {
        log_error("fsync failed, the state of the disk is unknown: klein ends here and recovers on its next start",
                  KV("sqlite", "%d", rc), KV("errno", "%d", errno));
        abort();
    }
    return rc;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real(f)->pMethods->xFileSize(real(f), ret);
}

static int file_lock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xLock(real(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xUnlock(real(f), level);
}

static int file_check_lock(sqlite3_file *f, int *ret)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int file_sector_size(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int file_characteristics(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

/* Version 1 methods: no shared memory, which is right because the database is held exclusively (WAL index on the heap). */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read_at,
    .xWrite = file_write_at,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
    struct counted_file *c = (struct counted_file *)f;

    (void)vfs;
    c->real = (sqlite3_file *)(c + 1);
    int rc = real_vfs->xOpen(real_vfs, name, c->real, flags, ret_flags);
    c->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
    return rc;
}

int counting_vfs_register(struct error *err)
{
    static sqlite3_vfs vfs;

    if (vfs.zName)
        return 0;
    real_vfs = sqlite3_vfs_find(NULL);
    if (!real_vfs)
        return fail(err, ERR_INTERNAL, "SQLite has no default VFS");
    vfs = *real_vfs;
    vfs.zName = "klein";
    vfs.szOsFile = (int)sizeof(struct counted_file) + real_vfs->szOsFile;
    vfs.xOpen = vfs_open;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        return fail(err, ERR_INTERNAL, "SQLite refused klein's VFS");
    return 0;
}

uint64_t counting_vfs_syncs(void)
{
    return atomic_load(&syncs);
}
