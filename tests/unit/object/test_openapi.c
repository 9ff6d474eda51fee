/* OpenAPI documents of one small kind. */
#include "test.h"
#include "walk_schema.h"

#include "object/openapi.h"
#include "object/protobuf_wire.h"

static const struct openapi_api *api(void)
{
    static struct openapi_resource resources[3];
    static struct openapi_api one = { .version = "v1.36.0+test", .resources = resources, .count = 3 };

    resources[0] =
        (struct openapi_resource){ "example.org", "v1", "things", NULL, true, 0xff, thing_schema(), "ThingList" };
    resources[1] = (struct openapi_resource){ "example.org",  "v1", "things",
                                              "status",       true, OPENAPI_GET | OPENAPI_UPDATE | OPENAPI_PATCH,
                                              thing_schema(), NULL };
    resources[2] = (struct openapi_resource){ "", "v1", "boxes", NULL, false, OPENAPI_GET, thing_schema(), NULL };
    return &one;
}

static struct value *document(struct arena *a, const struct buf *text)
{
    AUTO_ERROR struct error err = { 0 };
    struct value *v = value_parse(a, buf_str(text), NULL, &err);

    ASSERT_OK(v, &err);
    return v;
}

static struct value *at(const struct value *v, const char *name)
{
    struct value *member = value_get_str(v, str_of(name));

    if (!member)
        FAIL("no member '%s'", name);
    return member;
}

TEST("v2 tells types, merge keys, list types, defaults and kinds")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(OPENAPI_BYTES_MAX);

    ASSERT_OK(openapi_v2_json(&text, api(), &err), &err);
    struct value *d = at(document(&a, &text), "definitions"), *spec = at(d, "org.example.v1.ThingSpec");
    ASSERT_STR(json_of(&a, at(at(spec, "properties"), "ports")),
               "{\"items\":{\"$ref\":\"#/definitions/"
               "org.example.v1.Port\"},\"type\":\"array\",\"x-kubernetes-list-map-keys\":[\"port\","
               "\"protocol\"],\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-patch-merge-key\":\"port\",\"x-"
               "kubernetes-patch-strategy\":\"merge\"}");
    ASSERT_STR(json_of(&a, at(spec, "required")), "[\"items\"]");
    ASSERT_STR(json_of(&a, at(at(at(d, "org.example.v1.Port"), "properties"), "protocol")),
               "{\"type\":\"string\",\"default\":\"TCP\"}");
    ASSERT_STR(json_of(&a, at(at(d, "org.example.v1.Thing"), "x-kubernetes-group-version-kind")),
               "[{\"group\":\"example.org\",\"kind\":\"Thing\",\"version\":\"v1\"}]");
    ASSERT_STR(json_of(&a, at(at(at(d, "org.example.v1.ThingList"), "properties"), "items")),
               "{\"items\":{\"$ref\":\"#/definitions/org.example.v1.Thing\"},\"type\":\"array\"}");
}

TEST("paths stand where the resource is served, with the verbs it has")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(OPENAPI_BYTES_MAX);

    ASSERT_OK(openapi_v2_json(&text, api(), &err), &err);
    struct value *paths = at(document(&a, &text), "paths");
    ASSERT_INT(paths->members_count, 5);
    struct value *patch = at(at(paths, "/apis/example.org/v1/namespaces/{namespace}/things/{name}"), "patch");
    ASSERT_STR(json_of(&a, at(patch, "operationId")), "\"patchExampleOrgV1NamespacedThing\"");
    ASSERT_CONTAINS(json_of(&a, at(patch, "parameters")), "\"name\":\"dryRun\"");
    ASSERT_CONTAINS(json_of(&a, at(patch, "consumes")), "application/strategic-merge-patch+json");
    ASSERT(at(at(paths, "/apis/example.org/v1/things"), "get"));
    ASSERT(
        !value_get_str(at(paths, "/apis/example.org/v1/namespaces/{namespace}/things/{name}/status"), STR("delete")));
    ASSERT(at(at(paths, "/api/v1/boxes/{name}"), "get"));
}

TEST("v3 is split by group and version, and the index names each part with a hash")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(OPENAPI_BYTES_MAX);

    ASSERT_OK(openapi_v3_index(&text, api(), &err), &err);
    struct value *paths = at(document(&a, &text), "paths");
    ASSERT_INT(paths->members_count, 2);
    ASSERT_CONTAINS(json_of(&a, at(paths, "apis/example.org/v1")), "/openapi/v3/apis/example.org/v1?hash=");
    buf_clear(&text);
    ASSERT_OK(openapi_v3_json(&text, api(), STR(""), STR("v1"), &err), &err);
    ASSERT_INT(at(document(&a, &text), "paths")->members_count, 1);
    buf_clear(&text);
    ASSERT_OK(openapi_v3_json(&text, api(), STR("example.org"), STR("v1"), &err), &err);
    struct value *spec = at(at(at(document(&a, &text), "components"), "schemas"), "org.example.v1.ThingSpec");
    ASSERT_STR(json_of(&a, at(at(spec, "properties"), "box")),
               "{\"allOf\":[{\"$ref\":\"#/components/schemas/org.example.v1.Box\"}]}");
    ASSERT_FAILS(openapi_v3_json(&text, api(), STR("no"), STR("v1"), &err), &err, ERR_NOT_FOUND, "no such group");
}

/* Members `number` of a message. */
static size_t count_fields(struct str message, uint32_t number, struct str *ret_last)
{
    struct wire_field f;
    size_t count = 0;
    int more;

    while ((more = wire_next(&message, &f, NULL)) > 0)
        if (f.number == number) {
            count++;
            *ret_last = f.bytes;
        }
    ASSERT_INT(more, 0);
    return count;
}

TEST("the protobuf form of v2 holds the same definitions and paths")
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(OPENAPI_BYTES_MAX), bytes = BUF_MAX(OPENAPI_BYTES_MAX);
    struct str part, last;

    ASSERT_OK(openapi_v2_json(&text, api(), &err), &err);
    ASSERT_OK(openapi_v2_protobuf(&bytes, api(), &err), &err);
    struct value *json = document(&a, &text);
    ASSERT_INT(count_fields(buf_str(&bytes), 8, &part), 1);
    ASSERT_INT(count_fields(part, 2, &last), at(json, "paths")->members_count);
    ASSERT_INT(count_fields(buf_str(&bytes), 9, &part), 1);
    ASSERT_INT(count_fields(part, 1, &last), at(json, "definitions")->members_count);
    ASSERT_INT(count_fields(last, 1, &part), 1);
    ASSERT_STR(part, "org.example.v1.Whole");
}

TEST("a document that does not fit is an error")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    ASSERT_FAILS(openapi_v2_json(&text, api(), &err), &err, ERR_TOO_LARGE, "larger than 4096 bytes");
    buf_clear(&text);
    ASSERT_FAILS(openapi_v2_protobuf(&text, api(), &err), &err, ERR_TOO_LARGE, "larger than 4096 bytes");
}
