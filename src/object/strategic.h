/*
 * Strategic merge patch: a merge patch that knows from the schema which lists are merged, and by which key.
 *
 * Understands $patch (replace, delete, merge), $deleteFromPrimitiveList/x, $setElementOrder/x and $retainKeys. Pure: neither argument is changed;
 * the result shares values with both and lives in the arena. It is not normalized: follow with
 * schema_normalize(SCHEMA_CONVERT) and, when that fails, patch_invalid(patch, true, err).
 *
 * Errors carry upstream's sentences. Those upstream answers with 500 (a merge key is missing in a patch item) come out as
 * ERR_INTERNAL, wrong directives as ERR_BAD_REQUEST.
 * Source: apimachinery/pkg/util/strategicpatch/patch.go, StrategicMergeMapPatchUsingLookupPatchMeta.
 */
#ifndef OBJECT_STRATEGIC_H
#define OBJECT_STRATEGIC_H

#include "object/schema.h"

struct value *strategic_merge(struct arena *a, const struct schema *schema, const struct value *original,
                              const struct value *patch, struct error *err);

#endif
