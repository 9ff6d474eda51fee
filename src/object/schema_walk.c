/* The walk over a tree by its schema: decode, prune, order, leave out what Go's encoder leaves out. */
#include "object/schema_internal.h"
#include "object/value_index.h"

#include <stdlib.h>

#define FIELDS_MAX 128 /* of one type; the largest has 43 */

static struct value *walk_value(struct schema_walk *w, const struct schema *s, struct value *v,
                                const struct schema_frame *f);

static bool is_null(const struct value *v)
{
    return !v || v->type == VALUE_NULL;
}

/* encoding/json's isEmptyValue: structs are never empty. */
static bool is_empty(const struct schema *s, const struct value *v)
{
    switch (s->type) {
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return v->type != VALUE_STRING || v->string.n == 0;
    case SCHEMA_BOOL:
        return !value_to_bool(v, false);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT32:
        return v->type != VALUE_INT || v->integer == 0;
    case SCHEMA_DOUBLE:
        return v->type == VALUE_DOUBLE ? v->number == 0 : v->type != VALUE_INT || v->integer == 0;
    case SCHEMA_MAP:
        return v->type != VALUE_OBJECT || v->members_count == 0;
    case SCHEMA_LIST:
        return v->type != VALUE_ARRAY || v->items_count == 0;
    case SCHEMA_JSON:
        return v->type == VALUE_NULL;
    default:
        return false;
    }
}

static bool can_be_empty(const struct schema *s)
{
    switch (s->type) {
    case SCHEMA_OBJECT:
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_DURATION:
    case SCHEMA_QUANTITY:
    case SCHEMA_INT_OR_STRING:
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
        return false;
    default:
        return true;
    }
}

/* meta/v1 ObjectMeta.creationTimestamp is omitzero since 1.34, the only time that is; all others are written as null. */
static bool is_omitzero(const struct schema *holder, const struct schema_field *field)
{
    return field->schema->type == SCHEMA_TIME && holder->go_name && strcmp(holder->go_name, "v1.ObjectMeta") == 0;
}

/* "managedFields": [] asks to forget all managers, which an absent field does not: it stays until managed_update() saw it. */
static bool is_reset_of_managers(const struct schema_field *field, const struct value *v)
{
    const struct schema *s = field->schema;

    return s->type == SCHEMA_LIST && value_type(v) == VALUE_ARRAY && s->item->go_name &&
           strcmp(s->item->go_name, "v1.ManagedFieldsEntry") == 0;
}

/* The value of one field as Go writes it; NULL when it is left out. */
static struct value *walk_field(struct schema_walk *w, const struct schema *holder, const struct schema_field *field,
                                struct value *v, const struct schema_frame *f)
{
    bool omitempty = field->flags & FIELD_OMITEMPTY;

    if (is_null(v) && (field->flags & FIELD_POINTER))
        return omitempty ? NULL : value_null(w->arena);
    if (is_null(v) && omitempty && can_be_empty(field->schema))
        return NULL;
    v = walk_value(w, field->schema, v, f);
    if ((field->flags & FIELD_POINTER) || is_reset_of_managers(field, v))
        return v;
    if (omitempty && (is_empty(field->schema, v) || (v->type == VALUE_NULL && is_omitzero(holder, field))))
        return NULL;
    /* Upstream's storage form does not tell an empty list from an absent one, so answers never show []. */
    if (field->schema->type == SCHEMA_LIST && is_empty(field->schema, v))
        return value_null(w->arena);
    return v;
}

/*
 * JSON is read in the order of the text, so that the first error is the one upstream reports; an unstructured object is
 * converted in the order of the struct's fields.
 */
static void walk_members(struct schema_walk *w, const struct schema *s, struct value *v, struct value **slots,
                         bool *present, const struct schema_frame *up)
{
    for (uint32_t i = 0; i < v->members_count && !w->aborted; i++) {
        const struct schema_field *field = v->members[i].id ? schema_field(s, v->members[i].id) : NULL;

        if (!field) {
            schema_unknown_field(w, up, v->members[i].name);
            continue;
        }
        size_t at = (size_t)(field - s->fields);
        present[at] = true;
        slots[at] = v->members[i].value;
        if (w->style != SCHEMA_CONVERT) {
            struct schema_frame f = { .up = up, .name = name_text(field->name), .index = -1, .holder = s };
            slots[at] = walk_field(w, s, field, slots[at], &f);
        }
    }
}

static struct value *walk_object(struct schema_walk *w, const struct schema *s, struct value *v,
                                 const struct schema_frame *up)
{
    struct value *slots[FIELDS_MAX];
    bool present[FIELDS_MAX];

    assert(s->fields_count <= FIELDS_MAX);
    memset(slots, 0, s->fields_count * sizeof(*slots));
    memset(present, 0, s->fields_count * sizeof(*present));
    walk_members(w, s, v, slots, present, up);

    uint32_t count = 0;
    for (size_t i = 0; i < s->fields_count && !w->aborted; i++) {
        if (!present[i] || w->style == SCHEMA_CONVERT) {
            struct schema_frame f = { .up = up, .name = name_text(s->fields[i].name), .index = -1, .holder = s };
            slots[i] = walk_field(w, s, &s->fields[i], slots[i], &f);
        }
        count += slots[i] != NULL;
    }
    if (v->members_capacity < count) {
        v->members = arena_alloc_array(w->arena, count, sizeof(*v->members));
        v->members_capacity = count;
    }
    v->members_count = 0;
    for (size_t i = 0; i < s->fields_count && !w->aborted; i++)
        if (slots[i])
            v->members[v->members_count++] =
                (struct member){ name_text(s->fields[i].name), s->fields[i].name, slots[i] };
    return v;
}

