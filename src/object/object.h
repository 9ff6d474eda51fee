/*
 * An API object: one immutable, reference-counted block that holds its JSON text and an index of its fields.
 *
 * Always true: the text is compact JSON, valid UTF-8, keys unique; apiVersion and kind come first where present, so that a
 * list can skip them; block size is at most about 1.5 times the text (a typical pod: 1.41);
 * who first reads a string with escapes makes a second block of the unescaped ones. It is encoded once and shared freely between
 * threads, caches and requests; the count is atomic and an object may die on another thread than it was born on.
 *
 * Reading goes through struct view, a cursor by value. All readers accept an absent view (o == NULL) and give the empty
 * answer, so a chain needs one check at its end: view_str(view_path(root, F_POD_SPEC, F_POD_SPEC_NODE_NAME)).
 * Changing means copying into a tree (value.h), changing that, and object_new() again.
 */
#ifndef OBJECT_OBJECT_H
#define OBJECT_OBJECT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "object/name.h"

struct value;

enum value_type {
    VALUE_ABSENT,
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_DOUBLE,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_OBJECT
};

#define OBJECT_SIZE_MAX  (3 * MIB) /* upstream's limit for a request body; larger text is refused with ERR_TOO_LARGE */
#define OBJECT_DEPTH_MAX 128       /* levels of nesting; deeper text is refused with ERR_BAD_REQUEST */

struct object;

/* Freeze a tree. Fails with ERR_TOO_LARGE. The tree may die afterwards. */
struct object *object_new(const struct value *tree, struct error *err);
/* Parse trusted or untrusted JSON text straight into a block (compacts; keeps the order of keys). */
struct object *object_parse(struct str json, struct error *err);
/* The same with another limit on the text, at most OBJECT_LIMIT_MAX: for lists in answers to our own requests. */
struct object *object_parse_limit(struct str json, size_t bytes_max, struct error *err);
#define OBJECT_LIMIT_MAX (512 * MIB)
struct object *object_ref(const struct object *o); /* accepts NULL */
void object_unref(const struct object *o);         /* accepts NULL */
#define AUTO_OBJECT CLEANUP(object_unref_pointer)
void object_unref_pointer(struct object **o);

struct str object_json(const struct object *o); /* lives as long as the object */
/*
 * The text after the leading apiVersion and kind, for list items, which have neither: write "{" and then this.
 * "}" when nothing else is there.
 */
struct str object_json_body(const struct object *o);
size_t object_block_bytes(const struct object *o); /* memory it takes, for metrics and limits */

/* The metadata everybody asks for, found without a search. Empty when absent. */
struct str object_name(const struct object *o);
struct str object_namespace(const struct object *o);
struct str object_uid(const struct object *o);
uint64_t object_revision(const struct object *o); /* metadata.resourceVersion as a number, 0 when absent */

/* A copy whose metadata.resourceVersion is `revision` (replaced or inserted); one copy of the bytes, no parse. */
struct object *object_with_revision(const struct object *o, uint64_t revision);

struct view {
    const struct object *o; /* borrowed: a view never holds a reference */
    uint32_t at;            /* position in the index; 0 is the root */
};
#define VIEW_ABSENT ((struct view){ NULL, 0 })

struct view object_root(const struct object *o);
/* A part of an object as an object of its own, e.g. an item of a list: one copy, no parse. Fails with ERR_BAD_REQUEST when absent. */
struct object *object_of_view(struct view v, struct error *err);
static inline bool view_present(struct view v)
{
    return v.o != NULL;
}
enum value_type view_type(struct view v); /* VALUE_ABSENT for an absent view */

struct view view_get(struct view object, name_id name);        /* a member; absent when not there or not an object */
struct view view_get_str(struct view object, struct str name); /* for names only known at run time, e.g. labels */
struct view view_item(struct view array, size_t i);            /* O(i) at worst; iterate with view_each */
size_t view_count(struct view array_or_object);                /* O(count) */
/* view_path(v, F_A, F_B, ...): members of members. */
#define view_path(v, ...)                                                                                              \
    view_path_((v), (const name_id[]){ __VA_ARGS__ }, sizeof((const name_id[]){ __VA_ARGS__ }) / sizeof(name_id))
struct view view_path_(struct view v, const name_id *names, size_t count);

/* struct view_iter it = {0}; while (view_next(parent, &it)) { it.key (objects), it.value } */
struct view_iter {
    uint32_t next, left;
    bool started;
    struct str key;
    struct view value;
};
bool view_next(struct view array_or_object, struct view_iter *it);

struct str view_str(
    struct view v); /* unescaped text of a string; "" for every other type. Lives as long as the object */
int64_t view_int(struct view v, int64_t otherwise); /* of an integral number */
double view_double(struct view v, double otherwise);
bool view_bool(struct view v, bool otherwise);
struct str view_json(struct view v);           /* the value's JSON text, "" when absent; O(members) for containers */
bool view_equal(struct view a, struct view b); /* deep, order of keys does not matter; null equals null only */

/* Short forms for what code asks most: strings and numbers some members down. */
#define view_str_at(v, ...)             view_str(view_path((v), __VA_ARGS__))
#define view_int_at(v, otherwise, ...)  view_int(view_path((v), __VA_ARGS__), (otherwise))
#define view_bool_at(v, otherwise, ...) view_bool(view_path((v), __VA_ARGS__), (otherwise))

#endif
