/* The JSON codec against accept (y), reject (n) and either-way (i) texts, in the manner of the public JSON test suites. */
#include "test.h"

#include "object/json_number.h"
#include "object/value.h"
#include "object_names.h"

#include <stdio.h>

/* What both parsers make of a text: the compact text, or "error: ..." */
static void both(struct str json, struct buf *ret)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 }, object_err = { 0 };
    AUTO_BUF struct buf tree_text = BUF_MAX(64 * MIB);
    /* An exact copy on the heap, so that reading past its end is seen. */
    AUTO_FREE char *copy = xmalloc(json.n ? json.n : 1);
    memcpy(copy, json.p ? json.p : "", json.n);
    json.p = copy;

    struct value *tree = value_parse(&a, json, NULL, &err);
    AUTO_OBJECT struct object *o = object_parse(json, &object_err);
    buf_clear(ret);
    if (!tree) {
        ASSERT(!o);
        ASSERT_STR(error_text(&object_err), error_text(&err));
        ASSERT_INT(object_err.code, err.code);
        buf_addf(ret, "error: %s", error_text(&err));
        return;
    }
    value_write(&tree_text, tree);
    ASSERT_OK(o, &object_err);
    AUTO_OBJECT struct object *frozen = object_new(tree, &err);
    ASSERT_OK(frozen, &err);
    ASSERT(view_equal(object_root(o), object_root(frozen)));
    ASSERT_STR(object_json(o), object_json(frozen));
    ASSERT(value_equal(tree, value_of_view(&a, object_root(o))));
    buf_add(ret, buf_str(&tree_text));
}

static const struct {
    const char *json, *compact; /* compact NULL: the same text */
} accepted[] = {
    { "null", NULL },
    { "true", NULL },
    { "false", NULL },
    { "0", NULL },
    { "-0", "0" },
    { "-1", NULL },
    { "123", NULL },
    { "9223372036854775807", NULL },
    { "-9223372036854775808", NULL },
    { "9223372036854775808", NULL },
    { "-9223372036854775809", NULL },
    { "123456789012345678901234567890", NULL },
    { "1.5", NULL },
    { "-0.0", NULL },
    { "1e2", NULL },
    { "1E+2", NULL },
    { "1e-2", NULL },
    { "123.456e78", NULL },
    { "1e-400", NULL },
    { "0.1000", NULL },
    { "\"\"", NULL },
    { "\"a\"", NULL },
    { "[]", NULL },
    { "{}", NULL },
    { " [ ] ", "[]" },
    { "\t\n\r {\n}\r\n", "{}" },
    { "[[]   ]", "[[]]" },
    { "[null, 1, \"1\", {}]", "[null,1,\"1\",{}]" },
    { "[1,null,null,null,2]", NULL },
    { "{\"a\" : \"b\" , \"c\" :\t[ true ]}", "{\"a\":\"b\",\"c\":[true]}" },
    { "{\"\":0}", NULL },
    { "{\"a\":1,\"a\":2}", "{\"a\":2}" },
    { "{\"a\":1,\"b\":2,\"\\u0061\":3}", "{\"a\":3,\"b\":2}" },
    { "{\"a\":{\"b\":1,\"b\":{}},\"a\":{\"b\":2}}", "{\"a\":{\"b\":2}}" },
    { "\"\\u0060\\u012a\\u12AB\"", "\"`\xc4\xaa\xe1\x8a\xab\"" },
    { "\"\\uD801\\udc37\"", "\"\xf0\x90\x90\xb7\"" },
    { "\"\\ud83d\\ude39\\ud83d\\udc8d\"", "\"\xf0\x9f\x98\xb9\xf0\x9f\x92\x8d\"" },
    { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
    { "\"\\u0000\"", NULL },
    { "\"\\u001F\"", "\"\\u001f\"" },
    { "\"\\\\u0000\"", NULL },
    { "\"\\\\n\"", NULL },
    { "\"a/*b*/c\"", NULL },
    { "\"\x7f\"", NULL },
    { "\"<a href=\\\"x\\\">&\"", "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\"" },
    { "\"\xe2\x80\xa8\xe2\x80\xa9\"", "\"\\u2028\\u2029\"" },
    { "\"\xe2\x82\xac\xf0\x9d\x84\x9e\"", NULL },
    { "\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\"", NULL },
    { "{\"<k>\":1,\"b\":\"<\",\"\\n\":{\"\\t\":[]}}",
      "{\"\\u003ck\\u003e\":1,\"b\":\"\\u003c\",\"\\n\":{\"\\t\":[]}}" },
    /* Either way is allowed by RFC 8259; these follow encoding/json. */
    { "\"\\uDADA\"", "\"\xef\xbf\xbd\"" },
    { "\"\\uD888\\u1234\"", "\"\xef\xbf\xbd\xe1\x88\xb4\"" },
    { "\"\\uDd1ea\"", "\"\xef\xbf\xbd"
                      "a\"" },
    { "\"\\uD800\\uD800\\n\"", "\"\xef\xbf\xbd\xef\xbf\xbd\\n\"" },
    { "\"\\ud800abc\"", "\"\xef\xbf\xbd"
                        "abc\"" },
    { "\"\xff\"", "\"\xef\xbf\xbd\"" },
    { "\"\xe0\xff\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "\"\xc0\xaf\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "\"\xed\xa0\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "\"\xf4\x90\x80\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    { "\"\x81\x81\x81 then plain text\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd then plain text\"" },
    { "\"\xe5\"", "\"\xef\xbf\xbd\"" },
};

TEST("texts that encoding/json accepts are accepted and written compactly")
{
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB);
    for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
        both(str_of(accepted[i].json), &got);
        ASSERT_STR(got, accepted[i].compact ? accepted[i].compact : accepted[i].json);
    }
}

