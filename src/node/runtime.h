/*
 * Containers of one node: conmon (monitor) and crun (OCI runtime), started, watched and ended.
 *
 * A container outlives the agent: conmon holds its output, its attach socket and its exit code. The agent learns of the end
 * when conmon ends, from conmon's exit file: nothing is polled. After a restart of the agent the container is found again
 * with runtime_adopt().
 *
 * Files, all below `run` (a tmpfs): b/ID bundle with config.json, attach, ctl; crun/ state of the runtime; exits/ID.
 * All calls on the loop's thread; call-backs never come inside the call that asked for them.
 */
#ifndef NODE_RUNTIME_H
#define NODE_RUNTIME_H

#include "base/arena.h"
#include "base/time.h"
#include "loop/process.h"

#define CONTAINER_ID_SIZE 33 /* 32 hex characters and a zero */

struct runtime;

struct runtime_exit {
    bool known; /* false: the monitor died, the exit code is lost */
    int code;   /* 128 + signal when a signal ended it */
    bool oom_killed;
    int64_t finished_wall_ms;
};

/* What identifies a running container over restarts of the agent; kept in the pod's record. */
struct runtime_ids {
    pid_t pid, monitor_pid;
    uint64_t pid_started, monitor_started; /* pid_start_time() */
};

struct runtime_start {
    struct str id;     /* CONTAINER_ID_SIZE - 1 characters */
    struct str config; /* config.json */
    struct str log_path;
    bool terminal, stdin_open, stdin_once;
    bool systemd_cgroup;
};

/* Both come at most once a container: started (or not, with err), later exited. */
typedef void runtime_started(void *arg, const struct runtime_ids *ids, const struct error *err);
typedef void runtime_exited(void *arg, const struct runtime_exit *how);

/* `run` must exist. crun and conmon are looked up in PATH; ERR_NOT_FOUND tells which is missing. */
struct runtime *runtime_new(struct loop *loop, const char *run, struct error *err);
/* Lets go of everything; containers run on. */
void runtime_free(struct runtime *r);

/* Create and start. On failure nothing is left behind, but the bundle folder is the caller's to remove by runtime_delete(). */
void runtime_container_start(struct runtime *r, const struct runtime_start *s, runtime_started *started,
                             runtime_exited *exited, void *arg);
/*
 * Find a container again. Returns false when it is not running any more; exited is then still called once, in a later round, with what
 * the exit file tells.
 */
bool runtime_adopt(struct runtime *r, struct str id, const struct runtime_ids *ids, runtime_exited *exited, void *arg);
/* No started or exited comes for this container any more (its pod is gone); the container itself is not touched. */
void runtime_forget(struct runtime *r, struct str id);

/* Send a signal to the container's first process. False when it is not running. */
bool runtime_signal(struct runtime *r, struct str id, int signal);
/* End what is left, and remove the runtime's state and the bundle. Idempotent. done may be NULL. */
void runtime_delete(struct runtime *r, struct str id, loop_fn *done, void *arg);

/* Ids that have a bundle or state on disk: for reclaiming after a crash. */
void runtime_each(struct runtime *r, void (*fn)(void *arg, struct str id), void *arg);

/* Paths and arguments for exec and attach. */
const char *runtime_crun(const struct runtime *r);
const char *runtime_crun_root(const struct runtime *r); /* "--root=..." */
struct str runtime_bundle(const struct runtime *r, struct arena *a, struct str id);
pid_t runtime_pid(const struct runtime *r, struct str id); /* 0: not running */
/* Ask the monitor to open its log file again (after a rotation), or to set the terminal's size. */
void runtime_reopen_log(struct runtime *r, struct str id);
void runtime_resize(struct runtime *r, struct str id, uint16_t columns, uint16_t rows);

#endif
