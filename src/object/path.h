/*
 * Paths to fields: for error causes ("spec.containers[0].image", "metadata.labels[a/b]") and JSON pointers (RFC 6901).
 *
 * A field path is a chain of small frames on the C stack, each pointing up: walking down costs nothing, text is only made
 * where an error is reported. A frame must not outlive the function that holds it.
 *
 *     struct path containers = path_child(path, "containers");
 *     struct path here = path_index(&containers, i);
 *     error_add_cause(err, "FieldValueRequired", path_text(a, &here, "image"), "Required value");
 *
 * Source of the form: k8s.io/apimachinery/pkg/util/validation/field (Path.String).
 */
#ifndef OBJECT_PATH_H
#define OBJECT_PATH_H

#include "object/value.h"

struct path {
    const struct path *up; /* NULL: the first step */
    enum { PATH_FIELD, PATH_KEY, PATH_INDEX } step;
    struct str name; /* borrowed; of a field or a key */
    size_t index;
};

static inline struct path path_field(const struct path *up, struct str name)
{
    return (struct path){ .up = up, .step = PATH_FIELD, .name = name };
}

static inline struct path path_child(const struct path *up, const char *name)
{
    return path_field(up, str_of(name));
}

static inline struct path path_key(const struct path *up, struct str key)
{
    return (struct path){ .up = up, .step = PATH_KEY, .name = key };
}

static inline struct path path_index(const struct path *up, size_t index)
{
    return (struct path){ .up = up, .step = PATH_INDEX, .index = index };
}

void path_write(struct buf *to, const struct path *path); /* "" for NULL */
/* The text of `path`, and of its child `last` unless that is NULL. */
struct str path_text(struct arena *a, const struct path *path, const char *last);

/* A field path read back, e.g. of `kubectl explain` or a fieldRef: "metadata.labels['a/b']", "spec.containers[0].name". */
struct view path_find_view(struct view root,
                           struct str path); /* absent when a step is not there or the text is no path */

/*
 * JSON pointers: "" is the whole document, "/a~1b/0" the first item of the member "a/b". The steps of a parsed pointer are
 * unescaped and live in the arena. Fails with ERR_BAD_REQUEST on a pointer that does not begin with "/", or has more than
 * POINTER_STEPS_MAX steps.
 */
#define POINTER_STEPS_MAX 256

struct pointer {
    struct str *steps;
    size_t count;
};

int pointer_parse(struct arena *a, struct str text, struct pointer *ret, struct error *err);
struct value *pointer_find(const struct pointer *p, size_t steps,
                           struct value *root);           /* after the first `steps`; NULL when absent */
bool pointer_index(struct str step, size_t *ret);         /* an array index: digits without leading zeros */
void pointer_write_step(struct buf *to, struct str step); /* "/" and the escaped step */

#endif
