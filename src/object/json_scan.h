/*
 * Inner pieces of the JSON codec, shared by the two parsers (to a tree, to a block) and the writers. Private to object/.
 *
 * Both parsers only find out *that* text is wrong; json_fail() then reads it again slowly to say what encoding/json
 * would say. That keeps the fast path free of error handling.
 */
#ifndef OBJECT_JSON_SCAN_H
#define OBJECT_JSON_SCAN_H

#include "base/error.h"
#include "object/object.h"

#include <endian.h>

/* Values in one text: bounds the memory of a tree (64 bytes each). Six bytes of text a value are fewer than any real object has. */
#define JSON_VALUES_MAX(bytes_max) ((uint32_t)((bytes_max) / 6))

enum json_problem {
    JSON_SYNTAX,
    JSON_TOO_DEEP,
    JSON_TOO_MANY,
    JSON_NUMBER_RANGE,
};

/* Sets err to the sentence of encoding/json (ERR_BAD_REQUEST) and returns -1. `at` is where a number out of range begins. */
int json_fail(struct str json, enum json_problem problem, const char *at, struct error *err);
/* Refuses text longer than bytes_max (ERR_TOO_LARGE). */
int json_check_size(struct str json, size_t bytes_max, struct error *err);

#define JSON_ONES 0x0101010101010101u
#define JSON_HIGH 0x8080808080808080u

static inline uint64_t json_zero_bytes(uint64_t w)
{
    return (w - JSON_ONES) & ~w;
}

/* The lowest bit set marks the first of eight bytes that may not be copied as it is: ", \, <, >, &, controls, non-ASCII. */
static inline uint64_t json_special_bytes(uint64_t w)
{
    uint64_t quote_or_and = (w | JSON_ONES * 0x04) ^ JSON_ONES * 0x26;
    uint64_t less_or_greater = (w | JSON_ONES * 0x02) ^ JSON_ONES * 0x3e;
    uint64_t backslash = w ^ JSON_ONES * 0x5c;
    uint64_t control = w - JSON_ONES * 0x20;
    return (json_zero_bytes(quote_or_and) | json_zero_bytes(less_or_greater) | json_zero_bytes(backslash) | control |
            w) &
           JSON_HIGH;
}

static inline bool json_is_special(unsigned char c)
{
    return c < 0x20 || c >= 0x80 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&';
}

/* The end of the run of bytes that need no care, starting at p. */
static inline const char *json_plain_end(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t special = json_special_bytes(le64toh(w));
        if (special)
            return p + (__builtin_ctzll(special) >> 3);
        p += 8;
    }
    while (p < end && !json_is_special((unsigned char)*p))
        p++;
    return p;
}

static inline const char *json_skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

struct json_number {
    bool integral; /* fits int64 and was written without fraction and exponent */
    int64_t integer;
    double number;
};

/* The end of the number that starts at p, or NULL when it is none or (*ret_problem = JSON_NUMBER_RANGE) no finite double. */
const char *json_number(const char *p, const char *end, struct json_number *ret, enum json_problem *ret_problem);

/* Memory for unescaped strings, reused from string to string. */
struct json_scratch {
    char *p;
    size_t n, capacity;
};
void json_scratch_done(struct json_scratch *s);
/*
 * Unescape the string whose text starts at p (after the opening quote) into *to. Returns the position after the closing
 * quote, NULL on a syntax error. Invalid UTF-8 and lone surrogates become U+FFFD, as in encoding/json.
 */
const char *json_unescape(const char *p, const char *end, struct json_scratch *to);

/* Bytes that json_escape() writes for s (without quotes). *ret_plain_bytes: length of the same string unescaped again. */
size_t json_escaped_bytes(struct str s, size_t *ret_plain_bytes);
char *json_escape(char *to, struct str s); /* returns the end; room as json_escaped_bytes() says */

/* Length of the valid UTF-8 sequence at p, 0 when it is not one (RFC 3629: no surrogates, shortest form). */
size_t json_utf8_length(const char *p, const char *end);

#endif
