/*
 * What is known of one pod on this node: the facts the plan is made from and the status is written from. Data only.
 *
 * *_ms are monotonic, *_wall_ms are for people and for records. Strings belong to the pod (see pod.h); the plan borrows them.
 */
#ifndef NODE_POD_FACTS_H
#define NODE_POD_FACTS_H

#include "node/cgroup.h"
#include "node/runtime.h"
#include "object/object.h"

enum container_kind { CONTAINER_INIT, CONTAINER_SIDECAR, CONTAINER_MAIN };

/*
 * Life of a container. One door, container_enter(), checks every move against the table in pod_facts.c.
 *
 *     WAITING -> STARTING -> RUNNING -> EXITED -> STARTING (restart) ...
 *                       \-> WAITING (could not be created)
 */
enum container_state { CONTAINER_WAITING, CONTAINER_STARTING, CONTAINER_RUNNING, CONTAINER_EXITED };

enum image_state { IMAGE_UNKNOWN, IMAGE_PULLING, IMAGE_READY, IMAGE_FAILED };
enum hook_state { HOOK_NONE, HOOK_RUNNING, HOOK_DONE, HOOK_FAILED };
enum part_state { PART_ABSENT, PART_WORKING, PART_READY, PART_FAILED, PART_REMOVING };
enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };
enum stop_reason { STOP_NONE, STOP_POD, STOP_LIVENESS, STOP_STARTUP, STOP_POST_START };

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };
enum probe_result { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE };

struct probe_facts {
    bool present;
    bool cheap; /* HTTP or TCP: may be asked again early while a container starts */
    int64_t initial_delay_ms, period_ms, timeout_ms;
    int64_t grace_ms; /* terminationGracePeriodSeconds of the probe; -1: the pod's */
    int success_threshold, failure_threshold;
    bool running;
    enum probe_result result; /* after the thresholds */
    int successes, failures;  /* in a row */
    int early_tries;
    int64_t next_ms; /* when to ask next; set when the container starts */
};

struct termination {
    bool present;
    int exit_code;
    char *reason, *message;
    int64_t started_wall_ms, finished_wall_ms;
    char id[CONTAINER_ID_SIZE];
};

struct stop_facts {
    enum stop_reason reason; /* STOP_NONE: not being stopped */
    int64_t deadline_ms;
    enum hook_state pre_stop;
    bool term_sent, kill_sent;
    int64_t killed_ms;
};

struct container_facts {
    const char *name; /* the pod's arena */
    enum container_kind kind;
    bool has_post_start, has_pre_stop;
    struct probe_facts probes[PROBE_KINDS];

    enum container_state state;
    int attempt;                /* number of the current one; -1 before the first */
    char id[CONTAINER_ID_SIZE]; /* of the current attempt */
    struct runtime_ids ids;
    int restart_count;
    int64_t started_ms, started_wall_ms;
    int64_t finished_ms;
    struct termination current; /* of this attempt, once EXITED */
    struct termination last;    /* of the one before */
    bool cleaning;              /* the runtime is still removing the last attempt */
    bool succeeded_once;        /* an init container that is done */
    bool started;               /* post-start hook and startup probe passed */
    bool ready;
    enum hook_state post_start;
    struct stop_facts stop;

    int64_t backoff_ms; /* 0: none yet */
    int64_t backoff_updated_ms;

    enum image_state image;
    char *image_id;     /* "sha256:..." of the configuration, once ready */
    char *image_digest; /* "name@sha256:..." as reported in imageID */
    int64_t image_retry_ms, image_backoff_ms;
    char *waiting_reason, *waiting_message; /* NULL: by state */
    int64_t create_retry_ms;                /* after a failed creation */
};

struct pod_facts {
    enum restart_policy restart_policy;
    enum qos_class qos;
    int64_t grace_ms;           /* terminationGracePeriodSeconds, or deletionGracePeriodSeconds once deleting */
    int64_t active_deadline_ms; /* 0: none; counted from started_ms */
    int64_t started_ms, started_wall_ms; /* status.startTime */
    bool host_network;
    bool must_be_one; /* an ordinal of a StatefulSet, or a claim: the fence guard watches it */
    bool
        held; /* and it may have been replaced elsewhere: nothing starts before a server said that it is still wanted */

    struct container_facts *containers; /* init containers first, then main ones, in the order of the spec */
    size_t containers_count;

    enum part_state sandbox, volumes;
    int64_t sandbox_retry_ms, volumes_retry_ms;
    char ip[46];

    bool deleting;                    /* deletionTimestamp is set, or the object is gone */
    bool gone;                        /* the object is not in the API any more: nothing to report */
    int64_t deletion_ms;              /* when we first saw it */
    enum hook_state removal;          /* acknowledged removal: asked, answered */
    char *fail_reason, *fail_message; /* the agent ended the pod (deadline, eviction, admission) */
    bool status_current;              /* the server has our newest status */
    bool deleted;                     /* the API object is deleted */
    bool delete_asked;
};

/* The one door of the table above; a move that is not in it is a mistake of ours and asserts. */
void container_enter(struct container_facts *c, enum container_state to);
const char *container_state_text(enum container_state s);

static inline bool container_is_active(const struct container_facts *c)
{
    return c->state == CONTAINER_RUNNING || c->state == CONTAINER_STARTING;
}
/* Will this container be started again after it exited as it did? */
bool container_will_restart(const struct pod_facts *p, const struct container_facts *c);
/* All init containers done and all sidecars started. */
bool pod_is_initialized(const struct pod_facts *p);
/* The pod has reached its end: Succeeded or Failed, nothing will be started any more. */
bool pod_is_terminal(const struct pod_facts *p);
bool pod_has_failed(const struct pod_facts *p); /* only meaningful when terminal */

/* CrashLoopBackOff: 10 s doubling to 300 s, forgotten after 10 minutes. Call when a restart is decided. Source: client-go backoff.go. */
#define BACKOFF_FIRST_MS  (10 * SECOND_MS)
#define BACKOFF_MAX_MS    (300 * SECOND_MS)
#define BACKOFF_FORGET_MS (2 * BACKOFF_MAX_MS)
void container_backoff_next(struct container_facts *c, int64_t now_ms);
/* When the container may start again; 0: at once. */
int64_t container_backoff_until(const struct container_facts *c, int64_t now_ms);

/* A failed pull shows as ErrImagePull first and from then on as ImagePullBackOff. */
static inline int64_t image_backoff_shown_ms(const struct container_facts *c)
{
    return c->image_retry_ms - c->image_backoff_ms + 1000;
}

/* Fold one answer into the thresholds; returns whether `result` changed. */
bool probe_fold(struct probe_facts *p, bool success);

void termination_done(struct termination *t);

#endif
