/* Private to object/: what the files of strategic merge patch share. */
#ifndef OBJECT_STRATEGIC_INTERNAL_H
#define OBJECT_STRATEGIC_INTERNAL_H

#include "object/strategic.h"

#define STRATEGIC_STEPS_MAX 20000000 /* comparisons of list items: lists are merged item by item, whoever sent them */

#define DIRECTIVE_PATCH  "$patch"
#define DIRECTIVE_RETAIN "$retainKeys"
#define DIRECTIVE_DELETE "$deleteFromPrimitiveList"
#define DIRECTIVE_ORDER  "$setElementOrder"

struct strategic {
    struct arena *arena;
    size_t steps;
    struct error *err;
};

/* How a field is patched; for maps and untyped values everything but the schema is empty. */
struct strategic_field {
    const struct schema *schema; /* NULL: nothing is known */
    bool merge;                  /* patchStrategy=merge */
    bool replace;                /* patchStrategy=replace */
    name_id key;                 /* of the merge key, NAME_UNKNOWN for lists of primitives */
};
struct strategic_field strategic_lookup(const struct schema *s, struct str name);

/* A list of the original or the patch; NULL members never occur. */
struct value *strategic_merge_map(struct strategic *c, const struct schema *s, struct value *original,
                                  struct value *patch);
struct value *strategic_merge_list(struct strategic *c, const struct strategic_field *f, struct value *original,
                                   struct value *patch, bool delete_list);
/* All `$setElementOrder/x` of the patch, with the lists they speak of; both are taken out of the patch. */
int strategic_element_orders(struct strategic *c, const struct schema *s, struct value *original, struct value *patch);
/*
 * The merged list in its final order: items the patch names stand as `patch_order` says, the rest as in `server_order`, and the
 * two are interleaved by `server_order`.
 */
struct value *strategic_order(struct strategic *c, name_id key, const struct value *merged,
                              const struct value *patch_order, const struct value *server_order);

/* Position of the item that equals `item` (by its key, or whole), -1 when there is none, -2 on failure. */
ptrdiff_t strategic_find(struct strategic *c, name_id key, const struct value *list, const struct value *item);
/* A value the original does not have: without directives, nulls and deleted items. NULL when nothing is left of it. */
struct value *strategic_clean(struct value *v);
/* "map: map[...] does not contain declared merge key: name", which upstream answers with 500. */
int strategic_no_key(struct strategic *c, const struct value *item, name_id key);

#endif
