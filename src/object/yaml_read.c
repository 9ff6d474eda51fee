/* YAML to tree, from the events of libyaml. Anchors are copied where they are used, and counted. */
#include "object/yaml.h"
#include "base/codec.h"
#include "base/map.h"
#include "object/value_place.h"
#include "object/json_number.h"
#include "object/json_scan.h"
#include "object/yaml_scalar.h"

#include <stdlib.h>
#include <yaml.h>

struct anchor {
    struct value *value; /* NULL while it is being read: it contains itself */
    uint32_t values, height;
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    struct arena *arena;
    struct map anchors; /* name -> struct anchor, of the current document */
    struct value *duplicates;
    uint32_t values;
    struct error *err;
};

#define LINE(r) ((r)->event.start_mark.line + 1)

static struct value *read_node(struct reader *r, const struct place *place, unsigned depth, uint32_t *ret_height);

/* libyaml's own sentence, with the line as go-yaml counts it. */
static int parser_failed(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    size_t line = p->problem_mark.line ? p->problem_mark.line + (p->error == YAML_SCANNER_ERROR) : p->context_mark.line;
    const char *problem = p->problem ? p->problem : "unknown problem parsing YAML content";
    if (line)
        return fail(r->err, ERR_BAD_REQUEST, "yaml: line %zu: %s", line, problem);
    return fail(r->err, ERR_BAD_REQUEST, "yaml: %s", problem);
}

static int next_event(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (!yaml_parser_parse(&r->parser, &r->event))
        return parser_failed(r);
    r->has_event = true;
    return 0;
}

static int count_values(struct reader *r, uint32_t more)
{
    if (more > YAML_VALUES_MAX - r->values)
        return fail(r->err, ERR_BAD_REQUEST, "yaml: document contains excessive aliasing or too many values");
    r->values += more;
    return 0;
}

static int check_depth(struct reader *r, unsigned depth)
{
    return depth > OBJECT_DEPTH_MAX ? fail(r->err, ERR_BAD_REQUEST, "yaml: line %zu: exceeded max depth", LINE(r)) : 0;
}

static struct anchor *anchor_begin(struct reader *r, const yaml_char_t *name)
{
    if (!name)
        return NULL;
    struct anchor *anchor = arena_new(r->arena, struct anchor);
    map_put(&r->anchors, str_of((const char *)name), anchor);
    return anchor;
}

static struct value *read_alias(struct reader *r, unsigned depth, uint32_t *ret_height)
{
    const char *name = (const char *)r->event.data.alias.anchor;
    const struct anchor *anchor = map_get(&r->anchors, str_of(name));
    if (!anchor)
        return fail_null(r->err, ERR_BAD_REQUEST, "yaml: unknown anchor '%.100s' referenced", name);
    if (!anchor->value)
        return fail_null(r->err, ERR_BAD_REQUEST, "yaml: anchor '%.100s' value contains itself", name);
    if (check_depth(r, depth + anchor->height) < 0 || count_values(r, anchor->values) < 0)
        return NULL;
    *ret_height = anchor->height;
    return value_copy(r->arena, anchor->value);
}

static bool tag_is(const yaml_char_t *tag, const char *name)
{
    return tag && strncmp((const char *)tag, "tag:yaml.org,2002:", 18) == 0 &&
           strcmp((const char *)tag + 18, name) == 0;
}

/* JSON has only text: what is none becomes U+FFFD, as it does in encoding/json. */
static struct str valid_utf8(struct arena *a, struct str bytes)
{
    char *to = arena_alloc(a, bytes.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < bytes.n;) {
        size_t length = json_utf8_length(bytes.p + i, bytes.p + bytes.n);
        memcpy(to + n, length ? bytes.p + i : "\xef\xbf\xbd", length ? length : 3);
        n += length ? length : 3;
        i += length ? length : 1;
    }
    return (struct str){ to, n };
}

static struct value *decode_binary(struct reader *r, struct str text)
{
    AUTO_BUF struct buf joined = BUF_MAX(OBJECT_SIZE_MAX), bytes = BUF_MAX(OBJECT_SIZE_MAX);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '\n' && text.p[i] != ' ')
            buf_add_char(&joined, text.p[i]);
    if (!base64_decode(&bytes, buf_str(&joined)))
        return fail_null(r->err, ERR_BAD_REQUEST, "yaml: !!binary value contains invalid base64 data");
    return value_str(r->arena, valid_utf8(r->arena, buf_str(&bytes)));
}

