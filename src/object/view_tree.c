/* Views as wholes: comparing two, copying one into a tree. */
#include "object/json_scan.h"
#include "object/value.h"

static struct value *scalar_of(struct arena *a, struct view v)
{
    switch (view_type(v)) {
    case VALUE_BOOL:
        return value_bool(a, view_bool(v, false));
    case VALUE_INT:
        return value_int(a, view_int(v, 0));
    case VALUE_DOUBLE: {
        struct value *number = value_double(a, view_double(v, 0));
        number->text = view_json(v);
        return number;
    }
    case VALUE_STRING:
        return value_str(a, view_str(v));
    default:
        return value_null(a);
    }
}

struct value *value_of_view(struct arena *a, struct view v)
{
    struct view_iter it = { 0 };
    if (!view_present(v))
        return NULL;
    size_t count = view_count(v), i = 0;
    if (view_type(v) == VALUE_ARRAY) {
        struct value *array = value_array(a);
        array->items = arena_alloc_array(a, MAX(count, 1), sizeof(*array->items));
        array->items_count = (uint32_t)count;
        array->items_capacity = (uint32_t)MAX(count, 1);
        while (view_next(v, &it))
            array->items[i++] = value_of_view(a, it.value);
        return array;
    }
    if (view_type(v) == VALUE_OBJECT) {
        struct value *object = value_object(a);
        object->members = arena_alloc_array(a, MAX(count, 1), sizeof(*object->members));
        object->members_count = (uint32_t)count;
        object->members_capacity = (uint32_t)MAX(count, 1);
        while (view_next(v, &it)) {
            object->members[i++] =
                (struct member){ .name = it.key, .id = name_find(it.key), .value = value_of_view(a, it.value) };
        }
        return object;
    }
    return scalar_of(a, v);
}

#define FEW 32 /* members that are searched one by one; more go through a tree, so that time stays linear */

static bool members_equal(struct view a, struct view b)
{
    struct view_iter x = { 0 }, y = { 0 };
    while (view_next(a, &x)) {
        bool same_place = view_next(b, &y) && str_eq(x.key, y.key);
        if (!same_place && view_count(a) > FEW) {
            AUTO_ARENA struct arena arena = { 0 };
            return value_equal(value_of_view(&arena, a), value_of_view(&arena, b));
        }
        struct view other = same_place ? y.value : view_get_str(b, x.key);
        if (!view_present(other) || !view_equal(x.value, other))
            return false;
    }
    return true;
}

static bool numbers_equal(struct view a, struct view b)
{
    if (view_type(a) == VALUE_INT && view_type(b) == VALUE_INT)
        return str_eq(view_json(a), view_json(b));
    return view_double(a, 0) == view_double(b, 0);
}

static bool is_number(enum value_type type)
{
    return type == VALUE_INT || type == VALUE_DOUBLE;
}

bool view_equal(struct view a, struct view b)
{
    enum value_type type = view_type(a);
    if (is_number(type) && is_number(view_type(b)))
        return numbers_equal(a, b);
    if (type != view_type(b))
        return false;
    if (type == VALUE_ABSENT || type == VALUE_NULL)
        return true;
    /* Text is canonical: strings are escaped in one way only, so equal text is equal value, for containers too. */
    if (str_eq(view_json(a), view_json(b)))
        return true;
    if (type < VALUE_ARRAY || view_count(a) != view_count(b))
        return false;
    if (type == VALUE_OBJECT)
        return members_equal(a, b);
    struct view_iter x = { 0 }, y = { 0 };
    while (view_next(a, &x) && view_next(b, &y))
        if (!view_equal(x.value, y.value))
            return false;
    return true;
}
