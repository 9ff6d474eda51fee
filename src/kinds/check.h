/*
 * The words validation is written with: a path to the field, and one function for each sort of complaint.
 *
 *     check_required(k, AT(AT(AT_ROOT, "spec"), "selector"), "");
 *     check_invalid_int(k, AT(spec, "replicas"), replicas, "must be greater than or equal to 0");
 *
 * Reasons and sentences are upstream's, since clients and people match on them. Source:
 * k8s.io/apimachinery/pkg/util/validation/field. Composite values are shown as JSON. Complaints past ERROR_CAUSES_MAX are dropped;
 * check_full() lets long loops stop early.
 */
#ifndef KINDS_CHECK_H
#define KINDS_CHECK_H

#include "kinds/fields.h"
#include "kinds/kinds.h"

/* Where: a chain on the stack from the field up to the root. Lives in the block it was written in. */
struct at {
    const struct at *up;
    struct str name;
    int64_t index; /* >= 0: "[3]" */
    bool key;      /* "[name]" instead of ".name" */
};
#define AT_ROOT         NULL
#define AT(up, literal) (&(const struct at){ (up), STR(literal), -1, false })
#define AT_STR(up, s)   (&(const struct at){ (up), (s), -1, false })
#define AT_INDEX(up, i) (&(const struct at){ (up), STR_NONE, (int64_t)(i), false })
#define AT_KEY(up, s)   (&(const struct at){ (up), (s), -1, true })
struct str at_text(struct arena *a, const struct at *at); /* "spec.ports[0].name" */

/* One run of validation over one object. */
struct check {
    struct kind_context *context;
    struct arena *arena;
    struct error *causes;
};
#define CHECK(context_, causes_) (&(struct check){ (context_), (context_)->arena, (causes_) })
bool check_full(const struct check *k);

void check_required(struct check *k, const struct at *at, const char *detail); /* detail may be "" */
void check_forbidden(struct check *k, const struct at *at, const char *detail);
/* value is what the object has there: text is quoted, numbers are plain, the rest is JSON, absent is null. */
void check_invalid(struct check *k, const struct at *at, struct view value, const char *detail);
void check_invalid_str(struct check *k, const struct at *at, struct str value, const char *detail);
void check_invalid_int(struct check *k, const struct at *at, int64_t value, const char *detail);
void check_duplicate(struct check *k, const struct at *at, struct view value);
void check_duplicate_str(struct check *k, const struct at *at, struct str value);
void check_not_found(struct check *k, const struct at *at, struct str value);
void check_too_long(struct check *k, const struct at *at, int64_t max_bytes);
void check_too_many(struct check *k, const struct at *at, int64_t actual, int64_t max);
/* `supported` is NULL-terminated and shown in its order. */
void check_not_supported(struct check *k, const struct at *at, struct str value, const char *const *supported);

void check_not_supported_view(struct check *k, const struct at *at, struct view value, const char *const *supported);

/* Short forms. They return whether the value was fine. */
bool check_one_of(struct check *k, const struct at *at, struct str value, const char *const *supported);
/* The same for a required enum: empty is "Required value". */
bool check_one_of_required(struct check *k, const struct at *at, struct str value, const char *const *supported);
bool check_not_negative(struct check *k, const struct at *at, int64_t value);
bool check_port(struct check *k, const struct at *at, int64_t port);
bool check_immutable(struct check *k, const struct at *at, struct view now, struct view old);
bool str_in(struct str s, const char *const *list); /* NULL-terminated list */

#endif
