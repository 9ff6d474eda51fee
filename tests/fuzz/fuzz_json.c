/* The JSON codec: both parsers agree, what was read is written and read again as the same, every view can be read. */
#include "object/value.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void set_names(void)
{
    static const struct str names[] = { { 0 },
                                        STR_INIT("apiVersion"),
                                        STR_INIT("kind"),
                                        STR_INIT("metadata"),
                                        STR_INIT("name"),
                                        STR_INIT("namespace"),
                                        STR_INIT("uid"),
                                        STR_INIT("resourceVersion"),
                                        STR_INIT("spec"),
                                        STR_INIT("a") };
    name_table_set(names, ARRAY_SIZE(names));
}

static size_t read_all(struct view v)
{
    struct view_iter it = { 0 };
    size_t read = view_str(v).n + view_json(v).n + (size_t)view_int(v, 0) + (view_bool(v, false) ? 1 : 0), count = 0;
    while (view_next(v, &it)) {
        read += read_all(it.value);
        count++;
        if (view_type(v) == VALUE_OBJECT)
            MUST(view_get_str(v, it.key).at == it.value.at);
    }
    MUST(count == view_count(v));
    return read;
}

/* A copy with another revision has the index that its text would get. */
static void check_revision(const struct object *o)
{
    AUTO_OBJECT struct object *copy = object_with_revision(o, 987654321);
    AUTO_OBJECT struct object *again = object_parse(object_json(copy), NULL);
    if (view_type(object_root(o)) == VALUE_OBJECT && object_json(copy).n < OBJECT_SIZE_MAX - 64) {
        MUST(again && object_revision(copy) == 987654321);
        MUST(object_block_bytes(again) == object_block_bytes(copy));
        MUST(view_equal(object_root(again), object_root(copy)));
        read_all(object_root(copy));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error tree_err = { 0 }, object_err = { 0 };
    struct str text = { (const char *)data, size };

    set_names();
    struct value *tree = value_parse(&a, text, NULL, &tree_err);
    AUTO_OBJECT struct object *o = object_parse(text, &object_err);
    MUST(!tree == !o || tree_err.code == ERR_TOO_LARGE || object_err.code == ERR_TOO_LARGE);
    if (!tree || !o) {
        MUST(tree || tree_err.message);
        MUST(o || object_err.message);
        return 0;
    }
    AUTO_OBJECT struct object *frozen = object_new(tree, NULL);
    MUST(frozen && view_equal(object_root(o), object_root(frozen)));
    MUST(value_equal(tree, value_of_view(&a, object_root(o))));
    AUTO_OBJECT struct object *again = object_parse(object_json(o), NULL);
    MUST(again && str_eq(object_json(again), object_json(o)));
    MUST(str_is_utf8(object_json(o)));
    read_all(object_root(o));
    check_revision(o);
    return 0;
}
