/* Trees: reading, changing, copying, writing. */
#include "test.h"

#include "object/value.h"
#include "object/value_index.h"
#include "object_names.h"

static void check(const struct value *v, const char *expected)
{
    AUTO_BUF struct buf text = BUF_MAX(1 * MIB);
    value_write(&text, v);
    ASSERT_STR(text, expected);
}

TEST("members are put, replaced in place and removed")
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *o = value_object(&a);
    value_set_text(&a, o, N_name, "x");
    value_set_int(&a, o, N_replicas, 3);
    value_set_bool(&a, o, N_value, true);
    value_put_str(&a, o, STR("own"), value_null(&a));
    check(o, "{\"name\":\"x\",\"replicas\":3,\"value\":true,\"own\":null}");
    value_set(&a, o, N_name, STR("y"));
    value_put_str(&a, o, STR("replicas"), value_double(&a, 0.5));
    check(o, "{\"name\":\"y\",\"replicas\":0.5,\"value\":true,\"own\":null}");
    ASSERT(value_del(o, N_replicas));
    ASSERT(!value_del(o, N_replicas));
    ASSERT(value_del_str(o, STR("own")));
    value_put(&a, o, N_name, NULL);
    check(o, "{\"value\":true}");
    ASSERT(!value_del_str(NULL, STR("x")));
}

TEST("items are appended, inserted and removed")
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *l = value_array(&a);
    for (int i = 0; i < 10; i++)
        value_append(&a, l, value_int(&a, i));
    value_insert(&a, l, 0, value_text(&a, "first"));
    value_insert(&a, l, 11, value_strf(&a, "last-%d", 1));
    value_remove(l, 5);
    check(l, "[\"first\",0,1,2,3,5,6,7,8,9,\"last-1\"]");
}

TEST("a tree is read through numbers and names, and NULL counts as absent")
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, STR("{\"spec\":{\"replicas\":3,\"own\":\"x\",\"value\":2.0}}"), NULL, NULL);
    ASSERT_INT(value_to_int(value_path(v, N_spec, N_replicas), 0), 3);
    ASSERT_INT(value_to_int(value_path(v, N_spec, N_value), 0), 2);
    ASSERT_STR(value_to_str(value_get_str(value_get(v, N_spec), STR("own"))), "x");
    ASSERT(!value_path(v, N_spec, N_name, N_kind));
    ASSERT(!value_get(v, NAME_UNKNOWN));
    ASSERT_INT(value_type(NULL), VALUE_ABSENT);
    ASSERT_INT(value_to_int(NULL, 9), 9);
    ASSERT(value_to_bool(NULL, true));
    ASSERT_INT(value_to_str(NULL).n, 0);
    ASSERT(value_equal(NULL, NULL));
    ASSERT(!value_equal(NULL, value_null(&a)));
}

TEST("make gives the member that is there or a new one")
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *o = value_object(&a);
    value_set_text(&a, value_make_object(&a, value_make_object(&a, o, N_metadata), N_labels), N_name, "x");
    value_append(&a, value_make_array(&a, o, N_ports), value_int(&a, 1));
    value_append(&a, value_make_array(&a, o, N_ports), value_int(&a, 2));
    check(o, "{\"metadata\":{\"labels\":{\"name\":\"x\"}},\"ports\":[1,2]}");
    value_make_array(&a, o, N_metadata);
    check(o, "{\"metadata\":[],\"ports\":[1,2]}");
}

TEST("a copy lives by itself, with its own strings when asked")
{
    AUTO_ARENA struct arena a = { 0 };
    char json[] = "{\"own\":[\"text\",1.50,{\"k\":null}]}";
    struct value *v = value_parse(&a, str_of(json), NULL, NULL);
    struct value *all = value_copy_all(&a, v), *shared = value_copy(&a, v);
    value_append(&a, value_get_str(v, STR("own")), value_bool(&a, true));
    check(shared, "{\"own\":[\"text\",1.50,{\"k\":null}]}");
    memset(json, 'x', sizeof(json) - 1);
    check(all, "{\"own\":[\"text\",1.50,{\"k\":null}]}");
    ASSERT(!value_copy(&a, NULL));
}

TEST("a tree is written with indentation")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(1 * KIB);
    value_write_pretty(&text, value_parse(&a, STR("{\"a\":[1,{\"b\":2}],\"c\":{},\"d\":[]}"), NULL, NULL), 2);
    ASSERT_STR(text, "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}");
}

