/* A normalized tree as the API's protobuf, in the bytes that Kubernetes' generated marshallers write. */
#include "object/protobuf.h"
#include "base/time.h"
#include "object/protobuf_layout.h"
#include "object/protobuf_wire.h"
#include "object/schema_scalar.h"

#include <stdlib.h>

#define FIELDS_MAX 128

static void put_fields(struct wire_back *b, const struct protobuf_layout *l, const struct value *tree);

static void put_object(struct wire_back *b, uint32_t number, const struct schema *s, const struct value *v)
{
    struct protobuf_layout l = { .schema = s };
    size_t before = b->n;

    put_fields(b, &l, v);
    wire_put_message(b, number, before);
}

/* meta/v1 Time is a Timestamp; the zero time is an empty message. */
static void put_time(struct wire_back *b, uint32_t number, const struct value *v, bool micro)
{
    size_t before = b->n;
    struct str text = value_to_str(v), digits = str_part(text, 20, 6);
    int64_t ms, micros = 0;

    if (text.n && time_parse(text, &ms)) {
        if (micro && text.n > 26)
            str_to_i64(digits, &micros);
        wire_put_integer(b, 2, micros * 1000);
        wire_put_integer(b, 1, ms / 1000 - (ms % 1000 < 0));
    }
    wire_put_message(b, number, before);
}

static void put_duration(struct wire_back *b, uint32_t number, const struct value *v)
{
    size_t before = b->n;
    int64_t ms = 0;

    time_parse_duration(value_to_str(v), &ms);
    wire_put_integer(b, 1, ms * 1000000);
    wire_put_message(b, number, before);
}

static void put_int_or_string(struct wire_back *b, uint32_t number, const struct value *v)
{
    size_t before = b->n;

    wire_put_str(b, 3, value_to_str(v));
    wire_put_integer(b, 2, value_to_int(v, 0));
    wire_put_integer(b, 1, value_type(v) == VALUE_STRING);
    wire_put_message(b, number, before);
}

/* RawExtension and FieldsV1 carry JSON in their field 1. */
static void put_raw(struct wire_back *b, uint32_t number, const struct value *v)
{
    size_t before = b->n;
    AUTO_BUF struct buf json = BUF_MAX(OBJECT_SIZE_MAX);

    if (v && v->type != VALUE_NULL) {
        value_write(&json, v);
        b->full = b->full || json.full;
        wire_put_str(b, 1, buf_str(&json));
    }
    wire_put_message(b, number, before);
}

static void put_bytes(struct wire_back *b, uint32_t number, const struct value *v)
{
    AUTO_BUF struct buf bytes = BUF_MAX(OBJECT_SIZE_MAX);
    size_t at;

    if (!v || v->type != VALUE_STRING)
        return;
    if (!schema_base64_decode(&bytes, v->string, &at) || bytes.full)
        b->full = true;
    wire_put_str(b, number, buf_str(&bytes));
}

/* One value; an absent one is written as Go's zero value. */
static void put_value(struct wire_back *b, uint32_t number, const struct schema *s, const struct value *v);

static void put_list(struct wire_back *b, uint32_t number, const struct schema *s, const struct value *v)
{
    for (uint32_t i = value_type(v) == VALUE_ARRAY ? v->items_count : 0; i > 0; i--)
        put_value(b, number, s->item, v->items[i - 1]);
}

static void put_map(struct wire_back *b, uint32_t number, const struct schema *s, const struct value *v)
{
    for (uint32_t i = value_type(v) == VALUE_OBJECT ? v->members_count : 0; i > 0; i--) {
        size_t before = b->n;

        put_value(b, 2, s->item, v->members[i - 1].value);
        wire_put_str(b, 1, v->members[i - 1].name);
        wire_put_message(b, number, before);
    }
}

static void put_double(struct wire_back *b, uint32_t number, const struct value *v)
{
    double d = value_type(v) == VALUE_DOUBLE ? v->number : (double)value_to_int(v, 0);
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    wire_put_fixed64(b, number, bits);
}

