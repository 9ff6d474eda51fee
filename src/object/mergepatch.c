/* JSON Merge Patch (RFC 7386). Names are looked up through an index, so that time stays linear whatever a client sends. */
#include "object/mergepatch.h"
#include "object/value_index.h"

static struct value *merge(struct arena *a, const struct value *document, const struct value *patch)
{
    if (value_type(patch) != VALUE_OBJECT)
        return (struct value *)patch;

    struct value *merged = value_object(a);
    struct value_index in_patch, in_document = { 0 };
    value_index_init(&in_patch, patch);
    if (value_type(document) == VALUE_OBJECT) {
        value_index_init(&in_document, document);
        for (uint32_t i = 0; i < document->members_count; i++) {
            const struct member *m = &document->members[i];
            const struct value *change = value_index_get(&in_patch, m->name);
            if (value_type(change) == VALUE_NULL)
                continue;
            value_add_member(a, merged, m->id, m->name, change ? merge(a, m->value, change) : m->value);
        }
    }
    for (uint32_t i = 0; i < patch->members_count; i++) {
        const struct member *m = &patch->members[i];
        bool known = in_document.object && value_index_get(&in_document, m->name);
        if (!known && value_type(m->value) != VALUE_NULL)
            value_add_member(a, merged, m->id, m->name, merge(a, NULL, m->value));
    }
    value_index_done(&in_patch);
    value_index_done(&in_document);
    return merged;
}

struct value *merge_patch_apply(struct arena *a, const struct value *document, const struct value *patch)
{
    return merge(a, document, patch);
}

static bool both_objects(const struct value *a, const struct value *b)
{
    return value_type(a) == VALUE_OBJECT && value_type(b) == VALUE_OBJECT;
}

struct value *merge_patch_diff(struct arena *a, const struct value *from, const struct value *to)
{
    struct value *patch = value_object(a);
    struct value_index in_from, in_to;
    value_index_init(&in_from, from);
    value_index_init(&in_to, to);
    for (uint32_t i = 0; i < from->members_count; i++) {
        const struct member *m = &from->members[i];
        struct value *now = value_index_get(&in_to, m->name);
        if (!now)
            value_add_member(a, patch, m->id, m->name, value_null(a));
        else if (both_objects(m->value, now)) {
            struct value *inner = merge_patch_diff(a, m->value, now);
            if (inner->members_count)
                value_add_member(a, patch, m->id, m->name, inner);
        } else if (!value_equal(m->value, now)) {
            value_add_member(a, patch, m->id, m->name, now);
        }
    }
    for (uint32_t i = 0; i < to->members_count; i++) {
        const struct member *m = &to->members[i];
        if (!value_index_get(&in_from, m->name))
            value_add_member(a, patch, m->id, m->name, m->value);
    }
    value_index_done(&in_from);
    value_index_done(&in_to);
    return patch;
}
