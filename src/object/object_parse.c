/* JSON text straight into an object's block: one pass, one copy, no tree. The hottest loop of the API. */
#include "object/object_block.h"
#include "object/json_scan.h"
#include "object/value.h"

struct block_parser {
    struct builder b;
    const char *end;
    uint32_t values, values_max;
    struct json_scratch scratch;
    enum json_problem problem;
    const char *problem_at;
    bool needs_tree; /* a name twice, or apiVersion and kind not in front: rare, so done the slow way */
};

static const char *parse_value(struct block_parser *t, const char *p, name_id name, unsigned depth);

static const char *problem(struct block_parser *t, enum json_problem problem, const char *at)
{
    t->problem = problem;
    t->problem_at = at;
    return NULL;
}

/* Room for everything up to the end of the input, unless strings grow: those call builder_reserve() themselves. */
static inline void reserve_rest(struct block_parser *t, const char *p)
{
    builder_reserve(&t->b, (size_t)(t->end - p) + 16);
}

/* The slow half: escapes, non-ASCII, characters that must be escaped. */
static const char *unescape(struct block_parser *t, const char *p, struct str *ret)
{
    p = json_unescape(p, t->end, &t->scratch);
    if (p)
        *ret = (struct str){ t->scratch.p, t->scratch.n };
    return p;
}

static inline const char *parse_string(struct block_parser *t, const char *p, name_id name)
{
    const char *q = json_plain_end(p, t->end);
    if (q < t->end && *q == '"') {
        size_t bytes = (size_t)(q - p) + 2;
        builder_entry(&t->b, (uint32_t)t->b.text_bytes, name, VALUE_STRING, bytes);
        memcpy(t->b.text + t->b.text_bytes, p - 1, bytes);
        t->b.text_bytes += bytes;
        return q + 1;
    }
    struct str plain;
    p = unescape(t, p, &plain);
    if (!p)
        return NULL;
    builder_string(&t->b, name, plain);
    reserve_rest(t, p);
    return p;
}

/* A name and its colon into the text; the value comes next. *ret is only good until the next string. */
static inline const char *parse_key(struct block_parser *t, const char *p, struct str *ret, name_id *ret_id)
{
    if (p == t->end || *p != '"')
        return NULL;
    const char *q = json_plain_end(++p, t->end);
    if (q < t->end && *q == '"') {
        *ret = (struct str){ p, (size_t)(q - p) };
        memcpy(t->b.text + t->b.text_bytes, p - 1, ret->n + 2);
        t->b.text_bytes += ret->n + 2;
        t->b.text[t->b.text_bytes++] = ':';
        p = q + 1;
    } else {
        p = unescape(t, p, ret);
        if (!p)
            return NULL;
        builder_name(&t->b, *ret);
        reserve_rest(t, p);
    }
    *ret_id = name_find(*ret);
    p = json_skip_space(p, t->end);
    if (p == t->end || *p != ':')
        return NULL;
    return json_skip_space(p + 1, t->end);
}

static struct str raw_name(const struct block_parser *t, const struct entry *e)
{
    const char *quote = t->b.text + e->at - 2, *start = quote;
    do
        start = memrchr(t->b.text, '"', (size_t)(start - t->b.text));
    while (start[-1] == '\\');
    return (struct str){ start + 1, (size_t)(quote - start - 1) };
}

static struct str member_name(const struct block_parser *t, const struct entry *e)
{
    return e->name != NAME_UNKNOWN ? name_text(e->name) : raw_name(t, e);
}

/* The next member of an object, by its value's entry. *at moves on. */
static const struct entry *next_member(const struct block_parser *t, uint32_t *at)
{
    const struct entry *e = &t->b.entries[*at];
    if (entry_type(e) == VALUE_ABSENT)
        e += 2;
    *at = (uint32_t)(e - t->b.entries) + entry_span(e);
    return e;
}

