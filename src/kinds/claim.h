/*
 * Rules of claims for volumes, wherever they stand (PersistentVolumeClaim, templates of a StatefulSet), and what claims share with
 * volumes. Source: pkg/apis/core/validation (ValidatePersistentVolumeClaimSpec).
 */
#ifndef KINDS_CLAIM_H
#define KINDS_CLAIM_H

#include "kinds/check_format.h"
#include "kinds/tree.h"

#define CLAIM_CLASS_ANNOTATION "volume.beta.kubernetes.io/storage-class" /* the old place of storageClassName */

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

#endif
