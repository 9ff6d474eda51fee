/* YAML: what scalars mean, how documents become JSON, and back. */
#include "test.h"

#include "object/yaml.h"
#include "object_names.h"

static void read(struct str yaml, struct buf *ret)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *copy = xmalloc(yaml.n ? yaml.n : 1);
    memcpy(copy, yaml.p ? yaml.p : "", yaml.n);
    struct value *v = yaml_parse(&a, (struct str){ copy, yaml.n }, NULL, &err);
    buf_clear(ret);
    if (v)
        value_write(ret, v);
    else
        buf_addf(ret, "error: %s", error_text(&err));
}

static const char *const scalars[][2] = {
    { "true", "true" },
    { "True", "true" },
    { "TRUE", "true" },
    { "tRUE", "\"tRUE\"" },
    { "yes", "true" },
    { "Yes", "true" },
    { "on", "true" },
    { "y", "true" },
    { "no", "false" },
    { "off", "false" },
    { "N", "false" },
    { "\"yes\"", "\"yes\"" },
    { "'no'", "\"no\"" },
    { "null", "null" },
    { "~", "null" },
    { "", "null" },
    { "1", "1" },
    { "+1", "1" },
    { "-1", "-1" },
    { "0", "0" },
    { "-0", "0" },
    { "0x1F", "31" },
    { "0o17", "15" },
    { "017", "15" },
    { "08", "8" },
    { "0b101", "5" },
    { "-0b101", "-5" },
    { "1_000", "1000" },
    { "0o9", "\"0o9\"" },
    { "1.5", "1.5" },
    { "1.0", "1" },
    { "1e3", "1000" },
    { "1e-2", "0.01" },
    { ".5", "0.5" },
    { "-.5", "-0.5" },
    { ".", "\".\"" },
    { "1.", "1" },
    { "1.2.3", "\"1.2.3\"" },
    { "9223372036854775807", "9223372036854775807" },
    { "-9223372036854775808", "-9223372036854775808" },
    { "9223372036854775808", "9223372036854775808" },
    { "1e400", "\"1e400\"" },
    { "2001-01-01", "\"2001-01-01\"" },
    { "2001-01-01T00:00:00Z", "\"2001-01-01T00:00:00Z\"" },
    { "1:30", "\"1:30\"" },
    { "0x", "\"0x\"" },
    { "1_", "1" },
    { "a b", "\"a b\"" },
    { "!!str 5", "\"5\"" },
    { "! 5", "\"5\"" },
    { "!!int 5", "5" },
    { "!!float 5", "5" },
    { "!!binary aGk=", "\"hi\"" },
    { "!foo 5", "\"5\"" },
    { "=", "\"=\"" },
    { ".inf", "error: yaml: line 1: .inf has no meaning in JSON" },
    { "!!int x", "error: yaml: cannot decode !!str `x` as a !!int" },
};

TEST("plain scalars mean what go-yaml makes of them")
{
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB);
    for (size_t i = 0; i < ARRAY_SIZE(scalars); i++) {
        read(str_of(scalars[i][0]), &got);
        if (!str_is(buf_str(&got), scalars[i][1]))
            FAIL("%s\n  expected: %s\n  actual:   %.*s", scalars[i][0], scalars[i][1], STR_ARG(buf_str(&got)));
    }
}