static const struct {
    const char *json, *message;
} rejected[] = {
    { "", "unexpected end of JSON input" },
    { " ", "unexpected end of JSON input" },
    { "[", "unexpected end of JSON input" },
    { "{", "unexpected end of JSON input" },
    { "[1", "unexpected end of JSON input" },
    { "[1,", "unexpected end of JSON input" },
    { "{\"a\"", "unexpected end of JSON input" },
    { "{\"a\":", "unexpected end of JSON input" },
    { "{\"a\":1", "unexpected end of JSON input" },
    { "{\"a\":1,", "unexpected end of JSON input" },
    { "\"", "unexpected end of JSON input" },
    { "\"a", "unexpected end of JSON input" },
    { "\"\\", "unexpected end of JSON input" },
    { "\"\\u12", "unexpected end of JSON input" },
    { "-", "unexpected end of JSON input" },
    { "1.", "unexpected end of JSON input" },
    { "1e", "unexpected end of JSON input" },
    { "1e+", "unexpected end of JSON input" },
    { "tru", "unexpected end of JSON input" },
    { "nul", "unexpected end of JSON input" },
    { "x", "invalid character 'x' looking for beginning of value" },
    { "]", "invalid character ']' looking for beginning of value" },
    { "[,1]", "invalid character ',' looking for beginning of value" },
    { "[1,]", "invalid character ']' looking for beginning of value" },
    { "[1,,2]", "invalid character ',' looking for beginning of value" },
    { "[+1]", "invalid character '+' looking for beginning of value" },
    { "[.5]", "invalid character '.' looking for beginning of value" },
    { "[NaN]", "invalid character 'N' looking for beginning of value" },
    { "[Infinity]", "invalid character 'I' looking for beginning of value" },
    { "'a'", "invalid character '\\'' looking for beginning of value" },
    { "[\x0b]", "invalid character '\\v' looking for beginning of value" },
    { "[\x01]", "invalid character '\\x01' looking for beginning of value" },
    { "\xef\xbb\xbf{}", "invalid character '\xc3\xaf' looking for beginning of value" },
    { "\x80", "invalid character '\\u0080' looking for beginning of value" },
    { "{\"a\":x}", "invalid character 'x' looking for beginning of value" },
    { "{\"a\":}", "invalid character '}' looking for beginning of value" },
    { "// c\n1", "invalid character '/' looking for beginning of value" },
    { "{a:1}", "invalid character 'a' looking for beginning of object key string" },
    { "{1:1}", "invalid character '1' looking for beginning of object key string" },
    { "{'a':1}", "invalid character '\\'' looking for beginning of object key string" },
    { "{\"a\":1,}", "invalid character '}' looking for beginning of object key string" },
    { "{,}", "invalid character ',' looking for beginning of object key string" },
    { "{\"a\" 1}", "invalid character '1' after object key" },
    { "{\"a\",1}", "invalid character ',' after object key" },
    { "{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair" },
    { "{\"a\":1]", "invalid character ']' after object key:value pair" },
    { "[1 2]", "invalid character '2' after array element" },
    { "[1}", "invalid character '}' after array element" },
    { "[01]", "invalid character '1' after array element" },
    { "[0x1]", "invalid character 'x' after array element" },
    { "[1e1.5]", "invalid character '.' after array element" },
    { "[\"a\" : 1]", "invalid character ':' after array element" },
    { "1 2", "invalid character '2' after top-level value" },
    { "{}}", "invalid character '}' after top-level value" },
    { "[]x", "invalid character 'x' after top-level value" },
    { "012", "invalid character '1' after top-level value" },
    { "nullx", "invalid character 'x' after top-level value" },
    { "\"\n\"", "invalid character '\\n' in string literal" },
    { "\"a long enough text, then a tab\t\"", "invalid character '\\t' in string literal" },
    { "\"\\x\"", "invalid character 'x' in string escape code" },
    { "\"\\'\"", "invalid character '\\'' in string escape code" },
    { "\"\\\n\"", "invalid character '\\n' in string escape code" },
    { "\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape" },
    { "\"\\u00\"", "invalid character '\"' in \\u hexadecimal character escape" },
    { "-x", "invalid character 'x' in numeric literal" },
    { "[-]", "invalid character ']' in numeric literal" },
    { "[1.]", "invalid character ']' after decimal point in numeric literal" },
    { "[1.e1]", "invalid character 'e' after decimal point in numeric literal" },
    { "[1e]", "invalid character ']' in exponent of numeric literal" },
    { "[1e+]", "invalid character ']' in exponent of numeric literal" },
    { "[tru]", "invalid character ']' in literal true (expecting 'e')" },
    { "[TRUE]", "invalid character 'T' looking for beginning of value" },
    { "[falze]", "invalid character 'z' in literal false (expecting 's')" },
    { "[nul\\]", "invalid character '\\\\' in literal null (expecting 'l')" },
    { "1e400", "json: cannot unmarshal number 1e400 into Go value of type float64" },
    { "{\"a\":[-1e999]}", "json: cannot unmarshal number -1e999 into Go value of type float64" },
    { "[1e999", "unexpected end of JSON input" },
};

