/* Definitions: a schema as JSON Schema in the dialects of OpenAPI 2 and 3, with the extensions Kubernetes' clients read. */
#include "object/openapi_build.h"

static struct value *type_of(struct openapi_build *b, const struct schema *s);

struct value *openapi_ref(struct openapi_build *b, struct str name)
{
    struct value *ref = value_object(b->arena);

    openapi_put(b, ref, "$ref",
                value_strf(b->arena, "#/%s/%.*s", b->version == OPENAPI_V2 ? "definitions" : "components/schemas",
                           STR_ARG(name)));
    return ref;
}

struct value *openapi_gvk(struct openapi_build *b, const struct schema *s)
{
    struct value *gvk = value_object(b->arena);

    openapi_put_text(b, gvk, "group", s->group);
    openapi_put_text(b, gvk, "kind", s->kind);
    openapi_put_text(b, gvk, "version", s->version);
    return gvk;
}

static void put_type(struct openapi_build *b, struct value *to, const char *type, const char *format)
{
    if (format)
        openapi_put_text(b, to, "format", format);
    openapi_put_text(b, to, "type", type);
}

static void put_one_of(struct openapi_build *b, struct value *to, const char *first, const char *second)
{
    const char *const types[] = { first, second };
    struct value *list = value_array(b->arena);

    for (size_t i = 0; i < 2; i++) {
        struct value *one = value_object(b->arena);
        openapi_put_text(b, one, "type", types[i]);
        value_append(b->arena, list, one);
    }
    openapi_put(b, to, "oneOf", list);
}

static void put_scalar(struct openapi_build *b, const struct schema *s, struct value *to)
{
    bool v2 = b->version == OPENAPI_V2;

    switch (s->type) {
    case SCHEMA_BOOL:
        put_type(b, to, "boolean", NULL);
        break;
    case SCHEMA_INT32:
    case SCHEMA_UINT32:
        put_type(b, to, "integer", s->type == SCHEMA_INT32 ? "int32" : "int64");
        break;
    case SCHEMA_INT64:
        put_type(b, to, "integer", "int64");
        break;
    case SCHEMA_DOUBLE:
        put_type(b, to, "number", "double");
        break;
    case SCHEMA_BYTES:
        put_type(b, to, "string", "byte");
        break;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        put_type(b, to, "string", "date-time");
        break;
    case SCHEMA_QUANTITY:
        if (v2)
            put_type(b, to, "string", NULL);
        else
            put_one_of(b, to, "string", "number");
        break;
    case SCHEMA_INT_OR_STRING:
        if (v2) {
            put_type(b, to, "string", "int-or-string");
        } else {
            openapi_put_text(b, to, "format", "int-or-string");
            put_one_of(b, to, "integer", "string");
        }
        break;
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
        put_type(b, to, "object", NULL);
        break;
    case SCHEMA_JSON:
        break;
    default:
        put_type(b, to, "string", NULL);
    }
}

static struct value *texts(struct openapi_build *b, const char *const *list)
{
    struct value *array = value_array(b->arena);

    for (; list && *list; list++)
        value_append(b->arena, array, value_text(b->arena, *list));
    return array;
}

static void put_list(struct openapi_build *b, const struct schema *s, struct value *to)
{
    static const char *const types[] = { [LIST_ATOMIC] = "atomic", [LIST_SET] = "set", [LIST_MAP] = "map" };

    openapi_put(b, to, "items", type_of(b, s->item));
    openapi_put_text(b, to, "type", "array");
    if (s->list_map_keys)
        openapi_put(b, to, "x-kubernetes-list-map-keys", texts(b, s->list_map_keys));
    openapi_put_text(b, to, "x-kubernetes-list-type", types[s->list_type]);
}

/* A schema where it is used: a reference when it has a name, else its type in place. */
static struct value *type_of(struct openapi_build *b, const struct schema *s)
{
    struct value *to;

    if (s->name)
        return openapi_ref(b, str_of(s->name));
    to = value_object(b->arena);
    if (s->type == SCHEMA_LIST) {
        put_list(b, s, to);
    } else if (s->type == SCHEMA_MAP) {
        openapi_put(b, to, "additionalProperties", type_of(b, s->item));
        openapi_put_text(b, to, "type", "object");
        if (s->atomic)
            openapi_put_text(b, to, "x-kubernetes-map-type", "atomic");
    } else {
        put_scalar(b, s, to);
        if (s->enum_values)
            openapi_put(b, to, "enum", texts(b, s->enum_values));
    }
    return to;
}

