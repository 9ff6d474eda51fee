/*
 * Children: start a program with exactly the descriptors, folder, environment and namespaces it is given.
 *
 * Everything not named in `fds` is closed in the child; signals are at their defaults and unblocked. No shell is ever
 * involved. A child is watched through a pidfd: on_exit comes exactly once, then the memory is gone. Nothing is killed
 * when a struct process is let go: children outlive the loop unless process_kill() was called or kill_on_parent_death
 * was asked for.
 */
#ifndef LOOP_PROCESS_H
#define LOOP_PROCESS_H

#include "base/buf.h"
#include "loop/stream.h"

#include <sys/types.h>

struct process;

struct process_fd {
    int child; /* number in the child; 0, 1, 2 are /dev/null unless named */
    int fd;    /* number here; stays open here, the caller closes it */
};

struct process_options {
    const char *const *argv; /* ends in NULL; argv[0] with a slash, or looked up in PATH */
    const char *file;        /* the program, when it is not argv[0] */
    int file_fd;             /* > 0: run this open file instead (sealed memfd): fexecve */
    const char *const *env;  /* ends in NULL; NULL: ours */
    const char *cwd;         /* NULL: "/" */
    const struct process_fd *fds;
    size_t fds_count;      /* at most PROCESS_FDS_MAX */
    const int *namespaces; /* setns() on each, in order, before cwd and exec */
    size_t namespaces_count;
    bool new_session;          /* setsid() */
    bool terminal;             /* descriptor 0 becomes the controlling terminal (with new_session) */
    bool kill_on_parent_death; /* PR_SET_PDEATHSIG SIGKILL */
    bool no_new_privs;
    int cgroup_procs_fd; /* > 0: the child writes itself into this open cgroup.procs first */
    int oom_score_adj;   /* 0: unchanged */
    uid_t uid;           /* 0: unchanged; groups are then cleared */
    gid_t gid;
};
#define PROCESS_FDS_MAX 32

struct process_exit {
    int code;   /* exit code; -1 when a signal ended it */
    int signal; /* 0 unless a signal ended it */
};
typedef void process_exited(struct process *p, struct process_exit how, void *arg);

/* NULL with err when the program cannot be started (ERR_NOT_FOUND: no such program); exec errors are reported here. */
struct process *process_spawn(struct loop *loop, const struct process_options *o, process_exited *on_exit, void *arg,
                              struct error *err);
pid_t process_pid(const struct process *p);
void process_kill(struct process *p, int signal);       /* through the pidfd: never hits a stranger */
void process_kill_group(struct process *p, int signal); /* its process group (new_session) */
/* No on_exit will come; the child runs on and is reaped quietly. */
void process_forget(struct process *p);

/*
 * Run to the end and collect: stdin is fed, stdout and stderr gathered up to a maximum each (the rest is read and
 * dropped), the child killed at the deadline. done comes exactly once; err is set when it could not start or hit the
 * deadline (ERR_TIMEOUT). A non-zero exit code is not an error here.
 */
struct process_result {
    struct process_exit exit;
    struct str out, err_out; /* valid during done */
    bool truncated;
};
typedef void process_captured(void *arg, const struct process_result *result, const struct error *err);
struct process_capture;
struct process_capture *process_capture(struct loop *loop, const struct process_options *o, struct str input,
                                        size_t output_max_bytes, int64_t timeout_ms, process_captured *done, void *arg);
void process_capture_cancel(struct process_capture *c); /* kills it; done is not called */

/* Blocking form for command-line tools that have no loop running. Returns 0 when it ran, whatever its exit code. */
int process_run(const struct process_options *o, struct str input, struct buf *ret_out, struct buf *ret_err,
                int64_t timeout_ms, struct process_exit *ret_exit, struct error *err);

/* A pipe whose ends are O_CLOEXEC: ret[0] reads, ret[1] writes. Give one to the child, stream_wrap() the other. */
int process_pipe(int ret[2], struct error *err);
/* A socketpair (SOCK_STREAM), O_CLOEXEC. */
int process_socketpair(int ret[2], struct error *err);
/* A pseudo terminal of this size, O_CLOEXEC: the child gets ret_child as 0, 1, 2 with new_session and terminal. */
int process_terminal(int *ret_ours, int *ret_child, uint16_t columns, uint16_t rows, struct error *err);
int process_terminal_resize(int ours, uint16_t columns, uint16_t rows);

#endif
