/* Does a pod tolerate a taint? Source: k8s.io/api/core/v1, Toleration.ToleratesTaint. */
#ifndef SCHEDULER_TOLERATE_H
#define SCHEDULER_TOLERATE_H

#include "scheduler/framework.h"

bool tolerates_taint(const struct pod_info *pod, struct str key, struct str value, struct str effect);

#endif