static struct value *property(struct openapi_build *b, const struct schema_field *f)
{
    struct value *type = type_of(b, f->schema), *to = type;
    bool merge = f->flags & FIELD_PATCH_MERGE, retain = f->flags & FIELD_PATCH_REPLACE_KEYS;

    /* OpenAPI 3 allows nothing beside a reference. */
    if (f->schema->name && b->version == OPENAPI_V3) {
        struct value *all = value_array(b->arena);
        to = value_object(b->arena);
        value_append(b->arena, all, type);
        openapi_put(b, to, "allOf", all);
    }
    if (f->default_json) {
        struct value *value = value_parse(b->arena, str_of(f->default_json), NULL, NULL);
        if (value)
            openapi_put(b, to, "default", value);
    }
    if (f->doc)
        openapi_put_text(b, to, "description", f->doc);
    if ((f->flags & FIELD_ATOMIC) && !f->schema->atomic)
        openapi_put_text(b, to, "x-kubernetes-map-type", "atomic");
    if (f->patch_merge_key)
        openapi_put_text(b, to, "x-kubernetes-patch-merge-key", f->patch_merge_key);
    if (f->flags & FIELD_PATCH_REPLACE)
        openapi_put_text(b, to, "x-kubernetes-patch-strategy", "replace");
    if (merge || retain)
        openapi_put_text(b, to, "x-kubernetes-patch-strategy",
                         merge && retain ? "merge,retainKeys"
                         : merge         ? "merge"
                                         : "retainKeys");
    return to;
}

static void put_gvk_list(struct openapi_build *b, struct value *to, const struct schema *s)
{
    struct value *list = value_array(b->arena);

    value_append(b->arena, list, openapi_gvk(b, s));
    openapi_put(b, to, "x-kubernetes-group-version-kind", list);
}

struct value *openapi_definition(struct openapi_build *b, const struct schema *s)
{
    struct value *to = value_object(b->arena), *properties = value_object(b->arena), *required = value_array(b->arena);

    if (s->doc)
        openapi_put_text(b, to, "description", s->doc);
    if (s->type != SCHEMA_OBJECT) {
        put_scalar(b, s, to);
        return to;
    }
    for (size_t i = 0; i < s->fields_count; i++) {
        const struct schema_field *f = &s->fields[i];
        struct str name = name_text(f->name);

        value_add_member(b->arena, properties, f->name, name, property(b, f));
        if (f->flags & FIELD_REQUIRED)
            value_append(b->arena, required, value_str(b->arena, name));
    }
    if (properties->members_count)
        openapi_put(b, to, "properties", properties);
    if (required->items_count)
        openapi_put(b, to, "required", required);
    openapi_put_text(b, to, "type", "object");
    if (s->kind)
        put_gvk_list(b, to, s);
    if (s->atomic)
        openapi_put_text(b, to, "x-kubernetes-map-type", "atomic");
    return to;
}

struct str openapi_list_name(struct arena *a, const struct openapi_resource *r)
{
    const char *dot = strrchr(r->schema->name, '.');

    return arena_printf(a, "%.*s%s", dot ? (int)(dot + 1 - r->schema->name) : 0, r->schema->name, r->list_kind);
}

static void put_string_property(struct openapi_build *b, struct value *properties, const char *name)
{
    struct value *type = value_object(b->arena);

    openapi_put_text(b, type, "type", "string");
    openapi_put(b, properties, name, type);
}

struct value *openapi_list_definition(struct openapi_build *b, const struct openapi_resource *r)
{
    struct value *to = value_object(b->arena), *properties = value_object(b->arena), *items = value_object(b->arena);
    struct value *gvks = value_array(b->arena), *gvk = value_object(b->arena);

    openapi_put(b, to, "description", value_strf(b->arena, "%s is a list of %s.", r->list_kind, r->schema->kind));
    put_string_property(b, properties, "apiVersion");
    openapi_put(b, items, "items", openapi_ref(b, str_of(r->schema->name)));
    openapi_put_text(b, items, "type", "array");
    openapi_put(b, properties, "items", items);
    put_string_property(b, properties, "kind");
    if (b->api->list_meta)
        openapi_put(b, properties, "metadata", openapi_ref(b, str_of(b->api->list_meta->name)));
    openapi_put(b, to, "properties", properties);
    openapi_put(b, to, "required", texts(b, (const char *const[]){ "items", NULL }));
    openapi_put_text(b, to, "type", "object");
    openapi_put_text(b, gvk, "group", r->schema->group);
    openapi_put_text(b, gvk, "kind", r->list_kind);
    openapi_put_text(b, gvk, "version", r->schema->version);
    value_append(b->arena, gvks, gvk);
    openapi_put(b, to, "x-kubernetes-group-version-kind", gvks);
    return to;
}
