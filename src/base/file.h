/*
 * Files: whole-file reads with a maximum, atomic writes, and paths that cannot leave their folder.
 *
 * Blocking: for start-up, workers and command-line tools, not for a loop. All descriptors are O_CLOEXEC.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

int file_read(const char *path, struct buf *ret, struct error *err); /* at most ret->max; ERR_NOT_FOUND when absent */
/* Write to a temporary file beside it, fsync, rename over, fsync the folder: a crash leaves the old or the new content. */
int file_write(const char *path, struct str content, mode_t mode, struct error *err);
int file_mkdirs(const char *path, mode_t mode, struct error *err); /* like mkdir -p */
bool file_exists(const char *path);
/* Remove a tree without following symbolic links or crossing into other mounts; an absent path is fine. */
int file_remove_tree(const char *path, struct error *err);
/*
 * Open `path` below the folder `dir_fd`; no component may leave it (openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
 * and RESOLVE_NO_SYMLINKS when `links` is false). For every path that a tenant can influence. Returns a descriptor or -1.
 */
int file_open_beneath(int dir_fd, struct str path, int flags, mode_t mode, bool links, struct error *err);

#endif
