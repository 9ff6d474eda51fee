/*
 * Kinds that are two faces of one storage (aliases.def): objects are stored in one form and shown in either. Converting
 * changes only names of fields, never loses one, and is undone by the way back.
 */
#ifndef SERVER_ALIAS_H
#define SERVER_ALIAS_H

#include "kinds/kinds.h"

bool alias_is(const struct kind *k); /* stored as another kind */
const struct kind *state_storage_kind(const struct kind *k);
/* The tree in the storage's form / in the kind's form, normalized; in place. Nothing happens for kinds that are no alias. */
int alias_to_storage(struct arena *a, const struct kind *k, struct value *tree, struct error *err);
int alias_from_storage(struct arena *a, const struct kind *k, struct value *tree, struct error *err);
/* A stored object as the kind shows it; a new reference, the same object when the kind is no alias. Never NULL. */
struct object *alias_object(const struct kind *k, const struct object *stored);

/* The rows' converters. */
void event_to_core(struct arena *a, struct value *tree);
void event_from_core(struct arena *a, struct value *tree);

#endif
