/* The text of label selectors: upstream's lexer and parser (pkg/labels/selector.go), sentence for sentence. */
#include "object/selector_internal.h"

#include <stdlib.h>

enum token {
    T_END,
    T_COMMA,
    T_OPEN,
    T_CLOSE,
    T_NOT,
    T_EQUALS,
    T_DOUBLE_EQUALS,
    T_NOT_EQUALS,
    T_GREATER,
    T_LESS,
    T_IN,
    T_NOT_IN,
    T_IDENTIFIER
};

struct lexer {
    struct str rest;
    enum token token; /* the token that comes next */
    struct str text;  /* as it is written */
};

struct values {
    struct str *list;
    uint32_t count, capacity;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c == '=' || c == '!' || c == '(' || c == ')' || c == ',' || c == '>' || c == '<';
}

static enum token special_token(struct str rest, size_t *ret_n)
{
    *ret_n = 1;
    bool equals = rest.n > 1 && rest.p[1] == '=';
    switch (*rest.p) {
    case ',':
        return T_COMMA;
    case '(':
        return T_OPEN;
    case ')':
        return T_CLOSE;
    case '>':
        return T_GREATER;
    case '<':
        return T_LESS;
    case '!':
        *ret_n = equals ? 2 : 1;
        return equals ? T_NOT_EQUALS : T_NOT;
    default:
        *ret_n = equals ? 2 : 1;
        return equals ? T_DOUBLE_EQUALS : T_EQUALS;
    }
}

/* Move on to the next token. `in` and `notin` are words of the language only where an operator is expected. */
static void advance(struct lexer *l)
{
    size_t n = 0;
    while (l->rest.n && is_space(*l->rest.p))
        l->rest = str_from(l->rest, 1);
    if (l->rest.n == 0) {
        l->token = T_END;
    } else if (is_special(*l->rest.p)) {
        l->token = special_token(l->rest, &n);
    } else {
        while (n < l->rest.n && !is_special(l->rest.p[n]) && !is_space(l->rest.p[n]))
            n++;
        l->token = T_IDENTIFIER;
    }
    l->text = str_part(l->rest, 0, n);
    l->rest = str_from(l->rest, n);
}

static int found(const struct lexer *l, const char *expected, struct error *err)
{
    return fail(err, ERR_BAD_REQUEST, "found '%.*s', expected: %s", STR_ARG(str_part(l->text, 0, 256)), expected);
}

static void values_add(struct values *v, struct str value)
{
    GROW(v->list, v->count, v->capacity);
    v->list[v->count++] = value;
}

/* After "(": "a,b)", "(,a)", "(a,,b)": an empty place is the empty value. */
static int parse_list(struct lexer *l, struct values *v, struct error *err)
{
    for (;;) {
        if (v->count > SELECTOR_VALUES_MAX)
            return fail(err, ERR_TOO_LARGE, "selector has more than %d values", SELECTOR_VALUES_MAX);
        if (l->token == T_IDENTIFIER) {
            values_add(v, l->text);
            advance(l);
            if (l->token == T_CLOSE)
                return 0;
            if (l->token != T_COMMA)
                return found(l, "',' or ')'", err);
        } else if (l->token == T_COMMA) {
            if (v->count == 0)
                values_add(v, STR(""));
            advance(l);
            if (l->token == T_CLOSE) {
                values_add(v, STR(""));
                return 0;
            }
            if (l->token == T_COMMA) {
                advance(l);
                values_add(v, STR(""));
            }
        } else {
            return found(l, "',', or identifier", err);
        }
    }
}

static int parse_values(struct lexer *l, struct values *v, struct error *err)
{
    if (l->token != T_OPEN)
        return fail(err, ERR_BAD_REQUEST, "found '%.*s' expected: '('", STR_ARG(str_part(l->text, 0, 256)));
    advance(l);
    if (l->token == T_IDENTIFIER || l->token == T_COMMA) {
        if (parse_list(l, v, err) < 0)
            return -1;
    } else if (l->token != T_CLOSE) {
        return found(l, "',', ')' or identifier", err);
    }
    advance(l);
    return 0;
}

