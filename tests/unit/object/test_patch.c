/* JSON patches and merge patches: document, patch, result. */
#include "test.h"

#include "object/jsonpatch.h"
#include "object/mergepatch.h"
#include "object_names.h"

static struct value *parse(struct arena *a, const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    struct value *v = value_parse(a, str_of(json), NULL, &err);
    ASSERT_OK(v, &err);
    return v;
}

static void check(struct arena *a, const struct value *v, const char *expected)
{
    (void)a;
    AUTO_BUF struct buf text = BUF_MAX(1 * MIB);
    value_write(&text, v);
    ASSERT_STR(text, expected);
}

#define MISFIT "the server rejected our request due to an error in our request"

static const struct {
    const char *document, *patch, *result; /* result NULL: refused as a misfit */
} patches[] = {
    { "{\"a\":1}", "[]", "{\"a\":1}" },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":2}]", "{\"a\":1,\"b\":2}" },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":2}]", "{\"a\":2}" },
    { "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/0\",\"value\":0}]", "{\"a\":[0,1]}" },
    { "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", "{\"a\":[1,2]}" },
    { "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":2}]", "{\"a\":[1,2]}" },
    { "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":2}]", "{\"a\":[1,2]}" },
    { "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":2}]", NULL },
    { "{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/x\",\"value\":2}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b/c\",\"value\":2}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a/c\",\"value\":2}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":null}]", "{\"a\":1,\"b\":null}" },
    { "{\"a/b\":1,\"m~n\":2}",
      "[{\"op\":\"remove\",\"path\":\"/a~1b\"},{\"op\":\"test\",\"path\":\"/m~0n\",\"value\":2}]", "{\"m~n\":2}" },
    { "{\"~1\":1}", "[{\"op\":\"remove\",\"path\":\"/~01\"}]", "{}" },
    { "{\"\":1}", "[{\"op\":\"remove\",\"path\":\"/\"}]", "{}" },
    { "{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL },
    { "{\"a\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/a/1\"}]", "{\"a\":[1,3]}" },
    { "{\"a\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", "{\"a\":[1,2]}" },
    { "{\"a\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/a/3\"}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":{\"b\":[]}}]", "{\"a\":{\"b\":[]}}" },
    { "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]",
      "{\"a\":1,\"b\":1}" }, /* as upstream, not RFC 6902 */
    { "{\"a\":[1]}", "[{\"op\":\"replace\",\"path\":\"/a/0\",\"value\":5}]", "{\"a\":[5]}" },
    { "{\"a\":[1]}", "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":5}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}" },
    { "{\"a\":{\"x\":1},\"b\":{}}", "[{\"op\":\"move\",\"from\":\"/a/x\",\"path\":\"/b/y\"}]",
      "{\"a\":{},\"b\":{\"y\":1}}" },
    { "{\"a\":[1,2,3]}", "[{\"op\":\"move\",\"from\":\"/a/0\",\"path\":\"/a/2\"}]", "{\"a\":[2,3,1]}" },
    { "{\"a\":{\"b\":{}}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/c\"}]", NULL },
    { "{\"a\":{\"x\":1}}",
      "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},{\"op\":\"add\",\"path\":\"/b/y\",\"value\":2}]",
      "{\"a\":{\"x\":1},\"b\":{\"x\":1,\"y\":2}}" },
    { "{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"/b\",\"path\":\"/c\"}]", "{\"a\":1,\"c\":null}" }, /* likewise */
    { "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1.0}]", "{\"a\":1}" },
    { "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":\"1\"}]", NULL },
    { "{\"a\":{\"x\":1,\"y\":2}}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":{\"y\":2,\"x\":1}}]",
      "{\"a\":{\"x\":1,\"y\":2}}" },
    { "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":null}]", "{\"a\":1}" },
    { "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":1}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":2},{\"op\":\"test\",\"path\":\"/a\",\"value\":9}]",
      NULL },
    { "{\"a\":1}", "[{\"op\":\"spin\",\"path\":\"/a\"}]", NULL },
    { "{\"a\":1}", "[{\"path\":\"/a\"}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"add\",\"value\":1}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", NULL },
    { "{\"a\":1}", "[{\"op\":\"add\",\"path\":5,\"value\":1}]", NULL },
};

TEST("a JSON patch is applied whole or refused")
{
    for (size_t i = 0; i < ARRAY_SIZE(patches); i++) {
        AUTO_ARENA struct arena a = { 0 };
        AUTO_ERROR struct error err = { 0 };
        const struct value *document = parse(&a, patches[i].document), *patch = parse(&a, patches[i].patch);
        const struct value *result = json_patch_apply(&a, document, patch, &err);
        if (!result != !patches[i].result)
            FAIL("%s on %s: %s", patches[i].patch, patches[i].document, result ? "applied" : error_text(&err));
        if (result)
            check(&a, result, patches[i].result);
        else
            ASSERT_FAILS(json_patch_apply(&a, document, patch, &err), &err, ERR_INVALID, MISFIT);
        check(&a, document, patches[i].document);
        check(&a, patch, patches[i].patch);
    }
}

