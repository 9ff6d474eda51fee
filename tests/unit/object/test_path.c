/* Paths, pointers and IntOrString. */
#include "test.h"

#include "object/intstr.h"
#include "object/path.h"
#include "object_names.h"

TEST("a path is written as upstream writes it")
{
    AUTO_ARENA struct arena a = { 0 };
    struct path spec = path_child(NULL, "spec"), containers = path_child(&spec, "containers"),
                one = path_index(&containers, 0);
    struct path ports = path_child(&one, "ports"), second = path_index(&ports, 1);
    ASSERT_STR(path_text(&a, &second, "name"), "spec.containers[0].ports[1].name");
    ASSERT_STR(path_text(&a, &second, NULL), "spec.containers[0].ports[1]");
    struct path metadata = path_child(NULL, "metadata"), labels = path_child(&metadata, "labels"),
                key = path_key(&labels, STR("a/b"));
    ASSERT_STR(path_text(&a, &key, NULL), "metadata.labels[a/b]");
    ASSERT_STR(path_text(&a, NULL, "kind"), "kind");
}

TEST("a path finds what it names")
{
    AUTO_OBJECT struct object *o = object_parse(
        STR("{\"metadata\":{\"labels\":{\"a.b/c\":\"x\"}},\"spec\":{\"containers\":[{\"name\":\"n\"}]}}"), NULL);
    static const char *const cases[][2] = {
        { "metadata.labels['a.b/c']", "\"x\"" },
        { "metadata.labels[a.b/c]", "\"x\"" },
        { "spec.containers[0].name", "\"n\"" },
        { ".spec.containers[0]", "{\"name\":\"n\"}" },
        { "spec.containers[1].name", "" },
        { "spec.", "" },
        { "spec..containers", "" },
        { "metadata.labels['a.b/c", "" },
        { "metadata.labels['a.b/c']x", "" },
        { "none.at.all", "" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct str json = view_json(path_find_view(object_root(o), str_of(cases[i][0])));
        if (!str_is(json, cases[i][1]))
            FAIL("%s gives %.*s", cases[i][0], STR_ARG(json));
    }
}

TEST("JSON pointers are split and unescaped")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct pointer p;
    ASSERT_OK(pointer_parse(&a, STR(""), &p, &err), &err);
    ASSERT_INT(p.count, 0);
    ASSERT_OK(pointer_parse(&a, STR("/a~1b/m~0n//0/"), &p, &err), &err);
    ASSERT_INT(p.count, 5);
    ASSERT_STR(p.steps[0], "a/b");
    ASSERT_STR(p.steps[1], "m~n");
    ASSERT_INT(p.steps[2].n, 0);
    ASSERT_STR(p.steps[3], "0");
    ASSERT_INT(p.steps[4].n, 0);
    ASSERT_FAILS(pointer_parse(&a, STR("a"), &p, &err), &err, ERR_BAD_REQUEST, "must be empty or begin with '/'");
    struct value *v = value_parse(&a, STR("{\"a/b\":{\"c\":[1,{\"d\":2}]}}"), NULL, &err);
    ASSERT_OK(pointer_parse(&a, STR("/a~1b/c/1/d"), &p, &err), &err);
    ASSERT_INT(value_to_int(pointer_find(&p, p.count, v), 0), 2);
    ASSERT_INT(value_type(pointer_find(&p, 2, v)), VALUE_ARRAY);
    ASSERT_OK(pointer_parse(&a, STR("/a~1b/c/01"), &p, &err), &err);
    ASSERT(!pointer_find(&p, p.count, v));
    AUTO_BUF struct buf text = BUF_MAX(64);
    pointer_write_step(&text, STR("a/b~"));
    ASSERT_STR(text, "/a~1b~0");
}

TEST("percentages are rounded up or down")
{
    static const struct {
        const char *json;
        int64_t total;
        bool up;
        int64_t result;
    } cases[] = {
        { "3", 10, true, 3 },      { "\"25%\"", 10, true, 3 },  { "\"25%\"", 10, false, 2 },
        { "\"0%\"", 10, true, 0 }, { "\"100%\"", 7, false, 7 }, { "\"200%\"", 7, true, 14 },
        { "\"1%\"", 1, true, 1 },  { "\"1%\"", 1, false, 0 },   { "-1", 10, true, -1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_ARENA struct arena a = { 0 };
        AUTO_ERROR struct error err = { 0 };
        AUTO_OBJECT struct object *o = object_parse(str_of(cases[i].json), &err);
        int64_t result;
        ASSERT_OK(
            intstr_scale(intstr_of_view(object_root(o), INTSTR_INT(0)), cases[i].total, cases[i].up, &result, &err),
            &err);
        ASSERT_INT(result, cases[i].result);
        struct value *v = value_of_view(&a, object_root(o));
        ASSERT_OK(intstr_scale(intstr_of_value(v, INTSTR_INT(0)), cases[i].total, cases[i].up, &result, &err), &err);
        ASSERT_INT(result, cases[i].result);
    }
    AUTO_ERROR struct error err = { 0 };
    int64_t result;
    ASSERT_FAILS(intstr_scale(INTSTR_TEXT("5"), 1, true, &result, &err), &err, ERR_INVALID,
                 "string is not a percentage");
    ASSERT_FAILS(intstr_scale(INTSTR_TEXT("x%"), 1, true, &result, &err), &err, ERR_INVALID,
                 "string is not a percentage");
    ASSERT(intstr_is_percent(INTSTR_TEXT("5%")));
    ASSERT(!intstr_is_percent(INTSTR_INT(5)));
    ASSERT_INT(intstr_of_view(VIEW_ABSENT, INTSTR_INT(9)).number, 9);
}
