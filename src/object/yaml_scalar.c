/* Plain scalars: the words and numbers of YAML 1.1. */
#include "object/yaml_scalar.h"
#include "object/json_number.h"

#include <math.h>
#include <stdlib.h>

#define PLAIN_MAX 1024 /* longer plain text is a string: no number needs so many digits */

static const struct {
    const char *text;
    enum value_type type;
    bool yes;
} words[] = {
    { "true", VALUE_BOOL, true },   { "True", VALUE_BOOL, true },   { "TRUE", VALUE_BOOL, true },
    { "false", VALUE_BOOL, false }, { "False", VALUE_BOOL, false }, { "FALSE", VALUE_BOOL, false },
    { "null", VALUE_NULL, false },  { "Null", VALUE_NULL, false },  { "NULL", VALUE_NULL, false },
    { "~", VALUE_NULL, false },     { "", VALUE_NULL, false },      { "yes", VALUE_BOOL, true },
    { "Yes", VALUE_BOOL, true },    { "YES", VALUE_BOOL, true },    { "no", VALUE_BOOL, false },
    { "No", VALUE_BOOL, false },    { "NO", VALUE_BOOL, false },    { "on", VALUE_BOOL, true },
    { "On", VALUE_BOOL, true },     { "ON", VALUE_BOOL, true },     { "off", VALUE_BOOL, false },
    { "Off", VALUE_BOOL, false },   { "OFF", VALUE_BOOL, false },   { "y", VALUE_BOOL, true },
    { "Y", VALUE_BOOL, true },      { "n", VALUE_BOOL, false },     { "N", VALUE_BOOL, false },
};

static bool is_infinite_or_nan(struct str s)
{
    static const char *const names[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN" };
    if (s.n == 5 && (*s.p == '+' || *s.p == '-'))
        s = str_from(s, 1);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(s, names[i]))
            return true;
    return false;
}

static bool digits_of(struct str s, unsigned base, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0')
                         : (c | 0x20) >= 'a'  ? (unsigned)((c | 0x20) - 'a' + 10)
                                              : 99;
        if (digit >= base || __builtin_mul_overflow(n, (uint64_t)base, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *ret = n;
    return s.n > 0;
}

/* strconv.ParseInt(s, 0, 64), then ParseUint: 0x, 0o, 0b, and a leading 0 means octal. */
static bool parse_integer(struct str s, bool *ret_negative, uint64_t *ret)
{
    *ret_negative = *s.p == '-';
    if (*s.p == '-' || *s.p == '+')
        s = str_from(s, 1);
    if (s.n < 2 || *s.p != '0')
        return digits_of(s, 10, ret);
    switch (s.p[1] | 0x20) {
    case 'x':
        return digits_of(str_from(s, 2), 16, ret);
    case 'o':
        return digits_of(str_from(s, 2), 8, ret);
    case 'b':
        return digits_of(str_from(s, 2), 2, ret);
    default:
        return digits_of(str_from(s, 1), 8, ret);
    }
}

/* ^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$ */
static bool looks_like_float(struct str s)
{
    size_t i = 0, digits = 0;
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
        i++;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        digits++;
    if (i < s.n && s.p[i] == '.')
        for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
            digits++;
    if (digits == 0)
        return false;
    if (i < s.n && (s.p[i] | 0x20) == 'e') {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
            i++;
        size_t start = i;
        while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
            i++;
        if (i == start)
            return false;
    }
    return i == s.n;
}

/* A float that is written without fraction in JSON is an integer there. */
static bool set_double(struct value *ret, double d)
{
    if (!isfinite(d))
        return false;
    if (fabs(d) < 0x1p63 && (double)(int64_t)d == d && fabs(d) < 1e21) {
        ret->type = VALUE_INT;
        ret->integer = (int64_t)d;
        return true;
    }
    ret->type = VALUE_DOUBLE;
    ret->number = d;
    ret->text = STR_NONE; /* .5 and +1. are no JSON */
    return true;
}

static bool resolve_number(const char *plain, size_t n, struct value *ret)
{
    bool negative;
    uint64_t magnitude;
    struct str s = { plain, n };
    if (parse_integer(s, &negative, &magnitude) && magnitude <= (uint64_t)INT64_MAX + negative) {
        ret->type = VALUE_INT;
        ret->integer = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
        return true;
    }
    return looks_like_float(s) && set_double(ret, strtod(plain, NULL));
}

bool yaml_resolve(struct str text, struct value *ret)
{
    *ret = (struct value){ .type = VALUE_STRING, .string = text };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (str_is(text, words[i].text)) {
            *ret = (struct value){ .type = words[i].type, .boolean = words[i].yes };
            return true;
        }
    }
    if (is_infinite_or_nan(text))
        return false;
    char first = *text.p;
    if (text.n >= PLAIN_MAX || !memchr("0123456789+-.", first, 13))
        return true;
    char plain[PLAIN_MAX];
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '_' || first == '.')
            plain[n++] = text.p[i];
    plain[n] = 0;
    struct value number = { 0 };
    if (!resolve_number(plain, n, &number))
        return true;
    /* 2^63 and more: exact in JSON when it is written the same way there. */
    uint64_t exact;
    if (number.type == VALUE_DOUBLE && first != '0' && first != '+' && str_to_u64(text, &exact))
        number.text = text;
    *ret = number;
    return true;
}

/* Dates, and times of YAML 1.1 in base 60. */
static bool is_digits_with_marks(struct str s)
{
    if (s.n == 0 || (!(*s.p >= '0' && *s.p <= '9') && *s.p != '+' && *s.p != '-'))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!memchr("0123456789:._-+ tTzZeE", s.p[i], 22))
            return false;
    return true;
}

bool yaml_is_ambiguous(struct str text)
{
    struct value v;
    return !yaml_resolve(text, &v) || v.type != VALUE_STRING || str_is(text, "<<") || str_is(text, "=") ||
           is_digits_with_marks(text);
}
