/*
 * A steady load of HTTP requests on a fixed schedule, from a process of its own that costs little: it never waits for answers.
 *
 * Every request carries `X-Request: ID`; the answer must carry the same and may name its pod in `X-Pod` (samples/web does). A request
 * has failed when it cannot connect, is cut off, gets another status than 200 or somebody else's answer, or none within
 * PROBE_LIMIT_US of when it was due. Nothing is ever tried again.
 */
#ifndef CHAOS_PROBER_H
#define CHAOS_PROBER_H

#include "base/error.h"
#include "chaos/probe.h"

#include <netinet/in.h>
#include <sys/types.h>

struct prober_flow {
    const char *name;
    struct sockaddr_in to;
    const char *host;
    bool fresh; /* a connection for each request; else idle ones are used again */
};

struct prober_options {
    const struct prober_flow *flows; /* requests go to them in turn */
    int flows_count;
    int rate;        /* requests a second, over all flows */
    pid_t netns_pid; /* in the network namespace of this process; 0: our own */
};

/* Start it. The process ends with ours, or when log->stop is set and what is open is finished, or when the log is full. */
int prober_start(struct probe_log *log, const struct prober_options *o, pid_t *ret_pid, struct error *err);
/* The same in this process: returns when it is done. For tests. */
int prober_run(struct probe_log *log, const struct prober_options *o, struct error *err);

#endif
