/*
 * Things to be told about: signals, changed files, descriptors with something to read, the end of a process that is
 * not our child. System loops only, except signals, which never come on a sim loop.
 */
#ifndef LOOP_WATCH_H
#define LOOP_WATCH_H

#include "loop/loop.h"

#include <sys/types.h>

/* --- signals: process wide; one watch per signal and loop --- */
struct signal_watch;
typedef void signal_received(int signal, void *arg);
struct signal_watch *signal_watch_new(struct loop *loop, int signal, signal_received *fn, void *arg);
void signal_watch_free(struct signal_watch *w); /* no more calls; NULL is fine */

/*
 * --- files: inotify, one instance per loop, at most FILE_WATCHES_MAX watches ---
 * Tells that something about the path changed (written, created, deleted, renamed, attributes), for a folder with the
 * name inside it. Several changes may come as one. `lost`: the kernel's queue overflowed, look at everything again.
 */
#define FILE_WATCHES_MAX 8192
struct file_watch;
struct file_change {
    struct str name; /* inside a watched folder; empty for the path itself */
    bool created, written, removed, attributes, lost;
};
typedef void file_changed(struct file_watch *w, const struct file_change *change, void *arg);
struct file_watch *file_watch_new(struct loop *loop, const char *path, file_changed *fn, void *arg, struct error *err);
void file_watch_free(struct file_watch *w); /* no more calls; NULL is fine */

/* --- descriptors: netlink sockets, libraries with their own descriptor. Level triggered. The descriptor stays the
 * caller's: free the watch before closing it. --- */
enum fd_events { FD_READABLE = 1, FD_WRITABLE = 2, FD_HANGUP = 4 };
struct fd_watch;
typedef void fd_ready(struct fd_watch *w, unsigned events, void *arg);
struct fd_watch *fd_watch_new(struct loop *loop, int fd, unsigned events, fd_ready *fn, void *arg, struct error *err);
void fd_watch_set(struct fd_watch *w, unsigned events); /* 0: pause */
void fd_watch_free(struct fd_watch *w);                 /* no more calls; NULL is fine */

/* --- a process that is not our child (conmon after a restart): pidfd. The exit code cannot be known. --- */
struct pid_watch;
typedef void pid_ended(struct pid_watch *w, void *arg);
/* ERR_NOT_FOUND when there is no such process. Check its start time against reuse before trusting a stored pid. */
struct pid_watch *pid_watch_new(struct loop *loop, pid_t pid, pid_ended *fn, void *arg, struct error *err);
int pid_watch_kill(struct pid_watch *w, int signal, struct error *err);
void pid_watch_free(struct pid_watch *w); /* allowed inside fn; NULL is fine */
/* Start time of a process in clock ticks (field 22 of /proc/PID/stat): with the pid, an identity. 0: no such process. */
uint64_t pid_start_time(pid_t pid);

#endif
