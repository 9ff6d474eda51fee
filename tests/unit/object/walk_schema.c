/* The tables of Thing, as the generator would write them. */
#include "walk_schema.h"
#include "test.h"

#include <stdlib.h>

enum {
    N_none,
    N_apiVersion,
    N_kind,
    N_metadata,
    N_spec,
    N_status,
    N_name,
    N_namespace,
    N_uid,
    N_labels,
    N_annotations,
    N_creationTimestamp,
    N_finalizers,
    N_managedFields,
    N_manager,
    N_operation,
    N_time,
    N_fieldsType,
    N_fieldsV1,
    N_subresource,
    N_replicas,
    N_ports,
    N_port,
    N_protocol,
    N_tags,
    N_args,
    N_limits,
    N_target,
    N_secret,
    N_selector,
    N_extra,
    N_items,
    N_phase,
    N_since,
    N_enabled,
    N_box,
    N_whole,
    N_count,
};

static const struct str names[N_count] = {
    STR_INIT(""),           STR_INIT("apiVersion"),    STR_INIT("kind"),        STR_INIT("metadata"),
    STR_INIT("spec"),       STR_INIT("status"),        STR_INIT("name"),        STR_INIT("namespace"),
    STR_INIT("uid"),        STR_INIT("labels"),        STR_INIT("annotations"), STR_INIT("creationTimestamp"),
    STR_INIT("finalizers"), STR_INIT("managedFields"), STR_INIT("manager"),     STR_INIT("operation"),
    STR_INIT("time"),       STR_INIT("fieldsType"),    STR_INIT("fieldsV1"),    STR_INIT("subresource"),
    STR_INIT("replicas"),   STR_INIT("ports"),         STR_INIT("port"),        STR_INIT("protocol"),
    STR_INIT("tags"),       STR_INIT("args"),          STR_INIT("limits"),      STR_INIT("target"),
    STR_INIT("secret"),     STR_INIT("selector"),      STR_INIT("extra"),       STR_INIT("items"),
    STR_INIT("phase"),      STR_INIT("since"),         STR_INIT("enabled"),     STR_INIT("box"),
    STR_INIT("whole"),
};

#define OMIT FIELD_OMITEMPTY
#define FIELD(n, f, number, type, ...)                                                                                 \
    {                                                                                                                  \
        .name = N_##n, .flags = (f), .proto_number = (number), .schema = &(type), ##__VA_ARGS__                        \
    }
#define TYPE(go, kind_, ...)                                                                                           \
    {                                                                                                                  \
        .type = SCHEMA_##kind_, .go_name = go, ##__VA_ARGS__                                                           \
    }

static const struct schema string = TYPE("string", STRING), int32 = TYPE("int32", INT32), int64 = TYPE("int64", INT64),
                           boolean = TYPE("bool", BOOL), bytes = TYPE("[]byte", BYTES), time_ = TYPE("v1.Time", TIME),
                           quantity = TYPE("resource.Quantity", QUANTITY),
                           int_or_string = TYPE("intstr.IntOrString", INT_OR_STRING),
                           fields_v1 = TYPE("v1.FieldsV1", FIELDS_V1), raw = TYPE("runtime.RawExtension", RAW);
static const struct schema map_string = TYPE("map[string]string", MAP, .item = &string);
static const struct schema map_atomic = TYPE("map[string]string", MAP, .item = &string, .atomic = true);
static const struct schema limits = TYPE("v1.Limits", MAP, .item = &quantity);
static const struct schema list_set = TYPE("[]string", LIST, .item = &string, .list_type = LIST_SET);
static const struct schema list_atomic = TYPE("[]string", LIST, .item = &string, .atomic = true);

