/*
 * JSON Patch (RFC 6902): a list of operations on a document, all or none.
 *
 * Limits: JSON_PATCH_OPERATIONS_MAX operations (as upstream), and copies may add up to OBJECT_SIZE_MAX bytes of text together
 * (upstream counts them the same way: a short patch could otherwise double a document thousands of times).
 *
 * Errors: a patch that is no list of well-formed operations is ERR_BAD_REQUEST; one that does not fit the document (a path that
 * is not there, a test that fails) is ERR_INVALID, with upstream's "the server rejected our request due to an error in our
 * request"; too many operations or too large copies are ERR_TOO_LARGE.
 * Source: k8s.io/apiserver/pkg/endpoints/handlers/patch.go, gopkg.in/evanphx/json-patch.v4 (whose rules these are: removing what
 * is not there is an error, adding with the index "-" appends).
 */
#ifndef OBJECT_JSONPATCH_H
#define OBJECT_JSONPATCH_H

#include "object/value.h"

#define JSON_PATCH_OPERATIONS_MAX 10000

/* The patched document; `document` and `patch` stay as they are. The result may share parts with both: same arena or older. */
struct value *json_patch_apply(struct arena *a, const struct value *document, const struct value *patch,
                               struct error *err);

#endif
