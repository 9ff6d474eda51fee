/* Selectors: what they accept, how they read back, what they match. */
#include "test.h"

#include "object/selector.h"
#include "object_names.h"

static const struct {
    const char *text, *canonical;
} accepted[] = {
    { "", "" },
    { "a", "a" },
    { "!a", "!a" },
    { "a=b", "a=b" },
    { "a==b", "a==b" },
    { "a!=b", "a!=b" },
    { " a = b , c ", "a=b,c" },
    { "b=1,a=2", "a=2,b=1" },
    { "a in (y,x,y)", "a in (x,y)" },
    { "a notin (x)", "a notin (x)" },
    { "a in (,x)", "a in (,x)" },
    { "a in (x,)", "a in (,x)" },
    { "a in (x,,y)", "a in (,x,y)" },
    { "a in (,)", "a in (,)" },
    { "in=notin", "in=notin" },
    { "a in (in,notin)", "a in (in,notin)" },
    { "a=", "a=" },
    { "a=,b", "a=,b" },
    { "a>5,b<3", "a>5,b<3" },
    { "app.kubernetes.io/name in (web)", "app.kubernetes.io/name in (web)" },
    { "a\tin\n(x)", "a in (x)" },
    { "a!=b,a=c", "a=c,a!=b" },
};

TEST("a selector is read and written back in upstream's canonical form")
{
    for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
        AUTO_ERROR struct error err = { 0 };
        AUTO_LABEL_SELECTOR struct label_selector s, again;
        AUTO_BUF struct buf text = BUF_MAX(1 * KIB), text_again = BUF_MAX(1 * KIB);
        again = (struct label_selector){ 0 };
        ASSERT_OK(label_selector_parse(&s, str_of(accepted[i].text), &err), &err);
        label_selector_write(&text, &s);
        buf_add_text(&text, "");
        ASSERT_STR(buf_str(&text), accepted[i].canonical);
        ASSERT_OK(label_selector_parse(&again, buf_str(&text), &err), &err);
        label_selector_write(&text_again, &again);
        ASSERT_STR(buf_str(&text_again), accepted[i].canonical);
    }
}

#define NAME_MESSAGE                                                                                                   \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric " \
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "                            \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

static const struct {
    const char *text, *message;
} rejected[] = {
    { "=a", "found '=', expected: !, identifier, or 'end of string'" },
    { "a,", "found '', expected: identifier after ','" },
    { "a,,b", "found ',', expected: identifier after ','" },
    { ",a", "found ',', expected: !, identifier, or 'end of string'" },
    { "!", "unable to parse requirement: found '', expected: identifier" },
    { "!a=b", "found '=', expected: ',' or 'end of string'" },
    { "a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt" },
    { "a=b c", "found 'c', expected: ',' or 'end of string'" },
    { "a=(b)", "unable to parse requirement: found '(', expected: identifier" },
    { "a in x", "unable to parse requirement: found 'x' expected: '('" },
    { "a in (x", "unable to parse requirement: found '', expected: ',' or ')'" },
    { "a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'" },
    { "a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier" },
    { "a in (x,=)", "unable to parse requirement: found '=', expected: ',', or identifier" },
    { "a in ()",
      "unable to parse requirement: values: Invalid value: []string{}: for 'in', 'notin' operators, values set can't "
      "be empty" },
    { "a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must "
             "be an integer" },
    { "a@", "unable to parse requirement: <nil>: Invalid value: \"a@\": " NAME_MESSAGE },
    { "a=Not_Valid-",
      "unable to parse requirement: values[0][a]: Invalid value: \"Not_Valid-\": a valid label must be an empty "
      "string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
      "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
      "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')" },
};

TEST("what is no selector is refused in upstream's words")
{
    for (size_t i = 0; i < ARRAY_SIZE(rejected); i++) {
        AUTO_ERROR struct error err = { 0 };
        struct label_selector s;
        ASSERT(label_selector_parse(&s, str_of(rejected[i].text), &err) < 0);
        ASSERT_STR(error_text(&err), rejected[i].message);
        ASSERT_INT(err.code, ERR_BAD_REQUEST);
    }
}

TEST("huge selectors are refused as too large")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(1 * MIB);
    struct label_selector s;
    for (int i = 0; i <= SELECTOR_REQUIREMENTS_MAX; i++)
        buf_addf(&text, "%sk%d", i ? "," : "", i);
    ASSERT_FAILS(label_selector_parse(&s, buf_str(&text), &err), &err, ERR_TOO_LARGE, "selector has more than");
    buf_clear(&text);
    buf_add_text(&text, "a in (");
    for (int i = 0; i <= SELECTOR_VALUES_MAX; i++)
        buf_addf(&text, "%s%x", i ? "," : "", i);
    buf_add_char(&text, ')');
    ASSERT_FAILS(label_selector_parse(&s, buf_str(&text), &err), &err, ERR_TOO_LARGE, "selector has more than");
    buf_add_repeat(&text, ' ', SELECTOR_TEXT_MAX);
    ASSERT_FAILS(label_selector_parse(&s, buf_str(&text), &err), &err, ERR_TOO_LARGE, "selector is longer than");
}

