/* OpenAPI v2 in gnostic's protobuf: path items and schemas, from the same trees the JSON is written from. */
#include "object/openapi_build.h"
#include "object/protobuf_wire.h"

static void put_schema(struct wire_back *b, const struct value *s);

static void put_texts(struct wire_back *b, uint32_t number, const struct value *list)
{
    for (uint32_t i = value_type(list) == VALUE_ARRAY ? list->items_count : 0; i > 0; i--)
        wire_put_str(b, number, value_to_str(list->items[i - 1]));
}

static void put_text(struct wire_back *b, uint32_t number, const struct value *v)
{
    if (v && v->type == VALUE_STRING)
        wire_put_str(b, number, v->string);
}

/* Any{ yaml = 2 }: JSON is YAML. */
static void put_any(struct wire_back *b, uint32_t number, const struct value *v)
{
    AUTO_BUF struct buf yaml = BUF_MAX(MIB);
    size_t before = b->n;

    if (!v)
        return;
    value_write(&yaml, v);
    buf_add_char(&yaml, '\n');
    wire_put_str(b, 2, buf_str(&yaml));
    wire_put_message(b, number, before);
}

/* Members named x-...: NamedAny{ name = 1, value = 2 }. */
static void put_extensions(struct wire_back *b, uint32_t number, const struct value *v)
{
    for (uint32_t i = v->members_count; i > 0; i--) {
        const struct member *m = &v->members[i - 1];
        size_t before = b->n;

        if (!str_starts(m->name, STR("x-")))
            continue;
        put_any(b, 2, m->value);
        wire_put_str(b, 1, m->name);
        wire_put_message(b, number, before);
    }
}

static void put_named_schema(struct wire_back *b, uint32_t number, struct str name, const struct value *s)
{
    size_t outer = b->n;

    put_schema(b, s);
    wire_put_message(b, 2, outer);
    wire_put_str(b, 1, name);
    wire_put_message(b, number, outer);
}

/* One schema in a message of its own, e.g. ItemsItem{ schema = 1 }. */
static void put_boxed_schema(struct wire_back *b, uint32_t number, const struct value *s)
{
    size_t before = b->n;

    if (!s)
        return;
    put_schema(b, s);
    wire_put_message(b, 1, before);
    wire_put_message(b, number, before);
}

static void put_properties(struct wire_back *b, uint32_t number, const struct value *properties)
{
    size_t before = b->n;

    if (!properties)
        return;
    for (uint32_t i = properties->members_count; i > 0; i--)
        put_named_schema(b, 1, properties->members[i - 1].name, properties->members[i - 1].value);
    wire_put_message(b, number, before);
}

static struct value *get(const struct value *v, const char *name)
{
    return value_get_str(v, str_of(name));
}

/* The fields of message Schema, highest number first. */
static void put_schema(struct wire_back *b, const struct value *s)
{
    const struct value *type = get(s, "type"), *values = get(s, "enum");

    put_extensions(b, 31, s);
    put_properties(b, 25, get(s, "properties"));
    put_boxed_schema(b, 23, get(s, "items"));
    if (type) {
        size_t before = b->n;
        put_text(b, 1, type);
        wire_put_message(b, 22, before);
    }
    put_boxed_schema(b, 21, get(s, "additionalProperties"));
    for (uint32_t i = value_type(values) == VALUE_ARRAY ? values->items_count : 0; i > 0; i--)
        put_any(b, 20, values->items[i - 1]);
    put_texts(b, 19, get(s, "required"));
    put_any(b, 5, get(s, "default"));
    put_text(b, 4, get(s, "description"));
    put_text(b, 2, get(s, "format"));
    put_text(b, 1, get(s, "$ref"));
}

