/*
 * Interned field names: every JSON name of the built-in API has a small number, so objects are indexed and read by
 * number instead of by string.
 *
 * The generated header kinds/fields.h gives them compiler-checked identifiers: F_POD_SPEC_NODE_NAME is the field nodeName
 * of the type PodSpec. Identifiers of equal JSON names are equal numbers (F_POD_SPEC == F_DEPLOYMENT_SPEC), a misspelt one
 * does not compile. The table is set once at start, before threads exist, and is read-only afterwards.
 */
#ifndef OBJECT_NAME_H
#define OBJECT_NAME_H

#include "base/str.h"

typedef uint16_t name_id;
#define NAME_UNKNOWN ((name_id)0) /* a name that is not in the table, e.g. a label's key */

/* names[0] is unused; the index is the number. The table must outlive the process. Calling twice with the same table is fine. */
void name_table_set(const struct str *names, size_t count);
name_id name_find(struct str name); /* NAME_UNKNOWN when not interned; O(1) */
struct str name_text(name_id id);   /* "" for NAME_UNKNOWN */

#endif