static struct object *parse(const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    struct object *o = object_parse(str_of(json), &err);
    ASSERT_OK(o, &err);
    return o;
}

static const struct {
    const char *selector, *labels;
    bool matches;
} matches[] = {
    { "", "{}", true },
    { "a", "{\"a\":\"\"}", true },
    { "a", "{}", false },
    { "!a", "{}", true },
    { "!a", "{\"a\":\"x\"}", false },
    { "a=x", "{\"a\":\"x\"}", true },
    { "a=x", "{\"a\":\"y\"}", false },
    { "a=", "{}", false },
    { "a!=x", "{}", true },
    { "a!=x", "{\"a\":\"x\"}", false },
    { "a in (x,y,z)", "{\"a\":\"y\"}", true },
    { "a in (x,y,z)", "{\"a\":\"w\"}", false },
    { "a in (x)", "{}", false },
    { "a notin (x,y)", "{}", true },
    { "a notin (x,y)", "{\"a\":\"y\"}", false },
    { "a>5", "{\"a\":\"6\"}", true },
    { "a>5", "{\"a\":\"5\"}", false },
    { "a<5", "{\"a\":\"-1\"}", true },
    { "a<5", "{\"a\":\"x\"}", false },
    { "a<5", "{}", false },
    { "a=x,b=y", "{\"a\":\"x\",\"b\":\"y\",\"c\":\"z\"}", true },
    { "a=x,b=y", "{\"a\":\"x\"}", false },
    { "name=x", "{\"name\":\"x\"}", true },
    { "e.x/a=x", "{\"e.x/a\":\"x\"}", true },
};

TEST("labels match when every requirement holds")
{
    for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
        AUTO_ERROR struct error err = { 0 };
        AUTO_ARENA struct arena a = { 0 };
        AUTO_LABEL_SELECTOR struct label_selector s;
        AUTO_OBJECT struct object *labels = parse(matches[i].labels);
        ASSERT_OK(label_selector_parse(&s, str_of(matches[i].selector), &err), &err);
        if (label_selector_matches(&s, object_root(labels)) != matches[i].matches)
            FAIL("%s against %s", matches[i].selector, matches[i].labels);
        ASSERT_INT(label_selector_matches_value(&s, value_of_view(&a, object_root(labels))), matches[i].matches);
    }
}

TEST("absent labels are no labels")
{
    AUTO_LABEL_SELECTOR struct label_selector not, has;
    ASSERT_OK(label_selector_parse(&not, STR("!a"), NULL), NULL);
    ASSERT_OK(label_selector_parse(&has, STR("a"), NULL), NULL);
    ASSERT(label_selector_matches(&not, VIEW_ABSENT));
    ASSERT(!label_selector_matches(&has, VIEW_ABSENT));
    ASSERT(label_selector_matches_value(&not, NULL));
}

TEST("a LabelSelector object means the same as its text")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    AUTO_OBJECT struct object *o = parse("{\"matchLabels\":{\"b\":\"1\",\"a\":\"2\"},\"matchExpressions\":[{\"key\":"
                                         "\"c\",\"operator\":\"In\",\"values\":[\"y\","
                                         "\"x\"]},{\"key\":\"d\",\"operator\":\"DoesNotExist\"},{\"key\":\"e\","
                                         "\"operator\":\"NotIn\",\"values\":[\"z\"]},"
                                         "{\"key\":\"f\",\"operator\":\"Exists\",\"values\":[]}]}");
    AUTO_LABEL_SELECTOR struct label_selector s, of_tree;
    AUTO_BUF struct buf text = BUF_MAX(1 * KIB), tree_text = BUF_MAX(1 * KIB);
    ASSERT_OK(label_selector_of_view(&s, object_root(o), &err), &err);
    label_selector_write(&text, &s);
    ASSERT_STR(text, "a=2,b=1,c in (x,y),!d,e notin (z),f");
    ASSERT_OK(label_selector_of_value(&of_tree, value_of_view(&a, object_root(o)), &err), &err);
    label_selector_write(&tree_text, &of_tree);
    ASSERT_STR(tree_text, text);
}

TEST("no LabelSelector matches nothing, an empty one everything")
{
    AUTO_OBJECT struct object *empty = parse("{}");
    AUTO_LABEL_SELECTOR struct label_selector none, all, none_tree;
    ASSERT_OK(label_selector_of_view(&none, VIEW_ABSENT, NULL), NULL);
    ASSERT_OK(label_selector_of_view(&all, object_root(empty), NULL), NULL);
    ASSERT_OK(label_selector_of_value(&none_tree, NULL, NULL), NULL);
    ASSERT(!label_selector_matches(&none, object_root(empty)));
    ASSERT(!label_selector_matches_value(&none_tree, NULL));
    ASSERT(label_selector_matches(&all, object_root(empty)));
    ASSERT(label_selector_is_everything(&all));
    ASSERT(!label_selector_is_everything(&none));
    AUTO_ERROR struct error err = { 0 };
    struct label_selector bad;
    AUTO_OBJECT struct object *gt =
        parse("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"1\"]}]}");
    ASSERT_FAILS(label_selector_of_view(&bad, object_root(gt), &err), &err, ERR_BAD_REQUEST,
                 "\"Gt\" is not a valid label selector operator");
}

