/* Declarative defaults: what the facts mark with +default, filled in where a member is absent. */
#include "object/schema_walk.h"

static void fill(struct arena *a, const struct schema *s, struct value *v);

/* Generated defaulting looks at the Go value, where an empty string and a zero cannot be told from an absent one. */
static bool is_unset(const struct schema_field *field, const struct value *v)
{
    if (!v || v->type == VALUE_NULL)
        return true;
    if (field->flags & FIELD_POINTER)
        return false;
    return (v->type == VALUE_STRING && v->string.n == 0) || (v->type == VALUE_INT && v->integer == 0);
}

static void fill_object(struct arena *a, const struct schema *s, struct value *v)
{
    for (size_t i = 0; i < s->fields_count; i++) {
        const struct schema_field *field = &s->fields[i];
        struct value *member = value_get(v, field->name);

        if (field->default_json && is_unset(field, member)) {
            AUTO_ERROR struct error error = { 0 };
            member = value_parse(a, str_of(field->default_json), NULL, &error);
            assert(member); /* defaults are compiled in */
            value_put(a, v, field->name, member);
        }
        fill(a, field->schema, member);
    }
}

static void fill(struct arena *a, const struct schema *s, struct value *v)
{
    if (s->type == SCHEMA_OBJECT && value_type(v) == VALUE_OBJECT) {
        fill_object(a, s, v);
    } else if (s->type == SCHEMA_MAP && value_type(v) == VALUE_OBJECT) {
        for (uint32_t i = 0; i < v->members_count; i++)
            fill(a, s->item, v->members[i].value);
    } else if (s->type == SCHEMA_LIST && value_type(v) == VALUE_ARRAY) {
        for (uint32_t i = 0; i < v->items_count; i++)
            fill(a, s->item, v->items[i]);
    }
}

void schema_default(struct arena *a, const struct schema *schema, struct value *tree)
{
    fill(a, schema, tree);
}
