/* The simulated disk: docs in disk.h. */
#include "disk.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define SECTOR 512

struct pending { /* not synced, in the order it was made */
    struct list link;
    bool truncate;
    size_t at, n;
    char bytes[];
};

struct content {
    char *bytes;
    size_t n, capacity;
};

struct disk_file {
    struct list link;
    char *name;
    bool there, there_for_good; /* the directory's entry: now, and after a power cut */
    struct content now, synced;
    struct list pending;
};

struct disk {
    struct sim *sim;
    struct list files;
    struct disk_faults faults;
    struct disk_stats stats;
    sqlite3_vfs vfs;
};

struct handle {
    sqlite3_file base;
    struct disk *disk;
    struct disk_file *file;
    bool temporary;
};

struct disk *disk_new(struct sim *s)
{
    struct disk *d = xnew(struct disk);

    d->sim = s;
    list_init(&d->files);
    return d;
}

struct disk_faults *disk_faults(struct disk *d)
{
    return &d->faults;
}

const struct disk_stats *disk_stats(const struct disk *d)
{
    return &d->stats;
}

static struct disk_file *file_find(struct disk *d, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    list_each (&d->files, struct disk_file, link, f)
        if (strcmp(f->name, name) == 0)
            return f;
    struct disk_file *f = xnew(struct disk_file);
    f->name = xstrdup(name);
    list_init(&f->pending);
    list_add_tail(&d->files, &f->link);
    return f;
}

static void content_resize(struct content *c, size_t n)
{
    if (n > c->capacity) {
        c->capacity = MAX(n, c->capacity * 2);
        c->bytes = xrealloc(c->bytes, c->capacity);
    }
    if (n > c->n)
        memset(c->bytes + c->n, 0, n - c->n);
    c->n = n;
}

static void content_write(struct content *c, size_t at, const char *bytes, size_t n)
{
    content_resize(c, MAX(c->n, at + n));
    memcpy(c->bytes + at, bytes, n);
}

static void pend(struct disk_file *f, bool truncate, size_t at, const char *bytes, size_t n)
{
    struct pending *p = xmalloc(sizeof(*p) + n);

    *p = (struct pending){ .truncate = truncate, .at = at, .n = n };
    if (n)
        memcpy(p->bytes, bytes, n);
    list_add_tail(&f->pending, &p->link);
}

static void forget_pending(struct disk_file *f)
{
    list_each (&f->pending, struct pending, link, p)
        free(p);
    list_init(&f->pending);
}

static void file_sync(struct disk_file *f)
{
    list_each (&f->pending, struct pending, link, p) {
        if (p->truncate)
            content_resize(&f->synced, p->at);
        else
            content_write(&f->synced, p->at, p->bytes, p->n);
    }
    forget_pending(f);
    f->there_for_good = f->there;
}

/* --- losing what was not synced ------------------------------------------------------------------------------------------- */

static void keep_some(struct disk *d, struct disk_file *f, unsigned percent)
{
    list_each (&f->pending, struct pending, link, p) {
        size_t kept = 0, sectors = 0;
        if (p->truncate && sim_chance(d->sim, percent))
            content_resize(&f->synced, p->at);
        for (size_t at = 0; !p->truncate && at < p->n; sectors++) {
            size_t n = MIN(SECTOR - (p->at + at) % SECTOR, p->n - at);
            if (sim_chance(d->sim, percent)) {
                content_write(&f->synced, p->at + at, p->bytes + at, n);
                kept++;
            }
            at += n;
        }
        d->stats.lost_sectors += sectors - kept;
        d->stats.torn_writes += kept > 0 && kept < sectors;
    }
    forget_pending(f);
}

void disk_power_cut(struct disk *d)
{
    static const unsigned shares[] = { 0, 10, 50, 90, 100 };
    unsigned percent = shares[sim_below(d->sim, ARRAY_SIZE(shares))];

    d->stats.cuts++;
    sim_trace(d->sim, "power cut: %u %% of what was not synced stays", percent);
    list_each (&d->files, struct disk_file, link, f) {
        bool undone = f->there != f->there_for_good && !sim_chance(d->sim, percent);
        keep_some(d, f, percent);
        if (undone)
            f->there = f->there_for_good;
        f->there_for_good = f->there;
        if (!f->there)
            f->synced.n = 0;
        content_resize(&f->now, 0);
        content_write(&f->now, 0, f->synced.bytes ? f->synced.bytes : "", f->synced.n);
    }
}

void disk_forget_unwritten(struct disk *d)
{
    list_each (&d->files, struct disk_file, link, f) {
        file_sync(f);
        content_resize(&f->now, 0);
        content_write(&f->now, 0, f->synced.bytes ? f->synced.bytes : "", f->synced.n);
    }
}

/* An operation begins: it may be the one in the middle of which everything ends. */
static void count_down(struct disk *d)
{
    if (d->faults.kill_after && --d->faults.kill_after == 0)
        sim_crash(d->sim->running);
    if (d->faults.cut_after && --d->faults.cut_after == 0) {
        disk_power_cut(d);
        sim_crash(d->sim->running);
    }
}

/* --- SQLite's file --------------------------------------------------------------------------------------------------------- */

static struct handle *handle_of(sqlite3_file *f)
{
    return (struct handle *)f;
}

static int vfs_close(sqlite3_file *f)
{
    struct handle *h = handle_of(f);

    if (h->temporary)
        h->file->there = h->file->there_for_good = false;
    return SQLITE_OK;
}