static const char *type_tag(enum value_type type)
{
    switch (type) {
    case VALUE_NULL:
        return "null";
    case VALUE_BOOL:
        return "bool";
    case VALUE_INT:
        return "int";
    case VALUE_DOUBLE:
        return "float";
    default:
        return "str";
    }
}

static struct value *read_scalar(struct reader *r)
{
    const yaml_char_t *tag = r->event.data.scalar.tag;
    struct str text = { (const char *)r->event.data.scalar.value, r->event.data.scalar.length };
    struct value *v = value_str(r->arena, text);
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool typed = tag_is(tag, "int") || tag_is(tag, "float") || tag_is(tag, "bool") || tag_is(tag, "null");

    if (tag_is(tag, "binary"))
        return decode_binary(r, text);
    if ((plain && !tag) || typed) {
        if (!yaml_resolve(text, v))
            return fail_null(r->err, ERR_BAD_REQUEST, "yaml: line %zu: %.10s has no meaning in JSON", LINE(r), text.p);
        bool widened = tag_is(tag, "float") && v->type == VALUE_INT;
        if (typed && !widened && !tag_is(tag, type_tag(v->type)))
            return fail_null(r->err, ERR_BAD_REQUEST, "yaml: cannot decode !!%s `%.*s` as a !!%s", type_tag(v->type),
                             STR_ARG(str_part(text, 0, 100)), (const char *)tag + 18);
    }
    if (v->type == VALUE_STRING)
        v->string = arena_str(r->arena, text);
    else if (v->type == VALUE_DOUBLE)
        v->text = arena_str(r->arena, v->text);
    return v;
}

static struct value *read_sequence(struct reader *r, const struct place *place, unsigned depth, uint32_t *ret_height)
{
    struct value *array = value_array(r->arena);
    struct place here = { .up = place };
    uint32_t height = 0;
    for (;; here.index++) {
        if (next_event(r) < 0)
            return NULL;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        uint32_t inner = 0;
        struct value *item = read_node(r, &here, depth, &inner);
        if (!item)
            return NULL;
        height = MAX(height, inner);
        value_append(r->arena, array, item);
    }
    *ret_height = height + 1;
    return array;
}

/* JSON has only text for names. */
static int key_text(struct reader *r, const struct value *key, struct str *ret)
{
    AUTO_BUF struct buf text = BUF_MAX(64);
    switch (key->type) {
    case VALUE_STRING:
        *ret = key->string;
        return 0;
    case VALUE_BOOL:
        *ret = key->boolean ? STR("true") : STR("false");
        return 0;
    case VALUE_INT:
        *ret = arena_printf(r->arena, "%lld", (long long)key->integer);
        return 0;
    case VALUE_DOUBLE:
        json_write_double(&text, key->number);
        *ret = arena_str(r->arena, buf_str(&text));
        return 0;
    default:
        return fail(r->err, ERR_BAD_REQUEST, "yaml: line %zu: unsupported map key", LINE(r));
    }
}

static bool is_merge_key(const struct reader *r)
{
    return r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           !r->event.data.scalar.tag && strcmp((const char *)r->event.data.scalar.value, "<<") == 0;
}

/* "<<: *base": members of base that the mapping does not have itself. */
static int merge_into(struct reader *r, struct value *object, const struct value *source)
{
    if (source->type == VALUE_ARRAY) {
        for (uint32_t i = 0; i < source->items_count; i++)
            if (source->items[i]->type != VALUE_OBJECT || merge_into(r, object, source->items[i]) < 0)
                return fail(r->err, ERR_BAD_REQUEST, "yaml: map merge requires map or sequence of maps as the value");
        return 0;
    }
    if (source->type != VALUE_OBJECT)
        return fail(r->err, ERR_BAD_REQUEST, "yaml: map merge requires map or sequence of maps as the value");
    for (uint32_t i = 0; i < source->members_count; i++) {
        const struct member *m = &source->members[i];
        if (!value_get_str(object, m->name))
            value_add_member(r->arena, object, m->id, m->name, m->value);
    }
    return 0;
}

