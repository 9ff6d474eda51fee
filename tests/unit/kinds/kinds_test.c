/* Runs an object through the rules of its kind. */
#include "kinds_test.h"

static struct arena arena;

static struct value *parse(const char *json, const struct kind **ret_kind)
{
    struct str version, group = STR_NONE;
    struct value *tree;

    kinds_init();
    tree = value_parse(&arena, str_of(json), NULL, NULL);
    if (!tree)
        FAIL("not JSON: %s", json);
    version = value_to_str(value_get_str(tree, STR("apiVersion")));
    if (str_find(version, '/') >= 0)
        str_cut(&version, '/', &group);
    *ret_kind = kind_find(group, version, value_to_str(value_get_str(tree, STR("kind"))));
    if (!*ret_kind)
        FAIL("no such kind: %s", json);
    return tree;
}

static const char *run(const struct kind *kind, struct kind_context *context, struct value *tree, struct view old)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    AUTO_ERROR struct error err = { 0 };
    struct object *object;

    if (schema_normalize(&arena, kind->schema, tree, NULL, &err) < 0)
        return arena_printf(&arena, "bad: %s", error_text(&err)).p;
    kind_run_default(kind, context, tree);
    kind_run_prepare(kind, context, tree, old);
    object = object_new(tree, &err);
    if (!object)
        return arena_printf(&arena, "bad: %s", error_text(&err)).p;
    if (kind_run_validate(kind, context, object_root(object), old, &err) < 0) {
        object_unref(object);
        return arena_printf(&arena, "invalid: %s", error_text(&err)).p;
    }
    buf_add(&text, object_json(object));
    object_unref(object);
    return arena_strdup(&arena, buf_str(&text));
}

const char *given_create(const char *json)
{
    const struct kind *kind;
    struct value *tree = parse(json, &kind);
    struct kind_context context = { .arena = &arena, .subresource = "", .create = true };

    return run(kind, &context, tree, VIEW_ABSENT);
}

const char *given_update(const char *old_json, const char *new_json, const char *subresource)
{
    const struct kind *kind;
    struct value *old_tree = parse(old_json, &kind), *tree = parse(new_json, &kind);
    struct kind_context context = { .arena = &arena, .subresource = subresource };
    struct kind_context create = { .arena = &arena, .subresource = "", .create = true };
    struct object *old;
    const char *result;

    if (schema_normalize(&arena, kind->schema, old_tree, NULL, NULL) < 0)
        FAIL("the old object does not decode: %s", old_json);
    kind_run_default(kind, &create, old_tree);
    old = object_new(old_tree, NULL);
    result = run(kind, &context, tree, object_root(old));
    object_unref(old);
    return result;
}

const char *given_row(const char *json)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct value *cells = value_array(&arena);
    const struct kind *kind;
    struct object *object;
    size_t columns = 0;
    int64_t now;

    parse(json, &kind);
    object = object_parse(str_of(json), NULL);
    time_parse(STR("2026-11-21T10:00:00Z"), &now);
    kind->row(&arena, object_root(object), now, cells);
    while (kind->columns[columns].name)
        columns++;
    ASSERT_INT(cells->items_count, columns);
    for (size_t i = 0; i < cells->items_count; i++) {
        buf_add_text(&text, i ? "|" : "");
        if (value_type(cells->items[i]) == VALUE_STRING)
            buf_add(&text, cells->items[i]->string);
        else
            value_write(&text, cells->items[i]);
    }
    object_unref(object);
    return arena_strdup(&arena, buf_str(&text));
}

const char *at(const char *json, const char *path)
{
    struct value *v = value_parse(&arena, str_of(json), NULL, NULL);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct str rest = str_of(path), part;
    int64_t i;

    while (v && str_next(&rest, '.', &part))
        v = value_type(v) == VALUE_ARRAY && str_to_i64(part, &i) ? value_at(v, (size_t)i) : value_get_str(v, part);
    if (value_type(v) == VALUE_STRING)
        return arena_strdup(&arena, v->string);
    if (v)
        value_write(&text, v);
    return arena_strdup(&arena, buf_str(&text));
}

void given_done(void)
{
    arena_done(&arena);
}
