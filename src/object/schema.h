/*
 * A schema describes the values of one type. Built-in types are tables generated at build time from API facts; custom
 * resources will be tables made at run time. Decoding, pruning, defaults, patches, field ownership, protobuf, OpenAPI and
 * explain are walkers over (value, schema); each exists once, and none of them knows a kind.
 *
 * All tables are constant and shared by all threads.
 */
#ifndef OBJECT_SCHEMA_H
#define OBJECT_SCHEMA_H

#include "object/value.h"

enum schema_type {
    SCHEMA_OBJECT, /* known fields */
    SCHEMA_MAP,    /* any keys, values of `item` */
    SCHEMA_LIST,   /* values of `item` */
    SCHEMA_STRING,
    SCHEMA_BOOL,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_UINT32,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES, /* Go []byte: base64 text in JSON */
    SCHEMA_TIME,  /* meta/v1 Time: RFC 3339, seconds; null when unset */
    SCHEMA_MICRO_TIME,
    SCHEMA_DURATION, /* meta/v1 Duration: "1h30m" */
    SCHEMA_QUANTITY, /* resource.Quantity: string or number in, canonical string out */
    SCHEMA_INT_OR_STRING,
    SCHEMA_FIELDS_V1, /* meta/v1 FieldsV1: any object; bytes of JSON in protobuf */
    SCHEMA_RAW,       /* runtime.RawExtension: any object; its JSON in protobuf's field 1 */
    SCHEMA_JSON,      /* any JSON value */
};

enum list_type { LIST_ATOMIC, LIST_SET, LIST_MAP }; /* x-kubernetes-list-type; Go lists without a marker are atomic */

enum field_flags {
    FIELD_REQUIRED = 1 << 0,           /* marked required: no "optional" marker (OpenAPI "required") */
    FIELD_OMITEMPTY = 1 << 1,          /* Go's omitempty: the zero value is left out when encoding */
    FIELD_POINTER = 1 << 2,            /* Go pointer: zero differs from absent */
    FIELD_PATCH_MERGE = 1 << 3,        /* patchStrategy=merge */
    FIELD_PATCH_REPLACE_KEYS = 1 << 4, /* patchStrategy=retainKeys */
    FIELD_ATOMIC = 1 << 5,             /* structType/mapType=atomic: owned and merged as one */
    FIELD_DEPRECATED = 1 << 6,
    FIELD_PATCH_REPLACE = 1 << 7, /* patchStrategy=replace: a strategic merge patch replaces the object as a whole */
};

struct schema;

struct schema_field {
    name_id name;
    uint16_t flags;
    uint32_t proto_number; /* 0: not in protobuf */
    /* Go embeds some structs: JSON shows their fields flat, protobuf as a message. Numbers of the messages around this field,
     * outermost first, 0 = none: Volume's emptyDir has { 2 } and proto_number 2. Go writes such a message even when it is empty. */
    uint8_t proto_inline[2];
    const struct schema *schema;
    const char *patch_merge_key; /* strategic merge; NULL */
    const char *default_json;    /* declarative default ("\"TCP\"", "1"); NULL */
    const char *doc;             /* one plain sentence for explain, may be NULL */
};

struct schema {
    enum schema_type type;
    const char *name;    /* OpenAPI name "io.k8s.api.core.v1.PodSpec"; NULL for anonymous lists, maps, scalars */
    const char *go_name; /* "v1.PodSpec", for messages; "string", "int32" for scalars */
    const struct schema_field *fields; /* in protobuf/Go declaration order, which is the order of output */
    uint16_t fields_count;
    const uint16_t *fields_by_name; /* indexes of `fields` sorted by name_id, for binary search */
    const struct schema *item;      /* element of a list, value of a map */
    enum list_type list_type;
    const char *const *list_map_keys; /* NULL-terminated, for LIST_MAP, e.g. {"containerPort", "protocol", NULL} */
    bool boxed;  /* a list that protobuf wraps in a message whose field 1 repeats (Go: type ExtraValue []string) */
    bool atomic; /* the whole value is owned as one (mapType/structType=atomic, atomic lists) */
    const char *const *enum_values;     /* NULL-terminated; NULL for free text */
    const char *doc;                    /* one plain sentence, may be NULL */
    const char *group, *version, *kind; /* set on the roots of kinds (x-kubernetes-group-version-kind) */
};

const struct schema_field *schema_field(const struct schema *object, name_id name); /* NULL when unknown */
const struct schema_field *schema_field_str(const struct schema *object, struct str name);

#endif
