/* What a plain scalar of YAML means, as go-yaml v2 decides (resolve.go). Shared by reader and writer, private to object/. */
#ifndef OBJECT_YAML_SCALAR_H
#define OBJECT_YAML_SCALAR_H

#include "object/value.h"

/* Sets *ret to null, bool, int, double or string (borrowed). False for .inf and .nan, which JSON cannot say. */
bool yaml_resolve(struct str text, struct value *ret);
/* Would some YAML parser take the plain text for something else than a string? */
bool yaml_is_ambiguous(struct str text);

#endif
