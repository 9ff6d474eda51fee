/*
 * Removing a tree that others may still be writing to.
 *
 * Every step is relative to an open folder and never follows a link or enters a mount, so a tenant who swaps a folder
 * for a link cannot send us elsewhere. Descriptors and stack are bounded: what lies deeper than DEPTH_MAX is first
 * moved up to the top of the tree.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH_MAX    32
#define ATTEMPTS_MAX 1000 /* passes over one folder: somebody who keeps creating files must not hold us for ever */

struct removal {
    int top_fd;
    unsigned int moved; /* numbers the folders moved to the top */
    struct error *err;
};

static int open_folder(int parent_fd, const char *name)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };

    return (int)syscall(SYS_openat2, parent_fd, name, &how, sizeof(how));
}

static int remove_folder(struct removal *r, int parent_fd, const char *name, int depth);

static int move_up(struct removal *r, int parent_fd, const char *name)
{
    char to[32];

    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        snprintf(to, sizeof(to), ".removed-%u", r->moved++);
        if (renameat2(parent_fd, name, r->top_fd, to, RENAME_NOREPLACE) == 0 || errno == ENOENT)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return fail_sys(r->err, errno, "remove '%s'", name);
}

static int remove_entry(struct removal *r, int folder_fd, const char *name, int depth)
{
    int sys;

    if (unlinkat(folder_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    sys = errno;
    if (sys != EISDIR && sys != EPERM) /* POSIX says EPERM, Linux EISDIR */
        return fail_sys(r->err, sys, "remove '%s'", name);
    if (unlinkat(folder_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == ENOTDIR) /* so it was the EPERM of a file, for instance an immutable one */
        return fail_sys(r->err, sys, "remove '%s'", name);
    return depth >= DEPTH_MAX ? move_up(r, folder_fd, name) : remove_folder(r, folder_fd, name, depth + 1);
}

/* One pass over the entries; *ret_found says whether there were any. Takes fd. */
static int remove_entries(struct removal *r, int fd, int depth, bool *ret_found)
{
    DIR *folder = fdopendir(fd);
    struct dirent *entry;
    int result = 0;

    *ret_found = false;
    if (!folder) {
        close(fd);
        return fail_sys(r->err, errno, "read a folder to remove");
    }
    while (result == 0 && (entry = readdir(folder))) {
        if (str_is(STR("."), entry->d_name) || str_is(STR(".."), entry->d_name))
            continue;
        *ret_found = true;
        result = remove_entry(r, dirfd(folder), entry->d_name, depth);
    }
    closedir(folder);
    return result;
}

static int remove_folder(struct removal *r, int parent_fd, const char *name, int depth)
{
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int fd = open_folder(parent_fd, name);
        bool found;

        if (fd < 0) {
            if (errno == ENOENT)
                return 0;
            if (errno == EXDEV)
                return fail(r->err, ERR_CONFLICT, "remove '%s': something is mounted there", name);
            if (errno == ELOOP || errno == ENOTDIR) /* swapped for a link or file meanwhile */
                return unlinkat(parent_fd, name, 0) == 0 ? 0 : fail_sys(r->err, errno, "remove '%s'", name);
            return fail_sys(r->err, errno, "remove '%s'", name);
        }
        if (depth == 0)
            r->top_fd = fd; /* stays open while the pass runs, and only then is it used */
        if (remove_entries(r, fd, depth, &found) < 0)
            return -1;
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno != ENOTEMPTY && errno != EEXIST)
            return fail_sys(r->err, errno, "remove '%s'", name);
    }
    return fail(r->err, ERR_CONFLICT, "remove '%s': somebody keeps creating files in it", name);
}

int file_remove_tree(const char *path, struct error *err)
{
    struct str all = str_of(path), name;
    AUTO_FREE char *parent = NULL, *last = NULL;
    struct removal r = { .top_fd = -1, .err = err };
    ptrdiff_t slash;
    AUTO_FD int parent_fd = -1;

    while (all.n > 1 && all.p[all.n - 1] == '/')
        all.n--;
    slash = str_find_last(all, '/');
    name = str_from(all, (size_t)(slash + 1));
    if (str_empty(name) || str_is(name, ".") || str_is(name, ".."))
        return fail(err, ERR_BAD_REQUEST, "'%s' does not name a tree to remove", path);
    parent = slash < 0 ? xstrdup(".") : xstrndup(path, (size_t)MAX(slash, 1));
    last = str_dup(name);
    parent_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent_fd < 0)
        return errno == ENOENT ? 0 : fail_sys(err, errno, "remove '%s'", path);
    if (remove_entry(&r, parent_fd, last, -1) < 0)
        return error_context(err, "remove '%s'", path);
    return 0;
}