static const char *const documents[][2] = {
    { "a: 1\nb:\n- x\n- w: 2\n  z: []\n", "{\"a\":1,\"b\":[\"x\",{\"w\":2,\"z\":[]}]}" },
    { "# nothing\n", "null" },
    { "---\n...\n", "null" },
    { "---\na: 1\n---\n", "{\"a\":1}" },
    { "{\"json\": [1, \"two\", null]}", "{\"json\":[1,\"two\",null]}" },
    { "1: a\ntrue: b\n1.5: c\n", "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\"}" },
    { "a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}" },
    { "a: &x {k: 1}\nb: *x\nc: [*x, *x]\n", "{\"a\":{\"k\":1},\"b\":{\"k\":1},\"c\":[{\"k\":1},{\"k\":1}]}" },
    { "base: &b {k: 1, l: 2}\nc:\n  l: 3\n  <<: *b\n", "{\"base\":{\"k\":1,\"l\":2},\"c\":{\"l\":3,\"k\":1}}" },
    { "a: 1\na: 2\n", "{\"a\":2}" },
    { "\"\\u00e9\\t<\": é\n", "{\"\xc3\xa9\\t\\u003c\":\"\xc3\xa9\"}" },
    { "a: 1\n---\nb: 2\n", "error: yaml: more than one document where one was expected" },
    { "a: *x\n", "error: yaml: unknown anchor 'x' referenced" },
    { "a: &x [*x]\n", "error: yaml: anchor 'x' value contains itself" },
    { "a: 1\n b: 2\n", "error: yaml: line 2: mapping values are not allowed in this context" },
    { "a:\n\t- b\n", "error: yaml: line 2: found character that cannot start any token" },
    { "a: [1\n", "error: yaml: line 1: did not find expected ',' or ']'" },
    { "? [a]\n: b\n", "error: yaml: line 1: unsupported map key" },
    { "<<: 5\n", "error: yaml: map merge requires map or sequence of maps as the value" },
    { "a: \xff\n", "error: yaml: invalid leading UTF-8 octet" },
};

TEST("documents become the JSON that sigs.k8s.io/yaml makes of them")
{
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB);
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        read(str_of(documents[i][0]), &got);
        if (!str_is(buf_str(&got), documents[i][1]))
            FAIL("%s\n  expected: %s\n  actual:   %.*s", documents[i][0], documents[i][1], STR_ARG(buf_str(&got)));
    }
}

TEST("a stream gives its documents without the empty ones")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf got = BUF_MAX(1 * KIB);
    struct value *all = yaml_parse_all(&a, STR("---\na: &x 1\n---\n# c\n---\nb: 2\n...\n---\nc: 3\n"), NULL, &err);
    ASSERT_OK(all, &err);
    value_write(&got, all);
    ASSERT_STR(got, "[{\"a\":1},{\"b\":2},{\"c\":3}]");
}

TEST("keys that come twice are reported by path")
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *duplicates = value_array(&a);
    ASSERT_OK(yaml_parse(&a, STR("spec:\n  list:\n  - {a: 1, a: 2}\n  - b\n"), duplicates, NULL), NULL);
    ASSERT_INT(duplicates->items_count, 1);
    ASSERT_STR(value_to_str(duplicates->items[0]), "spec.list[0].a");
}

TEST("a billion laughs are refused")
{
    AUTO_BUF struct buf yaml = BUF_MAX(1 * MIB), got = BUF_MAX(1 * MIB);
    buf_add_text(&yaml, "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n");
    for (int i = 1; i < 12; i++) {
        buf_addf(&yaml, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++)
            buf_addf(&yaml, "%s*a%d", j ? "," : "", i - 1);
        buf_add_text(&yaml, "]\n");
    }
    int64_t start_ms = test_now_ms();
    read(buf_str(&yaml), &got);
    ASSERT_STR(got, "error: yaml: document contains excessive aliasing or too many values");
    ASSERT(test_now_ms() - start_ms < 5000);
}

TEST("deep nesting is refused, directly and by way of anchors")
{
    AUTO_BUF struct buf yaml = BUF_MAX(4 * MIB), got = BUF_MAX(1 * MIB);
    buf_add_repeat(&yaml, '[', 2 * MIB);
    read(buf_str(&yaml), &got);
    ASSERT_STR(got, "error: yaml: line 1: exceeded max depth");
    buf_clear(&yaml);
    buf_add_text(&yaml, "- &a0 [[[[[[[[[[1]]]]]]]]]]\n");
    for (int i = 1; i < 20; i++)
        buf_addf(&yaml, "- &a%d [[[[[[[[[[*a%d]]]]]]]]]]\n", i, i - 1);
    read(buf_str(&yaml), &got);
    ASSERT_CONTAINS(got, "exceeded max depth");
}

