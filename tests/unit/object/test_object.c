/* Objects and views: what the block keeps, how it is read, what it costs. */
#include "test.h"

#include "base/file.h"
#include "object/value.h"
#include "object_names.h"

#include <pthread.h>

static struct object *parse(const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    struct object *o = object_parse(str_of(json), &err);
    ASSERT_OK(o, &err);
    return o;
}

static const char pod[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-1\",\"namespace\":\"default\",\"uid\":\"u-"
    "1\","
    "\"resourceVersion\":\"41\",\"labels\":{\"app\":\"web\",\"a/b\":\"<x>\",\"name\":\"n\"}},"
    "\"spec\":{\"nodeName\":\"node-a\",\"containers\":[{\"name\":\"c\",\"image\":\"i:1\",\"ports\":[{\"containerPort\":"
    "80},"
    "{\"containerPort\":443}]},{\"name\":\"d\"}]},\"status\":{\"ready\":true,\"ratio\":0.5,\"none\":null}}";

TEST("members are found by number, by text and along a path")
{
    AUTO_OBJECT struct object *o = parse(pod);
    struct view root = object_root(o);
    ASSERT_STR(view_str_at(root, N_spec, N_nodeName), "node-a");
    ASSERT_STR(view_str(view_get_str(view_path(root, N_metadata, N_labels), STR("app"))), "web");
    ASSERT_STR(view_str(view_get_str(view_path(root, N_metadata, N_labels), STR("a/b"))), "<x>");
    ASSERT_STR(view_str(view_get_str(view_path(root, N_metadata, N_labels), STR("name"))), "n");
    ASSERT(!view_present(view_get_str(view_path(root, N_metadata, N_labels), STR("pp"))));
    struct view second = view_item(view_path(root, N_spec, N_containers), 1);
    ASSERT_STR(view_str_at(second, N_name), "d");
    struct view ports = view_get(view_item(view_path(root, N_spec, N_containers), 0), N_ports);
    ASSERT_INT(view_count(ports), 2);
    ASSERT_INT(view_int_at(view_item(ports, 1), -1, N_containerPort), 443);
    ASSERT(view_bool(view_get_str(view_get(root, N_status), STR("ready")), false));
    ASSERT(view_double(view_get_str(view_get(root, N_status), STR("ratio")), 0) == 0.5);
    ASSERT_INT(view_type(view_get_str(view_get(root, N_status), STR("none"))), VALUE_NULL);
    ASSERT_STR(view_json(ports), "[{\"containerPort\":80},{\"containerPort\":443}]");
}

TEST("an absent view gives the empty answer everywhere")
{
    AUTO_OBJECT struct object *o = parse(pod);
    struct view none = view_path(object_root(o), N_spec, N_data, N_value);
    ASSERT(!view_present(none));
    ASSERT_INT(view_type(none), VALUE_ABSENT);
    ASSERT_INT(view_str(none).n, 0);
    ASSERT_INT(view_int(none, 7), 7);
    ASSERT(view_bool(none, true));
    ASSERT_INT(view_count(none), 0);
    ASSERT_INT(view_json(none).n, 0);
    ASSERT(!view_present(view_item(none, 0)));
    ASSERT(!view_present(view_get(object_root(o), NAME_UNKNOWN)));
    struct view_iter it = { 0 };
    ASSERT(!view_next(none, &it));
    ASSERT_INT(view_int(view_get(object_root(o), N_spec), 5), 5);
    ASSERT_INT(view_str(view_get(object_root(o), N_spec)).n, 0);
}

TEST("metadata is at hand without a search")
{
    AUTO_OBJECT struct object *o = parse(pod);
    ASSERT_STR(object_name(o), "web-1");
    ASSERT_STR(object_namespace(o), "default");
    ASSERT_STR(object_uid(o), "u-1");
    ASSERT_INT(object_revision(o), 41);
    AUTO_OBJECT struct object *empty = parse("{\"metadata\":null}");
    ASSERT_INT(object_name(empty).n, 0);
    ASSERT_INT(object_revision(empty), 0);
}

TEST("iteration goes in the order of the text and yields unescaped names")
{
    AUTO_OBJECT struct object *o = parse("{\"b\":1,\"a\\nb\":{\"<\":[2,3]},\"name\":\"x\\ty\",\"\":4,\"q\\\"\":5}");
    struct view_iter it = { 0 };
    AUTO_BUF struct buf seen = BUF_MAX(1024);
    while (view_next(object_root(o), &it))
        buf_addf(&seen, "%.*s=%.*s;", STR_ARG(it.key), STR_ARG(view_json(it.value)));
    ASSERT(!view_next(object_root(o), &it));
    ASSERT_STR(seen, "b=1;a\nb={\"\\u003c\":[2,3]};name=\"x\\ty\";=4;q\"=5;");
    ASSERT_STR(view_str(view_get_str(object_root(o), STR("name"))), "x\ty");
    ASSERT_INT(view_int(view_get_str(object_root(o), STR("q\"")), 0), 5);
    ASSERT_INT(view_int(view_get_str(object_root(o), STR("")), 0), 4);
    ASSERT_INT(view_count(view_get_str(view_get_str(object_root(o), STR("a\nb")), STR("<"))), 2);
}

TEST("apiVersion and kind come first")
{
    AUTO_OBJECT struct object *late = parse("{\"metadata\":{\"name\":\"x\"},\"kind\":\"Pod\",\"apiVersion\":\"v1\"}");
    ASSERT_STR(object_json(late), "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\"}}");
    ASSERT_STR(object_json_body(late), "\"metadata\":{\"name\":\"x\"}}");
    AUTO_OBJECT struct object *only = parse("{\"a\":1,\"kind\":\"Pod\"}");
    ASSERT_STR(object_json(only), "{\"kind\":\"Pod\",\"a\":1}");
    AUTO_OBJECT struct object *go = parse("{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"spec\":{}}");
    ASSERT_STR(object_json_body(go), "\"spec\":{}}");
    AUTO_OBJECT struct object *bare = parse("{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}");
    ASSERT_STR(object_json_body(bare), "}");
    AUTO_OBJECT struct object *inner = parse("{\"spec\":{\"x\":1,\"kind\":\"inner\"}}");
    ASSERT_STR(object_json(inner), "{\"spec\":{\"x\":1,\"kind\":\"inner\"}}");
}

static void check_revision(const char *before, uint64_t revision, const char *after)
{
    AUTO_OBJECT struct object *o = parse(before);
    AUTO_OBJECT struct object *copy = object_with_revision(o, revision);
    ASSERT_STR(object_json(copy), after);
    ASSERT_STR(object_json(o), before);
    /* The index must be the one the text would get. */
    AUTO_OBJECT struct object *again = parse(after);
    ASSERT(view_equal(object_root(copy), object_root(again)));
    ASSERT_INT(object_block_bytes(copy), object_block_bytes(again));
    ASSERT_INT(object_revision(copy), object_revision(again));
    ASSERT_STR(object_name(copy), object_name(again));
    struct view_iter x = { 0 }, y = { 0 };
    while (view_next(object_root(again), &y)) {
        ASSERT(view_next(object_root(copy), &x));
        ASSERT_STR(view_json(x.value), view_json(y.value));
        ASSERT_INT(x.value.at, y.value.at);
        ASSERT_INT(view_count(x.value), view_count(y.value));
    }
    ASSERT(!view_next(object_root(copy), &x));
}

TEST("a copy with another revision differs in nothing else")
{
    check_revision(
        "{\"a\":[1],\"metadata\":{\"x\":{},\"resourceVersion\":\"7\",\"l\":{\"a\":\"b\"}},\"z\":{\"y\":[2]}}", 123456,
        "{\"a\":[1],\"metadata\":{\"x\":{},\"resourceVersion\":\"123456\",\"l\":{\"a\":\"b\"}},\"z\":{\"y\":[2]}}");
    check_revision("{\"metadata\":{\"resourceVersion\":\"123456\"},\"z\":\"\\u003c\"}", 1,
                   "{\"metadata\":{\"resourceVersion\":\"1\"},\"z\":\"\\u003c\"}");
}

TEST("a revision is put in where there was none")
{
    check_revision("{\"a\":{\"b\":[]},\"metadata\":{\"name\":\"n\",\"uid\":\"u\"}}", 5,
                   "{\"a\":{\"b\":[]},\"metadata\":{\"name\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"5\"}}");
    check_revision("{\"metadata\":{\"uid\":\"u\",\"l\":{\"a\":{}}},\"z\":[{}]}", 5,
                   "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"5\",\"l\":{\"a\":{}}},\"z\":[{}]}");
    check_revision("{\"z\":{},\"metadata\":{\"l\":{\"a\":1}},\"y\":[[]]}", 5,
                   "{\"z\":{},\"metadata\":{\"resourceVersion\":\"5\",\"l\":{\"a\":1}},\"y\":[[]]}");
    check_revision("{\"z\":[],\"metadata\":{},\"y\":{\"w\":[]}}", 18446744073709551615u,
                   "{\"z\":[],\"metadata\":{\"resourceVersion\":\"18446744073709551615\"},\"y\":{\"w\":[]}}");
    check_revision("{\"metadata\":{\"\\n\":{\"\\t\":\"\\r\"},\"b\":1}}", 5,
                   "{\"metadata\":{\"resourceVersion\":\"5\",\"\\n\":{\"\\t\":\"\\r\"},\"b\":1}}");
    check_revision("{\"kind\":\"Pod\",\"spec\":{}}", 5,
                   "{\"kind\":\"Pod\",\"spec\":{},\"metadata\":{\"resourceVersion\":\"5\"}}");
    check_revision("{\"metadata\":null,\"spec\":{}}", 5, "{\"metadata\":{\"resourceVersion\":\"5\"},\"spec\":{}}");
    check_revision("{\"metadata\":{\"resourceVersion\":null}}", 5, "{\"metadata\":{\"resourceVersion\":\"5\"}}");
}

TEST("containers of many thousand entries keep their members when a revision is put in")
{
    AUTO_BUF struct buf json = BUF_MAX(4 * MIB), after = BUF_MAX(4 * MIB);
    for (int count = 4080; count < 4110; count++) {
        buf_clear(&json);
        buf_clear(&after);
        buf_add_text(&json, "{\"data\":[");
        for (int i = 0; i < count; i++)
            buf_addf(&json, "%s%d", i ? "," : "", i);
        buf_add_text(&json, "],\"metadata\":{");
        buf_add(&after, buf_str(&json));
        buf_add_text(&json, "\"name\":\"n\",\"uid\":\"u\"}}");
        buf_add_text(&after, "\"name\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"7\"}}");
        check_revision(json.p, 7, after.p);
    }
}

TEST("equality ignores the order of names but not null")
{
    static const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {
        { "{\"a\":1,\"b\":[{\"c\":2,\"d\":\"x\"}]}", "{\"b\":[{\"d\":\"x\",\"c\":2}],\"a\":1}", true },
        { "{\"a\":1}", "{\"a\":1,\"b\":null}", false },
        { "[1,2]", "[2,1]", false },
        { "1", "1.0", true },
        { "1", "\"1\"", false },
        { "null", "false", false },
        { "{\"a\":1}", "{\"b\":1}", false },
        { "\"<\"", "\"\\u003c\"", true },
        { "1e2", "100", true },
    };
    AUTO_ARENA struct arena a = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_OBJECT struct object *x = parse(cases[i].a), *y = parse(cases[i].b);
        ASSERT_INT(view_equal(object_root(x), object_root(y)), cases[i].equal);
        ASSERT_INT(view_equal(object_root(y), object_root(x)), cases[i].equal);
        ASSERT_INT(value_equal(value_of_view(&a, object_root(x)), value_of_view(&a, object_root(y))), cases[i].equal);
    }
}

