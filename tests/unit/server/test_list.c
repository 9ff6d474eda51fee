/* Lists: pages, selectors, revisions, forms. */
#include "world.h"

#include "kinds/schemas.h"
#include "object/protobuf.h"

#include <stdio.h>

#define SECRETS "/api/v1/namespaces/default/secrets"

static void make_many(struct world *w, int n)
{
    char name[16];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "m%03d", i);
        ASSERT_INT(make_object(w, SECRETS, name, i % 2 ? "{\"odd\":\"yes\"}" : "{}"), 201);
    }
}

static size_t items(struct world *w)
{
    struct value *v = value_get_str(w->tree, STR("items"));
    ASSERT(value_type(v) == VALUE_ARRAY);
    return v->items_count;
}

TEST("a list has a revision, items without apiVersion and kind, in order")
{
    struct world w;
    world_start(&w);
    make_many(&w, 3);
    ASSERT_INT(ask(&w, "GET", SECRETS, NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "SecretList");
    ASSERT(!str_empty(text_at(&w, "metadata.resourceVersion")));
    ASSERT_STR(text_at(&w, "items.0.kind"), "");
    ASSERT_STR(text_at(&w, "items.0.metadata.name"), "m000");
    ASSERT_STR(text_at(&w, "items.2.metadata.name"), "m002");
    ASSERT_INT(ask(&w, "GET", "/apis/apps/v1/deployments", NULL), 200);
    ASSERT_STR(text_at(&w, "items"), "[]");
    world_stop(&w);
}

TEST("pages are consistent: what changes between them does not show")
{
    struct world w;
    world_start(&w);
    make_many(&w, 10);
    ASSERT_INT(ask(&w, "GET", SECRETS "?limit=4", NULL), 200);
    ASSERT_INT(items(&w), 4);
    ASSERT_INT(int_at(&w, "metadata.remainingItemCount"), 6);
    const char *token = keep_at(&w, "metadata.continue"), *revision = keep_at(&w, "metadata.resourceVersion");
    ASSERT_INT(ask(&w, "DELETE", SECRETS "/m005", NULL), 200);
    ASSERT_INT(ask(&w, "PUT", SECRETS "/m006", "{\"metadata\":{\"name\":\"m006\"},\"data\":{\"new\":\"eA==\"}}"), 200);
    ASSERT_INT(make_object(&w, SECRETS, "m0055", "{}"), 201);
    ASSERT_INT(askf(&w, "GET", NULL, SECRETS "?limit=4&continue=%s", token), 200);
    ASSERT_STR(text_at(&w, "items.0.metadata.name"), "m004");
    ASSERT_STR(text_at(&w, "items.1.metadata.name"), "m005");
    ASSERT_STR(text_at(&w, "items.2.metadata.name"), "m006");
    ASSERT_STR(text_at(&w, "items.2.data"), "");
    ASSERT_STR(text_at(&w, "metadata.resourceVersion"), revision);
    ASSERT_INT(int_at(&w, "metadata.remainingItemCount"), 2);
    token = keep_at(&w, "metadata.continue");
    ASSERT_INT(askf(&w, "GET", NULL, SECRETS "?limit=4&continue=%s", token), 200);
    ASSERT_INT(items(&w), 2);
    ASSERT_STR(text_at(&w, "metadata.continue"), "");
    ASSERT_INT(ask(&w, "GET", SECRETS "?limit=4&continue=nonsense", NULL), 400);
    world_stop(&w);
}

TEST("label and field selectors, also with pages")
{
    struct world w;
    world_start(&w);
    make_many(&w, 10);
    ASSERT_INT(ask(&w, "GET", SECRETS "?labelSelector=odd%3Dyes", NULL), 200);
    ASSERT_INT(items(&w), 5);
    ASSERT_INT(ask(&w, "GET", SECRETS "?labelSelector=odd%3Dyes&limit=2", NULL), 200);
    ASSERT_INT(items(&w), 2);
    ASSERT_STR(text_at(&w, "metadata.remainingItemCount"), "");
    const char *token = keep_at(&w, "metadata.continue");
    ASSERT_INT(askf(&w, "GET", NULL, SECRETS "?labelSelector=odd%%3Dyes&limit=5&continue=%s", token), 200);
    ASSERT_INT(items(&w), 3);
    ASSERT_INT(ask(&w, "GET", SECRETS "?fieldSelector=metadata.name%3Dm003", NULL), 200);
    ASSERT_INT(items(&w), 1);
    ASSERT_INT(ask(&w, "GET", SECRETS "?fieldSelector=data.x%3Dm003", NULL), 400);
    ASSERT_CONTAINS(text_at(&w, "message"), "field label not supported: data.x");
    ASSERT_INT(ask(&w, "GET", SECRETS "?labelSelector=a%3D%3D%3Db", NULL), 400);
    world_stop(&w);
}

TEST("revisions of a list: any, not older than, exactly, in the future")
{
    struct world w;
    world_start(&w);
    make_many(&w, 2);
    ask(&w, "GET", SECRETS, NULL);
    const char *revision = keep_at(&w, "metadata.resourceVersion");
    make_object(&w, SECRETS, "x", "{}");
    ASSERT_INT(askf(&w, "GET", NULL, SECRETS "?resourceVersion=%s", revision), 200);
    ASSERT_INT(items(&w), 3);
    ASSERT_INT(askf(&w, "GET", NULL, SECRETS "?resourceVersion=%s&resourceVersionMatch=Exact", revision), 200);
    ASSERT_INT(items(&w), 2);
    ASSERT_STR(text_at(&w, "metadata.resourceVersion"), revision);
    ASSERT_INT(ask(&w, "GET", SECRETS "?resourceVersion=0", NULL), 200);
    ASSERT_INT(items(&w), 3);
    ASSERT_INT(ask(&w, "GET", SECRETS "?resourceVersion=99999999", NULL), 504);
    ASSERT_STR(text_at(&w, "details.causes.0.reason"), "ResourceVersionTooLarge");
    ASSERT_INT(ask(&w, "GET", SECRETS "?resourceVersionMatch=Exact", NULL), 422);
    ASSERT_INT(ask(&w, "GET", SECRETS "?resourceVersion=abc", NULL), 422);
    world_stop(&w);
}

TEST("a table has columns, cells and metadata of the objects")
{
    struct world w;
    world_start(&w);
    make_many(&w, 2);
    w.accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    ASSERT_INT(ask(&w, "GET", SECRETS, NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "Table");
    ASSERT_STR(text_at(&w, "columnDefinitions.0.name"), "Name");
    ASSERT_STR(text_at(&w, "rows.1.cells.0"), "m001");
    ASSERT_STR(text_at(&w, "rows.1.object.kind"), "PartialObjectMetadata");
    ASSERT_STR(text_at(&w, "rows.1.object.metadata.name"), "m001");
    ASSERT_INT(ask(&w, "GET", SECRETS "?includeObject=None", NULL), 200);
    ASSERT_STR(text_at(&w, "rows.1.object"), "");
    ASSERT_INT(ask(&w, "GET", SECRETS "/m000?includeObject=Object", NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "Table");
    ASSERT_STR(text_at(&w, "rows.0.object.kind"), "Secret");
    world_stop(&w);
}

TEST("answers come as metadata only, as YAML, as protobuf, or not at all")
{
    struct world w;
    world_start(&w);
    make_many(&w, 2);
    w.accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    ASSERT_INT(ask(&w, "GET", SECRETS, NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "PartialObjectMetadataList");
    ASSERT_STR(text_at(&w, "items.0.metadata.name"), "m000");
    w.accept = "application/yaml";
    ASSERT_INT(ask(&w, "GET", SECRETS "/m000", NULL), 200);
    ASSERT_STR(w.content_type_in, "application/yaml");
    ASSERT_CONTAINS(buf_str(&w.body), "kind: Secret\n");
    w.accept = "application/vnd.kubernetes.protobuf";
    ASSERT_INT(ask(&w, "GET", SECRETS, NULL), 200);
    ASSERT(str_starts(buf_str(&w.body), ((struct str){ "k8s\0", 4 })));
    ASSERT_INT(ask(&w, "GET", SECRETS "/zz", NULL), 404);
    ASSERT(str_starts(buf_str(&w.body), ((struct str){ "k8s\0", 4 })));
    w.accept = "image/png";
    ASSERT_INT(ask(&w, "GET", SECRETS, NULL), 406);
    ASSERT_STR(text_at(&w, "reason"), "NotAcceptable");
    world_stop(&w);
}

TEST("a long list streams whole and in order")
{
    struct world w;
    world_start(&w);
    AUTO_FREE char *data = xmalloc(20001);
    memset(data, 'x', 20000);
    data[20000] = 0;
    for (int i = 0; i < 40; i++) {
        AUTO_FREE char *body =
            xasprintf("{\"metadata\":{\"name\":\"big-%02d\"},\"stringData\":{\"k\":\"%s\"}}", i, data);
        ASSERT_INT(ask(&w, "POST", SECRETS, body), 201);
    }
    ASSERT_INT(ask(&w, "GET", SECRETS, NULL), 200);
    ASSERT_INT(items(&w), 40);
    ASSERT_STR(text_at(&w, "items.39.metadata.name"), "big-39");
    ASSERT_INT(text_at(&w, "items.39.data.k").n, 26668);
    world_stop(&w);
}

TEST("a protobuf list, short or streamed, whole or metadata only, decodes to the same objects")
{
    struct world w;
    world_start(&w);
    AUTO_FREE char *data = xmalloc(20001);
    memset(data, 'x', 20000);
    data[20000] = 0;
    for (int i = 0; i < 20; i++) {
        AUTO_FREE char *body =
            xasprintf("{\"metadata\":{\"name\":\"big-%02d\"},\"stringData\":{\"k\":\"%s\"}}", i, data);
        ASSERT_INT(ask(&w, "POST", SECRETS, body), 201);
    }
    static const struct {
        const char *accept, *query;
        uint32_t count;
    } cases[] = {
        { "application/vnd.kubernetes.protobuf", "", 20 },
        { "application/vnd.kubernetes.protobuf", "?limit=3", 3 },
        { "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "", 20 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO_ERROR struct error err = { 0 };
        struct protobuf_envelope envelope;
        w.accept = cases[i].accept;
        ASSERT_INT(askf(&w, "GET", NULL, SECRETS "%s", cases[i].query), 200);
        ASSERT_OK(protobuf_open(buf_str(&w.body), &envelope, &err), &err);
        bool partial = !str_is(envelope.kind, "SecretList");
        w.tree = protobuf_decode(&w.arena,
                                 partial ? &schema_meta_v1_partial_object_metadata_list : &schema_core_v1_secret_list,
                                 &envelope, &err);
        ASSERT_OK(w.tree, &err);
        ASSERT_INT(items(&w), cases[i].count);
        ASSERT_STR(text_at(&w, "items.2.metadata.name"), "big-02");
        ASSERT_INT(text_at(&w, "items.2.data.k").n, partial ? 0 : 26668);
        ASSERT(!str_empty(text_at(&w, "metadata.resourceVersion")));
        ASSERT_INT(!str_empty(text_at(&w, "metadata.continue")), cases[i].count == 3);
    }
    world_stop(&w);
}
