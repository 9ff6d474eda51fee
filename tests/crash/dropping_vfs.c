/* Unsynced writes live in memory: docs in dropping_vfs.h. */
#include "dropping_vfs.h"

#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pending {
    struct list link;
    bool truncate;
    size_t at, n;
    char bytes[];
};

struct handle {
    sqlite3_file base;
    int fd;
    char *bytes; /* as the process sees the file */
    size_t n, capacity;
    struct list pending;
};

static struct handle *handle_of(sqlite3_file *f)
{
    return (struct handle *)f;
}

static void resize(struct handle *h, size_t n)
{
    if (n > h->capacity) {
        h->capacity = MAX(n, h->capacity * 2);
        h->bytes = xrealloc(h->bytes, h->capacity);
    }
    if (n > h->n)
        memset(h->bytes + h->n, 0, n - h->n);
    h->n = n;
}

static int vfs_sync(sqlite3_file *f, int flags)
{
    struct handle *h = handle_of(f);

    (void)flags;
    list_each (&h->pending, struct pending, link, p) {
        if (p->truncate ? ftruncate(h->fd, (off_t)p->at) < 0 : pwrite(h->fd, p->bytes, p->n, (off_t)p->at) < 0)
            return SQLITE_IOERR_FSYNC;
        list_del(&p->link);
        free(p);
    }
    return SQLITE_OK;
}

static int vfs_close(sqlite3_file *f)
{
    struct handle *h = handle_of(f);

    vfs_sync(f, 0); /* a process that ends in order loses nothing */
    close(h->fd);
    free(h->bytes);
    return SQLITE_OK;
}

static int vfs_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    const struct handle *h = handle_of(f);
    size_t have = (size_t)at < h->n ? MIN((size_t)n, h->n - (size_t)at) : 0;

    if (have)
        memcpy(to, h->bytes + at, have);
    memset((char *)to + have, 0, (size_t)n - have);
    return have == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static void pend(struct handle *h, bool truncate, size_t at, const void *from, size_t n)
{
    struct pending *p = xmalloc(sizeof(*p) + n);

    *p = (struct pending){ .truncate = truncate, .at = at, .n = n };
    if (n)
        memcpy(p->bytes, from, n);
    list_add_tail(&h->pending, &p->link);
}

static int vfs_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    struct handle *h = handle_of(f);

    resize(h, MAX(h->n, (size_t)at + (size_t)n));
    memcpy(h->bytes + at, from, (size_t)n);
    pend(h, false, (size_t)at, from, (size_t)n);
    return SQLITE_OK;
}

static int vfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    resize(handle_of(f), (size_t)size);
    pend(handle_of(f), true, (size_t)size, NULL, 0);
    return SQLITE_OK;
}

static int vfs_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)handle_of(f)->n;
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
    return 512;
}

static int vfs_characteristics(sqlite3_file *f)
{
    (void)f;
    return 0;
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
    struct handle *h = (struct handle *)file;
    struct stat st;

    (void)vfs;
    h->base.pMethods = NULL;
    int fd = name ? open(name, O_RDWR | O_CLOEXEC | (flags & SQLITE_OPEN_CREATE ? O_CREAT : 0), 0600) : -1;
    if (fd < 0 || fstat(fd, &st) < 0)
        return SQLITE_CANTOPEN;
    *h = (struct handle){ .base.pMethods = &methods, .fd = fd };
    list_init(&h->pending);
    resize(h, (size_t)st.st_size);
    if (h->n && pread(fd, h->bytes, h->n, 0) != (ssize_t)h->n)
        return SQLITE_IOERR_READ;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs, (void)sync;
    return unlink(name) == 0 ? SQLITE_OK : errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
}

void dropping_vfs_mount(void)
{
    static sqlite3_vfs vfs;

    vfs = *sqlite3_vfs_find(NULL);
    vfs.zName = "dropping";
    vfs.szOsFile = sizeof(struct handle);
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    sqlite3_vfs_register(&vfs, 1);
}