#define STRUCT(id, openapi, go, ...)                                                                                   \
    static uint16_t id##_by_name[ARRAY_SIZE(id##_fields)];                                                             \
    static const struct schema id = { .type = SCHEMA_OBJECT,                                                           \
                                      .name = openapi,                                                                 \
                                      .go_name = go,                                                                   \
                                      .fields = id##_fields,                                                           \
                                      .fields_count = ARRAY_SIZE(id##_fields),                                         \
                                      .fields_by_name = id##_by_name,                                                  \
                                      ##__VA_ARGS__ }

static const struct schema_field entry_fields[] = {
    FIELD(manager, OMIT, 1, string),     FIELD(operation, OMIT, 2, string),
    FIELD(apiVersion, OMIT, 3, string),  FIELD(time, OMIT | FIELD_POINTER, 4, time_),
    FIELD(fieldsType, OMIT, 6, string),  FIELD(fieldsV1, OMIT | FIELD_POINTER, 7, fields_v1),
    FIELD(subresource, OMIT, 8, string),
};
STRUCT(entry, "org.example.v1.ManagedFieldsEntry", "v1.ManagedFieldsEntry");
static const struct schema entries = TYPE("[]v1.ManagedFieldsEntry", LIST, .item = &entry, .atomic = true);

static const struct schema_field meta_fields[] = {
    FIELD(name, OMIT, 1, string),
    FIELD(namespace, OMIT, 3, string),
    FIELD(uid, OMIT, 5, string),
    FIELD(creationTimestamp, OMIT, 8, time_),
    FIELD(labels, OMIT, 11, map_string),
    FIELD(annotations, OMIT, 12, map_string),
    FIELD(finalizers, OMIT | FIELD_PATCH_MERGE, 14, list_set),
    FIELD(managedFields, OMIT, 17, entries),
};
STRUCT(meta, "org.example.v1.ObjectMeta", "v1.ObjectMeta");

static const struct schema_field port_fields[] = {
    FIELD(name, OMIT, 1, string),
    FIELD(port, FIELD_REQUIRED, 3, int32),
    FIELD(protocol, OMIT, 2, string, .default_json = "\"TCP\""),
    FIELD(target, OMIT | FIELD_POINTER, 4, int_or_string),
};
STRUCT(port, "org.example.v1.Port", "v1.Port");
static const char *const port_keys[] = { "port", "protocol", NULL };
static const struct schema ports =
    TYPE("[]v1.Port", LIST, .item = &port, .list_type = LIST_MAP, .list_map_keys = port_keys);

static const struct schema_field box_fields[] = { FIELD(name, OMIT, 1, string, .doc = "Its name."),
                                                  FIELD(since, OMIT, 2, time_) };
STRUCT(box, "org.example.v1.Box", "v1.Box");
static const struct schema_field whole_fields[] = { FIELD(name, OMIT, 1, string), FIELD(phase, OMIT, 2, string) };
STRUCT(whole, "org.example.v1.Whole", "v1.Whole", .atomic = true);

static const struct schema_field spec_fields[] = {
    FIELD(replicas, OMIT | FIELD_POINTER, 1, int32),
    FIELD(selector, OMIT, 2, map_atomic),
    FIELD(ports, OMIT | FIELD_PATCH_MERGE, 3, ports, .patch_merge_key = "port"),
    FIELD(tags, OMIT | FIELD_PATCH_MERGE, 4, list_set),
    FIELD(args, OMIT, 5, list_atomic),
    FIELD(limits, OMIT, 6, limits),
    FIELD(target, OMIT | FIELD_POINTER, 7, int_or_string),
    FIELD(secret, OMIT, 8, bytes),
    FIELD(items, FIELD_REQUIRED, 9, list_atomic),
    FIELD(box, OMIT, 10, box),
    FIELD(whole, OMIT | FIELD_POINTER, 11, whole),
    FIELD(extra, OMIT | FIELD_POINTER, 12, raw),
    FIELD(enabled, 0, 13, boolean),
};
STRUCT(spec, "org.example.v1.ThingSpec", "v1.ThingSpec");
static const struct schema_field status_fields[] = { FIELD(phase, OMIT, 1, string), FIELD(replicas, OMIT, 2, int64) };
STRUCT(status, "org.example.v1.ThingStatus", "v1.ThingStatus");
static const struct schema_field thing_fields[] = {
    FIELD(kind, OMIT, 0, string), FIELD(apiVersion, OMIT, 0, string), FIELD(metadata, OMIT, 1, meta),
    FIELD(spec, OMIT, 2, spec),   FIELD(status, OMIT, 3, status),
};
STRUCT(thing, "org.example.v1.Thing", "v1.Thing", .group = "example.org", .version = "v1", .kind = "Thing");

static void sort_fields(uint16_t *by_name, const struct schema_field *fields, size_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        size_t to = i;
        for (; to > 0 && fields[by_name[to - 1]].name > fields[i].name; to--)
            by_name[to] = by_name[to - 1];
        by_name[to] = i;
    }
}

const struct schema *thing_schema(void)
{
    name_table_set(names, N_count);
#define SORT(id) sort_fields(id##_by_name, id##_fields, ARRAY_SIZE(id##_fields))
    SORT(entry), SORT(meta), SORT(port), SORT(box), SORT(whole), SORT(spec), SORT(status), SORT(thing);
    return &thing;
}

struct value *parse_json(struct arena *a, const char *text)
{
    AUTO_ERROR struct error err = { 0 };
    struct value *v = value_parse(a, str_of(text), NULL, &err);

    if (!v)
        FAIL("%s: %s", text, error_text(&err));
    return v;
}

struct str json_of(struct arena *a, const struct value *v)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);

    value_write(&text, v);
    return arena_str(a, buf_str(&text));
}