TEST("field selectors are split at what is not escaped")
{
    static const struct {
        const char *text, *written;
    } cases[] = {
        { "", "" },         { "metadata.name=a", "metadata.name=a" }, { "a==b,c!=d", "a=b,c!=d" },
        { ",a=b,", "a=b" }, { "a=b\\,c\\=d\\\\", "a=b\\,c\\=d\\\\" }, { "a=", "a=" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_ERROR struct error err = { 0 };
        AUTO_FIELD_SELECTOR struct field_selector s;
        AUTO_BUF struct buf text = BUF_MAX(1 * KIB);
        ASSERT_OK(field_selector_parse(&s, str_of(cases[i].text), &err), &err);
        field_selector_write(&text, &s);
        buf_add_text(&text, "");
        ASSERT_STR(buf_str(&text), cases[i].written);
    }
    AUTO_ERROR struct error err = { 0 };
    struct field_selector s;
    ASSERT_FAILS(field_selector_parse(&s, STR("a"), &err), &err, ERR_BAD_REQUEST,
                 "invalid selector: 'a'; can't understand 'a'");
    ASSERT_FAILS(field_selector_parse(&s, STR("a=b=c"), &err), &err, ERR_BAD_REQUEST,
                 "unescaped character in value: =");
    ASSERT_FAILS(field_selector_parse(&s, STR("a=\\x"), &err), &err, ERR_BAD_REQUEST, "invalid escape sequence: \\x");
    ASSERT_FAILS(field_selector_parse(&s, STR("a=b\\"), &err), &err, ERR_BAD_REQUEST, "invalid escape sequence: \\");
}

TEST("field selectors match the fields of an object")
{
    AUTO_OBJECT struct object *o = parse("{\"metadata\":{\"name\":\"a,b\"},\"spec\":{\"on\":true,\"n\":5}}");
    static const struct {
        const char *text;
        bool matches;
    } cases[] = {
        { "metadata.name=a\\,b", true }, { "metadata.name!=a\\,b", false }, { "spec.on=true,spec.n=5", true },
        { "spec.nodeName=", true },      { "spec.nodeName!=", false },      { "spec.nodeName=x", false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_FIELD_SELECTOR struct field_selector s;
        struct view root = object_root(o);
        ASSERT_OK(field_selector_parse(&s, str_of(cases[i].text), NULL), NULL);
        ASSERT_INT(field_selector_matches(&s, field_of_view, &root), cases[i].matches);
    }
    AUTO_FIELD_SELECTOR struct field_selector s;
    struct str value;
    ASSERT_OK(field_selector_parse(&s, STR("a!=x,metadata.name=y"), NULL), NULL);
    ASSERT(field_selector_requires(&s, STR("metadata.name"), &value));
    ASSERT_STR(value, "y");
    ASSERT(!field_selector_requires(&s, STR("a"), &value));
}

TEST("of a node selector's terms one must hold, and an empty term never does")
{
    AUTO_OBJECT struct object *node =
        parse("{\"metadata\":{\"name\":\"n1\",\"labels\":{\"zone\":\"a\",\"cores\":\"8\"}}}");
    static const struct {
        const char *selector;
        bool matches;
    } cases[] = {
        { "{\"nodeSelectorTerms\":[]}", false },
        { "{\"nodeSelectorTerms\":[{}]}", false },
        { "{\"nodeSelectorTerms\":[{},{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"b\","
          "\"a\"]}]}]}",
          true },
        { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Gt\",\"values\":[\"4\"]},{"
          "\"key\":\"x\","
          "\"operator\":\"DoesNotExist\"}]}]}",
          true },
        { "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"cores\",\"operator\":\"Lt\",\"values\":[\"8\"]}]}]"
          "}",
          false },
        { "{\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n1\"]"
          "}]}]}",
          true },
        { "{\"nodeSelectorTerms\":[{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"NotIn\",\"values\":["
          "\"n1\"]}],"
          "\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"Exists\"}]}]}",
          false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_ERROR struct error err = { 0 };
        AUTO_NODE_SELECTOR struct node_selector s;
        AUTO_OBJECT struct object *o = parse(cases[i].selector);
        ASSERT_OK(node_selector_of_view(&s, object_root(o), &err), &err);
        ASSERT_INT(node_selector_matches(&s, object_root(node)), cases[i].matches);
    }
    AUTO_ERROR struct error err = { 0 };
    struct node_selector s;
    AUTO_OBJECT struct object *bad = parse("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Near\"}]}");
    ASSERT_FAILS(node_selector_of_term(&s, object_root(bad), &err), &err, ERR_BAD_REQUEST,
                 "is not a valid node selector operator");
}
