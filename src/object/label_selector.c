/* Label selectors: requirements checked and sorted, matching, the canonical text. */
#include "object/selector_internal.h"
#include "object/validate.h"

#include <stdlib.h>

void label_selector_done(struct label_selector *s)
{
    arena_done(&s->memory);
    *s = (struct label_selector){ 0 };
}

static int compare_strings(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void join_messages(struct buf *to, const struct validate_messages *messages)
{
    for (unsigned i = 0; i < messages->count; i++)
        buf_addf(to, "%s%s", i ? "; " : "", messages->list[i]);
}

/* upstream prints the path of the key, which is nil in its parser. */
int selector_key_check(struct str key, struct error *err)
{
    struct validate_messages messages = { 0 };
    if (validate_qualified_name(key, &messages))
        return 0;
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    join_messages(&text, &messages);
    return fail(err, ERR_BAD_REQUEST, "<nil>: Invalid value: \"%.*s\": %.*s", STR_ARG(str_part(key, 0, 256)),
                STR_ARG(buf_str(&text)));
}

static int check_value(struct str key, size_t i, struct str value, struct error *err)
{
    struct validate_messages messages = { 0 };
    if (validate_label_value(value, &messages))
        return 0;
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    join_messages(&text, &messages);
    return fail(err, ERR_BAD_REQUEST, "values[%zu][%.*s]: Invalid value: \"%.*s\": %.*s", i, STR_ARG(key),
                STR_ARG(str_part(value, 0, 256)), STR_ARG(buf_str(&text)));
}

static int check_count(const struct requirement *r, struct error *err)
{
    switch (r->relation) {
    case SELECTOR_IN:
    case SELECTOR_NOT_IN:
        if (r->values_count == 0)
            return fail(err, ERR_BAD_REQUEST,
                        "values: Invalid value: []string{}: for 'in', 'notin' operators, values set can't be empty");
        return 0;
    case SELECTOR_EXISTS:
    case SELECTOR_NOT_EXISTS:
        if (r->values_count != 0)
            return fail(err, ERR_BAD_REQUEST,
                        "values: Invalid value: values set must be empty for exists and does not exist");
        return 0;
    case SELECTOR_GREATER:
    case SELECTOR_LESS:
        if (r->values_count != 1)
            return fail(err, ERR_BAD_REQUEST,
                        "values: Invalid value: for 'Gt', 'Lt' operators, exactly one value is required");
        return 0;
    default:
        if (r->values_count != 1)
            return fail(err, ERR_BAD_REQUEST,
                        "values: Invalid value: exact-match compatibility requires one single value");
        return 0;
    }
}

static uint32_t sort_values(struct str *values, uint32_t count)
{
    uint32_t kept = 0;
    qsort(values, count, sizeof(*values), compare_strings);
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || !str_eq(values[kept - 1], values[i]))
            values[kept++] = values[i];
    return kept;
}

int selector_builder_add(struct selector_builder *b, struct str key, enum selector_relation relation,
                         const struct str *values, uint32_t values_count, bool fields, struct error *err)
{
    struct label_selector *s = b->selector;
    b->values_count += values_count;
    if (s->count >= SELECTOR_REQUIREMENTS_MAX || b->values_count > SELECTOR_VALUES_MAX)
        return fail(err, ERR_TOO_LARGE, "selector has more than %d requirements or %d values",
                    SELECTOR_REQUIREMENTS_MAX, SELECTOR_VALUES_MAX);
    if (!fields && selector_key_check(key, err) < 0)
        return -1;
    struct requirement r = { .key = arena_str(&s->memory, key), .id = name_find(key), .relation = relation };
    r.values = arena_alloc_array(&s->memory, MAX(values_count, 1), sizeof(*r.values));
    for (uint32_t i = 0; i < values_count; i++)
        r.values[i] = arena_str(&s->memory, values[i]);
    r.values_count = sort_values(r.values, values_count);
    if (check_count(&r, err) < 0)
        return -1;
    if ((relation == SELECTOR_GREATER || relation == SELECTOR_LESS) && !str_to_i64(r.values[0], &r.bound))
        return fail(err, ERR_BAD_REQUEST,
                    "values[0]: Invalid value: \"%.*s\": for 'Gt', 'Lt' operators, the value must be an integer",
                    STR_ARG(r.values[0]));
    for (uint32_t i = 0; i < r.values_count && !fields; i++)
        if (check_value(r.key, i, r.values[i], err) < 0)
            return -1;
    if (s->count >= b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 4;
        struct requirement *larger = arena_alloc_array(&s->memory, capacity, sizeof(*larger));
        if (s->count)
            memcpy(larger, s->requirements, s->count * sizeof(*larger));
        s->requirements = larger;
        b->capacity = capacity;
    }
    s->requirements[s->count++] = r;
    return 0;
}

