/*
 * Private to object/: sets of paths into an object, as field ownership needs them.
 *
 * A set is a tree of path elements in upstream's order (names, keys, values, indexes), each with a mark whether the path that ends
 * there is a member. Sets live in an arena, are never changed once built, and share their parts.
 * Source: structured-merge-diff, fieldpath (Set, PathElement) and their FieldsV1 form.
 */
#ifndef OBJECT_MANAGED_SET_H
#define OBJECT_MANAGED_SET_H

#include "base/error.h"
#include "object/value.h"

enum element_type { ELEMENT_FIELD, ELEMENT_KEY, ELEMENT_VALUE, ELEMENT_INDEX };

struct element {
    enum element_type type;
    union {
        struct str name;           /* ELEMENT_FIELD */
        const struct value *value; /* ELEMENT_KEY: an object, members sorted by name; ELEMENT_VALUE: anything */
        int64_t index;             /* ELEMENT_INDEX */
    };
};

struct managed_node;
struct managed_set {
    struct managed_node *nodes; /* sorted, elements unique */
    uint32_t count, capacity;
};

struct managed_node {
    struct element element;
    bool member;
    struct managed_set children;
};

int element_compare(const struct element *a, const struct element *b);
static inline struct element element_field(struct str name)
{
    return (struct element){ .type = ELEMENT_FIELD, .name = name };
}
/* ".spec", "[name=\"a\"]", "[=1]", "[3]" */
void element_write(struct buf *to, const struct element *e);

/* Building: append in any order, then sort once. Equal elements are united. Room may be made in advance. */
void set_reserve(struct arena *a, struct managed_set *set, uint32_t count);
void set_append(struct arena *a, struct managed_set *set, const struct managed_node *node);
void set_sort(struct arena *a, struct managed_set *set);

const struct managed_node *set_find(const struct managed_set *set, const struct element *e); /* NULL when absent */
bool set_empty(const struct managed_set *set);                                               /* no member anywhere */
struct managed_set set_union(struct arena *a, const struct managed_set *x, const struct managed_set *y);
struct managed_set set_intersection(struct arena *a, const struct managed_set *x, const struct managed_set *y);
/* Members of x that are no members of y. Recursive: also without everything below a member of y. */
struct managed_set set_difference(struct arena *a, const struct managed_set *x, const struct managed_set *y,
                                  bool recursive);
bool set_equal(const struct managed_set *x, const struct managed_set *y);
/* Is every member of x one of y? */
bool set_contains(const struct managed_set *y, const struct managed_set *x);
/* A set that shares nothing with its old arena but names and the trees its values stand in. */
struct managed_set set_copy(struct arena *a, const struct managed_set *set);
/* {"status", "metadata.labels"} as a set. */
struct managed_set set_of_paths(struct arena *a, const char *const *paths);

/* FieldsV1. Parsing fails on anything that is no FieldsV1; NULL and null give the empty set. */
int set_parse(struct arena *a, const struct value *fields, struct managed_set *ret, struct error *err);
struct value *set_to_value(struct arena *a, const struct managed_set *set);

/* Paths of the members, outer ones first: calls visit with the path's text. */
void set_each_path(const struct managed_set *set, struct buf *prefix, void (*visit)(void *arg, struct str path),
                   void *arg);

#endif
