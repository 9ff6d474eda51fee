/*
 * A disk in memory behind SQLite: what was not synced may be lost, in parts and in any order; operations fail when told to.
 *
 * disk_mount() makes it SQLite's default VFS, so that the engine's own VFS (which counts syncs and ends the process when one
 * fails) stands on it as it stands on the kernel's. Files are known by their last name only: a process that starts
 * anew finds them whatever its folder is called. Writes are cut into sectors of 512 bytes; a power cut keeps some.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "sim.h"

struct disk;

struct disk *disk_new(struct sim *s);
void disk_mount(struct disk *d);
void disk_power_cut(
    struct disk *d); /* synced data stays; of the rest each sector stays or not. The process must die too. */
/* What is not synced is written, and what a failed sync had given up is not shown any more: fdatasync() and POSIX_FADV_DONTNEED. */
void disk_forget_unwritten(struct disk *d);

struct disk_faults { /* of operations, in percent */
    unsigned write_errors, read_errors, sync_errors;
    unsigned full;       /* not 0: files cannot grow */
    uint64_t cut_after;  /* power cut in the middle of this many operations from now; 0: none */
    uint64_t kill_after; /* kill -9 there */
};
struct disk_faults *disk_faults(struct disk *d);
struct disk_stats {
    uint64_t writes, syncs, write_errors, read_errors, sync_errors, refused, cuts, lost_sectors, torn_writes;
};
const struct disk_stats *disk_stats(const struct disk *d);

#endif
