/* What may be applied: values of the schema's types, known fields only, no duplicate keys. Source: structured-merge-diff, typed/validate.go. */
#include "object/managed_type.h"
#include "object/schema_walk.h"

#define ERRORS_MAX 20

struct checking {
    struct arena *arena;
    struct buf path;
    struct buf errors;
    size_t count;
};

static void report(struct checking *c, const char *format, ...) PRINTF(2, 3);

static void report(struct checking *c, const char *format, ...)
{
    va_list args;

    if (c->count++ >= ERRORS_MAX)
        return;
    va_start(args, format);
    struct str text = arena_vprintf(c->arena, format, args);
    va_end(args);
    if (c->count > 1)
        buf_add_text(&c->errors, "\n  ");
    if (c->path.n)
        buf_addf(&c->errors, "%.*s: ", (int)c->path.n, c->path.p);
    buf_add(&c->errors, text);
}

static const char *go_type(const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        return "bool";
    case VALUE_INT:
        return "int64";
    case VALUE_DOUBLE:
        return "float64";
    case VALUE_STRING:
        return "string";
    case VALUE_ARRAY:
        return "[]interface {}";
    default:
        return "map[string]interface {}";
    }
}

static struct str go_text(struct checking *c, const struct value *v)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    value_write_go(&text, v);
    return arena_str(c->arena, buf_str(&text));
}

static bool is_number(const struct value *v)
{
    return v->type == VALUE_INT || v->type == VALUE_DOUBLE;
}

static void check_leaf(struct checking *c, const struct schema *s, const struct value *v)
{
    struct str text = go_text(c, v);

    if (!s || v->type == VALUE_NULL)
        return;
    switch (s->type) {
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        if (v->type != VALUE_STRING)
            report(c, "expected string, got &value.valueUnstructured{Value:%.*s}", STR_ARG(text));
        break;
    case SCHEMA_BOOL:
        if (v->type != VALUE_BOOL)
            report(c, "expected boolean, got &{%.*s}", STR_ARG(text));
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT32:
    case SCHEMA_DOUBLE:
        if (!is_number(v))
            report(c, "expected numeric (int or float), got %s", go_type(v));
        break;
    default:
        if (v->type == VALUE_ARRAY || v->type == VALUE_OBJECT)
            report(c, "expected any scalar, got &{%.*s}", STR_ARG(text));
    }
}

static void check(struct checking *c, const struct managed_type *t, const struct value *v);

static void check_list(struct checking *c, const struct managed_type *t, const struct value *v)
{
    bool associative = t->schema && t->schema->type == SCHEMA_LIST && t->schema->list_type != LIST_ATOMIC;
    struct managed_type type = managed_item(t);
    struct managed_set seen = { 0 };
    size_t before = c->path.n;

    for (uint32_t i = 0; i < v->items_count; i++) {
        AUTO_ERROR struct error error = { 0 };
        struct managed_node node = { .element = { .type = ELEMENT_INDEX, .index = i }, .member = true };

        if (associative && managed_element(c->arena, t, v->items[i], i, &node.element, &error) < 0) {
            report(c, "element %u: %s", i, error_text(&error));
            continue;
        }
        if (associative)
            set_append(c->arena, &seen, &node);
        element_write(&c->path, &node.element);
        check(c, &type, v->items[i]);
        buf_truncate(&c->path, before);
    }
    uint32_t appended = seen.count;
    set_sort(c->arena, &seen);
    if (seen.count == appended)
        return;
    AUTO_ITEMS struct managed_items items = managed_items(NULL, t, v);
    for (uint32_t i = 1; i < items.count; i++) {
        AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
        if (element_compare(&items.sorted[i - 1].element, &items.sorted[i].element) != 0)
            continue;
        element_write(&text, &items.sorted[i].element);
        report(c, "duplicate entries for key %s", text.p ? text.p : "");
    }
}

static void check_map(struct checking *c, const struct managed_type *t, const struct value *v)
{
    size_t before = c->path.n;

    for (uint32_t i = 0; i < v->members_count; i++) {
        const struct member *m = &v->members[i];
        struct element e = element_field(m->name);
        bool known;
        struct managed_type type = managed_member(t, m->id, &known);

        element_write(&c->path, &e);
        if (!known && t->schema && t->schema->type == SCHEMA_OBJECT)
            report(c, "field not declared in schema");
        else
            check(c, &type, m->value);
        buf_truncate(&c->path, before);
    }
}

static void check(struct checking *c, const struct managed_type *t, const struct value *v)
{
    enum managed_form form = managed_form(t, v);

    if (v->type == VALUE_NULL)
        return;
    if (form == FORM_LEAF)
        check_leaf(c, t->schema, v);
    else if (form == FORM_LIST && v->type != VALUE_ARRAY)
        report(c, "expected list, got &{%.*s}", STR_ARG(go_text(c, v)));
    else if (form == FORM_MAP && v->type != VALUE_OBJECT)
        report(c, "expected map, got &{%.*s}", STR_ARG(go_text(c, v)));
    else if (form == FORM_LIST)
        check_list(c, t, v);
    else
        check_map(c, t, v);
}

int managed_validate(struct arena *a, const struct schema *s, const struct value *v, struct error *err)
{
    struct checking c = { .arena = a, .path = BUF_MAX(16 * KIB), .errors = BUF_MAX(64 * KIB) };
    struct managed_type root = { s, false };
    int result = 0;

    check(&c, &root, v);
    if (c.count == 1)
        result = fail(err, ERR_INTERNAL, "%.*s", (int)c.errors.n, c.errors.p);
    else if (c.count > 1)
        result = fail(err, ERR_INTERNAL, "errors:\n  %.*s", (int)c.errors.n, c.errors.p);
    buf_done(&c.path);
    buf_done(&c.errors);
    return result;
}