static int vfs_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    struct handle *h = handle_of(f);
    const struct content *c = &h->file->now;
    size_t have = (size_t)at < c->n ? MIN((size_t)n, c->n - (size_t)at) : 0;

    if (h->disk->faults.read_errors && sim_chance(h->disk->sim, h->disk->faults.read_errors)) {
        h->disk->stats.read_errors++;
        return SQLITE_IOERR_READ;
    }
    if (have)
        memcpy(to, c->bytes + at, have);
    memset((char *)to + have, 0, (size_t)n - have);
    return have == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int vfs_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    struct handle *h = handle_of(f);
    struct disk *d = h->disk;
    size_t done = (size_t)n;
    int rc = SQLITE_OK;

    count_down(d);
    d->stats.writes++;
    if (d->faults.full && (size_t)at + (size_t)n > h->file->now.n) {
        d->stats.refused++;
        return SQLITE_FULL;
    }
    if (d->faults.write_errors && sim_chance(d->sim, d->faults.write_errors)) {
        d->stats.write_errors++;
        done = sim_below(d->sim, (uint64_t)n); /* a short write, then the error */
        rc = SQLITE_IOERR_WRITE;
    }
    content_write(&h->file->now, (size_t)at, from, done);
    pend(h->file, false, (size_t)at, from, done);
    return rc;
}

static int vfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct handle *h = handle_of(f);

    count_down(h->disk);
    content_resize(&h->file->now, (size_t)size);
    pend(h->file, true, (size_t)size, NULL, 0);
    return SQLITE_OK;
}

static int vfs_sync(sqlite3_file *f, int flags)
{
    struct handle *h = handle_of(f);
    struct disk *d = h->disk;

    (void)flags;
    count_down(d);
    d->stats.syncs++;
    if (d->faults.sync_errors && sim_chance(d->sim, d->faults.sync_errors)) {
        d->stats.sync_errors++;
        d->sim->may_abort = true;
        keep_some(d, h->file, 50); /* some reached the disk; the kernel calls all of it clean from here on */
        return SQLITE_IOERR_FSYNC;
    }
    file_sync(h->file);
    return SQLITE_OK;
}

static int vfs_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)handle_of(f)->file->now.n;
    return SQLITE_OK;
}

static int vfs_lock(sqlite3_file *f, int level)
{
    (void)f, (void)level;
    return SQLITE_OK;
}

static int vfs_check_lock(sqlite3_file *f, int *ret)
{
    (void)f;
    *ret = 0;
    return SQLITE_OK;
}

static int vfs_control(sqlite3_file *f, int op, void *arg)
{
    (void)f, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int vfs_sector_size(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}

static int vfs_characteristics(sqlite3_file *f)
{
    (void)f;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite takes every disk by default; keep_some() is true to it */
}

/* --- SQLite's view of the folder --------------------------------------------------------------------------------------- */

static struct disk *disk_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = { .iVersion = 1,
                                                .xClose = vfs_close,
                                                .xRead = vfs_read,
                                                .xWrite = vfs_write,
                                                .xTruncate = vfs_truncate,
                                                .xSync = vfs_sync,
                                                .xFileSize = vfs_size,
                                                .xLock = vfs_lock,
                                                .xUnlock = vfs_lock,
                                                .xCheckReservedLock = vfs_check_lock,
                                                .xFileControl = vfs_control,
                                                .xSectorSize = vfs_sector_size,
                                                .xDeviceCharacteristics = vfs_characteristics };
    struct disk *d = disk_of(vfs);
    struct disk_file *f = file_find(d, name ? name : "temporary");
    struct handle *h = (struct handle *)file;

    h->base.pMethods = NULL;
    if (!f->there && !(flags & SQLITE_OPEN_CREATE))
        return SQLITE_CANTOPEN;
    if (!f->there) {
        f->there = true;
        content_resize(&f->now, 0);
        pend(f, true, 0, NULL, 0);
    }
    *h = (struct handle){ .base.pMethods = &methods, .disk = d, .file = f, .temporary = !name };
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    struct disk_file *f = file_find(disk_of(vfs), name);

    count_down(disk_of(vfs));
    if (!f->there)
        return SQLITE_IOERR_DELETE_NOENT;
    f->there = false;
    if (sync)
        f->there_for_good = false;
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    (void)flags;
    *ret = file_find(disk_of(vfs), name)->there;
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int n, char *to)
{
    (void)vfs;
    snprintf(to, (size_t)n, "%s", name);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *to)
{
    struct env *env = &disk_of(vfs)->sim->world->env.env;

    env->random(env, to, (size_t)n);
    return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    *ret = 210866760000000 + SIM_WALL_MS + sim_now_ms(disk_of(vfs)->sim);
    return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int n, char *to)
{
    (void)vfs, (void)n, (void)to;
    return 0;
}

void disk_mount(struct disk *d)
{
    d->vfs = (sqlite3_vfs){ .iVersion = 2,
                            .szOsFile = sizeof(struct handle),
                            .mxPathname = 1024,
                            .zName = "sim",
                            .pAppData = d,
                            .xOpen = vfs_open,
                            .xDelete = vfs_delete,
                            .xAccess = vfs_access,
                            .xFullPathname = vfs_full_path,
                            .xRandomness = vfs_random,
                            .xSleep = vfs_sleep,
                            .xCurrentTimeInt64 = vfs_time,
                            .xGetLastError = vfs_error };
    if (sqlite3_vfs_register(&d->vfs, 1) != SQLITE_OK)
        sim_fail(d->sim, "SQLite refuses the simulated disk");
}
