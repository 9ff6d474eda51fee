/*
 * Words for defaults and strategies: small changes of a tree (object/value.h).
 *
 * Go's rule decides what counts as unset: a pointer is unset when absent, any other field also when it is zero.
 */
#ifndef KINDS_TREE_H
#define KINDS_TREE_H

#include "kinds/fields.h"
#include "kinds/kinds.h"

bool value_unset(const struct value *v); /* NULL or null */
bool value_empty(const struct value *v); /* unset, "", 0, false, {}, [] */

/* Set a member only where there is none: ..._text, _int and _bool for pointers, _zero_int for plain numbers. Text: "" counts as none. */
void default_text(struct arena *a, struct value *object, name_id name, const char *literal);
void default_int(struct arena *a, struct value *object, name_id name, int64_t i);
void default_zero_int(struct arena *a, struct value *object, name_id name, int64_t i);
void default_bool(struct arena *a, struct value *object, name_id name, bool b);

/* for (size_t i = 0; (item = value_at(list, i)); i++): NULL past the end and for everything that is not a list. */
struct value *value_at(const struct value *list, size_t i);

/* The member becomes what `old` has; absent there means removed. */
void strategy_keep(struct kind_context *c, struct value *object, struct view old, name_id name);
/* What most kinds do: create empties the status; an update keeps the old status; an update of "status" keeps the old spec. */
void strategy_spec_and_status(struct kind_context *c, struct value *object, struct view old);
bool context_is(const struct kind_context *c, const char *subresource);

#endif
