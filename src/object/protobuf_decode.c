/* The API's protobuf as a tree: untrusted bytes in, a normalized tree out. */
#include "object/protobuf.h"
#include "base/codec.h"
#include "base/time.h"
#include "object/protobuf_layout.h"
#include "object/protobuf_wire.h"
#include "object/schema_walk.h"

#define UNSORTED_MAX 1024 /* entries of a map that is not sorted: each moves those behind it */

struct decoder {
    struct arena *arena;
    size_t values;
    struct error *err;
};

static struct value *decode_value(struct decoder *d, const struct schema *s, const struct wire_field *f, size_t depth);
static int decode_fields(struct decoder *d, const struct protobuf_layout *l, struct str bytes, struct value *object,
                         size_t depth);

static struct value *decode_object(struct decoder *d, const struct schema *s, struct str bytes, size_t depth)
{
    struct protobuf_layout l = { .schema = s };
    struct value *object = value_object(d->arena);

    return decode_fields(d, &l, bytes, object, depth) < 0 ? NULL : object;
}

static struct value *decode_text(struct decoder *d, struct str text)
{
    if (!str_is_utf8(text))
        return fail_null(d->err, ERR_BAD_REQUEST, "proto: invalid UTF-8 in a string");
    return value_str(d->arena, text);
}

/* Small messages that stand for scalars: the fields 1, 2 and 3 as they came. */
struct small {
    int64_t integer[4];
    struct str text[4];
    bool present[4];
};

static int decode_small(struct decoder *d, struct str bytes, struct small *ret)
{
    struct wire_field f;
    int more;

    *ret = (struct small){ 0 };
    while ((more = wire_next(&bytes, &f, d->err)) > 0) {
        if (f.number > 3)
            continue;
        ret->integer[f.number] = (int64_t)f.integer;
        ret->text[f.number] = f.bytes;
        ret->present[f.number] = true;
    }
    return more;
}

static struct value *decode_time(struct decoder *d, const struct small *m, bool micro)
{
    char text[TIME_TEXT_SIZE];
    int64_t seconds = m->integer[1], micros = m->integer[2] / 1000;

    if (!m->present[1] && !m->present[2])
        return value_null(d->arena);
    /* Years 1 to 9999: what RFC 3339 can say. */
    if (seconds < -62135596800 || seconds > 253402300799 || micros < 0 || micros > 999999)
        return fail_null(d->err, ERR_BAD_REQUEST, "proto: a time is out of range");
    if (micro)
        time_format_micro(seconds * 1000000 + micros, text);
    else
        time_format(seconds * 1000, text);
    return value_str(d->arena, arena_str(d->arena, str_of(text)));
}

static struct value *decode_raw(struct decoder *d, const struct small *m)
{
    if (!m->present[1] || m->text[1].n == 0)
        return value_null(d->arena);
    return value_parse(d->arena, m->text[1], NULL, d->err);
}

static struct value *decode_bytes(struct decoder *d, struct str bytes)
{
    AUTO_BUF struct buf text = BUF_MAX(2 * OBJECT_SIZE_MAX);

    base64_encode(&text, bytes);
    return value_str(d->arena, arena_str(d->arena, buf_str(&text)));
}

static struct value *decode_integer(struct decoder *d, const struct schema *s, uint64_t n)
{
    if (s->type == SCHEMA_BOOL)
        return value_bool(d->arena, n != 0);
    if (s->type == SCHEMA_INT32)
        return value_int(d->arena, (int32_t)n);
    if (s->type == SCHEMA_UINT32)
        return value_int(d->arena, (uint32_t)n);
    if (s->type == SCHEMA_DOUBLE) {
        double number;
        memcpy(&number, &n, sizeof(number));
        if (!(number - number == 0)) /* NaN and infinities have no JSON form */
            return fail_null(d->err, ERR_BAD_REQUEST, "proto: a number is not finite");
        return value_double(d->arena, number);
    }
    return value_int(d->arena, (int64_t)n);
}

static enum wire_type wire_type_of(const struct schema *s)
{
    switch (s->type) {
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT32:
        return WIRE_VARINT;
    case SCHEMA_DOUBLE:
        return WIRE_FIXED64;
    default:
        return WIRE_BYTES;
    }
}

/* A list in a box: a message whose field 1 repeats. */
static struct value *decode_box(struct decoder *d, const struct schema *s, struct str bytes, size_t depth)
{
    struct value *list = value_array(d->arena), *item;
    struct wire_field f;
    int more;

