/*
 * What the controllers of claims and volumes share. Source of the rules: k8s.io/kubernetes/pkg/controller/volume/persistentvolume.
 *
 *   persistentvolumeclaim.c         a claim's way to Bound: a volume that is there, or a new one
 *   persistentvolumeclaim_match.c   which volume fits, and what a new one looks like
 *   persistentvolume.c              a volume's phase, and what becomes of it after its claim
 *   pvcprotection.c                 a deleted claim stays while a pod uses it
 *   ephemeralvolume.c               claims that pods have for their own life
 *
 * Both sides name each other: the volume its claim (spec.claimRef, with the uid), the claim its volume (spec.volumeName). The volume is
 * written first, guarded by its resourceVersion, so two claims never get the same one.
 */
#ifndef CONTROLLERS_VOLUMES_H
#define CONTROLLERS_VOLUMES_H

#include "client/controller.h"
#include "kinds/claim.h"

#define ANNOTATION_BOUND_BY_CONTROLLER "pv.kubernetes.io/bound-by-controller"
#define ANNOTATION_CLAIM_PROVISIONER   "volume.kubernetes.io/storage-provisioner"

struct view volume_annotation(const struct object *o, const char *name); /* also of a claim */
/* Does the volume's claimRef mean this claim? Without a uid it is reserved by name. */
bool volume_is_for(const struct object *volume, const struct object *claim);
bool volume_is_reserved(const struct object *volume); /* has a claimRef */

/* The smallest volume that fits and is free; `node` (may be NULL): it can be used there. NULL when there is none. */
const struct object *claim_match(struct reconcile *r, const struct object *node);
/* A folder on the node. */
struct value *claim_new_volume(struct reconcile *r, const struct object *class, const struct object *node);

#endif
