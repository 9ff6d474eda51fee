/*
 * Objects of every kind: whatever decodes goes through defaults, strategy, validation and the row without harm; what was accepted is
 * accepted again as an update that changes nothing, and stays what it is.
 */
#include "kinds/fields.h"
#include "kinds/kinds.h"
#include "object/schema_walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static const struct kind *kind_of(const struct value *tree)
{
    struct str version = value_to_str(value_get_str(tree, STR("apiVersion"))), group = STR_NONE;

    if (str_find(version, '/') >= 0)
        str_cut(&version, '/', &group);
    return kind_find(group, version, value_to_str(value_get_str(tree, STR("kind"))));
}

static void update_unchanged(struct arena *a, const struct kind *k, const struct object *stored)
{
    struct kind_context context = { .arena = a, .subresource = "" };
    struct value *tree = value_of_view(a, object_root(stored));
    struct object *again;

    MUST(schema_normalize(a, k->schema, tree, NULL, NULL) == 0);
    kind_run_default(k, &context, tree);
    kind_run_prepare(k, &context, tree, object_root(stored));
    again = object_new(tree, NULL);
    MUST(again);
    MUST(view_equal(object_root(again), object_root(stored)));
    MUST(kind_run_validate(k, &context, object_root(again), object_root(stored), NULL) == 0);
    object_unref(again);
}

static void create(struct arena *a, const struct kind *k, struct value *tree)
{
    struct kind_context context = { .arena = a, .subresource = "", .create = true };
    struct value *cells = value_array(a);
    struct object *object;

    if (schema_normalize(a, k->schema, tree, NULL, NULL) < 0)
        return;
    kind_run_default(k, &context, tree);
    kind_run_prepare(k, &context, tree, VIEW_ABSENT);
    object = object_new(tree, NULL);
    if (!object)
        return;
    if (k->row)
        k->row(a, object_root(object), 0, cells);
    if (kind_run_validate(k, &context, object_root(object), VIEW_ABSENT, NULL) == 0 && k->verbs & VERB_UPDATE)
        update_unchanged(a, k, object);
    object_unref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena a = { 0 };
    const struct kind *k;
    struct value *tree;

    kinds_init();
    tree = value_parse(&a, (struct str){ (const char *)data, size }, NULL, NULL);
    k = tree ? kind_of(tree) : NULL;
    if (k)
        create(&a, k, tree);
    return 0;
}
