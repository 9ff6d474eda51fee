/* A small kind by hand for the tests of the schema walkers: example.org/v1 Thing, with one field of each sort. */
#ifndef TESTS_UNIT_OBJECT_WALK_SCHEMA_H
#define TESTS_UNIT_OBJECT_WALK_SCHEMA_H

#include "object/schema_walk.h"

/* Sets the name table, once. */
const struct schema *thing_schema(void);

/* JSON text as a tree; fails the test when it does not parse. */
struct value *parse_json(struct arena *a, const char *text);
/* Compact JSON of a tree, in the arena. */
struct str json_of(struct arena *a, const struct value *v);

#endif