TEST("a patch that is no list of operations is a bad request")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    ASSERT_FAILS(json_patch_apply(&a, parse(&a, "{}"), parse(&a, "{}"), &err), &err, ERR_BAD_REQUEST,
                 "json: cannot unmarshal object into Go value of type jsonpatch.Patch");
    ASSERT_FAILS(json_patch_apply(&a, parse(&a, "{}"), parse(&a, "[1]"), &err), &err, ERR_BAD_REQUEST,
                 "json: cannot unmarshal number into Go value of type jsonpatch.Operation");
}

TEST("ten thousand operations are allowed, one more is not")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *patch = value_array(&a), *operation = parse(&a, "{\"op\":\"add\",\"path\":\"/a/0\",\"value\":1}");
    for (int i = 0; i < JSON_PATCH_OPERATIONS_MAX; i++)
        value_append(&a, patch, operation);
    ASSERT_OK(json_patch_apply(&a, parse(&a, "{\"a\":[]}"), patch, &err), &err);
    value_append(&a, patch, operation);
    ASSERT_FAILS(json_patch_apply(&a, parse(&a, "{\"a\":[]}"), patch, &err), &err, ERR_TOO_LARGE,
                 "The allowed maximum operations in a JSON patch is 10000, got 10001");
}

TEST("copies that double the document again and again are refused")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *patch = value_array(&a);
    for (int i = 0; i < 60; i++)
        value_append(&a, patch, parse(&a, "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}"));
    ASSERT_FAILS(json_patch_apply(&a, parse(&a, "{\"a\":[0]}"), patch, &err), &err, ERR_TOO_LARGE, "accumulated size");
}

TEST("many operations on a very long list are refused instead of taking seconds")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *document = value_object(&a), *list = value_array(&a), *patch = value_array(&a);
    value_put_str(&a, document, STR("l"), list);
    for (int i = 0; i < 300000; i++)
        value_append(&a, list, value_int(&a, i));
    for (int i = 0; i < 5000; i++)
        value_append(&a, patch, parse(&a, "{\"op\":\"add\",\"path\":\"/l/0\",\"value\":1}"));
    ASSERT_FAILS(json_patch_apply(&a, document, patch, &err), &err, ERR_TOO_LARGE, "more work");
}

/* The examples of RFC 7386, appendix A, and our own. */
static const char *const merges[][3] = {
    { "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
    { "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
    { "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
    { "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
    { "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
    { "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
    { "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
    { "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
    { "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
    { "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
    { "{\"a\":\"foo\"}", "null", "null" },
    { "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
    { "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
    { "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
    { "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
    { "{\"metadata\":{\"labels\":{\"a\":\"1\"}}}", "{\"metadata\":{\"labels\":{\"b\":\"2\"}}}",
      "{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}" },
};

TEST("merge patches follow RFC 7386")
{
    for (size_t i = 0; i < ARRAY_SIZE(merges); i++) {
        AUTO_ARENA struct arena a = { 0 };
        const struct value *document = parse(&a, merges[i][0]), *patch = parse(&a, merges[i][1]);
        check(&a, merge_patch_apply(&a, document, patch), merges[i][2]);
        check(&a, document, merges[i][0]);
        check(&a, patch, merges[i][1]);
    }
}

TEST("a merge patch of a hundred thousand names takes linear time")
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *document = value_object(&a), *patch = value_object(&a);
    for (int i = 0; i < 100000; i++) {
        value_add_member(&a, document, NAME_UNKNOWN, arena_printf(&a, "d%d", i), value_int(&a, i));
        value_add_member(&a, patch, NAME_UNKNOWN, arena_printf(&a, "p%d", i), value_int(&a, i));
    }
    int64_t start_ms = test_now_ms();
    ASSERT_INT(merge_patch_apply(&a, document, patch)->members_count, 200000);
    ASSERT(test_now_ms() - start_ms < 5000);
}

TEST("the difference of two objects is the smallest merge patch")
{
    static const char *const cases[][3] = {
        { "{\"a\":1}", "{\"a\":1}", "{}" },
        { "{\"a\":1,\"b\":{\"c\":1,\"d\":2}}", "{\"b\":{\"c\":1,\"d\":3},\"e\":[1]}",
          "{\"a\":null,\"b\":{\"d\":3},\"e\":[1]}" },
        { "{\"a\":{\"b\":1}}", "{\"a\":5}", "{\"a\":5}" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_ARENA struct arena a = { 0 };
        const struct value *from = parse(&a, cases[i][0]), *to = parse(&a, cases[i][1]);
        const struct value *patch = merge_patch_diff(&a, from, to);
        check(&a, patch, cases[i][2]);
        ASSERT(value_equal(merge_patch_apply(&a, from, patch), to));
    }
}
