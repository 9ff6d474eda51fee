/*
 * Rules for metadata, the same for every kind.
 * Source: apimachinery/pkg/api/validation, ValidateObjectMeta and ValidateObjectMetaUpdate.
 */
#ifndef KINDS_META_H
#define KINDS_META_H

#include "kinds/check.h"

/* The rules for a metadata object at `at`; `old` is absent on create. */
void meta_validate(struct check *k, const struct kind *kind, const struct at *at, struct view metadata,
                   struct view old);
void meta_check_annotations(struct check *k, const struct at *at, struct view annotations);
/* A finalizer of namespaces or metadata: a qualified name, or one of the known short ones. */
void meta_check_finalizer(struct check *k, const struct at *at, struct str finalizer);

#endif
