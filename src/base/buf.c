/* The growing buffer with a maximum. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_done(struct buf *b)
{
    if (!b)
        return;
    free(b->p);
    b->p = NULL;
    b->n = b->capacity = 0;
    b->full = false;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->full = false;
    if (b->p)
        b->p[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t wanted;

    if (b->full || b->n > b->max || n > b->max - b->n) {
        b->full = true;
        return NULL;
    }
    wanted = b->n + n + 1; /* one more for the zero byte */
    if (wanted > b->capacity) {
        size_t capacity = MAX(b->capacity, (size_t)32);

        while (capacity < wanted)
            capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
        if (b->max < SIZE_MAX)
            capacity = MIN(capacity, b->max + 1);
        b->p = xrealloc(b->p, capacity);
        b->capacity = capacity;
    }
    return b->p + b->n;
}

void buf_add_bytes(struct buf *b, const void *p, size_t n)
{
    char *to = buf_reserve(b, n);

    if (!to)
        return;
    if (n)
        memcpy(to, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_add(struct buf *b, struct str s)
{
    buf_add_bytes(b, s.p, s.n);
}

void buf_add_char(struct buf *b, char c)
{
    buf_add_bytes(b, &c, 1);
}

void buf_add_repeat(struct buf *b, char c, size_t n)
{
    char *to = buf_reserve(b, n);

    if (!to)
        return;
    memset(to, c, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void buf_add_text(struct buf *b, const char *zero_terminated)
{
    buf_add(b, str_of(zero_terminated));
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;
    char small[256];
    int n;

    va_start(args, format);
    n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (n < 0) { /* only a value that cannot be encoded; the content would be wrong */
        b->full = true;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        buf_add_bytes(b, small, (size_t)n);
        return;
    }
    if (!buf_reserve(b, (size_t)n))
        return;
    va_start(args, format);
    vsnprintf(b->p + b->n, (size_t)n + 1, format, args);
    va_end(args);
    b->n += (size_t)n;
}

void buf_add_u64(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    buf_add_bytes(b, digits + at, sizeof(digits) - at);
}

void buf_add_i64(struct buf *b, int64_t n)
{
    char digits[21];
    size_t at = sizeof(digits);
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (n < 0)
        digits[--at] = '-';
    buf_add_bytes(b, digits + at, sizeof(digits) - at);
}

void buf_drop(struct buf *b, size_t n)
{
    if (n == 0 || !b->p)
        return;
    n = MIN(n, b->n);
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = '\0';
}

void buf_truncate(struct buf *b, size_t n)
{
    if (n >= b->n)
        return;
    b->n = n;
    b->p[n] = '\0';
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    char *p = b->p ? b->p : xcalloc(1, 1);

    p[b->n] = '\0';
    if (ret_n)
        *ret_n = b->n;
    b->p = NULL;
    b->n = b->capacity = 0;
    b->full = false;
    return p;
}
