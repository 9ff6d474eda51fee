/* Private to object/: the scalar forms that more than one walker needs. */
#ifndef OBJECT_SCHEMA_SCALAR_H
#define OBJECT_SCHEMA_SCALAR_H

#include "object/schema_internal.h"

/* Go's base64.StdEncoding: line ends are skipped. False sets *ret_at to the byte CorruptInputError names. */
bool schema_base64_decode(struct buf *to, struct str text, size_t *ret_at);
struct value *schema_scalar_time(struct schema_walk *w, const struct schema *s, struct value *v,
                                 const struct schema_frame *f);

#endif
