/*
 * Amounts of resources: "500m" of cpu, "128Mi" of memory, "1e3".
 *
 * A quantity is an exact decimal number with at most 9 places after the point (finer input is rounded up, away from zero) and
 * the suffix family it was written in, which its canonical text keeps: the largest suffix that leaves a whole number. Binary
 * amounts above 2^63-1 are cut to that, as upstream cuts them; decimal ones above 10^28, where upstream has no limit. Values
 * are plain: copied, no ownership.
 *
 * Errors are ERR_BAD_REQUEST with upstream's sentence. Source: k8s.io/apimachinery/pkg/api/resource (quantity.go, amount.go, suffix.go).
 */
#ifndef OBJECT_QUANTITY_H
#define OBJECT_QUANTITY_H

#include "base/buf.h"
#include "base/error.h"

enum quantity_format { QUANTITY_DECIMAL_SI, QUANTITY_BINARY_SI, QUANTITY_DECIMAL_EXPONENT };

struct quantity {
    __int128 nano; /* the number times 10^9, at most QUANTITY_NANO_MAX in size */
    enum quantity_format format;
};

#define QUANTITY_NANO_MAX  ((__int128)1000000000000000000 * 1000000000000000000 * 10)
#define QUANTITY_TEXT_SIZE 64 /* room for every canonical text with its zero byte */

int quantity_parse(struct str text, struct quantity *ret, struct error *err);
bool quantity_is_valid(struct str text);
struct quantity quantity_of(int64_t n, enum quantity_format format);
struct quantity quantity_of_milli(int64_t n, enum quantity_format format);

/* The canonical text; returns its length. "1500m", "512Mi", "1e3". Reading it gives an equal quantity. */
size_t quantity_text(struct quantity q, char ret[QUANTITY_TEXT_SIZE]);
void quantity_write(struct buf *to, struct quantity q);

int quantity_cmp(struct quantity a, struct quantity b); /* -1, 0, 1; formats do not matter */
int quantity_sign(struct quantity q);
bool quantity_is_zero(struct quantity q);
/* Results keep the format of a, or take that of b when a is zero (as upstream's Add and Sub). They stop at the largest number. */
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_sub(struct quantity a, struct quantity b);
struct quantity quantity_neg(struct quantity q);

/* As integers, rounded up (away from zero), cut to int64: whole units (bytes, cores), thousandths (milli cores). */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
/* Is it a whole number of units (extended resources, huge pages must be)? */
bool quantity_is_whole(struct quantity q);

#endif
