/*
 * Field ownership: metadata.managedFields for every write, and server-side apply.
 *
 * A manager is (name, operation, subresource, and for updates the apiVersion). Each owns a set of paths in FieldsV1 form. Updates own what
 * they changed; appliers own what they applied. All functions work in the request's arena; trees in are normalized trees, trees out
 * are too. managedFields that do not decode are treated as empty, as upstream does.
 *
 * Order of a write (the server): decode, default, managed_update() or managed_apply(), prepare, admit, validate, then
 * managed_keep_times() against the live object so that a write that changes nothing is seen as one.
 *
 * Source: structured-merge-diff v6 (merge/update.go, typed), apimachinery/pkg/util/managedfields.
 */
#ifndef OBJECT_MANAGED_H
#define OBJECT_MANAGED_H

#include "object/schema.h"

#define MANAGED_UPDATERS_MAX 10  /* older update managers are merged into "ancient-changes" */
#define MANAGED_MANAGER_MAX  128 /* bytes of a manager's name; longer is cut by managed_default_manager() */

struct managed_call {
    const struct schema *schema; /* of the whole object; its group, version and kind are used */
    struct str manager;          /* field manager: the query's, else managed_default_manager() of the User-Agent */
    struct str subresource;      /* "" or "status", "scale", ... */
    int64_t now_ms;              /* wall clock */
    const char *const
        *reset_fields; /* NULL-terminated dotted paths this door cannot set, hence never owns: {"status", NULL} for the
                                         * main resource, {"spec", NULL} for status. NULL: managed_reset_fields() decides */
};

/* The name from a User-Agent: what stands before the first '/', printable characters only, at most 128 bytes. */
struct str managed_default_manager(struct arena *a, struct str user_agent);
/* {"status"} for the object itself when it has a status; {"spec"} for status. */
const char *const *managed_reset_fields(const struct schema *schema, struct str subresource);

/*
 * Create (live == NULL), update, and every patch but apply: set new_object's metadata.managedFields. Never fails: ownership is not
 * worth refusing a write for. managedFields sent by the client replace the live ones; [] and [{}] forget them all.
 */
void managed_update(struct arena *a, const struct managed_call *call, const struct value *live,
                    struct value *new_object);

/*
 * Server-side apply. `live` is NULL or an empty object when the object does not exist yet. `config` is the decoded patch, not normalized:
 * absent stays absent. On success *ret_object is the new object, normalized but not defaulted, with managedFields; *ret_changed
 * (may be NULL) is false when only times could differ. The caller then runs defaults, prepare, validate as for an update.
 *
 * Fails with ERR_CONFLICT (causes FieldManagerConflict, message "Apply failed with 1 conflict: ..."), ERR_BAD_REQUEST (wrong apiVersion,
 * managedFields present) and ERR_INTERNAL with upstream's "failed to create typed patch object (ns/name; g/v, Kind=K): ...".
 */
int managed_apply(struct arena *a, const struct managed_call *call, const struct value *live, struct value *config,
                  bool force, struct value **ret_object, bool *ret_changed, struct error *err);

/* When nothing but times of managedFields differs from live, put live's managedFields back. Returns true then: the write is a no-op. */
bool managed_keep_times(struct arena *a, const struct value *live, struct value *new_object);

/* Drop managedFields, e.g. for a body that may not carry them. */
void managed_strip(struct value *object);

#endif
