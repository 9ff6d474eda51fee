/*
 * Ask a container something once: run a command in it, GET from it, connect to it, or just wait. Probes and lifecycle hooks.
 * Source: kubelet's pkg/probe and lifecycle handlers: which answers count, and the words for them.
 */
#ifndef NODE_CHECK_H
#define NODE_CHECK_H

#include "node/agent_state.h"
#include "object/object.h"

struct check;
struct check_target {
    struct agent *agent;
    struct str container_id;
    const char *ip;        /* the pod's, or the node's own for host networking */
    struct view container; /* spec: named ports */
    bool hook;             /* a lifecycle handler: other User-Agent, no port default */
};
/* success, and words for the event when not (or the output). */
typedef void check_done(void *arg, bool success, struct str message);

/* handler: a Probe or LifecycleHandler. Never NULL; done comes once, in a later round. */
struct check *check_start(const struct check_target *target, struct view handler, int64_t timeout_ms, check_done *done,
                          void *arg);
void check_cancel(struct check *c); /* done does not come; NULL is fine */
/* HTTP and TCP cost next to nothing. */
bool check_is_cheap(struct view handler);

#endif
