/*
 * Shared by the files of the schema walker, private to object/: where the walk is, and how its errors are put.
 */
#ifndef OBJECT_SCHEMA_INTERNAL_H
#define OBJECT_SCHEMA_INTERNAL_H

#include "object/schema_walk.h"

/* The way from the root to the value in hand, on the stack of the walk. */
struct schema_frame {
    const struct schema_frame *up;
    struct str name;             /* of a field or a map's key */
    int64_t index;               /* of a list's item, else -1 */
    const struct schema *holder; /* the object whose field this is; NULL for keys and items */
};

struct schema_walk {
    struct arena *arena;
    const struct schema *root;
    enum schema_style style;
    bool strict;            /* somebody wants to hear about unknown fields */
    struct value *problems; /* array of strings: unknown fields */
    bool failed;            /* a type error was met; the first one counts, as in encoding/json */
    bool aborted;           /* an Unmarshaler failed: this error counts, and nothing after it is read */
    struct error error;
};

/* The Go type of a schema as messages name it: "v1.PodSpec", "[]uint8", "map[string]string". */
struct str schema_go_type(struct arena *a, const struct schema *s);
struct str schema_path_text(struct arena *a, const struct schema_frame *frame, struct str last);

/* `v` is of the wrong type. `number` keeps the digits in the message, as for numbers out of range. */
void schema_type_error(struct schema_walk *w, const struct schema *s, const struct value *v, bool number,
                       const struct schema_frame *f);
/* A type with its own UnmarshalJSON refused: its sentence as it is; ends the walk. */
void schema_own_error(struct schema_walk *w, const char *format, ...) PRINTF(2, 3);
void schema_unknown_field(struct schema_walk *w, const struct schema_frame *holder, struct str name);

/* Scalars, and types with a JSON form of their own. Returns the canonical value; `v` is never NULL or VALUE_NULL. */
struct value *schema_scalar(struct schema_walk *w, const struct schema *s, struct value *v,
                            const struct schema_frame *f);
/* What Go writes for the zero value of a type that is not an object. */
struct value *schema_scalar_zero(struct arena *a, const struct schema *s);

/* Text as Go's %q prints it. */
void go_quote(struct buf *to, struct str s);

#endif