    while ((more = wire_next(&bytes, &f, d->err)) > 0) {
        if (f.number != 1)
            continue;
        if (!(item = decode_value(d, s->item, &f, depth + 1)))
            return NULL;
        value_append(d->arena, list, item);
    }
    return more < 0 ? NULL : list;
}

static struct value *decode_message(struct decoder *d, const struct schema *s, struct str bytes, size_t depth)
{
    struct small m;

    if (s->type == SCHEMA_OBJECT)
        return decode_object(d, s, bytes, depth);
    if (s->type == SCHEMA_LIST)
        return decode_box(d, s, bytes, depth);
    if (decode_small(d, bytes, &m) < 0)
        return NULL;
    switch (s->type) {
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return decode_time(d, &m, s->type == SCHEMA_MICRO_TIME);
    case SCHEMA_DURATION:
        return value_strf(d->arena, "%lldms", (long long)(m.integer[1] / 1000000));
    case SCHEMA_QUANTITY:
        return m.text[1].n ? decode_text(d, m.text[1]) : value_text(d->arena, "0");
    case SCHEMA_INT_OR_STRING:
        return m.integer[1] == 0 ? value_int(d->arena, (int32_t)m.integer[2]) : decode_text(d, m.text[3]);
    default:
        return decode_raw(d, &m);
    }
}

/* NULL on failure. */
static struct value *decode_value(struct decoder *d, const struct schema *s, const struct wire_field *f, size_t depth)
{
    if (++d->values > PROTOBUF_VALUES_MAX)
        return fail_null(d->err, ERR_TOO_LARGE, "the object has more than %d values", PROTOBUF_VALUES_MAX);
    if (depth > OBJECT_DEPTH_MAX)
        return fail_null(d->err, ERR_BAD_REQUEST, "exceeded max depth");
    if (f->type != wire_type_of(s))
        return fail_null(d->err, ERR_BAD_REQUEST, "proto: wrong wireType = %d for field number %u", f->type, f->number);
    switch (s->type) {
    case SCHEMA_STRING:
        return decode_text(d, f->bytes);
    case SCHEMA_BYTES:
        return decode_bytes(d, f->bytes);
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT32:
    case SCHEMA_DOUBLE:
        return decode_integer(d, s, f->integer);
    default:
        return decode_message(d, s, f->bytes, depth);
    }
}

