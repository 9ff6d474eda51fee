/*
 * Looking up many members of one object by name without quadratic time, whatever a client sent.
 *
 * The index sees the members the object had at value_index_init(); changing a member's value in place is fine, adding and
 * removing members needs a new index. Owner: whoever declared it.
 */
#ifndef OBJECT_VALUE_INDEX_H
#define OBJECT_VALUE_INDEX_H

#include "object/value.h"

struct value_index {
    const struct value *object;
    uint32_t *slots; /* position + 1; NULL for small objects */
    uint32_t mask;
};

void value_index_init(struct value_index *index, const struct value *object);
struct value *value_index_get(const struct value_index *index, struct str name); /* NULL when absent */
void value_index_done(struct value_index *index);

#endif
