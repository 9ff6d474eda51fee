/* The tree: making values, reading members, changing them. */
#include "object/value.h"

static struct value *new_value(struct arena *a, enum value_type type)
{
    struct value *v = arena_new(a, struct value);
    v->type = type;
    return v;
}

struct value *value_null(struct arena *a)
{
    return new_value(a, VALUE_NULL);
}

struct value *value_bool(struct arena *a, bool b)
{
    struct value *v = new_value(a, VALUE_BOOL);
    v->boolean = b;
    return v;
}

struct value *value_int(struct arena *a, int64_t i)
{
    struct value *v = new_value(a, VALUE_INT);
    v->integer = i;
    return v;
}

struct value *value_double(struct arena *a, double d)
{
    struct value *v = new_value(a, VALUE_DOUBLE);
    v->number = d;
    return v;
}

struct value *value_str(struct arena *a, struct str s)
{
    struct value *v = new_value(a, VALUE_STRING);
    v->string = s;
    return v;
}

struct value *value_text(struct arena *a, const char *literal)
{
    return value_str(a, str_of(literal));
}

struct value *value_strf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct str s = arena_vprintf(a, format, args);
    va_end(args);
    return value_str(a, s);
}

struct value *value_array(struct arena *a)
{
    return new_value(a, VALUE_ARRAY);
}

struct value *value_object(struct arena *a)
{
    return new_value(a, VALUE_OBJECT);
}

enum value_type value_type(const struct value *v)
{
    return v ? v->type : VALUE_ABSENT;
}

struct value *value_get(const struct value *object, name_id name)
{
    if (!object || object->type != VALUE_OBJECT || name == NAME_UNKNOWN)
        return NULL;
    for (uint32_t i = 0; i < object->members_count; i++)
        if (object->members[i].id == name)
            return object->members[i].value;
    return NULL;
}

/* The position of a member, or members_count. `id` is what name_find() says about the name. */
static uint32_t member_find(const struct value *object, name_id id, struct str name)
{
    uint32_t i = 0;
    if (id != NAME_UNKNOWN) {
        while (i < object->members_count && object->members[i].id != id)
            i++;
    } else {
        while (i < object->members_count && !str_eq(object->members[i].name, name))
            i++;
    }
    return i;
}

struct value *value_get_str(const struct value *object, struct str name)
{
    if (!object || object->type != VALUE_OBJECT)
        return NULL;
    uint32_t i = member_find(object, name_find(name), name);
    return i < object->members_count ? object->members[i].value : NULL;
}

struct value *value_path_(const struct value *v, const name_id *names, size_t count)
{
    for (size_t i = 0; i < count && v; i++)
        v = value_get(v, names[i]);
    return (struct value *)v;
}

struct str value_to_str(const struct value *v)
{
    return v && v->type == VALUE_STRING ? v->string : STR_NONE;
}

int64_t value_to_int(const struct value *v, int64_t otherwise)
{
    if (!v)
        return otherwise;
    if (v->type == VALUE_INT)
        return v->integer;
    if (v->type == VALUE_DOUBLE && v->number >= -0x1p63 && v->number < 0x1p63 &&
        (double)(int64_t)v->number == v->number)
        return (int64_t)v->number;
    return otherwise;
}

bool value_to_bool(const struct value *v, bool otherwise)
{
    return v && v->type == VALUE_BOOL ? v->boolean : otherwise;
}

static void *grow(struct arena *a, void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t wanted = *capacity ? *capacity * 2 : 4;
    void *larger = arena_alloc_array(a, wanted, size);
    if (count)
        memcpy(larger, items, count * size);
    *capacity = wanted;
    return larger;
}

static void remove_member(struct value *object, uint32_t i)
{
    object->members_count--;
    memmove(&object->members[i], &object->members[i + 1], (object->members_count - i) * sizeof(*object->members));
}

static void put(struct arena *a, struct value *object, name_id id, struct str name, struct value *value)
{
    assert(object->type == VALUE_OBJECT);
    uint32_t i = member_find(object, id, name);
    if (i < object->members_count) {
        if (value)
            object->members[i].value = value;
        else
            remove_member(object, i);
        return;
    }
    if (value)
        value_add_member(a, object, id, name, value);
}

void value_add_member(struct arena *a, struct value *object, name_id id, struct str name, struct value *value)
{
    object->members =
        grow(a, object->members, object->members_count, &object->members_capacity, sizeof(*object->members));
    object->members[object->members_count++] = (struct member){ .name = name, .id = id, .value = value };
}

void value_put(struct arena *a, struct value *object, name_id name, struct value *value)
{
    assert(name != NAME_UNKNOWN);
    put(a, object, name, name_text(name), value);
}

void value_put_str(struct arena *a, struct value *object, struct str name, struct value *value)
{
    put(a, object, name_find(name), name, value);
}

bool value_del(struct value *object, name_id name)
{
    return name != NAME_UNKNOWN && value_del_str(object, name_text(name));
}

bool value_del_str(struct value *object, struct str name)
{
    if (!object || object->type != VALUE_OBJECT)
        return false;
    uint32_t i = member_find(object, name_find(name), name);
    if (i == object->members_count)
        return false;
    remove_member(object, i);
    return true;
}

void value_append(struct arena *a, struct value *array, struct value *item)
{
    value_insert(a, array, array->items_count, item);
}

void value_insert(struct arena *a, struct value *array, size_t i, struct value *item)
{
    assert(array->type == VALUE_ARRAY && i <= array->items_count);
    array->items = grow(a, array->items, array->items_count, &array->items_capacity, sizeof(struct value *));
    memmove(&array->items[i + 1], &array->items[i], (array->items_count - i) * sizeof(struct value *));
    array->items[i] = item;
    array->items_count++;
}

void value_remove(struct value *array, size_t i)
{
    assert(array->type == VALUE_ARRAY && i < array->items_count);
    array->items_count--;
    memmove(&array->items[i], &array->items[i + 1], (array->items_count - i) * sizeof(struct value *));
}

static struct value *make(struct arena *a, struct value *object, name_id name, enum value_type type)
{
    struct value *v = value_get(object, name);
    if (value_type(v) == type)
        return v;
    v = new_value(a, type);
    value_put(a, object, name, v);
    return v;
}

struct value *value_make_object(struct arena *a, struct value *object, name_id name)
{
    return make(a, object, name, VALUE_OBJECT);
}

struct value *value_make_array(struct arena *a, struct value *object, name_id name)
{
    return make(a, object, name, VALUE_ARRAY);
}

void value_set(struct arena *a, struct value *object, name_id name, struct str s)
{
    value_put(a, object, name, value_str(a, s));
}

void value_set_text(struct arena *a, struct value *object, name_id name, const char *literal)
{
    value_put(a, object, name, value_text(a, literal));
}

void value_set_int(struct arena *a, struct value *object, name_id name, int64_t i)
{
    value_put(a, object, name, value_int(a, i));
}

void value_set_bool(struct arena *a, struct value *object, name_id name, bool b)
{
    value_put(a, object, name, value_bool(a, b));
}
