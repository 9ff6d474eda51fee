/* Strategic merge patch: lists of objects merged by key, and lists of primitives. */
#include "object/strategic_internal.h"
#include "object/schema_walk.h"

int strategic_no_key(struct strategic *c, const struct value *item, name_id key)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);

    value_write_go(&text, item);
    return fail(c->err, ERR_INTERNAL, "map: %s does not contain declared merge key: %.*s", text.p ? text.p : "",
                STR_ARG(name_text(key)));
}

ptrdiff_t strategic_find(struct strategic *c, name_id key, const struct value *list, const struct value *item)
{
    const struct value *wanted = key ? value_get(item, key) : item;

    if (value_type(list) != VALUE_ARRAY || !wanted)
        return -1;
    if ((c->steps += list->items_count) > STRATEGIC_STEPS_MAX)
        return fail(c->err, ERR_TOO_LARGE, "the lists are too long to be merged"), -2;
    for (uint32_t i = 0; i < list->items_count; i++) {
        const struct value *have = key ? value_get(list->items[i], key) : list->items[i];
        if (have && have->type == wanted->type && value_equal(have, wanted))
            return i;
    }
    return -1;
}

/* Items are all objects or all primitives, never lists. *ret_maps tells which. */
static int check_items(struct strategic *c, const struct value *original, const struct value *patch, bool *ret_maps)
{
    const struct value *first = NULL;

    for (int side = 0; side < 2; side++) {
        const struct value *list = side ? patch : original;
        for (uint32_t i = 0; i < list->items_count; i++) {
            const struct value *item = list->items[i];
            if (item->type == VALUE_ARRAY)
                return fail(c->err, ERR_INVALID, "lists of lists are not supported");
            if (!first)
                first = item;
            if (item->type != first->type)
                return fail(c->err, ERR_INTERNAL, "list element types are not identical: %s",
                            first->type == VALUE_OBJECT ? "map[string]interface {}" : "string");
        }
    }
    *ret_maps = first && first->type == VALUE_OBJECT;
    return 0;
}

static struct value *delete_primitives(struct strategic *c, const struct value *original, const struct value *patch)
{
    struct value *rest = value_array(c->arena);

    for (uint32_t i = 0; i < original->items_count; i++) {
        ptrdiff_t at = strategic_find(c, NAME_UNKNOWN, patch, original->items[i]);
        if (at == -2)
            return NULL;
        if (at == -1)
            value_append(c->arena, rest, original->items[i]);
    }
    return rest;
}

static struct value *merge_primitives(struct strategic *c, const struct value *original, const struct value *patch)
{
    struct value *both = value_array(c->arena);

    for (int side = 0; side < 2; side++) {
        const struct value *list = side ? patch : original;
        for (uint32_t i = 0; i < list->items_count; i++) {
            ptrdiff_t at = strategic_find(c, NAME_UNKNOWN, both, list->items[i]);
            if (at == -2)
                return NULL;
            if (at == -1)
                value_append(c->arena, both, list->items[i]);
        }
    }
    return both;
}

/* Items with $patch: deletions are carried out on *original; returns the other items of the patch. */
static struct value *special_items(struct strategic *c, name_id key, struct value **original, const struct value *patch)
{
    struct value *rest = value_array(c->arena);
    bool replace = false;

    for (uint32_t i = 0; i < patch->items_count; i++) {
        struct value *item = patch->items[i], *directive = value_get_str(item, STR(DIRECTIVE_PATCH));
        struct str type = value_to_str(directive);
        ptrdiff_t at;

        if (!directive) {
            value_append(c->arena, rest, item);
        } else if (str_is(type, "delete")) {
            if (!value_get(item, key))
                return strategic_no_key(c, item, key), NULL;
            while ((at = strategic_find(c, key, *original, item)) >= 0)
                value_remove(*original, (size_t)at);
            if (at == -2)
                return NULL;
        } else if (str_is(type, "replace")) {
            replace = true;
        } else if (str_is(type, "merge")) {
            return fail_null(c->err, ERR_INTERNAL, "merging lists cannot yet be specified in the patch");
        } else {
            AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
            value_write_go(&text, item);
            return fail_null(c->err, ERR_INTERNAL, "unknown patch type: %.*s in map: %s", STR_ARG(type), text.p);
        }
    }
    if (replace)
        *original = value_array(c->arena);
    return rest;
}

/* *original and *patch become what the order of the result is taken from. */
static struct value *merge_maps(struct strategic *c, const struct strategic_field *f, struct value **original,
                                struct value **patch)
{
    struct value *merged;

    if (f->key == NAME_UNKNOWN)
        return fail_null(c->err, ERR_INTERNAL, "cannot merge lists without merge key for %s",
                         f->schema && f->schema->item && f->schema->item->name ? f->schema->item->name : "a list");
    if (!(*patch = special_items(c, f->key, original, *patch)))
        return NULL;
    merged = value_array(c->arena);
    for (uint32_t i = 0; i < (*original)->items_count; i++)
        value_append(c->arena, merged, (*original)->items[i]);
    for (uint32_t i = 0; i < (*patch)->items_count; i++) {
        struct value *item = (*patch)->items[i], *result;

        if (!value_get(item, f->key))
            return strategic_no_key(c, item, f->key), NULL;
        ptrdiff_t at = strategic_find(c, f->key, merged, item);
        if (at == -2)
            return NULL;
        if (at == -1) {
            struct value *key = value_get(item, f->key);
            if (!(result = strategic_clean(item)))
                continue;
            value_put(c->arena, result, f->key, key); /* even a null */
            value_append(c->arena, merged, result);
            continue;
        }
        if (!(result = strategic_merge_map(c, f->schema ? f->schema->item : NULL, merged->items[at], item)))
            return NULL;
        merged->items[at] = result;
    }
    return merged;
}

struct value *strategic_merge_list(struct strategic *c, const struct strategic_field *f, struct value *original,
                                   struct value *patch, bool delete_list)
{
    struct value *merged;
    bool maps = false;

    if (original->items_count == 0 && patch->items_count == 0)
        return original;
    if (check_items(c, original, patch, &maps) < 0)
        return NULL;
    if (!maps && delete_list)
        return delete_primitives(c, original, patch);
    merged = maps ? merge_maps(c, f, &original, &patch) : merge_primitives(c, original, patch);
    return merged ? strategic_order(c, maps ? f->key : NAME_UNKNOWN, merged, patch, original) : NULL;
}
