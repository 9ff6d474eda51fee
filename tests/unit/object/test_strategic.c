/* Strategic merge patch: original, patch, result. */
#include "test.h"
#include "walk_schema.h"

#include "object/strategic.h"

static void check(const char *original, const char *patch, const char *expected)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    const struct schema *s = thing_schema();
    struct value *before = parse_json(&a, original), *change = parse_json(&a, patch);
    struct value *merged = strategic_merge(&a, s, before, change, &err);

    if (!merged)
        FAIL("%s\n  failed: %s", patch, error_text(&err));
    if (!value_equal(merged, parse_json(&a, expected)))
        FAIL("%s\n  expected: %s\n  actual:   %.*s", patch, expected, STR_ARG(json_of(&a, merged)));
    ASSERT_STR(json_of(&a, before), original);
    ASSERT_STR(json_of(&a, change), patch);
}

static void check_fails(const char *original, const char *patch, enum error_code code, const char *part)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    const struct schema *s = thing_schema();

    ASSERT_FAILS(strategic_merge(&a, s, parse_json(&a, original), parse_json(&a, patch), &err), &err, code, part);
}

TEST("maps are merged, null removes, other values replace")
{
    check("{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}}",
          "{\"metadata\":{\"labels\":{\"b\":null,\"c\":\"3\"}}}",
          "{\"metadata\":{\"labels\":{\"a\":\"1\",\"c\":\"3\"}}}");
    check("{\"spec\":{\"replicas\":1}}", "{\"spec\":{\"replicas\":2,\"tags\":null}}", "{\"spec\":{\"replicas\":2}}");
}

TEST("nulls and directives do not come in with what is new")
{
    check("{}", "{\"metadata\":{\"labels\":{\"a\":null,\"b\":\"1\",\"$patch\":\"replace\"}}}",
          "{\"metadata\":{\"labels\":{\"b\":\"1\"}}}");
    check("{}", "{\"spec\":{\"ports\":[{\"port\":1},{\"$patch\":\"delete\",\"port\":2}]}}",
          "{\"spec\":{\"ports\":[{\"port\":1}]}}");
}

TEST("$patch replaces or empties a map")
{
    check("{\"metadata\":{\"labels\":{\"a\":\"1\"}}}",
          "{\"metadata\":{\"labels\":{\"$patch\":\"replace\",\"b\":\"2\"}}}",
          "{\"metadata\":{\"labels\":{\"b\":\"2\"}}}");
    check("{\"metadata\":{\"labels\":{\"a\":\"1\"}}}", "{\"metadata\":{\"labels\":{\"$patch\":\"delete\"}}}",
          "{\"metadata\":{\"labels\":{}}}");
    check_fails("{\"metadata\":{\"labels\":{\"a\":\"1\"}}}", "{\"metadata\":{\"labels\":{\"$patch\":\"eat\"}}}",
                ERR_INTERNAL, "unknown patch type: eat in map: map[$patch:eat]");
}

TEST("lists of objects are merged by their key, new items stand behind")
{
    check("{\"spec\":{\"ports\":[{\"port\":1,\"name\":\"a\"},{\"port\":2}]}}",
          "{\"spec\":{\"ports\":[{\"port\":2,\"name\":\"b\"},{\"port\":3}]}}",
          "{\"spec\":{\"ports\":[{\"port\":1,\"name\":\"a\"},{\"port\":2,\"name\":\"b\"},{\"port\":3}]}}");
    check("{\"spec\":{\"ports\":[{\"port\":1},{\"port\":2}]}}",
          "{\"spec\":{\"ports\":[{\"$patch\":\"delete\",\"port\":1}]}}", "{\"spec\":{\"ports\":[{\"port\":2}]}}");
    check("{\"spec\":{\"ports\":[{\"port\":1},{\"port\":2}]}}",
          "{\"spec\":{\"ports\":[{\"port\":3},{\"$patch\":\"replace\"}]}}", "{\"spec\":{\"ports\":[{\"port\":3}]}}");
}

TEST("an item without its key is an error")
{
    check_fails("{\"spec\":{\"ports\":[{\"port\":1}]}}", "{\"spec\":{\"ports\":[{\"name\":\"http\"}]}}", ERR_INTERNAL,
                "map: map[name:http] does not contain declared merge key: port");
    check_fails("{\"spec\":{\"ports\":[{\"port\":1}]}}", "{\"spec\":{\"ports\":[[]]}}", ERR_INVALID, "lists of lists");
}

TEST("lists of primitives are united or replaced as the schema says")
{
    check("{\"spec\":{\"tags\":[\"a\",\"b\"]}}", "{\"spec\":{\"tags\":[\"b\",\"c\"]}}",
          "{\"spec\":{\"tags\":[\"a\",\"b\",\"c\"]}}");
    check("{\"spec\":{\"args\":[\"a\",\"b\"]}}", "{\"spec\":{\"args\":[\"c\"]}}", "{\"spec\":{\"args\":[\"c\"]}}");
    check("{\"spec\":{\"tags\":[\"a\",\"b\"]}}", "{\"spec\":{\"$deleteFromPrimitiveList/tags\":[\"a\",\"x\"]}}",
          "{\"spec\":{\"tags\":[\"b\"]}}");
}

TEST("$setElementOrder orders the items the client knows, and leaves the others where they were")
{
    check("{\"spec\":{\"ports\":[{\"port\":1},{\"port\":2},{\"port\":9}]}}",
          "{\"spec\":{\"$setElementOrder/ports\":[{\"port\":2},{\"port\":1}],\"ports\":[{\"port\":1,\"name\":\"x\"}]}}",
          "{\"spec\":{\"ports\":[{\"port\":2},{\"port\":1,\"name\":\"x\"},{\"port\":9}]}}");
    check("{\"spec\":{\"tags\":[\"a\",\"b\",\"c\"]}}", "{\"spec\":{\"$setElementOrder/tags\":[\"c\",\"a\"]}}",
          "{\"spec\":{\"tags\":[\"b\",\"c\",\"a\"]}}");
    check_fails("{\"spec\":{\"ports\":[{\"port\":1}]}}",
                "{\"spec\":{\"$setElementOrder/ports\":[{\"port\":1}],\"ports\":[{\"port\":2}]}}", ERR_INTERNAL,
                "doesn't match");
    check_fails("{\"spec\":{}}", "{\"spec\":{\"$setElementOrder/ports\":1}}", ERR_BAD_REQUEST, "setElementOrder");
}

TEST("$retainKeys drops what it does not name")
{
    check("{\"spec\":{\"box\":{\"name\":\"a\",\"since\":\"x\"}}}",
          "{\"spec\":{\"box\":{\"$retainKeys\":[\"name\"],\"name\":\"b\"}}}", "{\"spec\":{\"box\":{\"name\":\"b\"}}}");
    check_fails("{\"spec\":{\"box\":{\"name\":\"a\"}}}",
                "{\"spec\":{\"box\":{\"$retainKeys\":[\"since\"],\"name\":\"b\"}}}", ERR_BAD_REQUEST,
                "invalid patch format of retainKeys");
}