TEST("writing into a buffer that is too small marks it as full")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(8);
    value_write(&text, value_parse(&a, STR("[1,2,3,4,5,6,7,8,9]"), NULL, NULL));
    ASSERT(text.full);
}

TEST("freezing refuses trees that are too deep or too large")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *v = value_null(&a);
    for (int i = 0; i < OBJECT_DEPTH_MAX; i++) {
        struct value *outer = value_array(&a);
        value_append(&a, outer, v);
        v = outer;
    }
    AUTO_OBJECT struct object *deep = object_new(v, &err);
    ASSERT_OK(deep, &err);
    struct value *outer = value_array(&a);
    value_append(&a, outer, v);
    ASSERT_FAILS(object_new(outer, &err), &err, ERR_BAD_REQUEST, "exceeded max depth");

    char *text = arena_alloc(&a, 1 * MIB);
    memset(text, '\n', 1 * MIB);
    struct value *large = value_array(&a);
    value_append(&a, large, value_str(&a, (struct str){ text, 1 * MIB }));
    AUTO_OBJECT struct object *fits = object_new(large, &err);
    ASSERT_OK(fits, &err);
    value_append(&a, large, large->items[0]);
    ASSERT_FAILS(object_new(large, &err), &err, ERR_TOO_LARGE, "limit is 3145728");
}

TEST("an index finds every member of a large object")
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *o = value_object(&a);
    for (int i = 0; i < 1000; i++) {
        struct str name = arena_printf(&a, "m%d", i);
        value_add_member(&a, o, name_find(name), name, value_int(&a, i));
    }
    struct value_index index;
    value_index_init(&index, o);
    for (int i = 0; i < 1000; i++)
        ASSERT_INT(value_to_int(value_index_get(&index, arena_printf(&a, "m%d", i)), -1), i);
    ASSERT(!value_index_get(&index, STR("m1000")));
    value_index_done(&index);
}

/* Random trees: what is frozen, read, thawed and parsed again stays the same. */
static struct value *random_tree(struct arena *a, uint64_t *seed, int depth)
{
    static const char *const texts[] = { "",     "a",           "name",
                                         "<&>",  "line\nbreak", "\xc3\xa9",
                                         "\xff", "\"q\"",       "a long text without any special" };
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    unsigned pick = (unsigned)(*seed >> 33);
    const char *text = texts[pick / 16 % ARRAY_SIZE(texts)];
    unsigned count = pick / 256 % 6;
    struct value *v;
    switch (depth > 0 ? pick % 8 : pick % 6) {
    case 0:
        return value_null(a);
    case 1:
        return value_bool(a, count & 1);
    case 2:
        return value_int(a, (int64_t)*seed >> (pick % 60));
    case 3:
        return value_double(a, (double)(int64_t)*seed / 1024);
    case 4:
    case 5:
        return value_text(a, text);
    case 6:
        v = value_array(a);
        for (unsigned i = 0; i < count; i++)
            value_append(a, v, random_tree(a, seed, depth - 1));
        return v;
    default:
        v = value_object(a);
        for (unsigned i = 0; i < count; i++)
            value_put_str(a, v, str_of(texts[(pick + i) % ARRAY_SIZE(texts)]), random_tree(a, seed, depth - 1));
        return v;
    }
}

TEST("random trees survive freezing, thawing and parsing")
{
    uint64_t seed = test_seed();
    for (int i = 0; i < 2000; i++) {
        AUTO_ARENA struct arena a = { 0 };
        AUTO_ERROR struct error err = { 0 };
        struct value *v = random_tree(&a, &seed, 5);
        AUTO_OBJECT struct object *o = object_new(v, &err);
        ASSERT_OK(o, &err);
        AUTO_OBJECT struct object *parsed = object_parse(object_json(o), &err);
        ASSERT_OK(parsed, &err);
        ASSERT_STR(object_json(parsed), object_json(o));
        ASSERT(view_equal(object_root(o), object_root(parsed)));
        ASSERT_INT(object_block_bytes(parsed), object_block_bytes(o));
        struct value *thawed = value_of_view(&a, object_root(o));
        AUTO_OBJECT struct object *again = object_new(thawed, &err);
        ASSERT_STR(object_json(again), object_json(o));
        AUTO_OBJECT struct object *revised = object_with_revision(o, 77);
        ASSERT(view_type(object_root(o)) != VALUE_OBJECT || object_revision(revised) == 77);
    }
}
