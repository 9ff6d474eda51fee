/* Whole files: reading with a maximum, atomic writing, folders, and opening beneath a folder. */
#include "base/file.h"
#include "base/crash_point.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a path's errno means to the caller, who decides by the code. */
static int fail_path(struct error *err, int sys, const char *what, const char *path)
{
    fail_sys(err, sys, "%s '%s'", what, path);
    if (err && (sys == ENOENT || sys == ENOTDIR))
        err->code = ERR_NOT_FOUND;
    else if (err && (sys == EXDEV || sys == ELOOP))
        err->code = ERR_FORBIDDEN;
    else if (err && sys == EEXIST)
        err->code = ERR_ALREADY_EXISTS;
    return -1;
}

/* A read that is never interrupted. */
static ssize_t read_some(int fd, void *to, size_t n)
{
    ssize_t got;

    do {
        got = read(fd, to, n);
    } while (got < 0 && errno == EINTR);
    return got;
}

int file_read(const char *path, struct buf *ret, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return fail_path(err, errno, "read", path);
    for (;;) {
        size_t room = MIN(ret->max - MIN(ret->n, ret->max), 64 * KIB);
        char spare, *to = room ? buf_reserve(ret, room) : &spare; /* one more byte tells "full" from "too large" */
        ssize_t got = to ? read_some(fd, to, MAX(room, (size_t)1)) : 1;

        if (got < 0)
            return fail_path(err, errno, "read", path);
        if (got == 0)
            break;
        if (room == 0 || !to)
            return fail(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", path, ret->max);
        ret->n += (size_t)got;
        ret->p[ret->n] = '\0';
    }
    return 0;
}

static int write_all(int fd, struct str content)
{
    while (content.n > 0) {
        ssize_t n = write(fd, content.p, content.n);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            content = str_from(content, (size_t)n);
    }
    return 0;
}

/* The folder of a path, as text to open: "." when the path names none. */
static char *folder_of(const char *path)
{
    ptrdiff_t slash = str_find_last(str_of(path), '/');

    if (slash < 0)
        return xstrdup(".");
    return slash == 0 ? xstrdup("/") : xstrndup(path, (size_t)slash);
}

static int sync_folder_of(const char *path)
{
    AUTO_FREE char *folder = folder_of(path);
    AUTO_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -1 : 0;
}

static int write_durably(int fd, struct str content, mode_t mode)
{
    if (write_all(fd, content) < 0 || fchmod(fd, mode) < 0)
        return -1;
    CRASH_POINT("file.written");
    if (fsync(fd) < 0)
        return -1;
    CRASH_POINT("file.synced");
    return 0;
}

int file_write(const char *path, struct str content, mode_t mode, struct error *err)
{
    AUTO_FREE char *temporary = xasprintf("%s.XXXXXX", path);
    AUTO_FD int fd = mkostemp(temporary, O_CLOEXEC);
    int sys;

    if (fd < 0)
        return fail_path(err, errno, "write", path);
    if (write_durably(fd, content, mode) < 0 || rename(temporary, path) < 0) {
        sys = errno;
        unlink(temporary);
        return fail_path(err, sys, "write", path);
    }
    CRASH_POINT("file.renamed");
    if (sync_folder_of(path) < 0)
        return fail_path(err, errno, "write the folder of", path);
    CRASH_POINT("file.folder-synced");
    return 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_mkdirs(const char *path, mode_t mode, struct error *err)
{
    AUTO_FREE char *partial = xstrdup(path);
    size_t n = strlen(partial);

    for (size_t i = 1; i <= n; i++) {
        char end = partial[i];

        if (end != '/' && end != '\0')
            continue;
        partial[i] = '\0';
        if (mkdir(partial, mode) < 0) {
            int sys = errno;

            /* A read-only or foreign parent answers something else than EEXIST for a folder that is there. */
            if (!is_folder(partial))
                return fail_path(err, sys, "make folder", partial);
        }
        partial[i] = end;
    }
    return 0;
}

int file_open_beneath(int dir_fd, struct str path, int flags, mode_t mode, bool links, struct error *err)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
        .mode = flags & (O_CREAT | O_TMPFILE) & ~O_DIRECTORY ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (links ? 0 : RESOLVE_NO_SYMLINKS),
    };
    char text[PATH_MAX];
    long fd;

    if (path.n == 0 || path.n >= sizeof(text) || memchr(path.p, '\0', path.n))
        return fail(err, ERR_BAD_REQUEST, "a path must have 1 to %zu bytes and no zero byte", sizeof(text) - 1);
    memcpy(text, path.p, path.n);
    text[path.n] = '\0';
    /* openat2(2): EAGAIN when a rename elsewhere raced with ".."; a tenant could keep that up, so not for ever. */
    for (int attempt = 0; attempt < 32; attempt++) {
        fd = syscall(SYS_openat2, dir_fd, text, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return fail_path(err, errno, "open", text);
}