TEST("long strings and long lists are read past the limits of a small entry")
{
    AUTO_BUF struct buf json = BUF_MAX(1 * MIB);
    buf_add_text(&json, "{\"a\":\"");
    buf_add_repeat(&json, 'x', 5000);
    buf_add_text(&json, "\",\"b\":\"\\n");
    buf_add_repeat(&json, 'y', 5000);
    buf_add_text(&json, "\",\"c\":1.");
    buf_add_repeat(&json, '0', 5000);
    buf_add_text(&json, ",\"d\":[");
    for (int i = 0; i < 5000; i++)
        buf_addf(&json, "%s%d", i ? "," : "", i);
    buf_add_text(&json, "]}");
    AUTO_OBJECT struct object *o = parse(json.p);
    ASSERT_INT(view_str(view_get_str(object_root(o), STR("a"))).n, 5000);
    ASSERT_INT(view_str(view_get_str(object_root(o), STR("b"))).n, 5001);
    ASSERT_INT(view_json(view_get_str(object_root(o), STR("b"))).n, 5004);
    ASSERT_INT(view_json(view_get_str(object_root(o), STR("c"))).n, 5002);
    struct view d = view_get_str(object_root(o), STR("d"));
    ASSERT_INT(view_count(d), 5000);
    ASSERT_INT(view_int(view_item(d, 4999), 0), 4999);
}

