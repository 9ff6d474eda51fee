/*
 * A string that somebody else owns: pointer and length, passed by value, for reading.
 *
 * Not terminated by a zero byte and may hold any bytes. The empty string may have p == NULL. Nothing here allocates
 * except the functions that say so.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/macro.h"

#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
/* clang-format off */
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 } /* for static initialisers */
/* clang-format on */
#define STR_NONE ((struct str){ NULL, 0 })
/* printf("%.*s", STR_ARG(s)) */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *zero_terminated) /* NULL gives the empty string */
{
    return (struct str){ zero_terminated, zero_terminated ? strlen(zero_terminated) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *zero_terminated)
{
    return str_eq(a, str_of(zero_terminated));
}

static inline bool str_empty(struct str s)
{
    return s.n == 0;
}

int str_cmp(struct str a, struct str b);        /* by bytes, shorter first; for qsort and maps */
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_contains(struct str s, struct str part);
struct str str_from(struct str s, size_t start);           /* s[start:], empty when start is past the end */
struct str str_part(struct str s, size_t start, size_t n); /* s[start:start+n], clipped */
struct str str_trim(struct str s);                         /* without ASCII white space at both ends */
ptrdiff_t str_find(struct str s, char c);                  /* index of the first c, or -1 */
ptrdiff_t str_find_last(struct str s, char c);

/* Cut at the first `c`: *ret_head gets what is before it, *rest what is after. False (head = all, rest empty) without one. */
bool str_cut(struct str *rest, char c, struct str *ret_head);
/* Take the next part between separators `c` out of *rest; false when *rest is empty. "a,,b" has three parts, "a," one. */
bool str_next(struct str *rest, char c, struct str *ret_part);

/* Whole string as a decimal number; false on anything else, on overflow, and on an empty string. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);

char *str_dup(struct str s);                           /* heap, zero-terminated; caller frees */
uint64_t str_hash(struct str s);                       /* keyed per process: safe for outside keys */
bool str_eq_constant_time(struct str a, struct str b); /* for secrets; the length is not secret */
bool str_is_utf8(struct str s);

#endif
