/* Decoding, pruning and ordering by schema. */
#include "test.h"
#include "walk_schema.h"

#define THING "{\"kind\":\"Thing\",\"apiVersion\":\"example.org/v1\","

static struct str normalized(struct arena *a, const char *text)
{
    AUTO_ERROR struct error err = { 0 };
    struct value *tree = (thing_schema(), parse_json(a, text));

    ASSERT_OK(schema_normalize(a, thing_schema(), tree, NULL, &err), &err);
    return json_of(a, tree);
}

TEST("an empty object becomes what Go writes for a zero value")
{
    AUTO_ARENA struct arena a = { 0 };

    ASSERT_STR(normalized(&a, "{}"),
               "{\"metadata\":{},\"spec\":{\"items\":null,\"box\":{\"since\":null},\"enabled\":false},\"status\":{}}");
    ASSERT_STR(json_of(&a, schema_zero(&a, thing_schema())), normalized(&a, "{}"));
}

TEST("fields come in the order of the schema, keys of maps sorted, unknown fields go")
{
    AUTO_ARENA struct arena a = { 0 };

    ASSERT_STR(normalized(&a, "{\"status\":{\"phase\":\"On\"},\"metadata\":{\"labels\":{\"b\":\"2\",\"a\":\"1\"},"
                              "\"name\":\"x\",\"foo\":1},"
                              "\"bar\":[1],\"spec\":{\"enabled\":true,\"items\":[\"i\"],\"replicas\":0}}"),
               "{\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"1\",\"b\":\"2\"}},\"spec\":{\"replicas\":0,\"items\":"
               "[\"i\"],"
               "\"box\":{\"since\":null},\"enabled\":true},\"status\":{\"phase\":\"On\"}}");
}

TEST("null counts as absent, and empty lists, maps and strings marked omitempty are left out")
{
    AUTO_ARENA struct arena a = { 0 };

    ASSERT_STR(
        normalized(
            &a, "{\"spec\":{\"replicas\":null,\"tags\":[],\"selector\":{},\"items\":[],\"box\":null,\"target\":null},"
                "\"status\":{\"phase\":\"\",\"replicas\":0},\"metadata\":null}"),
        "{\"metadata\":{},\"spec\":{\"items\":null,\"box\":{\"since\":null},\"enabled\":false},\"status\":{}}");
}

TEST("quantities, times and base64 come out canonical")
{
    AUTO_ARENA struct arena a = { 0 };

    ASSERT_CONTAINS(normalized(&a, "{\"spec\":{\"limits\":{\"cpu\":0.5,\"memory\":\"1024Ki\",\"n\":2}}}"),
                    "\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Mi\",\"n\":\"2\"}");
    ASSERT_CONTAINS(normalized(&a, "{\"spec\":{\"box\":{\"since\":\"2026-11-21T11:00:00.5+01:00\"}}}"),
                    "\"since\":\"2026-11-21T10:00:00Z\"");
    ASSERT_CONTAINS(normalized(&a, "{\"spec\":{\"secret\":\"aGVs\\nbG8=\"}}"), "\"secret\":\"aGVsbG8=\"");
    ASSERT_CONTAINS(normalized(&a, "{\"spec\":{\"target\":\"80%\"}}"), "\"target\":\"80%\"");
}

static void check_error(enum schema_style style, const char *text, const char *expected)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct schema_options options = { .style = style };
    struct value *tree = (thing_schema(), parse_json(&a, text));

    ASSERT_FAILS(schema_normalize(&a, thing_schema(), tree, &options, &err), &err, ERR_BAD_REQUEST, expected);
}