static int parse_exact_value(struct lexer *l, struct values *v, struct error *err)
{
    if (l->token == T_END || l->token == T_COMMA) {
        values_add(v, STR(""));
        return 0;
    }
    if (l->token != T_IDENTIFIER)
        return found(l, "identifier", err);
    values_add(v, l->text);
    advance(l);
    return 0;
}

static int parse_operator(struct lexer *l, enum selector_relation *ret, struct error *err)
{
    static const enum selector_relation operators[] = {
        [T_EQUALS] = SELECTOR_EQUALS,
        [T_DOUBLE_EQUALS] = SELECTOR_DOUBLE_EQUALS,
        [T_NOT_EQUALS] = SELECTOR_NOT_EQUALS,
        [T_GREATER] = SELECTOR_GREATER,
        [T_LESS] = SELECTOR_LESS,
        [T_IN] = SELECTOR_IN,
        [T_NOT_IN] = SELECTOR_NOT_IN,
    };
    enum token token = l->token;
    if (token == T_IDENTIFIER && str_is(l->text, "in"))
        token = T_IN;
    else if (token == T_IDENTIFIER && str_is(l->text, "notin"))
        token = T_NOT_IN;
    if (token >= ARRAY_SIZE(operators) || operators[token] == SELECTOR_EXISTS)
        return found(l, "in, notin, =, ==, !=, gt, lt", err);
    *ret = operators[token];
    advance(l);
    return 0;
}

static int parse_requirement(struct lexer *l, struct selector_builder *b, struct values *v, struct error *err)
{
    enum selector_relation relation = SELECTOR_EXISTS;
    bool not = l->token == T_NOT;
    if (not )
        advance(l);
    if (l->token != T_IDENTIFIER)
        return found(l, "identifier", err);
    struct str key = l->text;
    if (selector_key_check(key, err) < 0)
        return -1;
    advance(l);
    if (not )
        return selector_builder_add(b, key, SELECTOR_NOT_EXISTS, NULL, 0, false, err);
    if (l->token == T_END || l->token == T_COMMA)
        return selector_builder_add(b, key, SELECTOR_EXISTS, NULL, 0, false, err);
    if (parse_operator(l, &relation, err) < 0)
        return -1;
    v->count = 0;
    bool list = relation == SELECTOR_IN || relation == SELECTOR_NOT_IN;
    if ((list ? parse_values(l, v, err) : parse_exact_value(l, v, err)) < 0)
        return -1;
    return selector_builder_add(b, key, relation, v->list, v->count, false, err);
}

static int parse(struct lexer *l, struct selector_builder *b, struct values *v, struct error *err)
{
    advance(l);
    while (l->token != T_END) {
        if (l->token != T_IDENTIFIER && l->token != T_NOT)
            return found(l, "!, identifier, or 'end of string'", err);
        if (parse_requirement(l, b, v, err) < 0)
            return error_context(err, "unable to parse requirement");
        if (l->token == T_END)
            return 0;
        if (l->token != T_COMMA)
            return found(l, "',' or 'end of string'", err);
        advance(l);
        if (l->token != T_IDENTIFIER && l->token != T_NOT)
            return found(l, "identifier after ','", err);
    }
    return 0;
}

int label_selector_parse(struct label_selector *ret, struct str text, struct error *err)
{
    *ret = (struct label_selector){ 0 };
    if (text.n > SELECTOR_TEXT_MAX)
        return fail(err, ERR_TOO_LARGE, "selector is longer than %zu bytes", (size_t)SELECTOR_TEXT_MAX);
    struct lexer l = { .rest = text };
    struct selector_builder b = { .selector = ret };
    struct values v = { 0 };
    int result = parse(&l, &b, &v, err);
    free(v.list);
    if (result < 0)
        label_selector_done(ret);
    else
        selector_builder_finish(&b);
    return result;
}
