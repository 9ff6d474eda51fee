/* JSON text to tree: recursive descent in one pass. Containers gather on a stack and are copied once at exact size. */
#include "object/value.h"
#include "object/json_scan.h"
#include "object/value_place.h"

#include <stdlib.h>

struct tree_parser {
    struct arena *arena;
    const char *end;
    struct value *pool; /* values are allocated many at a time */
    uint32_t pool_left;
    uint32_t values, values_max;
    struct member *members; /* of all open objects */
    size_t members_count, members_capacity;
    struct value **items; /* of all open arrays */
    size_t items_count, items_capacity;
    struct json_scratch scratch;
    struct value *duplicates;
    enum json_problem problem;
    const char *problem_at;
};

#define POOL_VALUES 32

static const char *parse_value(struct tree_parser *t, const char *p, const struct place *place, unsigned depth,
                               struct value **ret);

static const char *problem(struct tree_parser *t, enum json_problem problem, const char *at)
{
    t->problem = problem;
    t->problem_at = at;
    return NULL;
}

static struct value *new_value(struct tree_parser *t, enum value_type type)
{
    if (t->pool_left == 0) {
        t->pool = arena_alloc_array(t->arena, POOL_VALUES, sizeof(struct value));
        t->pool_left = POOL_VALUES;
    }
    t->pool_left--;
    t->values++;
    struct value *v = t->pool++;
    v->type = type;
    return v;
}

/* p is after the opening quote. Borrows from the text when nothing needs unescaping. */
static inline const char *parse_string(struct tree_parser *t, const char *p, struct str *ret)
{
    const char *q = json_plain_end(p, t->end);
    while (q < t->end && (*q == '<' || *q == '>' || *q == '&'))
        q = json_plain_end(q + 1, t->end);
    if (q < t->end && *q == '"') {
        *ret = (struct str){ p, (size_t)(q - p) };
        return q + 1;
    }
    q = json_unescape(p, t->end, &t->scratch);
    if (q)
        *ret = arena_str(t->arena, (struct str){ t->scratch.p, t->scratch.n });
    return q;
}

static void close_object(struct tree_parser *t, size_t first, bool suspicious, const struct place *place,
                         struct value *v)
{
    struct member *members = t->members ? t->members + first : NULL;
    uint32_t count = (uint32_t)(t->members_count - first);
    if (suspicious)
        count = members_keep_last(t->arena, members, count, place, t->duplicates);
    v->members = arena_alloc_array(t->arena, MAX(count, 1), sizeof(*members));
    if (count)
        memcpy(v->members, members, count * sizeof(*members));
    v->members_count = count;
    v->members_capacity = MAX(count, 1);
    t->members_count = first;
}

/* A name and its colon; p is at the name. The bit of the name's hash says whether the same name may have been here. */
static const char *parse_key(struct tree_parser *t, const char *p, struct member *ret)
{
    if (p == t->end || *p != '"')
        return NULL;
    p = parse_string(t, p + 1, &ret->name);
    if (!p)
        return NULL;
    p = json_skip_space(p, t->end);
    if (p == t->end || *p != ':')
        return NULL;
    ret->id = name_find(ret->name);
    if (ret->id != NAME_UNKNOWN)
        ret->name = name_text(ret->id);
    return json_skip_space(p + 1, t->end);
}

static const char *parse_object(struct tree_parser *t, const char *p, const struct place *place, unsigned depth,
                                struct value *v)
{
    size_t first = t->members_count;
    uint64_t seen = 0;
    bool suspicious = false;

    p = json_skip_space(p, t->end);
    if (p < t->end && *p == '}') {
        close_object(t, first, false, place, v);
        return p + 1;
    }
    for (;;) {
        struct member m = { 0 };
        p = parse_key(t, p, &m);
        if (!p)
            return NULL;
        uint64_t bit =
            1ull << (m.id ? m.id & 63 : (m.name.n ? (m.name.n * 7 + (unsigned char)m.name.p[m.name.n - 1]) & 63 : 0));
        suspicious |= (seen & bit) != 0;
        seen |= bit;
        p = parse_value(t, p, &(struct place){ .up = place, .key = m.name.p ? m.name : STR("") }, depth, &m.value);
        if (!p)
            return NULL;
        GROW(t->members, t->members_count, t->members_capacity);
        t->members[t->members_count++] = m;
        p = json_skip_space(p, t->end);
        if (p == t->end)
            return NULL;
        if (*p == '}')
            break;
        if (*p != ',')
            return NULL;
        p = json_skip_space(p + 1, t->end);
    }
    close_object(t, first, suspicious, place, v);
    return p + 1;
}

