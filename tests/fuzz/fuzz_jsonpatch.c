/* JSON and merge patches: "document NEWLINE patch". The inputs stay as they are; a difference, applied, gives its target. */
#include "object/jsonpatch.h"
#include "object/mergepatch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

/* merge_patch_diff() cannot say that something becomes null. */
static bool has_null(const struct value *v)
{
    for (uint32_t i = 0; v->type == VALUE_OBJECT && i < v->members_count; i++)
        if (v->members[i].value->type == VALUE_NULL || has_null(v->members[i].value))
            return true;
    return false;
}

static void check_merge(struct arena *a, const struct value *document, const struct value *patch)
{
    const struct value *merged = merge_patch_apply(a, document, patch);
    MUST(value_equal(merge_patch_apply(a, merged, patch), merged));
    if (value_type(document) != VALUE_OBJECT || value_type(merged) != VALUE_OBJECT || has_null(merged))
        return;
    const struct value *difference = merge_patch_diff(a, document, merged);
    MUST(value_equal(merge_patch_apply(a, document, difference), merged));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct str patch_text = { (const char *)data, size }, document_text;
    str_cut(&patch_text, '\n', &document_text);
    const struct value *document = value_parse(&a, document_text, NULL, NULL);
    const struct value *patch = value_parse(&a, patch_text, NULL, NULL);
    if (!document || !patch)
        return 0;
    const struct value *document_before = value_copy(&a, document), *patch_before = value_copy(&a, patch);

    const struct value *patched = json_patch_apply(&a, document, patch, &err);
    MUST(patched || err.message);
    check_merge(&a, document, patch);
    MUST(value_equal(document, document_before) && value_equal(patch, patch_before));
    return 0;
}
