/* What several controllers ask about a Pod. Source: k8s.io/kubernetes/pkg/api/v1/pod, pkg/controller/controller_utils.go. */
#ifndef CONTROLLERS_POD_H
#define CONTROLLERS_POD_H

#include "client/controller.h"

bool pod_is_terminating(const struct object *pod); /* has a deletionTimestamp */
bool pod_is_finished(const struct object *pod);    /* Succeeded or Failed */
bool pod_is_active(const struct object *pod);      /* neither of the two: counts as a replica */
struct view pod_condition(const struct object *pod, const char *type);
bool pod_is_ready(const struct object *pod);
/*
 * Is its node heard? What a pod on a silent node last said is not known to be true any more: it is out of Services, not available, and no
 * budget may count on it. (Upstream writes Ready=False into every such pod; here the Node alone says it.) Reads kind_node.
 */
bool pod_is_heard(const struct reconcile *r, const struct object *pod);
/* For triggers on kind_node: the ReplicaSets with a pod on the node. */
void pod_sets_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg);
int64_t pod_ready_since_ms(const struct object *pod); /* wall clock; 0 when not Ready */

/*
 * Ready for at least min_ready_s and reachable: every node that is heard has applied the EndpointSlices that name it, so that a
 * rollout does not count on a pod the nodes do not know yet (acknowledged addition). Nodes that do not answer delay it by 3 s at
 * most. When the answer is no and may become yes with time alone, the key is woken then.
 */
bool pod_is_available(struct reconcile *r, const struct object *pod, int64_t min_ready_s);

#endif
