/*
 * The scheduler: gives every pending pod a node, or says exactly why none fits.
 *
 * Pods without spec.nodeName whose spec.schedulerName is "default-scheduler" are taken by priority, then by age. A decision is a
 * pure function of the cluster as seen and the pod (framework.h); it is assumed at once, so that the next pod sees it, and
 * carried out by a binding. A pod that fits nowhere waits until something changes that could help it, at most 5 minutes.
 *
 * Runs on the loop of its cluster. One writer: start it where the leader is.
 */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include "client/cache.h"

struct scheduler;

/* Open the caches it reads, without running it: a standby that takes over finds them filled. */
void scheduler_warm(struct cluster *cluster);
struct scheduler *scheduler_start(struct cluster *cluster, struct env *env);
void scheduler_stop(struct scheduler *s); /* bindings already sent may still take effect; NULL is fine */

struct scheduler_stats {
    uint64_t scheduled, unschedulable, bind_failures;
    size_t pending; /* ready to be tried, or waiting for a change */
};
void scheduler_stats(const struct scheduler *s, struct scheduler_stats *ret);

#endif
