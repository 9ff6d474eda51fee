/* Reading strings that somebody else owns: comparing, cutting, numbers, UTF-8. */
#include "base/str.h"

#include <stdlib.h>

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN(a.n, b.n);
    int order = n ? memcmp(a.p, b.p, n) : 0;

    if (order)
        return order < 0 ? -1 : 1;
    return (a.n > b.n) - (a.n < b.n);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

bool str_contains(struct str s, struct str part)
{
    return part.n == 0 || (s.n >= part.n && memmem(s.p, s.n, part.p, part.n) != NULL);
}

struct str str_from(struct str s, size_t start)
{
    if (start >= s.n)
        return STR_NONE;
    return (struct str){ s.p + start, s.n - start };
}

struct str str_part(struct str s, size_t start, size_t n)
{
    struct str rest = str_from(s, start);

    rest.n = MIN(rest.n, n);
    return rest;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *found = s.n ? memchr(s.p, c, s.n) : NULL;

    return found ? found - s.p : -1;
}

ptrdiff_t str_find_last(struct str s, char c)
{
    const char *found = s.n ? memrchr(s.p, c, s.n) : NULL;

    return found ? found - s.p : -1;
}

bool str_cut(struct str *rest, char c, struct str *ret_head)
{
    struct str all = *rest;
    ptrdiff_t at = str_find(all, c);

    if (at < 0) {
        *rest = STR_NONE;
        *ret_head = all;
        return false;
    }
    *ret_head = (struct str){ all.p, (size_t)at };
    *rest = (struct str){ all.p + at + 1, all.n - (size_t)at - 1 };
    return true;
}

bool str_next(struct str *rest, char c, struct str *ret_part)
{
    if (rest->n == 0)
        return false;
    str_cut(rest, c, ret_part);
    return true;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    uint64_t value = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
            return false;
    }
    *ret = value;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t magnitude;

    if (!str_to_u64(negative ? str_from(s, 1) : s, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

char *str_dup(struct str s)
{
    char *copy = xmalloc(s.n + 1);

    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

bool str_eq_constant_time(struct str a, struct str b)
{
    volatile unsigned char difference = 0;

    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        difference |= (unsigned char)(a.p[i] ^ b.p[i]);
    return difference == 0;
}

/* Length of the character that starts at p, 0 when it is none. Source: Unicode 15, table 3-7 (well-formed sequences). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < length)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool str_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;

    for (size_t i = 0; i < s.n;) {
        size_t length = utf8_length(p + i, s.n - i);

        if (length == 0)
            return false;
        i += length;
    }
    return true;
}
