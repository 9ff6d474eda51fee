/* Strategic merge patches: a line with the object, a line with the patch. Neither is changed, and the result is a tree of its own. */
#include "kinds/schemas.h"
#include "object/schema_walk.h"
#include "object/strategic.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void write(struct buf *to, const struct value *v)
{
    buf_clear(to);
    value_write(to, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct schema_options convert = { .style = SCHEMA_CONVERT };
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf before = BUF_MAX(16 * MIB), after = BUF_MAX(16 * MIB);
    struct str patch_text = { (const char *)data, size }, original_text;
    const struct schema *s = &schema_apps_v1_deployment;

    name_table_set(schema_names, ARRAY_SIZE(schema_names));
    str_cut(&patch_text, '\n', &original_text);
    struct value *original = value_parse(&a, original_text, NULL, &err);
    struct value *patch = value_parse(&a, patch_text, NULL, &err);
    if (!original || !patch || schema_normalize(&a, s, original, NULL, &err) < 0)
        return 0;
    write(&before, original);
    struct value *merged = strategic_merge(&a, s, original, patch, &err);
    if (merged && schema_normalize(&a, s, merged, &convert, &err) == 0) {
        schema_default(&a, s, merged);
        schema_order(s, merged);
    } else if (merged) {
        patch_invalid(patch, true, &err);
    }
    write(&after, original);
    MUST(str_eq(buf_str(&before), buf_str(&after)));
    return 0;
}