TEST("a wrong type is refused in the words of Kubernetes' decoder")
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        { THING "\"metadata\":\"x\"}",
          "Thing in version \"v1\" cannot be handled as a Thing: json: cannot unmarshal string into Go struct "
          "field Thing.metadata of type v1.ObjectMeta" },
        { "{\"spec\":{\"ports\":[{\"port\":\"x\"}]}}",
          "json: cannot unmarshal string into Go struct field Port.spec.ports.port of type int32" },
        { "{\"spec\":{\"ports\":[1]}}", "number into Go struct field ThingSpec.spec.ports of type v1.Port" },
        { "{\"spec\":{\"ports\":{}}}", "object into Go struct field ThingSpec.spec.ports of type []v1.Port" },
        { "{\"metadata\":{\"labels\":{\"a\":1}}}",
          "number into Go struct field ObjectMeta.metadata.labels of type string" },
        { "{\"spec\":{\"replicas\":99999999999}}",
          "number 99999999999 into Go struct field ThingSpec.spec.replicas of type int32" },
        { "{\"spec\":{\"replicas\":1.5}}", "number 1.5 into Go struct field ThingSpec.spec.replicas of type int32" },
        { "{\"spec\":{\"target\":1e9999}}", NULL },
        { "{\"spec\":{\"target\":[]}}", "array into Go struct field ThingSpec.spec.target of type int32" },
        { "{\"spec\":{\"secret\":{}}}", "object into Go struct field ThingSpec.spec.secret of type []uint8" },
        { "{\"spec\":{\"secret\":\"abc\"}}", "illegal base64 data at input byte 0" },
        { "{\"spec\":{\"secret\":\"YQ==x\"}}", "illegal base64 data at input byte 4" },
        { "{\"spec\":{\"limits\":{\"cpu\":\"5x5\"}}}", "quantities must match the regular expression" },
        { "{\"spec\":{\"box\":{\"since\":\"2026-11-20T23:48:01Zx\"}}}",
          "parsing time \"2026-11-20T23:48:01Zx\": extra text: \"x\"" },
        { "{\"spec\":{\"box\":{\"since\":\"yesterday\"}}}",
          "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"" },
        { "{\"spec\":{\"box\":{\"since\":\"2026-13-20T23:48:01Z\"}}}", "month out of range" },
        { "{\"spec\":{\"box\":{\"since\":5}}}", "number into Go struct field Box.spec.box.since of type string" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (cases[i].expected)
            check_error(SCHEMA_DECODE, cases[i].text, cases[i].expected);
    check_error(SCHEMA_DECODE_PLAIN, "{\"spec\":1}",
                "json: cannot unmarshal number into Go struct field Thing.spec of type v1.ThingSpec");
}

TEST("the first error counts, but an error of a quantity ends the decoding and counts more")
{
    check_error(SCHEMA_DECODE, "{\"spec\":{\"replicas\":\"a\",\"enabled\":1}}", "ThingSpec.spec.replicas");
    check_error(SCHEMA_DECODE, "{\"spec\":{\"replicas\":\"a\",\"limits\":{\"a\":\"\"}}}", "quantities must match");
}

TEST("a patched object is refused in the words of the converter")
{
    check_error(SCHEMA_CONVERT, "{\"spec\":{\"ports\":{}}}", "cannot restore slice from map");
    check_error(SCHEMA_CONVERT, "{\"spec\":[]}", "cannot restore struct from: slice");
    check_error(SCHEMA_CONVERT, "{\"metadata\":{\"labels\":[]}}", "cannot restore map from slice");
    check_error(SCHEMA_CONVERT, "{\"spec\":{\"replicas\":\"1\"}}", "unrecognized type: int32");
    check_error(SCHEMA_CONVERT, "{\"metadata\":{\"name\":1}}", "cannot convert int64 to string");
    check_error(SCHEMA_CONVERT, "{\"spec\":{\"secret\":\"YQ==x\"}}",
                "error decoding from json: illegal base64 data at input byte 4");
}

TEST("unknown and duplicate fields are errors when strict, warnings when asked for, and otherwise nothing")
{
    static const char text[] = "{\"spec\":{\"foo\":1,\"ports\":[{\"port\":1,\"bar\":2}],\"selector\":{\"any\":\"1\"},"
                               "\"enabled\":true,\"enabled\":true}}";
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *duplicates = value_array(&a), *warnings = value_array(&a);
    struct schema_options options = { .validation = FIELD_VALIDATION_STRICT,
                                      .duplicates = duplicates,
                                      .warnings = warnings };

    thing_schema();
    struct value *tree = value_parse(&a, str_of(text), duplicates, &err);
    ASSERT_FAILS(
        schema_normalize(&a, thing_schema(), value_copy(&a, tree), &options, &err), &err, ERR_BAD_REQUEST,
        "Thing in version \"v1\" cannot be handled as a Thing: strict decoding error: unknown field \"spec.foo\", "
        "unknown field \"spec.ports[0].bar\", duplicate field \"spec.enabled\"");
    ASSERT_INT(warnings->items_count, 0);
    options.validation = FIELD_VALIDATION_WARN;
    ASSERT_OK(schema_normalize(&a, thing_schema(), value_copy(&a, tree), &options, &err), &err);
    ASSERT_INT(warnings->items_count, 3);
    ASSERT_STR(warnings->items[1]->string, "unknown field \"spec.ports[0].bar\"");
    options.validation = FIELD_VALIDATION_IGNORE;
    ASSERT_OK(schema_normalize(&a, thing_schema(), tree, &options, &err), &err);
    ASSERT_INT(warnings->items_count, 3);
}

TEST("declared defaults fill what is unset, and order brings them to their place")
{
    AUTO_ARENA struct arena a = { 0 };
    const struct schema *s = thing_schema();
    struct value *tree =
        parse_json(&a, "{\"spec\":{\"ports\":[{\"port\":1,\"target\":2},{\"port\":2,\"protocol\":\"UDP\"}]}}");

    schema_default(&a, s, tree);
    schema_order(s, tree);
    ASSERT_STR(
        json_of(&a, tree),
        "{\"spec\":{\"ports\":[{\"port\":1,\"protocol\":\"TCP\",\"target\":2},{\"port\":2,\"protocol\":\"UDP\"}]}}");
}

TEST("values print as Go's %v does")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(KIB);

    value_write_go(&text, parse_json(&a, "{\"b\":[1,\"x\",null],\"a\":{\"c\":true}}"));
    ASSERT_STR(text, "map[a:map[c:true] b:[1 x <nil>]]");
}

TEST("a patch that does not decode is an invalid patch, quoted")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };

    fail(&err, ERR_BAD_REQUEST, "no good");
    ASSERT_INT(patch_invalid(parse_json(&a, "{\"a\":\"b\"}"), true, &err), -1);
    ASSERT_INT(err.code, ERR_INVALID);
    ASSERT_STR(err.message, " \"\" is invalid: patch: Invalid value: \"map[a:b]\": no good");
    ASSERT_STR(err.causes[0].field, "patch");
    error_done(&err);
    fail(&err, ERR_BAD_REQUEST, "no good");
    patch_invalid(parse_json(&a, "{\"a\":\"b\"}"), false, &err);
    ASSERT_STR(err.message, " \"\" is invalid: patch: Invalid value: \"{\\\"a\\\":\\\"b\\\"}\": no good");
}