static void put_value(struct wire_back *b, uint32_t number, const struct schema *s, const struct value *v)
{
    size_t before = b->n;

    switch (s->type) {
    case SCHEMA_OBJECT:
        put_object(b, number, s, v);
        break;
    case SCHEMA_MAP:
        put_map(b, number, s, v);
        break;
    case SCHEMA_LIST:
        put_list(b, s->boxed ? 1 : number, s, v);
        if (s->boxed)
            wire_put_message(b, number, before);
        break;
    case SCHEMA_STRING:
        wire_put_str(b, number, value_to_str(v));
        break;
    case SCHEMA_BOOL:
        wire_put_integer(b, number, value_to_bool(v, false));
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT32:
        wire_put_integer(b, number, value_to_int(v, 0));
        break;
    case SCHEMA_DOUBLE:
        put_double(b, number, v);
        break;
    case SCHEMA_BYTES:
        put_bytes(b, number, v);
        break;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        put_time(b, number, v, s->type == SCHEMA_MICRO_TIME);
        break;
    case SCHEMA_DURATION:
        put_duration(b, number, v);
        break;
    case SCHEMA_QUANTITY:
        wire_put_str(b, 1, v && v->type == VALUE_STRING ? v->string : STR("0"));
        wire_put_message(b, number, before);
        break;
    case SCHEMA_INT_OR_STRING:
        put_int_or_string(b, number, v);
        break;
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
    case SCHEMA_JSON:
        put_raw(b, number, v);
        break;
    }
}

static bool is_absent(const struct schema_field *f, const struct value *v)
{
    return (f->flags & FIELD_POINTER) && (!v || v->type == VALUE_NULL);
}

struct slot {
    uint32_t number;
    uint16_t field;
    bool embedded;
};

static int slot_compare(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;

    if (x->number != y->number)
        return x->number > y->number ? -1 : 1;
    return (int)y->field - (int)x->field;
}

/* From the highest number down, because the bytes are written from the back. */
static void put_fields(struct wire_back *b, const struct protobuf_layout *l, const struct value *tree)
{
    struct slot slots[FIELDS_MAX];
    size_t count = 0;

    assert(l->schema->fields_count <= FIELDS_MAX);
    for (uint16_t i = 0; i < l->schema->fields_count; i++) {
        bool embedded;
        uint32_t number = protobuf_number(l, &l->schema->fields[i], &embedded);

        if (number)
            slots[count++] = (struct slot){ number, i, embedded };
    }
    qsort(slots, count, sizeof(*slots), slot_compare);
    for (size_t i = 0; i < count; i++) {
        const struct schema_field *f = &l->schema->fields[slots[i].field];

        if (slots[i].embedded) {
            if (i > 0 && slots[i - 1].number == slots[i].number)
                continue;
            struct protobuf_layout inner = protobuf_embedded(l, slots[i].number);
            size_t before = b->n;
            put_fields(b, &inner, tree);
            wire_put_message(b, slots[i].number, before);
            continue;
        }
        const struct value *v = value_get(tree, f->name);
        if (!is_absent(f, v))
            put_value(b, slots[i].number, f->schema, v);
    }
}

static int finish(struct buf *to, struct wire_back *b, struct error *err)
{
    if (!b->full)
        buf_add(to, wire_back_str(b));
    bool full = b->full || to->full;
    wire_back_done(b);
    return full ? fail(err, ERR_TOO_LARGE, "the protobuf form does not fit") : 0;
}

int protobuf_encode_message(struct buf *to, const struct schema *schema, const struct value *tree, struct error *err)
{
    struct wire_back b = { .max = to->max };
    struct protobuf_layout l = { .schema = schema };

    put_fields(&b, &l, tree);
    return finish(to, &b, err);
}

/* runtime.Unknown after the four bytes k8s\0; the front is written last. */
static void put_envelope(struct wire_back *b, size_t raw_before, struct str api_version, struct str kind)
{
    wire_put_message(b, 2, raw_before);
    size_t before = b->n;
    wire_put_str(b, 2, kind);
    wire_put_str(b, 1, api_version);
    wire_put_message(b, 1, before);
    wire_put_bytes(b, STR("k8s\0"));
}