static int member_compare(const void *a, const void *b)
{
    return str_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static struct value *walk_map(struct schema_walk *w, const struct schema *s, struct value *v,
                              const struct schema_frame *up)
{
    bool sorted = true;

    for (uint32_t i = 0; i < v->members_count && !w->aborted; i++) {
        struct schema_frame f = { .up = up, .name = v->members[i].name, .index = -1 };

        v->members[i].value = walk_value(w, s->item, v->members[i].value, &f);
        sorted = sorted && (i == 0 || str_cmp(v->members[i - 1].name, v->members[i].name) <= 0);
    }
    if (!sorted)
        qsort(v->members, v->members_count, sizeof(*v->members), member_compare);
    return v;
}

static struct value *walk_list(struct schema_walk *w, const struct schema *s, struct value *v,
                               const struct schema_frame *up)
{
    for (uint32_t i = 0; i < v->items_count && !w->aborted; i++) {
        struct schema_frame f = { .up = up, .index = i };

        v->items[i] = walk_value(w, s->item, v->items[i], &f);
    }
    return v;
}

/* Never NULL; null and absent give the zero value of the type. */
static struct value *walk_value(struct schema_walk *w, const struct schema *s, struct value *v,
                                const struct schema_frame *f)
{
    enum value_type wanted = s->type == SCHEMA_LIST ? VALUE_ARRAY : VALUE_OBJECT;

    if (s->type == SCHEMA_OBJECT && is_null(v))
        v = value_object(w->arena);
    if (is_null(v))
        return schema_scalar_zero(w->arena, s);
    if (s->type != SCHEMA_OBJECT && s->type != SCHEMA_MAP && s->type != SCHEMA_LIST)
        return schema_scalar(w, s, v, f);
    if (v->type != wanted) {
        schema_type_error(w, s, v, false, f);
        return value_null(w->arena);
    }
    switch (s->type) {
    case SCHEMA_OBJECT:
        return walk_object(w, s, v, f);
    case SCHEMA_MAP:
        return walk_map(w, s, v, f);
    default:
        return walk_list(w, s, v, f);
    }
}

/* "unknown field ..., duplicate field ...": refuse, or warn one by one. */
static int report_problems(struct schema_walk *w, const struct schema_options *o, struct error *err)
{
    size_t duplicates = o->duplicates ? o->duplicates->items_count : 0;
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);

    for (size_t i = 0; i < MIN(duplicates, (size_t)SCHEMA_STRICT_ERRORS_MAX); i++)
        value_append(w->arena, w->problems,
                     value_strf(w->arena, "duplicate field \"%.*s\"", STR_ARG(o->duplicates->items[i]->string)));
    if (w->problems->items_count == 0)
        return 0;
    for (uint32_t i = 0; i < w->problems->items_count; i++) {
        if (o->validation == FIELD_VALIDATION_WARN && o->warnings)
            value_append(w->arena, o->warnings, w->problems->items[i]);
        if (i > 0)
            buf_add_text(&text, ", ");
        buf_add(&text, w->problems->items[i]->string);
    }
    if (o->validation != FIELD_VALIDATION_STRICT)
        return 0;
    return fail(err, ERR_BAD_REQUEST, "strict decoding error: %.*s", (int)text.n, text.p);
}

static int with_prefix(const struct schema_walk *w, struct error *err)
{
    if (w->style == SCHEMA_DECODE && w->root->kind)
        return error_context(err, "%s in version \"%s\" cannot be handled as a %s", w->root->kind, w->root->version,
                             w->root->kind);
    return -1;
}

int schema_normalize(struct arena *a, const struct schema *schema, struct value *tree,
                     const struct schema_options *options, struct error *err)
{
    static const struct schema_options plain = { .style = SCHEMA_DECODE };
    const struct schema_options *o = options ? options : &plain;
    struct schema_walk w = { .arena = a,
                             .root = schema,
                             .style = o->style,
                             .strict = o->validation != FIELD_VALIDATION_IGNORE,
                             .problems = value_array(a) };

    struct value *result = walk_value(&w, schema, tree, NULL);
    if (w.failed || w.aborted) {
        error_move(err, &w.error);
        return with_prefix(&w, err);
    }
    if (result != tree)
        *tree = *result;
    if (w.strict && report_problems(&w, o, err) < 0)
        return with_prefix(&w, err);
    return 0;
}

struct value *schema_zero(struct arena *a, const struct schema *schema)
{
    struct schema_walk w = { .arena = a, .root = schema };

    return walk_value(&w, schema, NULL, NULL);
}