TEST("texts that encoding/json rejects are rejected in its words")
{
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB), expected = BUF_MAX(1 * MIB);
    for (size_t i = 0; i < ARRAY_SIZE(rejected); i++) {
        both(str_of(rejected[i].json), &got);
        buf_clear(&expected);
        buf_addf(&expected, "error: %s", rejected[i].message);
        ASSERT_STR(got, expected);
    }
}

TEST("a zero byte is no white space and ends nothing")
{
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB);
    both((struct str){ "1\0", 2 }, &got);
    ASSERT_STR(got, "error: invalid character '\\x00' after top-level value");
    both((struct str){ "\"\0\"", 3 }, &got);
    ASSERT_STR(got, "error: invalid character '\\x00' in string literal");
}

TEST("every prefix of a text is refused as ended too early")
{
    struct str json = STR("{\"a\\n\":[1.5e3,true,null,\"\\u00e9\\ud83d\\ude39\",{\"b\":-2}]}");
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB);
    for (size_t n = 0; n < json.n; n++) {
        both(str_part(json, 0, n), &got);
        ASSERT_STR(got, "error: unexpected end of JSON input");
    }
}

TEST("special characters are found at every position of a run")
{
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB);
    for (size_t n = 0; n < 20; n++) {
        char json[64];
        snprintf(json, sizeof(json), "\"%.*s<%.*s\"", (int)n, "aaaaaaaaaaaaaaaaaaaa", (int)(20 - n),
                 "zzzzzzzzzzzzzzzzzzzz");
        both(str_of(json), &got);
        ASSERT_CONTAINS(got, "\\u003c");
        ASSERT_INT(got.n, 28);
    }
}

static void nested(struct buf *to, unsigned depth, const char *open, const char *close)
{
    buf_clear(to);
    for (unsigned i = 0; i < depth; i++)
        buf_add_text(to, open);
    if (*open == '{')
        buf_add_text(to, "1");
    for (unsigned i = 0; i < depth; i++)
        buf_add_text(to, close);
}

