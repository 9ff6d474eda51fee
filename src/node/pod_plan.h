/*
 * What to do next for one pod: a pure function from facts and time to steps. It does no I/O, keeps no state, and gives the same
 * plan for the same facts. The agent carries the steps out, updates the facts, and asks again until there is nothing left to do.
 */
#ifndef NODE_POD_PLAN_H
#define NODE_POD_PLAN_H

#include "node/pod_facts.h"

enum pod_step_type {
    POD_STEP_SANDBOX,     /* make the sandbox */
    POD_STEP_VOLUMES,     /* prepare the volumes */
    POD_STEP_IMAGE,       /* make sure the container's image is here */
    POD_STEP_START,       /* create and start the container */
    POD_STEP_POST_START,  /* run its post-start hook */
    POD_STEP_PROBE,       /* ask the probe `probe` */
    POD_STEP_STOP,        /* begin to stop: reason and grace */
    POD_STEP_PRE_STOP,    /* run its pre-stop hook */
    POD_STEP_TERM,        /* send the stop signal */
    POD_STEP_KILL,        /* send SIGKILL */
    POD_STEP_FAIL,        /* the pod is over: `reason`, `message` */
    POD_STEP_ASK_REMOVAL, /* ask whether traffic to the pod has ended */
    POD_STEP_CLEAN,       /* take the sandbox and volumes away */
    POD_STEP_DELETE,      /* delete the API object */
    POD_STEP_FORGET,      /* nothing is left: drop the pod */
};

struct pod_step {
    enum pod_step_type type;
    size_t container;
    enum probe_kind probe;
    enum stop_reason stop_reason;
    int64_t grace_ms;
    const char *reason, *message; /* constants */
};

#define POD_STEPS_MAX 64 /* more wait for the next round */
struct pod_plan {
    struct pod_step steps[POD_STEPS_MAX];
    size_t count;
    int64_t wake_ms; /* ask again at this time even if nothing happens; -1: no need */
};

void pod_plan_make(const struct pod_facts *p, int64_t now_ms, struct pod_plan *ret);
const char *pod_step_text(enum pod_step_type type);

#define REMOVAL_WAIT_MS 2000 /* design: at most 2 s, inside the grace period */
#define PRE_STOP_MIN_MS 2000 /* what is left after a pre-stop hook. Source: minimumGracePeriodInSeconds */
#define KILL_AGAIN_MS   5000
#define PROBE_EARLY_MS  5 /* readiness while a container starts: 5 ms doubling up to the period */

#endif
