/*
 * Writes: how create, update, patch, apply and delete make the new object from the old one, and how it is stored.
 *
 * The phases call these in turn: write_default() makes r->tree (and r->old), admission changes it, write_validate()
 * freezes it into r->object, write_perform() stores it. A lost race goes back to write_default() with the newer object.
 */
#ifndef SERVER_WRITE_H
#define SERVER_WRITE_H

#include "server/request.h"

/* Is this request a write of an object through the generic way (not a handler's)? */
bool write_is_generic(const struct request *r);

/* Each fills r->tree from r->old (absent on create) and what the client sent. The object is locked. */
int write_create(struct request *r, struct error *err);
int write_update(struct request *r, struct error *err);
int write_patch(struct request *r, struct error *err);
int write_delete(struct request *r, struct error *err);
int write_scale(struct request *r, struct error *err); /* update and patch of .../scale */

/* Shared by update, patch and scale: identity and system fields from the old object, defaults, ownership, strategy, generation. */
int write_finish_update(struct request *r, struct value *tree, struct error *err);
/* Shared by create and by an apply that creates. `owned`: managedFields are set already. */
int write_finish_create(struct request *r, struct value *tree, bool owned, struct error *err);

int write_validate(struct request *r, struct error *err);
enum phase_result write_perform(struct request *r);
/* Does this write end a deletion: nothing holds the object any more? */
bool write_ends_deletion(const struct kind *k, const struct object *o);

/* Errors with upstream's sentences and details. Return -1. */
int fail_not_found(struct request *r, const struct kind *k, struct str name, struct error *err);
int fail_already_exists(struct request *r, struct str name, const char *more, struct error *err);
int fail_conflict(struct request *r, const struct kind *k, struct str name, struct error *err, const char *format, ...)
    PRINTF(5, 6);
#define MODIFIED_TEXT "the object has been modified; please apply your changes to the latest version and try again"

struct value *scale_of(struct arena *a, const struct object *o); /* autoscaling/v1 Scale of a Deployment, ReplicaSet */

#endif