TEST("an object takes at most one and a half times its text")
{
    AUTO_BUF struct buf text = BUF_MAX(16 * MIB);
    AUTO_ERROR struct error err = { 0 };
    ASSERT_OK(file_read(test_source("tests/unit/object/data/pod.json"), &text, &err), &err);
    AUTO_OBJECT struct object *o = object_parse(buf_str(&text), &err);
    ASSERT_OK(o, &err);
    double ratio = (double)object_block_bytes(o) / (double)object_json(o).n;
    if (ratio > 1.5)
        FAIL("%.2f times the text", ratio);
    print_message("a pod of %zu bytes takes %zu bytes: %.2f times its text\n", object_json(o).n, object_block_bytes(o),
                  ratio);
}

static void check_parts(struct view v)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_OBJECT struct object *part = object_of_view(v, &err);
    ASSERT_OK(part, &err);
    AUTO_OBJECT struct object *parsed = object_parse(view_json(v), &err);
    ASSERT_OK(parsed, &err);
    ASSERT_STR(object_json(part), object_json(parsed));
    ASSERT_INT(object_block_bytes(part), object_block_bytes(parsed));
    ASSERT(view_equal(object_root(part), v));
    ASSERT_STR(view_str(object_root(part)), view_str(object_root(parsed)));
    struct view_iter it = { 0 };
    for (size_t i = 0; view_next(v, &it); i++) {
        struct view same = it.key.p ? view_get_str(object_root(part), it.key) : view_item(object_root(part), i);
        ASSERT_INT(view_type(same), view_type(it.value));
        ASSERT_STR(view_str(same), view_str(it.value));
        check_parts(it.value);
    }
}