static void put_envelope_end(struct wire_back *b)
{
    wire_put_str(b, 4, STR_NONE);
    wire_put_str(b, 3, STR_NONE);
}

int protobuf_encode(struct buf *to, const struct schema *schema, const struct value *tree, struct error *err)
{
    struct wire_back b = { .max = to->max };
    struct protobuf_layout l = { .schema = schema };

    put_envelope_end(&b);
    size_t before = b.n;
    put_fields(&b, &l, tree);
    put_envelope(&b, before, value_to_str(value_get_str(tree, STR("apiVersion"))),
                 value_to_str(value_get_str(tree, STR("kind"))));
    return finish(to, &b, err);
}

int protobuf_encode_object(struct buf *to, const struct schema *schema, const struct object *o, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };

    return protobuf_encode(to, schema, value_of_view(&a, object_root(o)), err);
}

void protobuf_wrap(struct buf *to, struct str api_version, struct str kind, struct str raw)
{
    struct wire_back b = { .max = to->max };

    put_envelope_end(&b);
    size_t before = b.n;
    wire_put_bytes(&b, raw);
    put_envelope(&b, before, api_version, kind);
    if (b.full)
        to->full = true;
    else
        buf_add(to, wire_back_str(&b));
    wire_back_done(&b);
}

void protobuf_list(struct buf *to, struct str api_version, struct str list_kind, struct str list_meta_message,
                   const struct str *items, size_t count)
{
    struct wire_back b = { .max = to->max };

    put_envelope_end(&b);
    size_t before = b.n;
    for (size_t i = count; i > 0; i--)
        wire_put_str(&b, 2, items[i - 1]);
    wire_put_str(&b, 1, list_meta_message);
    put_envelope(&b, before, api_version, list_kind);
    if (b.full)
        to->full = true;
    else
        buf_add(to, wire_back_str(&b));
    wire_back_done(&b);
}

/* --- lists written forward -------------------------------------------------------------------------------------------- */

static size_t varint_bytes(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

static void add_varint(struct buf *to, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_add_char(to, (char)(v | 0x80));
    buf_add_char(to, (char)v);
}

/* Tag and length of a length-delimited field; the fields here have numbers below 16. */
static void add_head(struct buf *to, unsigned number, uint64_t bytes)
{
    buf_add_char(to, (char)(number << 3 | 2));
    add_varint(to, bytes);
}

static size_t field_bytes(uint64_t bytes)
{
    return 1 + varint_bytes(bytes) + bytes;
}

size_t protobuf_list_item_bytes(size_t message_bytes)
{
    return field_bytes(message_bytes);
}

void protobuf_list_begin(struct buf *to, struct str api_version, struct str list_kind, struct str list_meta_message,
                         uint64_t items_bytes)
{
    buf_add_bytes(to, "k8s", 4);
    add_head(to, 1, field_bytes(api_version.n) + field_bytes(list_kind.n));
    add_head(to, 1, api_version.n);
    buf_add(to, api_version);
    add_head(to, 2, list_kind.n);
    buf_add(to, list_kind);
    add_head(to, 2, field_bytes(list_meta_message.n) + items_bytes);
    add_head(to, 1, list_meta_message.n);
    buf_add(to, list_meta_message);
}

void protobuf_list_item(struct buf *to, struct str message)
{
    add_head(to, 2, message.n);
    buf_add(to, message);
}

void protobuf_list_end(struct buf *to)
{
    add_head(to, 3, 0); /* contentEncoding and contentType, empty */
    add_head(to, 4, 0);
}

void protobuf_watch_event(struct buf *to, struct str type, struct str object_with_envelope)
{
    struct wire_back b = { .max = to->max };

    wire_put_str(&b, 1, object_with_envelope);
    wire_put_message(&b, 2, 0);
    wire_put_str(&b, 1, type);
    if (b.full)
        to->full = true;
    else
        buf_add(to, wire_back_str(&b));
    wire_back_done(&b);
}
