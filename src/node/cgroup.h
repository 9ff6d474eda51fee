/*
 * Control groups of one node: /klein/CLUSTER/NODE/QOS/podUID/CONTAINER, on v1, hybrid and v2 machines.
 *
 * The runtime makes the container's own group; this module prepares what is above it, limits pods as a whole, and takes
 * everything away again, also what a crashed agent left. Blocking but fast: calls go to the kernel only.
 * Sources: kubelet's pkg/kubelet/cm (shares, quota, hierarchy), kernel Documentation/admin-guide/cgroup-v{1,2}.
 */
#ifndef NODE_CGROUP_H
#define NODE_CGROUP_H

#include "node/container_spec.h"

enum qos_class { QOS_BEST_EFFORT, QOS_BURSTABLE, QOS_GUARANTEED };
const char *qos_class_text(enum qos_class q); /* "BestEffort" */

enum cgroup_mode { CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct cgroups;

/*
 * Look at the machine and make the node's groups. On a hybrid machine crun 1.8 refuses to work while v2 holds only hugetlb, so
 * that controller is mounted as v1; cgroups_remove_all() undoes it when nobody uses it any more.
 */
struct cgroups *cgroups_new(const char *cluster, const char *node, struct error *err);
void cgroups_free(struct cgroups *c); /* keeps the groups */
enum cgroup_mode cgroups_mode(const struct cgroups *c);
/* Remove the groups of this node (killing what is left in them) and shared changes nobody needs. */
void cgroups_remove_all(struct cgroups *c);

/* Path of a pod's group, as the runtime wants it. */
struct str cgroup_pod_path(const struct cgroups *c, struct arena *a, enum qos_class qos, struct str uid);
/* The folder of a pod's group in a hierarchy that holds all its processes: where the fence guard finds them. */
struct str cgroup_pod_folder(const struct cgroups *c, struct arena *a, struct str path);
/* Make the pod's group and set limits of the whole pod; nothing to set makes nothing. */
int cgroup_pod_create(struct cgroups *c, struct str path, const struct spec_limits *limits, struct error *err);
/* Kill what is left and remove the group with everything below; an absent one is fine. */
void cgroup_remove(struct cgroups *c, struct str path);
/* Uids of the pods that have a group now: for reclaiming after a crash. Calls fn for each (QoS, uid). */
void cgroup_each_pod(struct cgroups *c, void (*fn)(void *arg, enum qos_class qos, struct str uid), void *arg);

/* Milli-CPU to shares and quota, as kubelet's MilliCPUToShares and MilliCPUToQuota do. */
int64_t cgroup_cpu_shares(int64_t milli_cpu);
int64_t cgroup_cpu_quota_us(int64_t milli_cpu, int64_t period_us);

/* Memory in use by a group, in bytes; -1 when it cannot be known. */
int64_t cgroup_memory_bytes(const struct cgroups *c, struct str path);
int64_t cgroup_cpu_usage_us(const struct cgroups *c, struct str path);

#endif
