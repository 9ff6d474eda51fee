/*
 * A file system for tests that forgets what was not synced: a power cut for real processes, member by member.
 *
 *     struct lazyfs *fs = lazyfs_mount("/tmp/x", &err);      NULL with ERR_UNAVAILABLE: there is no FUSE here
 *     ... processes write below /tmp/x/m0, are told that it is durable, and are killed ...
 *     lazyfs_cut(fs, "m0");                                   the power is off; now the processes are killed
 *     lazyfs_drop(fs, "m0", 0, seed);                         m0 is what a disk would hold after the power came back
 *     lazyfs_unmount(fs);
 *
 * Everything lives in the memory of a process of its own; nothing reaches a disk. Each file has the pages its users see and the
 * pages that fsync() has seen; each folder the entries its users see and those that an fsync() of the folder has seen. A
 * drop keeps what was synced, nothing else (POSIX promises no more), or also a part of the rest, sector by sector, as a disk may.
 *
 * The mount lies in a mount namespace that the caller enters for good: it ends with the last process in it, however those end. Its
 * process ends when the caller does. Calls block; none but the caller's process may use them.
 */
#ifndef CRASH_LAZYFS_H
#define CRASH_LAZYFS_H

#include "base/error.h"

#define LAZYFS_SYNC_MS 2

struct lazyfs;

/* `folder` exists and is empty. Errors: ERR_UNAVAILABLE (no /dev/fuse, or not allowed to mount). */
struct lazyfs *lazyfs_mount(const char *folder, struct error *err);
void lazyfs_unmount(struct lazyfs *fs);
/* Everything that is there now counts as synced. */
void lazyfs_sync(struct lazyfs *fs);
/* From now on nothing below `name` at the top gets synced, and who asks is told of an error: a sync takes LAZYFS_SYNC_MS, and ends here. */
void lazyfs_cut(struct lazyfs *fs, const char *name);
/*
 * The folder or file `name` at the top goes back to what was synced; nobody may have a file in it open. kept_percent: of sectors that
 * were written and not synced, so many are there all the same (seed says which). Returns the number of sectors and entries lost.
 */
uint64_t lazyfs_drop(struct lazyfs *fs, const char *name, unsigned kept_percent, uint64_t seed);
/* A disk that lies: from now on fsync() succeeds and does nothing. For the test of the tests. */
void lazyfs_lie(struct lazyfs *fs);

#endif