/* Members stay sorted: of equal keys the last one wins, and keys that come in order, as from nearly everyone, cost nothing. */
static int put_sorted(struct decoder *d, struct value *map, struct str key, struct value *value)
{
    uint32_t low = 0, high = map->members_count;

    if (high == 0 || str_cmp(map->members[high - 1].name, key) < 0) {
        value_add_member(d->arena, map, name_find(key), key, value);
        return 0;
    }
    if (high > UNSORTED_MAX)
        return fail(d->err, ERR_BAD_REQUEST, "proto: a map of more than %d entries must be sorted", UNSORTED_MAX);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (str_cmp(map->members[middle].name, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (str_eq(map->members[low].name, key)) {
        map->members[low].value = value;
        return 0;
    }
    value_add_member(d->arena, map, name_find(key), key, value);
    struct member added = map->members[map->members_count - 1];
    memmove(&map->members[low + 1], &map->members[low], (map->members_count - 1 - low) * sizeof(added));
    map->members[low] = added;
    return 0;
}

static int decode_entry(struct decoder *d, const struct schema *s, const struct wire_field *entry, struct value *map,
                        size_t depth)
{
    struct str rest = entry->bytes, key = STR_NONE;
    struct value *value = NULL;
    struct wire_field f;
    int more;

    if (entry->type != WIRE_BYTES)
        return fail(d->err, ERR_BAD_REQUEST, "proto: wrong wireType = %d for a map", entry->type);
    while ((more = wire_next(&rest, &f, d->err)) > 0) {
        if (f.number == 1 && f.type == WIRE_BYTES)
            key = f.bytes;
        else if (f.number == 2 && !(value = decode_value(d, s->item, &f, depth)))
            return -1;
    }
    if (more < 0)
        return -1;
    if (!str_is_utf8(key))
        return fail(d->err, ERR_BAD_REQUEST, "proto: invalid UTF-8 in a key");
    if (!value)
        value = s->item->type == SCHEMA_BYTES ? value_text(d->arena, "") : value_null(d->arena);
    return put_sorted(d, map, key, value);
}

/* Integers of a list may come packed: one field that holds them all. */
static int decode_packed(struct decoder *d, const struct schema *item, struct str bytes, struct value *list)
{
    uint64_t n;

    while (bytes.n) {
        if (item->type == SCHEMA_DOUBLE || !wire_varint(&bytes, &n) || ++d->values > PROTOBUF_VALUES_MAX)
            return fail(d->err, ERR_BAD_REQUEST, "proto: a packed list does not decode");
        value_append(d->arena, list, decode_integer(d, item, n));
    }
    return 0;
}

static int decode_field(struct decoder *d, const struct schema_field *field, const struct wire_field *f,
                        struct value *object, size_t depth)
{
    const struct schema *s = field->schema;
    struct value *v;

    if (s->type == SCHEMA_MAP)
        return decode_entry(d, s, f, value_make_object(d->arena, object, field->name), depth + 1);
    if (s->type == SCHEMA_LIST && !s->boxed) {
        struct value *list = value_make_array(d->arena, object, field->name);

        if (f->type == WIRE_BYTES && wire_type_of(s->item) == WIRE_VARINT)
            return decode_packed(d, s->item, f->bytes, list);
        if (!(v = decode_value(d, s->item, f, depth + 1)))
            return -1;
        value_append(d->arena, list, v);
        return 0;
    }
    if (!(v = decode_value(d, s, f, depth + 1)))
        return -1;
    value_put(d->arena, object, field->name, v);
    return 0;
}

static int decode_fields(struct decoder *d, const struct protobuf_layout *l, struct str bytes, struct value *object,
                         size_t depth)
{
    const struct schema *s = l->schema;
    struct wire_field f;
    size_t at = 0; /* fields come in order: look on from the last one */
    int more;

    while ((more = wire_next(&bytes, &f, d->err)) > 0) {
        bool embedded = false, found = false;

        for (size_t tried = 0; tried < s->fields_count && !found; tried++) {
            found = protobuf_number(l, &s->fields[at], &embedded) == f.number;
            if (!found)
                at = at + 1 < s->fields_count ? at + 1 : 0;
        }
        if (!found)
            continue;
        if (embedded) {
            struct protobuf_layout inner = protobuf_embedded(l, f.number);
            if (f.type != WIRE_BYTES)
                return fail(d->err, ERR_BAD_REQUEST, "proto: wrong wireType = %d for field number %u", f.type,
                            f.number);
            if (decode_fields(d, &inner, f.bytes, object, depth + 1) < 0)
                return -1;
        } else if (decode_field(d, &s->fields[at], &f, object, depth) < 0) {
            return -1;
        }
    }
    return more;
}

int protobuf_open(struct str bytes, struct protobuf_envelope *ret, struct error *err)
{
    struct wire_field f, t;
    int more, more_type;

    *ret = (struct protobuf_envelope){ 0 };
    if (bytes.n > OBJECT_SIZE_MAX)
        return fail(err, ERR_TOO_LARGE, "the object is larger than %zu bytes", OBJECT_SIZE_MAX);
    if (!str_starts(bytes, STR("k8s\0")))
        return fail(err, ERR_BAD_REQUEST,
                    "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    bytes = str_from(bytes, 4);
    while ((more = wire_next(&bytes, &f, err)) > 0) {
        if (f.type != WIRE_BYTES)
            continue;
        if (f.number == 2)
            ret->raw = f.bytes;
        else if (f.number == 4)
            ret->content_type = f.bytes;
        for (more_type = 1; f.number == 1 && (more_type = wire_next(&f.bytes, &t, err)) > 0;) {
            if (t.number == 1 && t.type == WIRE_BYTES)
                ret->api_version = t.bytes;
            else if (t.number == 2 && t.type == WIRE_BYTES)
                ret->kind = t.bytes;
        }
        if (more_type < 0)
            return -1;
    }
    if (more == 0 && (!str_is_utf8(ret->api_version) || !str_is_utf8(ret->kind)))
        return fail(err, ERR_BAD_REQUEST, "proto: invalid UTF-8 in a string");
    return more;
}

struct value *protobuf_decode(struct arena *a, const struct schema *schema, const struct protobuf_envelope *envelope,
                              struct error *err)
{
    static const struct schema_options options = { .style = SCHEMA_DECODE };
    struct decoder d = { .arena = a, .err = err };
    struct value *tree = decode_object(&d, schema, envelope->raw, 1);

    if (!tree)
        return NULL;
    if (envelope->api_version.n)
        value_put_str(a, tree, STR("apiVersion"), value_str(a, envelope->api_version));
    if (envelope->kind.n)
        value_put_str(a, tree, STR("kind"), value_str(a, envelope->kind));
    return schema_normalize(a, schema, tree, &options, err) < 0 ? NULL : tree;
}