/* ParametersItem{ parameter = 1 { body_parameter = 1 | non_body_parameter = 2 { query = 3 | path = 4 } } }. */
static void put_parameter(struct wire_back *b, uint32_t number, const struct value *p)
{
    struct str in = value_to_str(get(p, "in"));
    size_t outer = b->n;

    if (str_is(in, "body")) {
        put_schema(b, get(p, "schema"));
        wire_put_message(b, 5, outer);
        if (value_to_bool(get(p, "required"), false))
            wire_put_integer(b, 4, 1);
        put_text(b, 3, get(p, "in"));
        put_text(b, 2, get(p, "name"));
        wire_put_message(b, 1, outer);
    } else {
        bool query = str_is(in, "query");

        if (value_to_bool(get(p, "uniqueItems"), false))
            wire_put_integer(b, query ? 20 : 19, 1);
        put_text(b, query ? 6 : 5, get(p, "type"));
        put_text(b, 4, get(p, "name"));
        put_text(b, 3, get(p, "description"));
        put_text(b, 2, get(p, "in"));
        if (value_to_bool(get(p, "required"), false))
            wire_put_integer(b, 1, 1);
        wire_put_message(b, query ? 3 : 4, outer);
        wire_put_message(b, 2, outer);
    }
    wire_put_message(b, 1, outer);
    wire_put_message(b, number, outer);
}

static void put_parameters(struct wire_back *b, uint32_t number, const struct value *list)
{
    for (uint32_t i = value_type(list) == VALUE_ARRAY ? list->items_count : 0; i > 0; i--)
        put_parameter(b, number, list->items[i - 1]);
}

/* Responses{ response_code = 1 { name = 1, value = 2 { response = 1 { description = 1, schema = 2 { schema = 1 } } } } }. */
static void put_responses(struct wire_back *b, uint32_t number, const struct value *responses)
{
    size_t all = b->n;

    for (uint32_t i = responses ? responses->members_count : 0; i > 0; i--) {
        const struct member *m = &responses->members[i - 1];
        size_t before = b->n;

        put_boxed_schema(b, 2, get(m->value, "schema"));
        put_text(b, 1, get(m->value, "description"));
        wire_put_message(b, 1, before);
        wire_put_message(b, 2, before);
        wire_put_str(b, 1, m->name);
        wire_put_message(b, 1, before);
    }
    wire_put_message(b, number, all);
}

static void put_operation(struct wire_back *b, uint32_t number, const struct value *op)
{
    size_t before = b->n;

    if (!op)
        return;
    put_extensions(b, 13, op);
    put_texts(b, 10, get(op, "schemes"));
    put_responses(b, 9, get(op, "responses"));
    put_parameters(b, 8, get(op, "parameters"));
    put_texts(b, 7, get(op, "consumes"));
    put_texts(b, 6, get(op, "produces"));
    put_text(b, 5, get(op, "operationId"));
    put_text(b, 3, get(op, "description"));
    put_texts(b, 1, get(op, "tags"));
    wire_put_message(b, number, before);
}

static void take(struct buf *to, struct wire_back *b)
{
    if (b->full)
        to->full = true;
    else
        buf_add(to, wire_back_str(b));
    wire_back_done(b);
}

void openapi_put_schema(struct buf *to, uint32_t number, struct str name, const struct value *schema)
{
    struct wire_back b = { .max = to->max };

    put_named_schema(&b, number, name, schema);
    take(to, &b);
}

/* NamedPathItem{ name = 1, value = 2 PathItem }. */
void openapi_put_path(struct buf *to, uint32_t number, struct str path, const struct value *item)
{
    struct wire_back b = { .max = to->max };

    put_parameters(&b, 9, get(item, "parameters"));
    put_operation(&b, 8, get(item, "patch"));
    put_operation(&b, 5, get(item, "delete"));
    put_operation(&b, 4, get(item, "post"));
    put_operation(&b, 3, get(item, "put"));
    put_operation(&b, 2, get(item, "get"));
    wire_put_message(&b, 2, 0);
    wire_put_str(&b, 1, path);
    wire_put_message(&b, number, 0);
    take(to, &b);
}