static bool same_name(const struct block_parser *t, const struct entry *a, const struct entry *b)
{
    return a->name == b->name && (a->name != NAME_UNKNOWN || str_eq(raw_name(t, a), raw_name(t, b)));
}

static bool has_duplicate_among_many(const struct block_parser *t, uint32_t at, uint32_t count)
{
    uint32_t slots = 64;
    while (slots < count * 2)
        slots *= 2;
    AUTO_FREE const struct entry **members = xcalloc(slots, sizeof(*members));
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *e = next_member(t, &at);
        uint32_t slot = (uint32_t)str_hash(member_name(t, e)) & (slots - 1);
        for (; members[slot]; slot = (slot + 1) & (slots - 1))
            if (same_name(t, members[slot], e))
                return true;
        members[slot] = e;
    }
    return false;
}

#define FEW 32

/* Few members are compared pair by pair, many through a hash table: a client chooses how many. */
static bool has_duplicate(const struct block_parser *t, uint32_t entry, uint32_t count)
{
    const struct entry *members[FEW];
    uint32_t at = entry + entry_width(&t->b.entries[entry]);
    if (count > FEW)
        return has_duplicate_among_many(t, at, count);
    for (uint32_t i = 0; i < count; i++) {
        members[i] = next_member(t, &at);
        for (uint32_t j = 0; j < i; j++)
            if (same_name(t, members[j], members[i]))
                return true;
    }
    return false;
}

/* Counts leading members that are apiVersion and kind; one of them after another member asks for the tree. */
static void check_order(struct block_parser *t, struct str name, uint32_t index, uint32_t *leading)
{
    if (!str_is(name, "apiVersion") && !str_is(name, "kind"))
        return;
    if (*leading == index)
        (*leading)++;
    else
        t->needs_tree = true;
}

static inline uint64_t name_bit(struct str name, name_id id)
{
    if (id != NAME_UNKNOWN)
        return 1ull << (id & 63);
    return 1ull << (name.n ? (name.n * 7 + (unsigned char)name.p[name.n - 1] + (unsigned char)name.p[name.n / 2]) & 63
                           : 0);
}

static const char *parse_object(struct block_parser *t, const char *p, name_id name, unsigned depth)
{
    uint32_t entry = builder_open(&t->b, name, VALUE_OBJECT), count = 0, leading = 0;
    uint64_t seen = 0;
    bool suspicious = false;

    p = json_skip_space(p, t->end);
    bool empty = p < t->end && *p == '}';
    while (!empty) {
        struct str key;
        name_id id;
        p = parse_key(t, p, &key, &id);
        if (!p)
            return NULL;
        uint64_t bit = name_bit(key, id);
        suspicious |= (seen & bit) != 0;
        seen |= bit;
        if (depth == 1)
            check_order(t, key, count, &leading);
        count++;
        p = parse_value(t, p, id, depth);
        if (!p)
            return NULL;
        p = json_skip_space(p, t->end);
        if (p == t->end)
            return NULL;
        if (*p == '}')
            break;
        if (*p != ',')
            return NULL;
        t->b.text[t->b.text_bytes++] = ',';
        p = json_skip_space(p + 1, t->end);
    }
    builder_close(&t->b, entry);
    if (suspicious && !t->needs_tree)
        t->needs_tree = has_duplicate(t, entry, count);
    return p + 1;
}

static const char *parse_array(struct block_parser *t, const char *p, name_id name, unsigned depth)
{
    uint32_t entry = builder_open(&t->b, name, VALUE_ARRAY);

    p = json_skip_space(p, t->end);
    bool empty = p < t->end && *p == ']';
    while (!empty) {
        p = parse_value(t, p, NAME_UNKNOWN, depth);
        if (!p)
            return NULL;
        p = json_skip_space(p, t->end);
        if (p == t->end)
            return NULL;
        if (*p == ']')
            break;
        if (*p != ',')
            return NULL;
        t->b.text[t->b.text_bytes++] = ',';
        p = json_skip_space(p + 1, t->end);
    }
    builder_close(&t->b, entry);
    return p + 1;
}

