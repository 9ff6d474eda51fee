/* The protobuf form: envelopes, and what outside bytes may not do. */
#include "test.h"
#include "walk_schema.h"

#include "object/protobuf.h"

static struct value *decode(struct arena *a, struct str raw, struct error *err)
{
    struct protobuf_envelope envelope = { .raw = raw };

    return protobuf_decode(a, thing_schema(), &envelope, err);
}

TEST("an envelope is opened, and other bytes are no envelope")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf bytes = BUF_MAX(KIB);
    struct protobuf_envelope envelope;

    protobuf_wrap(&bytes, STR("v1"), STR("Pod"), STR("raw"));
    ASSERT_STR(buf_str(&bytes), STR("k8s\0\n\t\n\002v1\022\003Pod\022\003raw\032\0\"\0"));
    ASSERT_OK(protobuf_open(buf_str(&bytes), &envelope, &err), &err);
    ASSERT_STR(envelope.api_version, "v1");
    ASSERT_STR(envelope.kind, "Pod");
    ASSERT_STR(envelope.raw, "raw");
    ASSERT_FAILS(protobuf_open(STR("{\"kind\":\"Pod\"}"), &envelope, &err), &err, ERR_BAD_REQUEST,
                 "expected prefix [107 56 115 0]");
    ASSERT_FAILS(protobuf_open(STR("k8s\0\x12\x7f"), &envelope, &err), &err, ERR_BAD_REQUEST, "unexpected EOF");
}

TEST("a tree goes there and back")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf bytes = BUF_MAX(4 * KIB);
    const struct schema *s = thing_schema();
    struct protobuf_envelope envelope;
    struct value *tree = parse_json(
        &a,
        "{\"kind\":\"Thing\",\"apiVersion\":\"example.org/v1\",\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"\"}},"
        "\"spec\":{\"replicas\":-1,\"ports\":[{\"port\":80,\"target\":\"http\"},{\"port\":81,\"target\":8}],"
        "\"limits\":{\"cpu\":\"500m\"},\"secret\":\"AAEC\",\"items\":[\"i\"],\"box\":{\"since\":\"1969-12-31T23:59:"
        "59Z\"},"
        "\"extra\":{\"any\":[1,null]},\"enabled\":true},\"status\":{\"replicas\":9007199254740993}}");

    ASSERT_OK(schema_normalize(&a, s, tree, NULL, &err), &err);
    struct str before = json_of(&a, tree);
    ASSERT_OK(protobuf_encode(&bytes, s, tree, &err), &err);
    ASSERT_OK(protobuf_open(buf_str(&bytes), &envelope, &err), &err);
    struct value *back = protobuf_decode(&a, s, &envelope, &err);
    ASSERT_OK(back, &err);
    ASSERT_STR(json_of(&a, back), before);
}

TEST("unknown fields are skipped, wrong types and broken bytes are refused")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(decode(&a, STR("\x98\x06\x05"), &err), &err); /* field 99 */
    ASSERT_FAILS(decode(&a, STR("\x08\x05"), &err), &err, ERR_BAD_REQUEST, "wrong wireType = 0 for field number 1");
    ASSERT_FAILS(decode(&a, STR("\x0a\x03\x0a\x05x"), &err), &err, ERR_BAD_REQUEST, "unexpected EOF");
    ASSERT_FAILS(decode(&a, STR("\x0a\x03\x0a\x01\xff"), &err), &err, ERR_BAD_REQUEST, "invalid UTF-8");
    ASSERT_FAILS(decode(&a, STR("\x0b"), &err), &err, ERR_BAD_REQUEST, "illegal wireType 3");
    ASSERT_FAILS(decode(&a, STR("\x00"), &err), &err, ERR_BAD_REQUEST, "illegal tag");
    ASSERT_FAILS(decode(&a, STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), &err), &err, ERR_BAD_REQUEST,
                 "illegal tag");
}

TEST("maps come in any order and the last of equal keys wins")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    /* metadata { labels b=1, labels a=2, labels b=3 } */
    struct value *tree = decode(&a,
                                STR("\x0a\x18\x5a\x06\x0a\x01"
                                    "b\x12\x01"
                                    "1\x5a\x06\x0a\x01"
                                    "a\x12\x01"
                                    "2\x5a\x06\x0a\x01"
                                    "b\x12\x01"
                                    "3"),
                                &err);

    ASSERT_OK(tree, &err);
    ASSERT_CONTAINS(json_of(&a, tree), "\"labels\":{\"a\":\"2\",\"b\":\"3\"}");
}

TEST("a buffer that is too small is an error, not a short answer")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf bytes = BUF_MAX(16);

    ASSERT_FAILS(protobuf_encode(&bytes, thing_schema(), schema_zero(&a, thing_schema()), &err), &err, ERR_TOO_LARGE,
                 "does not fit");
}

TEST("lists and watch events are put together from encoded objects")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf list = BUF_MAX(KIB), event = BUF_MAX(KIB);
    const struct str items[] = { STR_INIT("one"), STR_INIT("two") };
    struct protobuf_envelope envelope;

    protobuf_list(&list, STR("v1"), STR("PodList"), STR("meta"), items, 2);
    ASSERT_OK(protobuf_open(buf_str(&list), &envelope, &err), &err);
    ASSERT_STR(envelope.kind, "PodList");
    ASSERT_STR(envelope.raw, "\n\004meta\022\003one\022\003two");
    protobuf_watch_event(&event, STR("ADDED"), STR("obj"));
    ASSERT_STR(event, "\n\005ADDED\022\005\n\003obj");
}
