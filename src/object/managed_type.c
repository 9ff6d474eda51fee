/* How a schema owns values: forms, members, and the path elements of list items. */
#include "object/managed_type.h"

#include <stdlib.h>

enum managed_form managed_form(const struct managed_type *t, const struct value *v)
{
    if (!t->schema || t->schema->type == SCHEMA_RAW || t->schema->type == SCHEMA_JSON ||
        t->schema->type == SCHEMA_FIELDS_V1) {
        if (value_type(v) == VALUE_OBJECT)
            return FORM_MAP;
        return value_type(v) == VALUE_ARRAY ? FORM_LIST : FORM_LEAF;
    }
    if (t->schema->type == SCHEMA_OBJECT || t->schema->type == SCHEMA_MAP)
        return FORM_MAP;
    return t->schema->type == SCHEMA_LIST ? FORM_LIST : FORM_LEAF;
}

bool managed_is_atomic(const struct managed_type *t, enum managed_form form)
{
    if (t->atomic)
        return true;
    if (form == FORM_LIST)
        return !t->schema || t->schema->type != SCHEMA_LIST || t->schema->list_type == LIST_ATOMIC;
    return t->schema && t->schema->atomic;
}

struct managed_type managed_member(const struct managed_type *t, name_id id, bool *ret_known)
{
    struct managed_type member = { 0 };
    const struct schema_field *field = NULL;

    if (t->schema && t->schema->type == SCHEMA_MAP)
        member.schema = t->schema->item;
    else if (t->schema && t->schema->type == SCHEMA_OBJECT && (field = schema_field(t->schema, id)))
        member = (struct managed_type){ field->schema, field->flags & FIELD_ATOMIC };
    if (ret_known)
        *ret_known = field != NULL;
    return member;
}

struct managed_type managed_item(const struct managed_type *t)
{
    return (struct managed_type){ t->schema && t->schema->type == SCHEMA_LIST ? t->schema->item : NULL, false };
}

/* The default of a key field: the declared one, or Go's zero value where the field cannot be absent. */
static const struct value *key_default(struct arena *a, const struct schema *item, struct str key)
{
    const struct schema_field *field = schema_field_str(item, key);

    if (!field)
        return NULL;
    if (field->default_json)
        return value_parse(a, str_of(field->default_json), NULL, NULL);
    if (field->flags & (FIELD_OMITEMPTY | FIELD_POINTER))
        return NULL;
    switch (field->schema->type) {
    case SCHEMA_STRING:
        return value_text(a, "");
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return value_int(a, 0);
    case SCHEMA_BOOL:
        return value_bool(a, false);
    default:
        return NULL;
    }
}

static int member_compare(const void *a, const void *b)
{
    return str_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int key_element(struct arena *a, const struct schema *list, const struct value *item, struct element *ret,
                       struct error *err)
{
    uint32_t names = 0;
    struct value *key;

    if (value_type(item) != VALUE_OBJECT)
        return fail(err, ERR_INTERNAL,
                    value_type(item) == VALUE_NULL ? "associative list with keys may not have a null element"
                                                   : "associative list with keys may not have non-map elements");
    while (list->list_map_keys && list->list_map_keys[names])
        names++;
    key = value_object(a);
    key->members = arena_alloc_array(a, MAX(names, 1), sizeof(*key->members));
    key->members_capacity = names;
    for (const char *const *name = list->list_map_keys; name && *name; name++) {
        const struct value *part = value_get_str(item, str_of(*name));

        if (!part)
            part = key_default(a, list->item, str_of(*name));
        if (part)
            value_add_member(a, key, name_find(str_of(*name)), str_of(*name), (struct value *)part);
    }
    if (key->members_count == 0)
        return fail(err, ERR_INTERNAL,
                    "associative list with keys has an element that omits all key fields (and doesn't have default "
                    "values for any key fields)");
    qsort(key->members, key->members_count, sizeof(*key->members), member_compare);
    *ret = (struct element){ .type = ELEMENT_KEY, .value = key };
    return 0;
}

int managed_element(struct arena *a, const struct managed_type *list, const struct value *item, uint32_t i,
                    struct element *ret, struct error *err)
{
    *ret = (struct element){ .type = ELEMENT_INDEX, .index = i };
    if (list->schema->list_type == LIST_MAP)
        return key_element(a, list->schema, item, ret, err);
    switch (value_type(item)) {
    case VALUE_OBJECT:
        return fail(err, ERR_INTERNAL, "associative list without keys has an element that's a map type");
    case VALUE_ARRAY:
        return fail(err, ERR_INTERNAL, "not supported: associative list with lists as elements");
    case VALUE_NULL:
    case VALUE_ABSENT:
        return fail(err, ERR_INTERNAL, "associative list without keys has an element that's an explicit null");
    default:
        *ret = (struct element){ .type = ELEMENT_VALUE, .value = item };
        return 0;
    }
}

static int item_compare(const void *a, const void *b)
{
    const struct managed_item_at *x = a, *y = b;
    int c = element_compare(&x->element, &y->element);

    return c != 0 ? c : (x->at > y->at) - (x->at < y->at);
}

struct managed_items managed_items(struct arena *a, const struct managed_type *list, const struct value *v)
{
    struct managed_items items = { .count = value_type(v) == VALUE_ARRAY ? v->items_count : 0 };
    bool ordered = true;

    if (!a)
        a = &items.own;
    items.sorted = arena_alloc_array(a, MAX(items.count, 1), sizeof(*items.sorted));
    items.elements = arena_alloc_array(a, MAX(items.count, 1), sizeof(*items.elements));
    for (uint32_t i = 0; i < items.count; i++) {
        managed_element(a, list, v->items[i], i, &items.elements[i], NULL);
        items.sorted[i] = (struct managed_item_at){ items.elements[i], i, v->items[i] };
        ordered = ordered && (i == 0 || element_compare(&items.elements[i - 1], &items.elements[i]) <= 0);
    }
    if (!ordered)
        qsort(items.sorted, items.count, sizeof(*items.sorted), item_compare);
    return items;
}

void managed_items_done(struct managed_items *items)
{
    arena_done(&items->own);
}

uint32_t managed_items_find(const struct managed_items *items, const struct element *e,
                            const struct managed_item_at **ret)
{
    uint32_t low = 0, high = items->count, count = 0;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (element_compare(&items->sorted[middle].element, e) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret = &items->sorted[low];
    while (low + count < items->count && element_compare(&items->sorted[low + count].element, e) == 0)
        count++;
    return count;
}
