/* What is wrong with a JSON text, in the words of Go's encoding/json: clients show and match these sentences. */
#include "object/json_scan.h"

#include <stdio.h>

struct check {
    const char *p, *end;
    unsigned depth;
    bool in_object[OBJECT_DEPTH_MAX];
    struct error *err;
};

/* As strconv.Quote of the byte taken as a code point, but between single quotes (encoding/json's quoteChar). */
static void quote_char(char to[16], unsigned char c)
{
    static const char *const names = "abtnvfr"; /* from 7 on */
    if (c == '\'' || c == '\\')
        snprintf(to, 16, "'\\%c'", c);
    else if (c >= 7 && c <= 13)
        snprintf(to, 16, "'\\%c'",
                 names[c == 7    ? 0
                       : c == 8  ? 1
                       : c == 9  ? 2
                       : c == 10 ? 3
                       : c == 11 ? 4
                       : c == 12 ? 5
                                 : 6]);
    else if (c < 0x20 || c == 0x7f)
        snprintf(to, 16, "'\\x%02x'", c);
    else if (c < 0x80)
        snprintf(to, 16, "'%c'", c);
    else if (c <= 0xa0 || c == 0xad)
        snprintf(to, 16, "'\\u%04x'", c);
    else
        snprintf(to, 16, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

static bool bad(struct check *c, const char *context)
{
    if (c->p >= c->end) {
        fail(c->err, ERR_BAD_REQUEST, "unexpected end of JSON input");
        return false;
    }
    char quoted[16];
    quote_char(quoted, (unsigned char)*c->p);
    fail(c->err, ERR_BAD_REQUEST, "invalid character %s %s", quoted, context);
    return false;
}

static bool at_digit(const struct check *c)
{
    return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

static void skip_digits(struct check *c)
{
    while (at_digit(c))
        c->p++;
}

static bool check_number(struct check *c)
{
    if (*c->p == '-')
        c->p++;
    if (!at_digit(c))
        return bad(c, "in numeric literal");
    if (*c->p == '0')
        c->p++;
    else
        skip_digits(c);
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!at_digit(c))
            return bad(c, "after decimal point in numeric literal");
        skip_digits(c);
    }
    if (c->p < c->end && (*c->p | 0x20) == 'e') {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
            c->p++;
        if (!at_digit(c))
            return bad(c, "in exponent of numeric literal");
        skip_digits(c);
    }
    return true;
}

static bool check_literal(struct check *c, const char *word)
{
    for (size_t i = 1; word[i]; i++) {
        c->p++;
        if (c->p == c->end || *c->p != word[i]) {
            char context[48];
            snprintf(context, sizeof(context), "in literal %s (expecting '%c')", word, word[i]);
            return bad(c, context);
        }
    }
    c->p++;
    return true;
}

static bool check_escape(struct check *c)
{
    c->p++;
    if (c->p == c->end || !memchr("\"\\/bfnrtu", *c->p, 9))
        return bad(c, "in string escape code");
    if (*c->p != 'u')
        return true;
    for (int i = 0; i < 4; i++) {
        c->p++;
        if (c->p == c->end || !memchr("0123456789abcdefABCDEF", *c->p, 22))
            return bad(c, "in \\u hexadecimal character escape");
    }
    return true;
}

static bool check_string(struct check *c)
{
    for (c->p++;; c->p++) {
        if (c->p == c->end || (unsigned char)*c->p < 0x20)
            return bad(c, "in string literal");
        if (*c->p == '"')
            break;
        if (*c->p == '\\' && !check_escape(c))
            return false;
    }
    c->p++;
    return true;
}

/* A member's name and its colon; *c->p is the first byte after the brace or comma. */
static bool check_key(struct check *c)
{
    c->p = json_skip_space(c->p, c->end);
    if (c->p == c->end || *c->p != '"')
        return bad(c, "looking for beginning of object key string");
    if (!check_string(c))
        return false;
    c->p = json_skip_space(c->p, c->end);
    if (c->p == c->end || *c->p != ':')
        return bad(c, "after object key");
    c->p++;
    return true;
}

static bool check_scalar(struct check *c)
{
    switch (*c->p) {
    case '"':
        return check_string(c);
    case 't':
        return check_literal(c, "true");
    case 'f':
        return check_literal(c, "false");
    case 'n':
        return check_literal(c, "null");
    case '-':
    case '0' ... '9':
        return check_number(c);
    default:
        return bad(c, "looking for beginning of value");
    }
}

/* Begin an object or array. *ret_open: it has a first value to read. */
static bool check_open(struct check *c, bool *ret_open)
{
    bool object = *c->p == '{';
    if (c->depth == OBJECT_DEPTH_MAX) {
        fail(c->err, ERR_BAD_REQUEST, "exceeded max depth");
        return false;
    }
    c->in_object[c->depth++] = object;
    c->p = json_skip_space(c->p + 1, c->end);
    *ret_open = c->p == c->end || *c->p != (object ? '}' : ']');
    if (!*ret_open) {
        c->p++;
        c->depth--;
        return true;
    }
    return !object || check_key(c);
}

/* After a value: close what ends here. *ret_more: another value follows. */
static bool check_after(struct check *c, bool *ret_more)
{
    *ret_more = false;
    while (c->depth > 0) {
        bool object = c->in_object[c->depth - 1];
        c->p = json_skip_space(c->p, c->end);
        if (c->p < c->end && *c->p == ',') {
            c->p++;
            *ret_more = true;
            return !object || check_key(c);
        }
        if (c->p == c->end || *c->p != (object ? '}' : ']'))
            return bad(c, object ? "after object key:value pair" : "after array element");
        c->p++;
        c->depth--;
    }
    c->p = json_skip_space(c->p, c->end);
    return c->p == c->end || bad(c, "after top-level value");
}

static bool check_text(struct check *c)
{
    bool more = true;
    while (more) {
        c->p = json_skip_space(c->p, c->end);
        if (c->p == c->end)
            return bad(c, "looking for beginning of value");
        if (*c->p == '{' || *c->p == '[') {
            bool open;
            if (!check_open(c, &open))
                return false;
            if (open)
                continue;
        } else if (!check_scalar(c)) {
            return false;
        }
        if (!check_after(c, &more))
            return false;
    }
    return true;
}

int json_fail(struct str json, enum json_problem problem, const char *at, struct error *err)
{
    struct check c = { .p = json.p, .end = json.p + json.n, .err = err };
    if (!check_text(&c))
        return -1;
    switch (problem) {
    case JSON_TOO_DEEP:
        return fail(err, ERR_BAD_REQUEST, "exceeded max depth");
    case JSON_TOO_MANY:
        return fail(err, ERR_TOO_LARGE, "JSON text holds too many values");
    case JSON_NUMBER_RANGE: {
        size_t n = 0;
        while (at + n < c.end && n < 40 && memchr("+-.eE0123456789", at[n], 15))
            n++;
        return fail(err, ERR_BAD_REQUEST, "json: cannot unmarshal number %.*s into Go value of type float64", (int)n,
                    at);
    }
    case JSON_SYNTAX:
        break;
    }
    return fail(err, ERR_BAD_REQUEST, "malformed JSON");
}

int json_check_size(struct str json, size_t bytes_max, struct error *err)
{
    assert(bytes_max <= OBJECT_LIMIT_MAX);
    return json.n > bytes_max ? fail(err, ERR_TOO_LARGE, "Request entity too large: limit is %zu", bytes_max) : 0;
}
