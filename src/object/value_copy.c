/* Whole trees: copying, comparing. */
#include "object/value.h"
#include "object/value_index.h"

#include <stdlib.h>

static struct value *copy(struct arena *a, const struct value *v, bool strings)
{
    struct value *c = arena_new(a, struct value);
    *c = *v;
    switch (v->type) {
    case VALUE_STRING:
        if (strings)
            c->string = arena_str(a, v->string);
        break;
    case VALUE_DOUBLE:
        if (strings)
            c->text = arena_str(a, v->text);
        break;
    case VALUE_ARRAY:
        c->items = arena_alloc_array(a, MAX(v->items_count, 1), sizeof(*c->items));
        c->items_capacity = MAX(v->items_count, 1);
        for (uint32_t i = 0; i < v->items_count; i++)
            c->items[i] = copy(a, v->items[i], strings);
        break;
    case VALUE_OBJECT:
        c->members = arena_alloc_array(a, MAX(v->members_count, 1), sizeof(*c->members));
        c->members_capacity = MAX(v->members_count, 1);
        for (uint32_t i = 0; i < v->members_count; i++) {
            c->members[i] = v->members[i];
            if (strings)
                c->members[i].name = v->members[i].id ? name_text(v->members[i].id) : arena_str(a, v->members[i].name);
            c->members[i].value = copy(a, v->members[i].value, strings);
        }
        break;
    default:
        break;
    }
    return c;
}

struct value *value_copy(struct arena *a, const struct value *v)
{
    return v ? copy(a, v, false) : NULL;
}

struct value *value_copy_all(struct arena *a, const struct value *v)
{
    return v ? copy(a, v, true) : NULL;
}

static bool members_equal(const struct value *a, const struct value *b)
{
    if (a->members_count != b->members_count)
        return false;
    /* Usually both are in the same order, so look at the same place first. */
    bool equal = true;
    struct value_index index = { 0 };
    for (uint32_t i = 0; i < a->members_count && equal; i++) {
        const struct member *m = &a->members[i];
        const struct value *other = b->members[i].value;
        if (m->id != b->members[i].id || !str_eq(m->name, b->members[i].name)) {
            if (!index.object)
                value_index_init(&index, b);
            other = value_index_get(&index, m->name);
        }
        equal = value_equal(m->value, other);
    }
    value_index_done(&index);
    return equal;
}

static bool numbers_equal(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_INT && b->type == VALUE_INT)
        return a->integer == b->integer;
    double x = a->type == VALUE_INT ? (double)a->integer : a->number;
    double y = b->type == VALUE_INT ? (double)b->integer : b->number;
    return x == y;
}

bool value_equal(const struct value *a, const struct value *b)
{
    enum value_type type = value_type(a), other = value_type(b);
    if ((type == VALUE_INT || type == VALUE_DOUBLE) && (other == VALUE_INT || other == VALUE_DOUBLE))
        return numbers_equal(a, b);
    if (type != other)
        return false;
    switch (type) {
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_STRING:
        return str_eq(a->string, b->string);
    case VALUE_ARRAY:
        if (a->items_count != b->items_count)
            return false;
        for (uint32_t i = 0; i < a->items_count; i++)
            if (!value_equal(a->items[i], b->items[i]))
                return false;
        return true;
    case VALUE_OBJECT:
        return members_equal(a, b);
    default:
        return true;
    }
}

/* value_index: a linear look for few members, a hash table for many. */

#define INDEX_FROM 32 /* members; below, comparing names is faster than hashing them */

void value_index_init(struct value_index *index, const struct value *object)
{
    *index = (struct value_index){ .object = object };
    if (object->members_count < INDEX_FROM)
        return;
    uint32_t slots = 64;
    while (slots < object->members_count * 2)
        slots *= 2;
    index->slots = xcalloc(slots, sizeof(*index->slots));
    index->mask = slots - 1;
    for (uint32_t i = 0; i < object->members_count; i++) {
        uint32_t at = (uint32_t)str_hash(object->members[i].name) & index->mask;
        while (index->slots[at])
            at = (at + 1) & index->mask;
        index->slots[at] = i + 1;
    }
}

struct value *value_index_get(const struct value_index *index, struct str name)
{
    if (!index->slots)
        return value_get_str(index->object, name);
    uint32_t at = (uint32_t)str_hash(name) & index->mask;
    for (; index->slots[at]; at = (at + 1) & index->mask) {
        const struct member *m = &index->object->members[index->slots[at] - 1];
        if (str_eq(m->name, name))
            return m->value;
    }
    return NULL;
}

void value_index_done(struct value_index *index)
{
    free(index->slots);
    *index = (struct value_index){ 0 };
}