TEST("128 levels are accepted, 129 and 100,000 refused")
{
    AUTO_BUF struct buf json = BUF_MAX(4 * MIB), got = BUF_MAX(4 * MIB);
    nested(&json, OBJECT_DEPTH_MAX, "[", "]");
    both(buf_str(&json), &got);
    ASSERT_STR(got, json);
    nested(&json, OBJECT_DEPTH_MAX, "{\"a\":", "}");
    both(buf_str(&json), &got);
    ASSERT_STR(got, json);
    nested(&json, OBJECT_DEPTH_MAX + 1, "[", "]");
    both(buf_str(&json), &got);
    ASSERT_STR(got, "error: exceeded max depth");
    nested(&json, 100000, "[", "");
    both(buf_str(&json), &got);
    ASSERT_STR(got, "error: exceeded max depth");
    nested(&json, 100000, "{\"a\":", "");
    both(buf_str(&json), &got);
    ASSERT_STR(got, "error: exceeded max depth");
}

TEST("more than 3 MiB of text, and more values than the limit, are refused as too large")
{
    AUTO_BUF struct buf json = BUF_MAX(8 * MIB), got = BUF_MAX(8 * MIB);
    buf_add_char(&json, '"');
    buf_add_repeat(&json, 'a', OBJECT_SIZE_MAX - 2);
    buf_add_char(&json, '"');
    both(buf_str(&json), &got);
    ASSERT_INT(got.n, OBJECT_SIZE_MAX);
    buf_add_char(&json, ' ');
    both(buf_str(&json), &got);
    ASSERT_STR(got, "error: Request entity too large: limit is 3145728");

    buf_clear(&json);
    buf_add_text(&json, "[0");
    for (size_t i = 0; i < MIB; i++)
        buf_add_text(&json, ",0");
    buf_add_char(&json, ']');
    both(buf_str(&json), &got);
    ASSERT_CONTAINS(got, "values");
}

TEST("text that grows past the limit by escaping is refused")
{
    AUTO_BUF struct buf json = BUF_MAX(8 * MIB);
    AUTO_ERROR struct error err = { 0 };
    buf_add_char(&json, '"');
    buf_add_repeat(&json, '<', 1 * MIB);
    buf_add_char(&json, '"');
    ASSERT_FAILS(object_parse(buf_str(&json), &err), &err, ERR_TOO_LARGE, "too large");
}

TEST("duplicate fields are reported by path")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *duplicates = value_array(&a);
    struct str json = STR(
        "{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"a\",\"name\":\"b\"}]},\"kind\":\"a\",\"kind\":\"b\"}");
    ASSERT_OK(value_parse(&a, json, duplicates, &err), &err);
    ASSERT_INT(duplicates->items_count, 2);
    ASSERT_STR(value_to_str(duplicates->items[0]), "spec.containers[1].name");
    ASSERT_STR(value_to_str(duplicates->items[1]), "kind");
}

TEST("many thousand names are checked for duplicates in linear time")
{
    AUTO_BUF struct buf json = BUF_MAX(8 * MIB), got = BUF_MAX(8 * MIB);
    buf_add_char(&json, '{');
    for (unsigned i = 0; i < 100000; i++)
        buf_addf(&json, "\"k%u\":%u,", i % 99999, i);
    buf_add_text(&json, "\"z\":0}");
    int64_t start_ms = test_now_ms();
    both(buf_str(&json), &got);
    ASSERT(test_now_ms() - start_ms < 10000);
    ASSERT(str_starts(buf_str(&got), STR("{\"k0\":99999,\"k1\":1,")));
}

TEST("floating-point numbers are written as encoding/json writes them")
{
    static const struct {
        double d;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 1, "1" },
        { 0.5, "0.5" },
        { 0.1, "0.1" },
        { 1e20, "100000000000000000000" },
        { 1e21, "1e+21" },
        { 1e-6, "0.000001" },
        { 1e-7, "1e-7" },
        { 1.5e-9, "1.5e-9" },
        { 123456.75, "123456.75" },
        { -2.5e100, "-2.5e+100" },
        { 5e-324, "5e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { 1.0 / 3, "0.3333333333333333" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_BUF struct buf got = BUF_MAX(1024);
        json_write_double(&got, cases[i].d);
        ASSERT_STR(got, cases[i].text);
    }
}
