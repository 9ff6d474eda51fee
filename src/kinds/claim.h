/*
 * Rules of claims for volumes, wherever they stand (PersistentVolumeClaim, templates of a StatefulSet), and what claims share with
 * volumes. Source: pkg/apis/core/validation (ValidatePersistentVolumeClaimSpec).
 */
#ifndef KINDS_CLAIM_H
#define KINDS_CLAIM_H

#include "kinds/check_format.h"
#include "kinds/tree.h"
#include "object/quantity.h"

#define CLAIM_CLASS_ANNOTATION "volume.beta.kubernetes.io/storage-class" /* the old place of storageClassName */

/*
 * klein's own volumes: folders of one node. The controller makes the PersistentVolume, the node the folder; a finalizer keeps the
 * object until the node has removed the folder, however long it is away.
 */
#define VOLUME_PROVISIONER            "klein.dev/local-folder"
#define VOLUME_PROVISIONER_ANNOTATION "pv.kubernetes.io/provisioned-by"
#define VOLUME_NODE_LABEL             "klein.dev/node" /* a label, and a field selector of PersistentVolumes */
#define VOLUME_FOLDER_FINALIZER       "klein.dev/local-folder"
#define CLAIM_SELECTED_NODE           "volume.kubernetes.io/selected-node"
#define CLAIM_BIND_COMPLETED          "pv.kubernetes.io/bind-completed"
struct str volume_node(struct view volume); /* the node a volume of klein's own lies on; "" for others */

void claim_default(struct arena *a, struct value *claim); /* spec and status.phase */
void claim_spec_default(struct arena *a, struct value *claim_spec);
/* dataSource and dataSourceRef say the same unless another namespace is meant. */
void claim_normalize_sources(struct arena *a, struct value *claim_spec);
void claim_spec_validate(struct check *k, const struct at *at, struct view spec);

/* Modes are known, and ReadWriteOncePod is alone. `detail` of the complaint when there is none. */
void check_access_modes(struct check *k, const struct at *at, struct view modes, const char *detail);
void check_volume_mode(struct check *k, const struct at *at, struct view mode);
void check_positive_quantity(struct check *k, const struct at *at, struct view quantity);
/* "RWO,ROX" */
struct str text_access_modes(struct arena *a, struct view modes);
/* spec.storageClassName, or the annotation that came before it, which wins. */
struct str storage_class_of(struct view claim_or_volume);

/* --- claims and volumes that fit each other; all take the root of the object --- */

struct quantity volume_capacity(struct view volume);
/* Why this volume cannot be the claim's, as the binder tells it; NULL when it can. */
const char *claim_mismatch(struct view claim, struct view volume);
bool claim_selects(struct view claim, struct view volume); /* spec.selector; without one every volume */
/* Bound in both directions and told so. */
bool claim_is_bound(struct view claim);
/* The claim one of a pod's spec.volumes stands for; "" for other sorts of volumes. */
struct str pod_claim_name(struct view pod, struct view volume, struct arena *a);

#endif
