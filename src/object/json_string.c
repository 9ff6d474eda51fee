/* JSON strings: unescaping and escaping as Go's encoding/json does both. */
#include "object/json_scan.h"

#include <stdlib.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void json_scratch_done(struct json_scratch *s)
{
    free(s->p);
    *s = (struct json_scratch){ 0 };
}

static void scratch_reserve(struct json_scratch *s, size_t more)
{
    if (s->capacity - s->n >= more)
        return;
    s->capacity = MAX(s->n + more, s->capacity + s->capacity / 2);
    s->p = xrealloc(s->p, s->capacity);
}

size_t json_utf8_length(const char *text, const char *end)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (left >= 1 && p[0] < 0x80)
        return 1;
    if (left >= 2 && p[0] >= 0xc2 && p[0] <= 0xdf)
        return (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (left >= 3 && (p[0] & 0xf0) == 0xe0) {
        unsigned char low = p[0] == 0xe0 ? 0xa0 : 0x80, high = p[0] == 0xed ? 0x9f : 0xbf;
        return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (left >= 4 && p[0] >= 0xf0 && p[0] <= 0xf4) {
        unsigned char low = p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xf4 ? 0x8f : 0xbf;
        return p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits after \u, or -1. */
static int32_t hex_unit(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static char *utf8_put(char *to, uint32_t rune)
{
    if (rune < 0x80) {
        *to++ = (char)rune;
    } else if (rune < 0x800) {
        *to++ = (char)(0xc0 | rune >> 6);
        *to++ = (char)(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        *to++ = (char)(0xe0 | rune >> 12);
        *to++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *to++ = (char)(0x80 | (rune & 0x3f));
    } else {
        *to++ = (char)(0xf0 | rune >> 18);
        *to++ = (char)(0x80 | (rune >> 12 & 0x3f));
        *to++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *to++ = (char)(0x80 | (rune & 0x3f));
    }
    return to;
}

/* p is after "\u". A lone half of a surrogate pair becomes U+FFFD, and what follows it is read by itself. */
static const char *unescape_unicode(const char *p, const char *end, char **to)
{
    int32_t unit = hex_unit(p, end);
    if (unit < 0)
        return NULL;
    p += 4;
    uint32_t rune = (uint32_t)unit;
    if (unit >= 0xd800 && unit <= 0xdfff) {
        rune = 0xfffd;
        if (unit <= 0xdbff && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
            int32_t low = hex_unit(p + 2, end);
            if (low >= 0xdc00 && low <= 0xdfff) {
                rune = 0x10000 + ((uint32_t)(unit - 0xd800) << 10 | (uint32_t)(low - 0xdc00));
                p += 6;
            }
        }
    }
    *to = utf8_put(*to, rune);
    return p;
}

/* p is after the backslash. */
static const char *unescape_one(const char *p, const char *end, char **to)
{
    static const char plain[256] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'
    };
    if (p == end)
        return NULL;
    if (*p == 'u')
        return unescape_unicode(p + 1, end, to);
    char c = plain[(unsigned char)*p];
    if (!c)
        return NULL;
    *(*to)++ = c;
    return p + 1;
}

const char *json_unescape(const char *p, const char *end, struct json_scratch *s)
{
    /* Only invalid UTF-8 grows (one byte to three); everything else needs at most the room of the rest of the text. */
    s->n = 0;
    scratch_reserve(s, (size_t)(end - p) + 4);
    char *to = s->p;
    while (p < end) {
        const char *run_end = json_plain_end(p, end);
        memcpy(to, p, (size_t)(run_end - p));
        to += run_end - p;
        p = run_end;
        if (p == end)
            return NULL;
        if (*p == '"') {
            s->n = (size_t)(to - s->p);
            return p + 1;
        }
        if (*p == '\\') {
            p = unescape_one(p + 1, end, &to);
            if (!p)
                return NULL;
            continue;
        }
        if ((unsigned char)*p < 0x20)
            return NULL;
        size_t length = json_utf8_length(p, end);
        if (length == 0) {
            s->n = (size_t)(to - s->p);
            scratch_reserve(s, (size_t)(end - p) + 4 + sizeof(REPLACEMENT));
            to = (char *)memcpy(s->p + s->n, REPLACEMENT, 3) + 3;
            p++;
            continue;
        }
        memcpy(to, p, length);
        to += length;
        p += length;
    }
    return NULL;
}

/* U+2028 and U+2029 end a line in JavaScript, so encoding/json escapes them. */
static bool is_line_separator(const char *p, size_t length)
{
    return length == 3 && memcmp(p, "\xe2\x80", 2) == 0 && ((unsigned char)p[2] & 0xfe) == 0xa8;
}

static char short_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

size_t json_escaped_bytes(struct str s, size_t *ret_plain_bytes)
{
    const char *p = s.p, *end = s.p + s.n;
    size_t bytes = 0, plain = s.n;
    while (p < end) {
        const char *run_end = json_plain_end(p, end);
        bytes += (size_t)(run_end - p);
        p = run_end;
        if (p == end)
            break;
        size_t length = json_utf8_length(p, end);
        if (length == 0) {
            bytes += 3;
            plain += 2;
            p++;
        } else if (length == 1) {
            bytes += short_escape(*p) ? 2 : 6;
            p++;
        } else {
            bytes += is_line_separator(p, length) ? 6 : length;
            p += length;
        }
    }
    *ret_plain_bytes = plain;
    return bytes;
}

static char *put_unicode(char *to, unsigned unit)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = '\\';
    *to++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4)
        *to++ = digits[unit >> shift & 0xf];
    return to;
}

char *json_escape(char *to, struct str s)
{
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        const char *run_end = json_plain_end(p, end);
        memcpy(to, p, (size_t)(run_end - p));
        to += run_end - p;
        p = run_end;
        if (p == end)
            break;
        size_t length = json_utf8_length(p, end);
        if (length == 0) {
            to = (char *)memcpy(to, REPLACEMENT, 3) + 3;
            p++;
        } else if (length == 1) {
            char escape = short_escape(*p);
            if (escape) {
                *to++ = '\\';
                *to++ = escape;
            } else {
                to = put_unicode(to, (unsigned char)*p);
            }
            p++;
        } else if (is_line_separator(p, length)) {
            to = put_unicode(to, 0x2000 | ((unsigned char)p[2] & 0x3f));
            p += length;
        } else {
            memcpy(to, p, length);
            to += length;
            p += length;
        }
    }
    return to;
}