static int compare_requirements(const void *a, const void *b)
{
    const struct requirement *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    if (order == 0)
        order = (int)x->relation - (int)y->relation;
    for (uint32_t i = 0; order == 0 && i < MIN(x->values_count, y->values_count); i++)
        order = str_cmp(x->values[i], y->values[i]);
    return order ? order : (int)x->values_count - (int)y->values_count;
}

void selector_builder_finish(struct selector_builder *b)
{
    if (b->selector->count)
        qsort(b->selector->requirements, b->selector->count, sizeof(struct requirement), compare_requirements);
}

static bool has_value(const struct requirement *r, struct str value)
{
    if (r->values_count == 1)
        return str_eq(r->values[0], value);
    return bsearch(&value, r->values, r->values_count, sizeof(value), compare_strings) != NULL;
}

bool requirement_matches(const struct requirement *r, bool present, struct str value)
{
    int64_t n;
    switch (r->relation) {
    case SELECTOR_EXISTS:
        return present;
    case SELECTOR_NOT_EXISTS:
        return !present;
    case SELECTOR_EQUALS:
    case SELECTOR_DOUBLE_EQUALS:
    case SELECTOR_IN:
        return present && has_value(r, value);
    case SELECTOR_NOT_EQUALS:
    case SELECTOR_NOT_IN:
        return !present || !has_value(r, value);
    case SELECTOR_GREATER:
        return present && str_to_i64(value, &n) && n > r->bound;
    case SELECTOR_LESS:
        return present && str_to_i64(value, &n) && n < r->bound;
    }
    return false;
}

bool label_selector_matches(const struct label_selector *s, struct view labels)
{
    if (s->nothing)
        return false;
    for (size_t i = 0; i < s->count; i++) {
        const struct requirement *r = &s->requirements[i];
        struct view label = r->id ? view_get(labels, r->id) : view_get_str(labels, r->key);
        if (!requirement_matches(r, view_present(label), view_str(label)))
            return false;
    }
    return true;
}

bool label_selector_matches_value(const struct label_selector *s, const struct value *labels)
{
    if (s->nothing)
        return false;
    for (size_t i = 0; i < s->count; i++) {
        const struct requirement *r = &s->requirements[i];
        const struct value *label = value_get_str(labels, r->key);
        if (!requirement_matches(r, label != NULL, value_to_str(label)))
            return false;
    }
    return true;
}

bool label_selector_is_everything(const struct label_selector *s)
{
    return !s->nothing && s->count == 0;
}

static void write_requirement(struct buf *to, const struct requirement *r)
{
    static const char *const operators[] = {
        [SELECTOR_EQUALS] = "=",  [SELECTOR_DOUBLE_EQUALS] = "==", [SELECTOR_NOT_EQUALS] = "!=",
        [SELECTOR_GREATER] = ">", [SELECTOR_LESS] = "<",           [SELECTOR_NOT_IN] = " notin (",
        [SELECTOR_IN] = " in (",
    };
    if (r->relation == SELECTOR_NOT_EXISTS)
        buf_add_char(to, '!');
    buf_add(to, r->key);
    if (r->relation == SELECTOR_EXISTS || r->relation == SELECTOR_NOT_EXISTS)
        return;
    buf_add_text(to, operators[r->relation]);
    for (uint32_t i = 0; i < r->values_count; i++) {
        if (i)
            buf_add_char(to, ',');
        buf_add(to, r->values[i]);
    }
    if (r->relation != SELECTOR_IN && r->relation != SELECTOR_NOT_IN)
        return;
    if (r->values_count == 1 && r->values[0].n == 0)
        buf_add_char(to, ','); /* "()" would be no values at all; upstream writes that and cannot read it */
    buf_add_char(to, ')');
}

void label_selector_write(struct buf *to, const struct label_selector *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (i)
            buf_add_char(to, ',');
        write_requirement(to, &s->requirements[i]);
    }
}
