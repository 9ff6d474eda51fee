/*
 * A growing buffer for building strings, born with its maximum.
 *
 * Appending past the maximum sets `full` and appends nothing from then on, so a chain of appends is checked once at
 * its end. The content is always followed by a zero byte that is not counted. Owner: whoever declared it.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
    char *p;
    size_t n;
    size_t capacity;
    size_t max;
    bool full; /* something did not fit; the content is incomplete */
};

/* clang-format off */
#define BUF_MAX(max_bytes) { .max = (max_bytes) }
/* clang-format on */
#define AUTO_BUF CLEANUP(buf_done)

void buf_done(struct buf *b);  /* frees; the buffer is empty and usable again */
void buf_clear(struct buf *b); /* keeps the memory and the maximum, clears `full` */
void buf_add(struct buf *b, struct str s);
void buf_add_bytes(struct buf *b, const void *p, size_t n);
void buf_add_char(struct buf *b, char c);
void buf_add_repeat(struct buf *b, char c, size_t n);
void buf_add_text(struct buf *b, const char *zero_terminated);
void buf_addf(struct buf *b, const char *format, ...) PRINTF(2, 3);
void buf_add_u64(struct buf *b, uint64_t n); /* decimal, faster than buf_addf */
void buf_add_i64(struct buf *b, int64_t n);
/* Room for n bytes at p + n, or NULL and `full` when that passes the maximum. After using it add to n; the zero byte comes with
 * the next append or buf_take(). */
char *buf_reserve(struct buf *b, size_t n);
void buf_drop(struct buf *b, size_t n);       /* remove n bytes from the front */
void buf_truncate(struct buf *b, size_t n);   /* keep the first n bytes */
char *buf_take(struct buf *b, size_t *ret_n); /* the content, heap, zero-terminated; the buffer is empty after */

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){ b->p, b->n };
}

#endif