static const char *put_scalar(struct block_parser *t, const char *p, name_id name, enum value_type type, size_t bytes)
{
    builder_entry(&t->b, (uint32_t)t->b.text_bytes, name, type, bytes);
    memcpy(t->b.text + t->b.text_bytes, p, bytes);
    t->b.text_bytes += bytes;
    return p + bytes;
}

static const char *parse_word(struct block_parser *t, const char *p, name_id name, enum value_type type,
                              struct str word)
{
    if ((size_t)(t->end - p) < word.n || memcmp(p, word.p, word.n) != 0)
        return NULL;
    return put_scalar(t, p, name, type, word.n);
}

static const char *parse_number(struct block_parser *t, const char *p, name_id name)
{
    struct json_number number;
    const char *q = json_number(p, t->end, &number, &t->problem);
    if (!q) {
        t->problem_at = p;
        return NULL;
    }
    if (number.integral && number.integer == 0) { /* "-0" is the integer 0 */
        put_scalar(t, q - 1, name, VALUE_INT, 1);
        return q;
    }
    return put_scalar(t, p, name, number.integral ? VALUE_INT : VALUE_DOUBLE, (size_t)(q - p));
}

static const char *parse_value(struct block_parser *t, const char *p, name_id name, unsigned depth)
{
    if (p == t->end)
        return NULL;
    if (++t->values > t->values_max)
        return problem(t, JSON_TOO_MANY, p);
    switch (*p) {
    case '"':
        return parse_string(t, p + 1, name);
    case '{':
    case '[':
        if (depth == OBJECT_DEPTH_MAX)
            return problem(t, JSON_TOO_DEEP, p);
        return *p == '{' ? parse_object(t, p + 1, name, depth + 1) : parse_array(t, p + 1, name, depth + 1);
    case 't':
        return parse_word(t, p, name, VALUE_BOOL, STR("true"));
    case 'f':
        return parse_word(t, p, name, VALUE_BOOL, STR("false"));
    case 'n':
        return parse_word(t, p, name, VALUE_NULL, STR("null"));
    default:
        return parse_number(t, p, name);
    }
}

static struct object *parse_through_tree(struct str json, size_t bytes_max, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    const struct value *tree = value_parse_limit(&a, json, bytes_max, err);
    return tree ? object_freeze(tree, bytes_max, err) : NULL;
}

struct object *object_parse_limit(struct str json, size_t bytes_max, struct error *err)
{
    if (json_check_size(json, bytes_max, err) < 0)
        return NULL;
    if (!json.p)
        json = STR("");
    struct block_parser t;
    builder_init(&t.b);
    t.end = json.p + json.n;
    t.values = 0;
    t.values_max = JSON_VALUES_MAX(bytes_max);
    t.scratch = (struct json_scratch){ 0 };
    t.problem = JSON_SYNTAX;
    t.problem_at = NULL;
    t.needs_tree = false;
    reserve_rest(&t, json.p);

    struct object *o = NULL;
    const char *p = parse_value(&t, json_skip_space(json.p, t.end), NAME_UNKNOWN, 0);
    if (p && json_skip_space(p, t.end) != t.end)
        p = NULL;
    if (!p)
        json_fail(json, t.problem, t.problem_at, err);
    else if (t.needs_tree)
        o = parse_through_tree(json, bytes_max, err);
    else if (t.b.text_bytes > bytes_max)
        fail(err, ERR_TOO_LARGE, "Request entity too large: limit is %zu", bytes_max);
    else
        o = builder_finish(&t.b);
    builder_done(&t.b);
    json_scratch_done(&t.scratch);
    return o;
}

struct object *object_parse(struct str json, struct error *err)
{
    return object_parse_limit(json, OBJECT_SIZE_MAX, err);
}