/* One member, or what "<<" merges, kept for the end. */
static int read_member(struct reader *r, struct value *object, struct value *merges, const struct place *place,
                       unsigned depth, uint32_t *height)
{
    uint32_t inner = 0;
    struct str name = STR("<<");
    bool merge = is_merge_key(r);
    if (!merge) {
        struct value *key = read_node(r, place, depth, &inner);
        if (!key || key_text(r, key, &name) < 0)
            return -1;
    }
    if (next_event(r) < 0)
        return -1;
    struct value *v = read_node(r, &(struct place){ .up = place, .key = name }, depth, &inner);
    if (!v)
        return -1;
    *height = MAX(*height, inner);
    if (merge)
        value_append(r->arena, merges, v);
    else
        value_add_member(r->arena, object, name_find(name), name, v);
    return 0;
}

static struct value *read_mapping(struct reader *r, const struct place *place, unsigned depth, uint32_t *ret_height)
{
    struct value *object = value_object(r->arena), *merges = value_array(r->arena);
    uint32_t height = 0;
    for (;;) {
        if (next_event(r) < 0)
            return NULL;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if (read_member(r, object, merges, place, depth, &height) < 0)
            return NULL;
    }
    object->members_count = members_keep_last(r->arena, object->members, object->members_count, place, r->duplicates);
    for (uint32_t i = 0; i < merges->items_count; i++)
        if (merge_into(r, object, merges->items[i]) < 0)
            return NULL;
    *ret_height = height + 1;
    return object;
}

/* The node whose first event is the current one. *ret_height: levels of containers in it. */
static struct value *read_node(struct reader *r, const struct place *place, unsigned depth, uint32_t *ret_height)
{
    uint32_t before = r->values;
    struct anchor *anchor = NULL;
    struct value *v = NULL;
    *ret_height = 0;
    if (count_values(r, 1) < 0)
        return NULL;
    switch (r->event.type) {
    case YAML_ALIAS_EVENT:
        return read_alias(r, depth, ret_height);
    case YAML_SCALAR_EVENT:
        anchor = anchor_begin(r, r->event.data.scalar.anchor);
        v = read_scalar(r);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = anchor_begin(r, r->event.data.sequence_start.anchor);
        v = check_depth(r, depth + 1) < 0 ? NULL : read_sequence(r, place, depth + 1, ret_height);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = anchor_begin(r, r->event.data.mapping_start.anchor);
        v = check_depth(r, depth + 1) < 0 ? NULL : read_mapping(r, place, depth + 1, ret_height);
        break;
    default:
        return fail_null(r->err, ERR_BAD_REQUEST, "yaml: line %zu: unexpected content", LINE(r));
    }
    if (anchor && v)
        *anchor = (struct anchor){ .value = v, .values = r->values - before, .height = *ret_height };
    return v;
}

/* All documents into `documents`. An empty document counts as nothing. */
static int read_stream(struct reader *r, struct value *documents)
{
    for (;;) {
        uint32_t height;
        if (next_event(r) < 0)
            return -1;
        if (r->event.type == YAML_STREAM_END_EVENT)
            return 0;
        if (r->event.type != YAML_DOCUMENT_START_EVENT)
            continue;
        map_clear(&r->anchors);
        if (next_event(r) < 0)
            return -1;
        bool empty = r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.length == 0 &&
                     !r->event.data.scalar.tag && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        struct value *v = read_node(r, NULL, 0, &height);
        if (!v)
            return -1;
        if (!empty)
            value_append(r->arena, documents, v);
    }
}

static struct value *read_all(struct arena *a, struct str text, size_t size_max, struct value *duplicates,
                              struct error *err)
{
    struct reader r = { .arena = a, .duplicates = duplicates, .err = err };
    if (text.n > size_max)
        return fail_null(err, ERR_TOO_LARGE, "Request entity too large: limit is %zu", size_max);
    if (!yaml_parser_initialize(&r.parser))
        return fail_null(err, ERR_INTERNAL, "cannot start the YAML parser");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    struct value *documents = value_array(a);
    int result = read_stream(&r, documents);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    map_done(&r.anchors);
    return result < 0 ? NULL : documents;
}

struct value *yaml_parse_all(struct arena *a, struct str text, struct value *duplicates, struct error *err)
{
    return read_all(a, text, YAML_STREAM_MAX, duplicates, err);
}

struct value *yaml_parse(struct arena *a, struct str text, struct value *duplicates, struct error *err)
{
    struct value *documents = read_all(a, text, OBJECT_SIZE_MAX, duplicates, err);
    if (!documents)
        return NULL;
    if (documents->items_count > 1)
        return fail_null(err, ERR_BAD_REQUEST, "yaml: more than one document where one was expected");
    return documents->items_count ? documents->items[0] : value_null(a);
}
