/* Field selectors: terms split at unescaped commas, one operator each (pkg/fields/selector.go). */
#include "object/selector.h"

void field_selector_done(struct field_selector *s)
{
    arena_done(&s->memory);
    *s = (struct field_selector){ 0 };
}

/* The next term: up to a comma that no backslash escapes. */
static bool next_term(struct str *rest, struct str *ret)
{
    if (!rest->p)
        return false;
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ',')
        n += rest->p[n] == '\\' && n + 1 < rest->n ? 2 : 1;
    *ret = str_part(*rest, 0, n);
    *rest = n < rest->n ? str_from(*rest, n + 1) : STR_NONE;
    return true;
}

static int unescape(struct arena *a, struct str text, struct str *ret, struct error *err)
{
    char *to = arena_alloc(a, MAX(text.n, 1));
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == ',' || c == '=')
            return fail(err, ERR_BAD_REQUEST, "invalid field selector: unescaped character in value: %c", c);
        if (c == '\\') {
            if (++i == text.n)
                return fail(err, ERR_BAD_REQUEST, "invalid field selector: invalid escape sequence: \\");
            c = text.p[i];
            if (c != '\\' && c != ',' && c != '=')
                return fail(err, ERR_BAD_REQUEST, "invalid field selector: invalid escape sequence: \\%c", c);
        }
        to[n++] = c;
    }
    *ret = (struct str){ to, n };
    return 0;
}

/* The first of !=, ==, = splits a term. */
static bool split_term(struct str term, struct str *ret_field, struct str *ret_value, bool *ret_not)
{
    for (size_t i = 0; i < term.n; i++) {
        struct str rest = str_from(term, i);
        *ret_not = str_starts(rest, STR("!="));
        if (!*ret_not && *rest.p != '=')
            continue;
        *ret_field = str_part(term, 0, i);
        *ret_value = str_from(rest, *ret_not || str_starts(rest, STR("==")) ? 2 : 1);
        return true;
    }
    return false;
}

static int add_term(struct field_selector *s, size_t *capacity, struct str text, struct str term, struct error *err)
{
    struct field_term t;
    struct str value;
    if (!split_term(term, &t.field, &value, &t.not_equal))
        return fail(err, ERR_BAD_REQUEST, "invalid selector: '%.*s'; can't understand '%.*s'",
                    STR_ARG(str_part(text, 0, 1024)), STR_ARG(str_part(term, 0, 256)));
    t.field = arena_str(&s->memory, t.field);
    if (unescape(&s->memory, value, &t.value, err) < 0)
        return -1;
    if (s->count >= SELECTOR_REQUIREMENTS_MAX)
        return fail(err, ERR_TOO_LARGE, "field selector has more than %d terms", SELECTOR_REQUIREMENTS_MAX);
    if (s->count >= *capacity) {
        *capacity = *capacity ? *capacity * 2 : 4;
        struct field_term *larger = arena_alloc_array(&s->memory, *capacity, sizeof(*larger));
        if (s->count)
            memcpy(larger, s->terms, s->count * sizeof(*larger));
        s->terms = larger;
    }
    s->terms[s->count++] = t;
    return 0;
}

int field_selector_parse(struct field_selector *ret, struct str text, struct error *err)
{
    struct str rest = text, term;
    size_t capacity = 0;
    *ret = (struct field_selector){ 0 };
    if (text.n > SELECTOR_TEXT_MAX)
        return fail(err, ERR_TOO_LARGE, "field selector is longer than %zu bytes", (size_t)SELECTOR_TEXT_MAX);
    while (next_term(&rest, &term)) {
        if (term.n && add_term(ret, &capacity, text, term, err) < 0) {
            field_selector_done(ret);
            return -1;
        }
    }
    return 0;
}

bool field_selector_matches(const struct field_selector *s, field_lookup lookup, void *arg)
{
    for (size_t i = 0; i < s->count; i++)
        if (str_eq(lookup(arg, s->terms[i].field), s->terms[i].value) == s->terms[i].not_equal)
            return false;
    return true;
}

struct str field_of_view(void *root, struct str field)
{
    struct view v = *(const struct view *)root;
    struct str step;
    while (view_present(v) && str_next(&field, '.', &step))
        v = view_get_str(v, step);
    enum value_type type = view_type(v);
    if (type == VALUE_STRING)
        return view_str(v);
    return type == VALUE_BOOL || type == VALUE_INT || type == VALUE_DOUBLE ? view_json(v) : STR_NONE;
}

bool field_selector_requires(const struct field_selector *s, struct str field, struct str *ret_value)
{
    for (size_t i = 0; i < s->count; i++) {
        if (!s->terms[i].not_equal && str_eq(s->terms[i].field, field)) {
            *ret_value = s->terms[i].value;
            return true;
        }
    }
    return false;
}

void field_selector_write(struct buf *to, const struct field_selector *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct field_term *t = &s->terms[i];
        if (i)
            buf_add_char(to, ',');
        buf_add(to, t->field);
        buf_add_text(to, t->not_equal ? "!=" : "=");
        for (size_t j = 0; j < t->value.n; j++) {
            char c = t->value.p[j];
            if (c == '\\' || c == ',' || c == '=')
                buf_add_char(to, '\\');
            buf_add_char(to, c);
        }
    }
}
