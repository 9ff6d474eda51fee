/*
 * A VFS below SQLite's engine that keeps what is written in the process' memory until it is synced: kill -9 then loses exactly
 * what a power cut may lose. What is synced goes to a real file.
 */
#ifndef CRASH_DROPPING_VFS_H
#define CRASH_DROPPING_VFS_H

void dropping_vfs_mount(void); /* becomes SQLite's default; before the first store is opened */

#endif
