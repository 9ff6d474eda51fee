/* Strategic merge patch: maps, and the directives that stand in them. */
#include "object/strategic_internal.h"
#include "object/schema_walk.h"

struct strategic_field strategic_lookup(const struct schema *s, struct str name)
{
    struct strategic_field found = { 0 };

    if (!s)
        return found;
    if (s->type == SCHEMA_MAP) {
        found.schema = s->item;
        return found;
    }
    const struct schema_field *field = schema_field_str(s, name);
    if (field) {
        found.schema = field->schema;
        found.merge = field->flags & FIELD_PATCH_MERGE;
        found.replace = field->flags & FIELD_PATCH_REPLACE;
        found.key = field->patch_merge_key ? name_find(str_of(field->patch_merge_key)) : NAME_UNKNOWN;
    }
    return found;
}

static bool has_prefix(struct str name, const char *directive)
{
    return str_starts(name, str_of(directive));
}

static bool is_directive(struct str name)
{
    return str_is(name, DIRECTIVE_PATCH) || str_is(name, DIRECTIVE_RETAIN) || has_prefix(name, DIRECTIVE_DELETE "/") ||
           has_prefix(name, DIRECTIVE_ORDER "/");
}

struct value *strategic_clean(struct value *v)
{
    if (v->type == VALUE_ARRAY) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < v->items_count; i++) {
            struct value *item = v->items[i];
            if (value_type(item) == VALUE_OBJECT && value_get_str(item, STR(DIRECTIVE_PATCH)))
                continue; /* deletes or replaces what is not there */
            if (item->type == VALUE_OBJECT || item->type == VALUE_ARRAY)
                item = strategic_clean(item);
            if (item)
                v->items[kept++] = item;
        }
        v->items_count = kept;
    } else if (v->type == VALUE_OBJECT) {
        uint32_t kept = 0;
        struct value *patch = value_get_str(v, STR(DIRECTIVE_PATCH));

        if (str_is(value_to_str(patch), "delete"))
            return NULL;
        for (uint32_t i = 0; i < v->members_count; i++) {
            struct member m = v->members[i];
            if (m.value->type == VALUE_NULL || is_directive(m.name) || !(m.value = strategic_clean(m.value)))
                continue;
            v->members[kept++] = m;
        }
        v->members_count = kept;
    }
    return v;
}

static int bad_patch_type(struct strategic *c, const struct value *type, const struct value *map)
{
    AUTO_BUF struct buf type_text = BUF_MAX(KIB), text = BUF_MAX(64 * KIB);

    value_write_go(&type_text, type);
    value_write_go(&text, map);
    return fail(c->err, ERR_INTERNAL, "unknown patch type: %s in map: %s", type_text.p ? type_text.p : "",
                text.p ? text.p : "");
}

/* {"$patch": ...} in a map: replace takes the rest of the patch as it is, delete leaves an empty map. */
static struct value *apply_directive(struct strategic *c, struct value *directive, struct value *patch)
{
    if (str_is(value_to_str(directive), "replace")) {
        value_del_str(patch, STR(DIRECTIVE_PATCH));
        return patch;
    }
    if (str_is(value_to_str(directive), "delete"))
        return value_object(c->arena);
    bad_patch_type(c, directive, patch);
    return NULL;
}

static bool list_has_text(const struct value *list, struct str text)
{
    for (uint32_t i = 0; i < list->items_count; i++)
        if (list->items[i]->type == VALUE_STRING && str_eq(list->items[i]->string, text))
            return true;
    return false;
}

/* $retainKeys: whatever the original has and the list does not name goes. The patch may only set what the list names. */
static int apply_retain_keys(struct strategic *c, struct value *original, struct value *patch)
{
    struct value *keep = value_get_str(patch, STR(DIRECTIVE_RETAIN));

    if (!keep)
        return 0;
    value_del_str(patch, STR(DIRECTIVE_RETAIN));
    if (keep->type != VALUE_ARRAY ||
        (c->steps += keep->items_count * (original->members_count + patch->members_count)) > STRATEGIC_STEPS_MAX)
        return fail(c->err, ERR_BAD_REQUEST, "invalid patch format of retainKeys");
    for (uint32_t i = 0; i < patch->members_count; i++) {
        const struct member *m = &patch->members[i];
        if (m->value->type != VALUE_NULL && !has_prefix(m->name, DIRECTIVE_DELETE) &&
            !has_prefix(m->name, DIRECTIVE_ORDER) && !list_has_text(keep, m->name))
            return fail(c->err, ERR_BAD_REQUEST, "invalid patch format of retainKeys");
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < original->members_count; i++)
        if (list_has_text(keep, original->members[i].name))
            original->members[kept++] = original->members[i];
    original->members_count = kept;
    return 0;
}

static bool same_kind(const struct value *a, const struct value *b)
{
    return a->type == b->type && (a->type == VALUE_OBJECT || a->type == VALUE_ARRAY);
}

static int merge_member(struct strategic *c, const struct schema *s, struct value *original, const struct member *m)
{
    struct str name = m->name;
    struct value *patch = m->value;
    bool delete_list = has_prefix(name, DIRECTIVE_DELETE);

    if (delete_list && !has_prefix(name, DIRECTIVE_DELETE "/"))
        return fail(c->err, ERR_BAD_REQUEST, "invalid patch format of primitive list");
    if (delete_list)
        name = str_from(name, sizeof(DIRECTIVE_DELETE "/") - 1);
    if (patch->type == VALUE_NULL) {
        value_del_str(original, name);
        return 0;
    }
    struct value *old = value_get_str(original, name);
    if (!old || !same_kind(old, patch)) {
        struct value *cleaned = delete_list ? NULL : strategic_clean(patch);
        if (cleaned)
            value_put_str(c->arena, original, name, cleaned);
        return 0;
    }
    struct strategic_field field = strategic_lookup(s, name);
    struct value *merged;
    if (old->type == VALUE_OBJECT && !field.replace)
        merged = strategic_merge_map(c, field.schema, old, patch);
    else if (old->type == VALUE_ARRAY && field.merge)
        merged = strategic_merge_list(c, &field, old, patch, delete_list);
    else
        merged = patch;
    if (!merged)
        return -1;
    value_put_str(c->arena, original, name, merged);
    return 0;
}

struct value *strategic_merge_map(struct strategic *c, const struct schema *s, struct value *original,
                                  struct value *patch)
{
    struct value *directive = value_get_str(patch, STR(DIRECTIVE_PATCH));

    if (directive)
        return apply_directive(c, directive, patch);
    if (apply_retain_keys(c, original, patch) < 0 || strategic_element_orders(c, s, original, patch) < 0)
        return NULL;
    if ((c->steps += (size_t)patch->members_count * original->members_count / 16) > STRATEGIC_STEPS_MAX)
        return fail_null(c->err, ERR_TOO_LARGE, "the patch has too many members");
    for (uint32_t i = 0; i < patch->members_count; i++)
        if (merge_member(c, s, original, &patch->members[i]) < 0)
            return NULL;
    return original;
}

struct value *strategic_merge(struct arena *a, const struct schema *schema, const struct value *original,
                              const struct value *patch, struct error *err)
{
    struct strategic c = { .arena = a, .err = err };

    if (value_type(patch) != VALUE_OBJECT)
        return fail_null(err, ERR_BAD_REQUEST, "the patch must be an object");
    return strategic_merge_map(&c, schema, value_copy(a, original), value_copy(a, patch));
}