static void check_written(const char *json, const char *yaml)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf got = BUF_MAX(1 * MIB);
    struct value *v = value_parse(&a, str_of(json), NULL, &err);
    ASSERT_OK(v, &err);
    yaml_write(&got, v);
    if (yaml)
        ASSERT_STR(got, yaml);
    struct value *again = yaml_parse(&a, buf_str(&got), NULL, &err);
    if (!again || !value_equal(v, again))
        FAIL("%s is not read back from\n%.*s%s", json, STR_ARG(buf_str(&got)), again ? "" : error_text(&err));
}

TEST("trees are written as kubectl prints them")
{
    check_written("{\"a\":1,\"b\":{\"c\":[{\"d\":true,\"e\":null},[1,[2]]],\"f\":{},\"g\":[]},\"h\":\"x\"}",
                  "a: 1\nb:\n  c:\n  - d: true\n    e: null\n  - - 1\n    - - 2\n  f: {}\n  g: []\nh: x\n");
    check_written("[{\"a\":[1]},\"b\"]", "- a:\n  - 1\n- b\n");
    check_written("\"x\"", "x\n");
    check_written("{}", "{}\n");
    check_written("{\"a\":\"x\\ny\\n\",\"b\":[\"1\\n\\n2\"],\"c\":\"x\\n\\n\"}",
                  "a: |\n  x\n  y\nb:\n- |-\n  1\n\n  2\nc: |+\n  x\n\n");
    check_written(
        "{\"a\":\"true\",\"b\":\"5\",\"c\":\"\",\"d\":\"a: b\",\"e\":\"it's\",\"f\":\"'x'\",\"g\":\"2001-01-01\"}",
        "a: \"true\"\nb: \"5\"\nc: \"\"\nd: 'a: b'\ne: it's\nf: '''x'''\ng: \"2001-01-01\"\n");
}

static const char *const strings[] = {
    "",
    " ",
    "x ",
    " x",
    "-",
    "--",
    "---",
    "- a",
    "-a",
    "?",
    "? a",
    ":",
    ":a",
    "a:",
    "a: b",
    "a #b",
    "a#b",
    "#",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "@",
    "`",
    "%",
    "\\\"",
    "'",
    "\\\\",
    "null",
    "~",
    "no",
    "0x1",
    "1e3",
    "1_0",
    "1:2",
    ".5",
    "+",
    "=",
    "<<",
    "[a]",
    "{a",
    "a,b",
    "a]",
    "\\n",
    "\\na",
    "a\\n",
    "a\\n\\n",
    "a\\nb",
    " a\\nb",
    "a \\nb",
    "a\\n b",
    "a\\n\\n b\\n",
    "\\ta",
    "a\\tb",
    "a\\t\\nb",
    "a\\r\\nb",
    "\\u0000",
    "\\u0007",
    "\\u0085",
    "\\u00a0",
    "\\u2028",
    "\\ufeff",
    "\\ufffe",
    "\\ud83d\\ude00",
    "\\u00e9",
    "a\\nb\\u0001",
    "# a\\nb",
    "a\\n# b\\n",
    "...",
    "--- a",
    "\\u007f",
    "a\\n---\\nb",
    "%YAML",
    "a\\n \\nb",
    "a\\n\\tb",
    "key: |\\n  x",
};

TEST("whatever strings hold is read back as the same")
{
    AUTO_BUF struct buf json = BUF_MAX(64 * KIB);
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
        const char *s = strings[i];
        buf_clear(&json);
        buf_addf(&json, "{\"v\":\"%s\",\"l\":[\"%s\",[\"%s\"],{\"k\":\"%s\"}],\"%s\":{\"n\":\"%s\"}}", s, s, s, s, s,
                 s);
        check_written(json.p, NULL);
        buf_clear(&json);
        buf_addf(&json, "\"%s\"", s);
        check_written(json.p, NULL);
    }
    buf_clear(&json);
    buf_add_text(&json, "{\"");
    buf_add_repeat(&json, 'k', 2000);
    buf_add_text(&json, "\":{\"a\":1}}");
    check_written(json.p, NULL);
}
