/* Putting members back into canonical order after rules have appended some. */
#include "object/schema_walk.h"

#include <stdlib.h>

static int name_compare(const void *a, const void *b)
{
    return str_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

/* Position of a member in the schema; what the schema does not know goes last. */
static size_t position(const struct schema *s, const struct member *m)
{
    const struct schema_field *field = schema_field(s, m->id);
    return field ? (size_t)(field - s->fields) : s->fields_count;
}

/* Insertion sort: only few members were appended. */
static void order_fields(const struct schema *s, struct value *v)
{
    size_t last = 0;

    for (uint32_t i = 0; i < v->members_count; i++) {
        struct member m = v->members[i];
        size_t at = position(s, &m);

        if (at >= last) {
            last = at;
            continue;
        }
        uint32_t to = i;
        for (; to > 0 && position(s, &v->members[to - 1]) > at; to--)
            v->members[to] = v->members[to - 1];
        v->members[to] = m;
    }
}

void schema_order(const struct schema *schema, struct value *v)
{
    if (value_type(v) == VALUE_OBJECT && schema->type == SCHEMA_OBJECT) {
        order_fields(schema, v);
        for (uint32_t i = 0; i < v->members_count; i++) {
            const struct schema_field *field = schema_field(schema, v->members[i].id);
            if (field)
                schema_order(field->schema, v->members[i].value);
        }
    } else if (value_type(v) == VALUE_OBJECT && schema->type == SCHEMA_MAP) {
        if (v->members_count > 1)
            qsort(v->members, v->members_count, sizeof(*v->members), name_compare);
        for (uint32_t i = 0; i < v->members_count; i++)
            schema_order(schema->item, v->members[i].value);
    } else if (value_type(v) == VALUE_ARRAY && schema->type == SCHEMA_LIST) {
        for (uint32_t i = 0; i < v->items_count; i++)
            schema_order(schema->item, v->items[i]);
    }
}
