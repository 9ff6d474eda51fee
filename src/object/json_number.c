/* JSON numbers: reading (RFC 8259, 6) and writing as Go's encoding/json formats a float64. */
#include "object/json_scan.h"
#include "object/json_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *digits_end(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static bool to_integer(const char *p, const char *end, int64_t *ret)
{
    bool negative = *p == '-';
    uint64_t n = 0;
    p += negative;
    if (end - p > 19)
        return false;
    for (; p < end; p++)
        n = n * 10 + (uint64_t)(*p - '0'); /* 19 digits always fit 64 bits */
    if (n > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

static double to_double(const char *p, size_t n)
{
    char small[64];
    AUTO_FREE char *large = NULL;
    char *text = small;
    if (n >= sizeof(small))
        text = large = xmalloc(n + 1);
    memcpy(text, p, n);
    text[n] = 0;
    return strtod(text, NULL);
}

const char *json_number(const char *p, const char *end, struct json_number *ret, enum json_problem *ret_problem)
{
    const char *start = p;
    bool integral = true;

    if (p < end && *p == '-')
        p++;
    const char *whole_end = digits_end(p, end);
    if (whole_end == p)
        return NULL;
    if (*p == '0')
        whole_end = p + 1; /* no leading zeros: what follows is the caller's error */
    p = whole_end;
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        p = digits_end(fraction, end);
        if (p == fraction)
            return NULL;
        integral = false;
    }
    if (p < end && (*p | 0x20) == 'e') {
        const char *exponent = p + 1;
        if (exponent < end && (*exponent == '+' || *exponent == '-'))
            exponent++;
        p = digits_end(exponent, end);
        if (p == exponent)
            return NULL;
        integral = false;
    }
    ret->integral = integral && to_integer(start, p, &ret->integer);
    if (!ret->integral) {
        ret->number = to_double(start, (size_t)(p - start));
        if (!isfinite(ret->number)) {
            *ret_problem = JSON_NUMBER_RANGE;
            return NULL;
        }
    }
    return p;
}

/* The shortest digits that read back as the same number: d.ddd without the point in `digits`, and its decimal exponent. */
static size_t shortest_digits(double d, char digits[24], int *ret_exponent)
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    size_t n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    *ret_exponent = (int)strtol(p + 1, NULL, 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

static void write_exponent(struct buf *to, const char *digits, size_t n, int exponent)
{
    buf_add_char(to, digits[0]);
    if (n > 1) {
        buf_add_char(to, '.');
        buf_add_bytes(to, digits + 1, n - 1);
    }
    buf_addf(to, "e%c%s%d", exponent < 0 ? '-' : '+', exponent >= 0 && exponent < 10 ? "0" : "", abs(exponent));
}

static void write_decimal(struct buf *to, const char *digits, size_t n, int exponent)
{
    if (exponent < 0) {
        buf_add_text(to, "0.");
        buf_add_repeat(to, '0', (size_t)(-exponent - 1));
        buf_add_bytes(to, digits, n);
        return;
    }
    size_t whole = (size_t)exponent + 1;
    buf_add_bytes(to, digits, MIN(whole, n));
    if (whole > n)
        buf_add_repeat(to, '0', whole - n);
    if (n > whole) {
        buf_add_char(to, '.');
        buf_add_bytes(to, digits + whole, n - whole);
    }
}

void json_write_double(struct buf *to, double d)
{
    if (!isfinite(d)) {
        buf_add_text(to, "null");
        return;
    }
    if (signbit(d)) {
        buf_add_char(to, '-');
        d = -d;
    }
    if (d == 0) {
        buf_add_char(to, '0');
        return;
    }
    char digits[24];
    int exponent;
    size_t n = shortest_digits(d, digits, &exponent);
    if (d < 1e-6 || d >= 1e21) /* the same limits as encoding/json, which took them from ECMAScript */
        write_exponent(to, digits, n, exponent);
    else
        write_decimal(to, digits, n, exponent);
}