TEST("a part of an object becomes the object its text would be")
{
    AUTO_OBJECT struct object *o = parse(pod);
    check_parts(object_root(o));
    AUTO_OBJECT struct object *list = parse(
        "{\"items\":[{\"metadata\":{\"name\":\"a\\nb\",\"\\t\":\"x\"},\"kind\":\"Late\"},{\"metadata\":{\"name\":\"<\","
        "\"resourceVersion\":\"9\"},\"\\n\":[\"\\r\",\"plain\",{\"\\\"\":\"\\\\\"}]}],\"last\":\"\\n\"}");
    check_parts(object_root(list));
    AUTO_OBJECT struct object *second =
        object_of_view(view_item(view_get_str(object_root(list), STR("items")), 1), NULL);
    ASSERT_STR(object_name(second), "<");
    ASSERT_INT(object_revision(second), 9);
    AUTO_ERROR struct error err = { 0 };
    ASSERT_FAILS(object_of_view(VIEW_ABSENT, &err), &err, ERR_BAD_REQUEST, "nothing is there");
}

TEST("a list may be larger than an object when its reader says so")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf json = BUF_MAX(16 * MIB);
    buf_add_text(&json, "{\"metadata\":{},\"kind\":\"PodList\",\"items\":[0");
    while (json.n < OBJECT_SIZE_MAX)
        buf_addf(&json, ",%s", pod);
    buf_add_text(&json, "]}");
    ASSERT_FAILS(object_parse(buf_str(&json), &err), &err, ERR_TOO_LARGE, "limit is 3145728");
    AUTO_OBJECT struct object *o = object_parse_limit(buf_str(&json), 8 * MIB, &err);
    ASSERT_OK(o, &err);
    ASSERT(str_starts(object_json(o), STR("{\"kind\":\"PodList\",")));
    ASSERT_OK(value_parse_limit(&a, buf_str(&json), 8 * MIB, &err), &err);
}

static void *read_escaped(void *arg)
{
    const struct object *o = arg;
    struct view_iter it = { 0 };
    size_t bytes = 0;
    while (view_next(object_root(o), &it))
        bytes += it.key.n + view_str(it.value).n;
    object_unref(o);
    return (void *)bytes;
}

TEST("threads that unescape the same object at once see the same text")
{
    for (int round = 0; round < 50; round++) {
        AUTO_OBJECT struct object *o = parse("{\"a\\n\":\"b\\t\",\"c\":\"\\\"d\\\"\"}");
        pthread_t threads[4];
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
            ASSERT_INT(pthread_create(&threads[i], NULL, read_escaped, object_ref(o)), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
            void *bytes;
            ASSERT_INT(pthread_join(threads[i], &bytes), 0);
            ASSERT_INT((intptr_t)bytes, 8);
        }
    }
}

TEST("the last reference frees")
{
    struct object *o = parse(pod);
    struct object *second = object_ref(o);
    object_unref(o);
    ASSERT_STR(object_name(second), "web-1");
    object_unref(second);
    object_unref(NULL);
    ASSERT(!object_ref(NULL));
}
