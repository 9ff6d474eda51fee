/*
 * A value that can be changed: a tree in an arena, for the time of one request or one plan.
 *
 * Used while a request is decoded, defaulted, patched and admitted, and by controllers to build what they want written.
 * Everything that is kept is frozen into a struct object. Order of members is kept. Strings are borrowed or live in the same
 * arena. Integral numbers within int64 are VALUE_INT; other numbers VALUE_DOUBLE, which also keeps the original text
 * so that a value passes through unchanged.
 */
#ifndef OBJECT_VALUE_H
#define OBJECT_VALUE_H

#include "object/object.h"

struct member {
    struct str name;
    name_id id; /* NAME_UNKNOWN for names that are not interned */
    struct value *value;
};

struct value {
    enum value_type type;
    union {
        bool boolean;
        int64_t integer;
        struct {
            double number;
            struct str text; /* as it was written; empty when made by value_double() */
        };
        struct str string;
        struct {
            struct value **items;
            uint32_t items_count, items_capacity;
        };
        struct {
            struct member *members;
            uint32_t members_count, members_capacity;
        };
    };
};

struct value *value_null(struct arena *a);
struct value *value_bool(struct arena *a, bool b);
struct value *value_int(struct arena *a, int64_t i);
struct value *value_double(struct arena *a, double d);
struct value *value_str(struct arena *a, struct str s);         /* borrows s */
struct value *value_text(struct arena *a, const char *literal); /* borrows */
struct value *value_strf(struct arena *a, const char *format, ...) PRINTF(2, 3);
struct value *value_array(struct arena *a);
struct value *value_object(struct arena *a);

/* Reading; v may be NULL and then counts as absent. */
enum value_type value_type(const struct value *v);
struct value *value_get(const struct value *object, name_id name); /* NULL when absent */
struct value *value_get_str(const struct value *object, struct str name);
#define value_path(v, ...)                                                                                             \
    value_path_((v), (const name_id[]){ __VA_ARGS__ }, sizeof((const name_id[]){ __VA_ARGS__ }) / sizeof(name_id))
struct value *value_path_(const struct value *v, const name_id *names, size_t count);
struct str value_to_str(const struct value *v); /* "" for everything that is not a string */
int64_t value_to_int(const struct value *v, int64_t otherwise);
bool value_to_bool(const struct value *v, bool otherwise);
bool value_equal(const struct value *a, const struct value *b);

/* Changing. put replaces or appends a member; a NULL value removes it. */
void value_put(struct arena *a, struct value *object, name_id name, struct value *value);
void value_put_str(struct arena *a, struct value *object, struct str name, struct value *value); /* name borrowed */
bool value_del(struct value *object, name_id name);
bool value_del_str(struct value *object, struct str name);
/* Append a member known to be new, without a look for an old one; id is name_find(name). For whoever builds large objects. */
void value_add_member(struct arena *a, struct value *object, name_id id, struct str name, struct value *value);
void value_append(struct arena *a, struct value *array, struct value *item);
void value_insert(struct arena *a, struct value *array, size_t i, struct value *item);
void value_remove(struct value *array, size_t i);
/* The member as an object/array, created when absent or of another type. */
struct value *value_make_object(struct arena *a, struct value *object, name_id name);
struct value *value_make_array(struct arena *a, struct value *object, name_id name);
/* Short forms: value_set_text(a, obj, F_X, "text") and so on. */
void value_set(struct arena *a, struct value *object, name_id name, struct str s);
void value_set_text(struct arena *a, struct value *object, name_id name, const char *literal);
void value_set_int(struct arena *a, struct value *object, name_id name, int64_t i);
void value_set_bool(struct arena *a, struct value *object, name_id name, bool b);

struct value *value_copy(struct arena *a, const struct value *v);     /* deep; strings are shared */
struct value *value_copy_all(struct arena *a, const struct value *v); /* deep, strings copied too */
struct value *value_of_view(struct arena *a,
                            struct view v); /* NULL when absent; strings are borrowed from the object */

/*
 * JSON text to tree (RFC 8259, UTF-8). Limits as in object.h. Strings are borrowed from `json` where they need no
 * unescaping, so `json` must outlive the tree. Duplicate keys: the last one wins, as encoding/json does; each is reported
 * through `duplicates` (paths, may be NULL) for strict field validation.
 */
struct value *value_parse(struct arena *a, struct str json, struct value *duplicates, struct error *err);
/* The same with another limit on the text (see object_parse_limit()); duplicates are not reported. */
struct value *value_parse_limit(struct arena *a, struct str json, size_t bytes_max, struct error *err);
void value_write(struct buf *to, const struct value *v); /* compact JSON */
void value_write_pretty(struct buf *to, const struct value *v, int indent);
void json_write_str(
    struct buf *to,
    struct str
        s); /* with quotes, escaped as Go's encoding/json does (HTML characters too: \u003c); invalid UTF-8 becomes U+FFFD */

#endif
