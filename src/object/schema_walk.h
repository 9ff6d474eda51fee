/*
 * Walking a tree by its schema: check types, prune what the schema does not know, bring the rest into the form that Go's
 * encoder would have written (order of fields, sorted maps, omitted empties), and fill in declarative defaults.
 *
 * The tree is changed in place. After schema_normalize() it is canonical: normalizing it again changes nothing, and its JSON equals what
 * Kubernetes would answer for the same object. All functions are pure (tree, schema) walkers and may run on any thread.
 *
 * What normalizing does, per type: quantities, times and durations become canonical text; null counts as absent; fields that are
 * empty and marked omitempty go; fields that are empty and not marked stay ("resources":{}, "status":{}, "key":null).
 * Source: sigs.k8s.io/json (decoding and its messages), apimachinery/pkg/runtime/converter.go (SCHEMA_CONVERT), encoding/json (output).
 */
#ifndef OBJECT_SCHEMA_WALK_H
#define OBJECT_SCHEMA_WALK_H

#include "object/schema.h"

/* fieldValidation of the request: what happens with unknown and duplicate fields. They are pruned in every case. */
enum field_validation { FIELD_VALIDATION_IGNORE, FIELD_VALIDATION_WARN, FIELD_VALIDATION_STRICT };

/* Whose sentences a type error speaks. */
enum schema_style {
    SCHEMA_DECODE, /* a request body: `Service in version "v1" cannot be handled as a Service: json: cannot unmarshal ...` */
    SCHEMA_DECODE_PLAIN, /* the same without the prefix, e.g. the result of a JSON patch: `json: cannot unmarshal ...` */
    SCHEMA_CONVERT, /* an unstructured object: `cannot restore slice from map`; after strategic merge patch and apply */
};

struct schema_options {
    enum schema_style style;
    enum field_validation validation;
    const struct value *duplicates; /* what value_parse() reported (array of paths as strings); may be NULL */
    struct value *warnings;         /* array; with WARN gets one string per problem; may be NULL */
};

#define SCHEMA_STRICT_ERRORS_MAX 100 /* further unknown fields are pruned silently */

/*
 * Decode, prune, order. `options` may be NULL (decode, ignore). Fails with ERR_BAD_REQUEST and upstream's message on a wrong type;
 * with FIELD_VALIDATION_STRICT also on unknown and duplicate fields:
 * `strict decoding error: unknown field "spec.foo", duplicate field "spec.bar"` (with the prefix of the style).
 */
int schema_normalize(struct arena *a, const struct schema *schema, struct value *tree,
                     const struct schema_options *options, struct error *err);

/* Declarative defaults (schema_field.default_json) into absent members of objects that are there. They are appended: see schema_order(). */
void schema_default(struct arena *a, const struct schema *schema, struct value *tree);

/*
 * Bring members back into the order of the schema after rules appended some (value_put). Cheap when nothing is out of
 * order; call it once before object_new().
 */
void schema_order(const struct schema *schema, struct value *tree);

/* What Go's encoder writes for a zero value of the type: {"metadata":{},"spec":{"containers":null}, ...}. */
struct value *schema_zero(struct arena *a, const struct schema *schema);

/* A value as Go prints it with %v: map[a:1 b:[x y]]; the form in which upstream quotes patches in messages. */
void value_write_go(struct buf *to, const struct value *v);

/*
 * The 422 of a patch whose result does not decode: ` "" is invalid: patch: Invalid value: "...": <cause>`, with the cause's message taken
 * from *err. JSON and merge patches quote the patched object as JSON (as_go false), strategic ones quote the patch as Go prints it. Returns -1.
 */
int patch_invalid(const struct value *quoted, bool as_go, struct error *err);

#endif
