/*
 * Private to object/: values as ownership sees them. A map has members owned one by one, or as a whole when atomic; likewise
 * a list, whose items are then named by their keys or their value; everything else is a leaf.
 */
#ifndef OBJECT_MANAGED_TYPE_H
#define OBJECT_MANAGED_TYPE_H

#include "object/managed_set.h"
#include "object/schema.h"
#include "object/value_index.h"

/* schema NULL: untyped JSON, where maps are owned member by member and lists as a whole. */
struct managed_type {
    const struct schema *schema;
    bool atomic; /* said by the field */
};

enum managed_form { FORM_LEAF, FORM_MAP, FORM_LIST };
/* How the type owns a value of this form; `v` decides for untyped JSON. */
enum managed_form managed_form(const struct managed_type *t, const struct value *v);
bool managed_is_atomic(const struct managed_type *t, enum managed_form form);

/* The type of a map's member. *ret_known (may be NULL): the schema names it, as opposed to a key of a map. */
struct managed_type managed_member(const struct managed_type *t, name_id id, bool *ret_known);
struct managed_type managed_item(const struct managed_type *t);

/* The path element of item i of an associative list. Fails with upstream's sentence; then *ret is its index. */
int managed_element(struct arena *a, const struct managed_type *list, const struct value *item, uint32_t i,
                    struct element *ret, struct error *err);

/* Look-ups by name in a value that may be absent or no map; end with value_index_done(). */
static inline void managed_index(struct value_index *index, const struct value *v)
{
    *index = (struct value_index){ 0 };
    if (value_type(v) == VALUE_OBJECT)
        value_index_init(index, v);
}

/* The items of a list sorted by their elements, for look-ups; equal ones stand together in the order of the list. */
struct managed_item_at {
    struct element element;
    uint32_t at;
    struct value *item;
};
struct managed_items {
    struct managed_item_at *sorted;
    struct element *elements; /* by position in the list */
    uint32_t count;
    struct arena own;
};
/* `a` NULL: in an arena of its own, which managed_items_done() frees; elements die with it. */
struct managed_items managed_items(struct arena *a, const struct managed_type *list, const struct value *v);
void managed_items_done(struct managed_items *items);
#define AUTO_ITEMS CLEANUP(managed_items_done)
/* How many items have the element; *ret is the first of them. */
uint32_t managed_items_find(const struct managed_items *items, const struct element *e,
                            const struct managed_item_at **ret);

/* Every path of a value: what an applier owns. Upstream: ToFieldSet. */
struct managed_set managed_paths(struct arena *a, const struct schema *s, const struct value *v);

/* What differs between two values; either may be NULL. Upstream: Compare. */
struct managed_diff {
    struct managed_set added, removed, modified;
};
struct managed_diff managed_compare(struct arena *a, const struct schema *s, const struct value *lhs,
                                    const struct value *rhs);

/* lhs with rhs put over it. Fails on duplicate keys in rhs. NULL on failure. Upstream: Merge. */
struct value *managed_merge(struct arena *a, const struct schema *s, const struct value *lhs, const struct value *rhs,
                            struct error *err);
/* v without the members of the set. Upstream: RemoveItems. */
struct value *managed_remove(struct arena *a, const struct schema *s, const struct value *v,
                             const struct managed_set *set);
/* Upstream: EnsureNamedFieldsAreMembers. */
struct managed_set managed_named(struct arena *a, const struct schema *s, const struct managed_set *set);

/* Is the value of the schema's types, with no unknown field? Fails with upstream's sentences (ERR_INTERNAL). */
int managed_validate(struct arena *a, const struct schema *s, const struct value *v, struct error *err);

#endif