static const char *parse_array(struct tree_parser *t, const char *p, const struct place *place, unsigned depth,
                               struct value *v)
{
    size_t first = t->items_count;
    struct place here = { .up = place };

    p = json_skip_space(p, t->end);
    bool empty = p < t->end && *p == ']';
    while (!empty) {
        struct value *item;
        p = parse_value(t, p, &here, depth, &item);
        if (!p)
            return NULL;
        here.index++;
        GROW(t->items, t->items_count, t->items_capacity);
        t->items[t->items_count++] = item;
        p = json_skip_space(p, t->end);
        if (p == t->end)
            return NULL;
        if (*p == ']')
            break;
        if (*p != ',')
            return NULL;
        p = json_skip_space(p + 1, t->end);
    }
    uint32_t count = (uint32_t)(t->items_count - first);
    v->items = arena_alloc_array(t->arena, MAX(count, 1), sizeof(*v->items));
    if (count)
        memcpy(v->items, t->items + first, count * sizeof(*v->items));
    v->items_count = count;
    v->items_capacity = MAX(count, 1);
    t->items_count = first;
    return p + 1;
}

static const char *parse_word(struct tree_parser *t, const char *p, struct str word)
{
    return (size_t)(t->end - p) >= word.n && memcmp(p, word.p, word.n) == 0 ? p + word.n : NULL;
}

static const char *parse_number(struct tree_parser *t, const char *p, struct value *v)
{
    struct json_number number;
    const char *end = json_number(p, t->end, &number, &t->problem);
    if (!end) {
        t->problem_at = p;
        return NULL;
    }
    if (number.integral) {
        v->type = VALUE_INT;
        v->integer = number.integer;
    } else {
        v->type = VALUE_DOUBLE;
        v->number = number.number;
        v->text = (struct str){ p, (size_t)(end - p) };
    }
    return end;
}

static const char *parse_value(struct tree_parser *t, const char *p, const struct place *place, unsigned depth,
                               struct value **ret)
{
    if (p == t->end)
        return NULL;
    if (t->values >= t->values_max)
        return problem(t, JSON_TOO_MANY, p);
    struct value *v = *ret = new_value(t, VALUE_NULL);
    switch (*p) {
    case '"':
        v->type = VALUE_STRING;
        return parse_string(t, p + 1, &v->string);
    case '{':
    case '[':
        if (depth == OBJECT_DEPTH_MAX)
            return problem(t, JSON_TOO_DEEP, p);
        v->type = *p == '{' ? VALUE_OBJECT : VALUE_ARRAY;
        return *p == '{' ? parse_object(t, p + 1, place, depth + 1, v) : parse_array(t, p + 1, place, depth + 1, v);
    case 't':
        v->type = VALUE_BOOL;
        v->boolean = true;
        return parse_word(t, p, STR("true"));
    case 'f':
        v->type = VALUE_BOOL;
        return parse_word(t, p, STR("false"));
    case 'n':
        return parse_word(t, p, STR("null"));
    default:
        return parse_number(t, p, v);
    }
}

static struct value *parse(struct arena *a, struct str json, size_t bytes_max, struct value *duplicates,
                           struct error *err)
{
    if (json_check_size(json, bytes_max, err) < 0)
        return NULL;
    if (!json.p)
        json = STR("");
    struct tree_parser t = {
        .arena = a, .end = json.p + json.n, .duplicates = duplicates, .values_max = JSON_VALUES_MAX(bytes_max)
    };
    struct value *v = NULL;
    const char *p = parse_value(&t, json_skip_space(json.p, t.end), NULL, 0, &v);
    if (p && json_skip_space(p, t.end) != t.end)
        p = NULL;
    if (!p)
        json_fail(json, t.problem, t.problem_at, err);
    free(t.members);
    free(t.items);
    json_scratch_done(&t.scratch);
    return p ? v : NULL;
}

struct value *value_parse(struct arena *a, struct str json, struct value *duplicates, struct error *err)
{
    return parse(a, json, OBJECT_SIZE_MAX, duplicates, err);
}

struct value *value_parse_limit(struct arena *a, struct str json, size_t bytes_max, struct error *err)
{
    return parse(a, json, bytes_max, NULL, err);
}
