/* JSON Merge Patch (RFC 7386): members replace members, null removes, everything that is no object replaces as a whole. */
#ifndef OBJECT_MERGEPATCH_H
#define OBJECT_MERGEPATCH_H

#include "object/value.h"

/*
 * The patched document; `document` and `patch` stay as they are, the result may share parts with both. Never fails: any value
 * is a patch (a patch that is no object replaces the document). The result may exceed limits: object_new() checks.
 */
struct value *merge_patch_apply(struct arena *a, const struct value *document, const struct value *patch);
/* The smallest merge patch that makes `to` of `from`; an empty object when they are equal. Both must be objects. */
struct value *merge_patch_diff(struct arena *a, const struct value *from, const struct value *to);

#endif
