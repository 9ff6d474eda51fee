/* Verbs on objects: what a client sends, what it gets. */
#include "world.h"

#define MAPS "/api/v1/namespaces/default/configmaps"

#define DEPLOYMENT(name, replicas)                                                                                     \
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"" name                               \
    "\"},\"spec\":{\"replicas\":" #replicas ",\"selector\":{\"matchLabels\":{\"app\":\"a\"}},\"template\":{"           \
    "\"metadata\":{\"labels\":{\"app\":\"a\"}},\"spec\":{\"containers\":["                                             \
    "{\"name\":\"c\",\"image\":\"i:1\"}]}}}}"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"

TEST("a created object has uid, time, revision and its manager, and can be read")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "POST", MAPS "?fieldManager=tester", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}"),
               201);
    ASSERT_STR(text_at(&w, "kind"), "ConfigMap");
    ASSERT_STR(text_at(&w, "metadata.creationTimestamp"), "2026-09-21T14:13:20Z");
    ASSERT_INT(text_at(&w, "metadata.uid").n, 36);
    ASSERT_STR(text_at(&w, "metadata.managedFields.0.manager"), "tester");
    const char *revision = keep_at(&w, "metadata.resourceVersion");
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 200);
    ASSERT_STR(text_at(&w, "data.k"), "v");
    ASSERT_STR(text_at(&w, "metadata.resourceVersion"), revision);
    world_stop(&w);
}

TEST("what is not there is a NotFound with details")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "GET", DEPLOYMENTS "/x", NULL), 404);
    ASSERT_STR(text_at(&w, "kind"), "Status");
    ASSERT_STR(text_at(&w, "message"), "deployments.apps \"x\" not found");
    ASSERT_STR(text_at(&w, "details"), "{\"name\":\"x\",\"group\":\"apps\",\"kind\":\"deployments\"}");
    ASSERT_INT(ask(&w, "GET", "/apis/nope/v1/things", NULL), 404);
    ASSERT_STR(text_at(&w, "message"), "the server could not find the requested resource");
    world_stop(&w);
}

TEST("a name that is taken is refused, a generated one is tried again")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(make_object(&w, MAPS, "a", "{}"), 201);
    ASSERT_INT(make_object(&w, MAPS, "a", "{}"), 409);
    ASSERT_STR(text_at(&w, "reason"), "AlreadyExists");
    ASSERT_STR(text_at(&w, "message"), "configmaps \"a\" already exists");
    ASSERT_INT(ask(&w, "POST", MAPS, "{\"metadata\":{\"generateName\":\"g-\"}}"), 201);
    ASSERT_INT(text_at(&w, "metadata.name").n, 7);
    world_stop(&w);
}

TEST("objects go only into namespaces that exist and are not going away")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "POST", "/api/v1/namespaces/no/configmaps", "{\"metadata\":{\"name\":\"a\"}}"), 404);
    ASSERT_STR(text_at(&w, "message"), "namespaces \"no\" not found");
    ASSERT_INT(ask(&w, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}"), 201);
    ASSERT_INT(ask(&w, "DELETE", "/api/v1/namespaces/n", NULL), 200);
    ASSERT_STR(text_at(&w, "status.phase"), "Terminating");
    ASSERT_INT(ask(&w, "POST", "/api/v1/namespaces/n/configmaps", "{\"metadata\":{\"name\":\"a\"}}"), 403);
    ASSERT_STR(text_at(&w, "details.causes.0.reason"), "NamespaceTerminating");
    /* The last finalizer takes it away. */
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/n", NULL), 200);
    ASSERT_INT(
        ask(&w, "PUT", "/api/v1/namespaces/n/finalize", "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"finalizers\":[]}}"),
        200);
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/n", NULL), 404);
    world_stop(&w);
}

TEST("an update with an old revision is a Conflict, one without a revision wins")
{
    struct world w;
    world_start(&w);
    make_object(&w, MAPS, "a", "{}");
    ASSERT_INT(ask(&w, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}"), 200);
    const char *revision = keep_at(&w, "metadata.resourceVersion");
    ASSERT_INT(ask(&w, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"2\"}}"), 200);
    AUTO_FREE char *old =
        xasprintf("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"%s\"},\"data\":{\"k\":\"3\"}}", revision);
    ASSERT_INT(ask(&w, "PUT", MAPS "/a", old), 409);
    ASSERT_STR(text_at(&w, "message"),
               "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply "
               "your changes to the latest version and try again");
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 200);
    ASSERT_STR(text_at(&w, "data.k"), "2");
    ASSERT_INT(ask(&w, "PUT", MAPS "/b", "{\"metadata\":{\"name\":\"b\"}}"), 404);
    ASSERT_INT(ask(&w, "PUT", MAPS "/a", "{\"metadata\":{\"name\":\"b\"}}"), 400);
    world_stop(&w);
}

TEST("an update that changes nothing writes nothing")
{
    struct world w;
    world_start(&w);
    make_object(&w, MAPS, "a", "{\"x\":\"y\"}");
    const char *revision = keep_at(&w, "metadata.resourceVersion");
    world_advance(&w, 5000);
    w.content_type = "application/merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", MAPS "/a", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"), 200);
    ASSERT_STR(text_at(&w, "metadata.resourceVersion"), revision);
    world_stop(&w);
}

TEST("generation grows with the spec and only with it")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "POST", DEPLOYMENTS, DEPLOYMENT("d", 1)), 201);
    ASSERT_INT(int_at(&w, "metadata.generation"), 1);
    w.content_type = "application/strategic-merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d", "{\"spec\":{\"replicas\":2}}"), 200);
    ASSERT_INT(int_at(&w, "metadata.generation"), 2);
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d", "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}"), 200);
    ASSERT_INT(int_at(&w, "metadata.generation"), 2);
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d/status", "{\"status\":{\"replicas\":2},\"spec\":{\"replicas\":9}}"),
               200);
    ASSERT_INT(int_at(&w, "metadata.generation"), 2);
    ASSERT_INT(int_at(&w, "status.replicas"), 2);
    ASSERT_INT(int_at(&w, "spec.replicas"), 2);
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d", "{\"status\":{\"replicas\":7}}"), 200);
    ASSERT_INT(int_at(&w, "status.replicas"), 2);
    world_stop(&w);
}

TEST("the four kinds of patches")
{
    struct world w;
    world_start(&w);
    ask(&w, "POST", DEPLOYMENTS, DEPLOYMENT("d", 1));
    w.content_type = "application/json-patch+json";
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d", "[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":3}]"),
               200);
    ASSERT_INT(int_at(&w, "spec.replicas"), 3);
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d", "[{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":4}]"), 422);
    w.content_type = "application/strategic-merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d",
                   "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c2\",\"image\":\"i:2\"}]}}}}"),
               200);
    ASSERT_STR(text_at(&w, "spec.template.spec.containers.1.name"), "c");
    w.content_type = "application/merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d",
                   "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c3\",\"image\":\"i:2\"}]}}}}"),
               200);
    ASSERT_STR(text_at(&w, "spec.template.spec.containers.1"), "");
    w.content_type = "application/apply-patch+yaml";
    ASSERT_INT(ask(&w, "PATCH", MAPS "/y?fieldManager=m",
                   "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: b\n"),
               201);
    ASSERT_INT(ask(&w, "PATCH", MAPS "/y?fieldManager=other",
                   "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: c\n"),
               409);
    ASSERT_STR(text_at(&w, "details.causes.0.reason"), "FieldManagerConflict");
    ASSERT_INT(ask(&w, "PATCH", MAPS "/y?fieldManager=other&force=true",
                   "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: c\n"),
               200);
    ASSERT_STR(text_at(&w, "data.a"), "c");
    ASSERT_INT(ask(&w, "PATCH", MAPS "/y", "{}"), 422); /* apply needs a manager: the user agent does not count */
    w.content_type = "text/plain";
    ASSERT_INT(ask(&w, "PATCH", MAPS "/y", "{}"), 415);
    world_stop(&w);
}

TEST("a dry run answers like the real thing and changes nothing")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "POST", MAPS "?dryRun=All", "{\"metadata\":{\"name\":\"a\"}}"), 201);
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 404);
    make_object(&w, MAPS, "a", "{}");
    ASSERT_INT(ask(&w, "POST", MAPS "?dryRun=All", "{\"metadata\":{\"name\":\"a\"}}"), 409);
    ASSERT_INT(ask(&w, "PUT", MAPS "/a?dryRun=All", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"x\":\"y\"}}"), 200);
    ASSERT_STR(text_at(&w, "data.x"), "y");
    ASSERT_INT(ask(&w, "DELETE", MAPS "/a?dryRun=All", NULL), 200);
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 200);
    ASSERT_STR(text_at(&w, "data.x"), "");
    ASSERT_INT(ask(&w, "POST", MAPS "?dryRun=Some", "{\"metadata\":{\"name\":\"b\"}}"), 422);
    world_stop(&w);
}

TEST("unknown fields are warned about, refused or ignored, as the client wishes")
{
    struct world w;
    world_start(&w);
    const char *body = "{\"metadata\":{\"name\":\"a\"},\"dato\":{\"x\":\"y\"}}";
    ASSERT_INT(ask(&w, "POST", MAPS "?dryRun=All", body), 201);
    ASSERT_STR(w.warning, "299 - \"unknown field \\\"dato\\\"\"");
    ASSERT_INT(ask(&w, "POST", MAPS "?dryRun=All&fieldValidation=Ignore", body), 201);
    ASSERT_STR(w.warning, "");
    ASSERT_INT(ask(&w, "POST", MAPS "?dryRun=All&fieldValidation=Strict", body), 400);
    ASSERT_CONTAINS(text_at(&w, "message"), "strict decoding error: unknown field \"dato\"");
    world_stop(&w);
}

TEST("a delete answers with a Status, and a second one finds nothing")
{
    struct world w;
    world_start(&w);
    make_object(&w, MAPS, "a", "{}");
    const char *uid = keep_at(&w, "metadata.uid");
    ASSERT_INT(ask(&w, "DELETE", MAPS "/a", "{\"preconditions\":{\"uid\":\"other\"}}"), 409);
    ASSERT_INT(ask(&w, "DELETE", MAPS "/a", NULL), 200);
    ASSERT_STR(text_at(&w, "status"), "Success");
    ASSERT_STR(text_at(&w, "details.name"), "a");
    ASSERT_STR(text_at(&w, "details.uid"), uid);
    ASSERT_INT(ask(&w, "DELETE", MAPS "/a", NULL), 404);
    world_stop(&w);
}

TEST("finalizers hold a deleted object until the last one is gone")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "POST", MAPS, "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"x.io/f\"]}}"), 201);
    ASSERT_INT(ask(&w, "DELETE", MAPS "/a", NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "ConfigMap");
    ASSERT(!str_empty(text_at(&w, "metadata.deletionTimestamp")));
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 200);
    w.content_type = "application/merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", MAPS "/a", "{\"metadata\":{\"finalizers\":null}}"), 200);
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 404);
    world_stop(&w);
}

TEST("propagation policies stand in the finalizers for the garbage collector")
{
    struct world w;
    world_start(&w);
    ask(&w, "POST", DEPLOYMENTS, DEPLOYMENT("d", 1));
    ASSERT_INT(ask(&w, "DELETE", DEPLOYMENTS "/d", "{\"propagationPolicy\":\"Foreground\"}"), 200);
    ASSERT_STR(text_at(&w, "metadata.finalizers"), "[\"foregroundDeletion\"]");
    ASSERT_INT(int_at(&w, "metadata.generation"), 2);
    ASSERT_INT(ask(&w, "DELETE", DEPLOYMENTS "/d?propagationPolicy=Orphan", NULL), 200);
    ASSERT_STR(text_at(&w, "metadata.finalizers"), "[\"orphan\"]");
    ASSERT_INT(ask(&w, "DELETE", DEPLOYMENTS "/d?propagationPolicy=Background", NULL), 200);
    ASSERT_INT(ask(&w, "GET", DEPLOYMENTS "/d", NULL), 404);
    ASSERT_INT(ask(&w, "DELETE", DEPLOYMENTS "/d?propagationPolicy=Maybe", NULL), 422);
    world_stop(&w);
}

#define PODS "/api/v1/namespaces/default/pods"

static void make_pod(struct world *w, const char *name, bool bound)
{
    if (ask(w, "GET", "/api/v1/namespaces/default/serviceaccounts/default", NULL) == 404)
        ASSERT_INT(
            ask(w, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}"), 201);
    AUTO_FREE char *body =
        xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
                  name, bound ? "\"nodeName\":\"n1\"," : "");
    ASSERT_INT(ask(w, "POST", PODS, body), 201);
}

TEST("a pod without a node goes at once, one on a node gets its grace")
{
    struct world w;
    world_start(&w);
    make_pod(&w, "free", false);
    ASSERT_INT(ask(&w, "DELETE", PODS "/free", NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "Pod");
    ASSERT_INT(ask(&w, "GET", PODS "/free", NULL), 404);
    make_pod(&w, "bound", true);
    ASSERT_INT(ask(&w, "DELETE", PODS "/bound", NULL), 200);
    ASSERT_INT(int_at(&w, "metadata.deletionGracePeriodSeconds"), 30);
    ASSERT_INT(ask(&w, "DELETE", PODS "/bound?gracePeriodSeconds=5", NULL), 200);
    ASSERT_INT(int_at(&w, "metadata.deletionGracePeriodSeconds"), 5);
    ASSERT_INT(ask(&w, "DELETE", PODS "/bound?gracePeriodSeconds=10", NULL), 200);
    ASSERT_INT(int_at(&w, "metadata.deletionGracePeriodSeconds"), 5);
    ASSERT_INT(ask(&w, "DELETE", PODS "/bound", "{\"gracePeriodSeconds\":0}"), 200);
    ASSERT_INT(ask(&w, "GET", PODS "/bound", NULL), 404);
    world_stop(&w);
}

TEST("a collection is deleted by selector, members with finalizers wait")
{
    struct world w;
    world_start(&w);
    make_object(&w, MAPS, "a", "{\"x\":\"1\"}");
    make_object(&w, MAPS, "b", "{\"x\":\"1\"}");
    make_object(&w, MAPS, "c", "{\"x\":\"2\"}");
    ASSERT_INT(ask(&w, "DELETE", MAPS "?labelSelector=x%3D1", NULL), 200);
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 404);
    ASSERT_INT(ask(&w, "GET", MAPS "/b", NULL), 404);
    ASSERT_INT(ask(&w, "GET", MAPS "/c", NULL), 200);
    world_stop(&w);
}

TEST("scale reads and writes the replicas of a deployment")
{
    struct world w;
    world_start(&w);
    ask(&w, "POST", DEPLOYMENTS, DEPLOYMENT("d", 2));
    ASSERT_INT(ask(&w, "GET", DEPLOYMENTS "/d/scale", NULL), 200);
    ASSERT_STR(text_at(&w, "kind"), "Scale");
    ASSERT_STR(text_at(&w, "apiVersion"), "autoscaling/v1");
    ASSERT_INT(int_at(&w, "spec.replicas"), 2);
    ASSERT_STR(text_at(&w, "status.selector"), "app=a");
    ASSERT_INT(ask(&w, "PUT", DEPLOYMENTS "/d/scale", "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":5}}"),
               200);
    ASSERT_INT(int_at(&w, "spec.replicas"), 5);
    w.content_type = "application/merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d/scale", "{\"spec\":{\"replicas\":7}}"), 200);
    ASSERT_INT(ask(&w, "PATCH", DEPLOYMENTS "/d/scale", "{\"spec\":{\"replicas\":-1}}"), 422);
    ASSERT_INT(ask(&w, "GET", DEPLOYMENTS "/d", NULL), 200);
    ASSERT_INT(int_at(&w, "spec.replicas"), 7);
    ASSERT_INT(int_at(&w, "metadata.generation"), 3);
    world_stop(&w);
}

TEST("an event written in one group is read in the other")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "POST", "/api/v1/namespaces/default/events",
                   "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"default\","
                   "\"name\":\"p\"},"
                   "\"message\":\"hello\",\"reason\":\"R\",\"type\":\"Normal\",\"count\":2}"),
               201);
    ASSERT_INT(ask(&w, "GET", "/apis/events.k8s.io/v1/namespaces/default/events/e", NULL), 200);
    ASSERT_STR(text_at(&w, "apiVersion"), "events.k8s.io/v1");
    ASSERT_STR(text_at(&w, "note"), "hello");
    ASSERT_STR(text_at(&w, "regarding.name"), "p");
    ASSERT_INT(int_at(&w, "deprecatedCount"), 2);
    ASSERT_INT(ask(&w, "POST", "/apis/events.k8s.io/v1/namespaces/default/events",
                   "{\"metadata\":{\"name\":\"f\"},\"eventTime\":\"2026-01-01T00:00:00.000000Z\",\"regarding\":{"
                   "\"kind\":\"Pod\","
                   "\"namespace\":\"default\",\"name\":\"p\"},\"note\":\"new\",\"reason\":\"R\",\"type\":\"Normal\","
                   "\"action\":\"A\",\"reportingController\":\"x.io/c\",\"reportingInstance\":\"c-1\"}"),
               201);
    ASSERT_STR(text_at(&w, "note"), "new");
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/default/events/f", NULL), 200);
    ASSERT_STR(text_at(&w, "message"), "new");
    ASSERT_STR(text_at(&w, "reportingComponent"), "x.io/c");
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp", NULL), 200);
    ASSERT_STR(text_at(&w, "items.1.message"), "new");
    world_stop(&w);
}

TEST("events expire an hour after their last write")
{
    struct world w;
    world_start(&w);
    ask(&w, "POST", "/api/v1/namespaces/default/events",
        "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"p\"},"
        "\"reason\":\"R\"}");
    ASSERT_INT(w.status, 201);
    world_advance(&w, 50 * 60 * 1000);
    w.content_type = "application/merge-patch+json";
    ASSERT_INT(ask(&w, "PATCH", "/api/v1/namespaces/default/events/e", "{\"count\":2}"), 200);
    world_advance(&w, 50 * 60 * 1000);
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/default/events/e", NULL), 200);
    world_advance(&w, 11 * 60 * 1000);
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/default/events/e", NULL), 404);
    world_stop(&w);
}

TEST("bad bodies get the status upstream gives")
{
    static const struct {
        const char *type, *body;
        int status;
    } cases[] = {
        { "application/json", "{", 400 },
        { "application/json", "[]", 400 },
        { "application/json", "{\"metadata\":{\"name\":7}}", 400 },
        { "application/json", "{\"apiVersion\":\"v2\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}", 400 },
        { "application/json", "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}", 400 },
        { "application/json", "{\"metadata\":{\"name\":\"Not_Valid!\"}}", 422 },
        { "application/json", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}", 400 },
        { "application/vnd.kubernetes.protobuf", "nonsense", 400 },
        { "text/html", "{}", 415 },
        { "application/yaml", "metadata: {name: a}", 201 },
    };
    struct world w;
    world_start(&w);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        w.content_type = cases[i].type;
        if (ask(&w, "POST", MAPS, cases[i].body) != cases[i].status)
            FAIL("%s gives %d: %.*s", cases[i].body, w.status, STR_ARG(buf_str(&w.body)));
    }
    w.content_type = NULL;
    AUTO_FREE char *large = xmalloc(OBJECT_SIZE_MAX + 100);
    memset(large, ' ', OBJECT_SIZE_MAX + 99);
    large[OBJECT_SIZE_MAX + 99] = 0;
    ASSERT_INT(ask(&w, "POST", MAPS, large), 413);
    ASSERT_STR(text_at(&w, "reason"), "RequestEntityTooLarge");
    world_stop(&w);
}

TEST("scope is enforced: cluster objects not below a namespace, methods that make no sense refused")
{
    struct world w;
    world_start(&w);
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/default/nodes", NULL), 404);
    ASSERT_INT(ask(&w, "GET", "/api/v1/configmaps/a", NULL), 404);
    ASSERT_INT(ask(&w, "POST", "/api/v1/configmaps", "{}"), 405);
    ASSERT_INT(ask(&w, "GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", NULL), 405);
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/default/configmaps/a/status", NULL), 404);
    ASSERT_INT(ask(&w, "GET", "/api/v1/namespaces/default/../../secrets", NULL), 400);
    world_stop(&w);
}

TEST("bombs are refused before they cost memory")
{
    struct world w;
    world_start(&w);
    struct buf text = BUF_MAX(MIB);
    buf_add_text(&text, "metadata: {name: a}\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
    for (int i = 1; i < 9; i++)
        buf_addf(&text, "x%d: &x%d [*x%d, *x%d, *x%d, *x%d, *x%d, *x%d, *x%d, *x%d, *x%d, *x%d]\n", i, i, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    w.content_type = "application/yaml"; /* CVE-2019-11253 */
    ASSERT_INT(ask(&w, "POST", MAPS, text.p), 400);
    buf_clear(&text);
    make_object(&w, MAPS, "a", "{}");
    buf_add_char(&text, '[');
    for (int i = 0; i < 10001; i++)
        buf_addf(&text, "%s{\"op\":\"test\",\"path\":\"/kind\",\"value\":\"ConfigMap\"}", i ? "," : "");
    buf_add_char(&text, ']');
    w.content_type = "application/json-patch+json"; /* CVE-2019-1002100 */
    ASSERT_INT(ask(&w, "PATCH", MAPS "/a", text.p), 413);
    w.content_type = NULL;
    buf_clear(&text);
    buf_add_text(&text, MAPS "?labelSelector=");
    for (int i = 0; i < 2000; i++)
        buf_addf(&text, "a%d,", i);
    buf_add_text(&text, "z");
    ASSERT(ask(&w, "GET", text.p, NULL) >= 400 && w.status < 500);
    buf_clear(&text);
    for (int i = 0; i < 200; i++)
        buf_add_text(&text, "{\"data\":");
    ASSERT_INT(ask(&w, "POST", MAPS, text.p), 400);
    buf_done(&text);
    world_stop(&w);
}

/* --- many writers of one object ---------------------------------------------------------------------------------------- */

struct shot {
    int status;
    bool done;
};

static void on_shot(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct shot *s = arg;
    (void)body;
    (void)err;
    s->done = true;
    s->status = head ? head->status : -1;
}

static void shoot(struct world *w, struct shot *s, const char *method, const char *type, const char *body)
{
    struct http_header header = { STR("content-type"), str_of(type) };
    struct http_call_request request = {
        .method = str_of(method), .target = STR(MAPS "/a"), .headers = &header, .headers_count = 1, .body = str_of(body)
    };
    http_client_fetch(w->client, &request, MIB, on_shot, s);
}

TEST("patches of one object at once all take effect, each with a revision of its own")
{
    struct world w;
    struct shot shots[30] = { 0 };
    world_start(&w);
    make_object(&w, MAPS, "a", "{}");
    uint64_t before, after;
    ASSERT(str_to_u64(text_at(&w, "metadata.resourceVersion"), &before));
    for (int i = 0; i < 30; i++) {
        AUTO_FREE char *body = xasprintf("{\"data\":{\"k%d\":\"v\"}}", i);
        shoot(&w, &shots[i], "PATCH", i % 2 ? "application/merge-patch+json" : "application/strategic-merge-patch+json",
              body);
    }
    loop_sim_run_until_idle(w.loop);
    for (int i = 0; i < 30; i++)
        ASSERT_INT(shots[i].status, 200);
    ASSERT_INT(ask(&w, "GET", MAPS "/a", NULL), 200);
    ASSERT(str_to_u64(text_at(&w, "metadata.resourceVersion"), &after));
    ASSERT_INT(after - before, 30);
    ASSERT_INT(value_get_str(w.tree, STR("data"))->members_count, 30);
    world_stop(&w);
}

TEST("patches, an update with a revision, patches that change nothing, and a delete keep their order")
{
    struct world w;
    struct shot shots[6] = { 0 };
    struct follower f;
    world_start(&w);
    make_object(&w, MAPS, "a", "{}");
    AUTO_FREE char *revision = xstrdup(keep_at(&w, "metadata.resourceVersion"));
    AUTO_FREE char *update = xasprintf("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"%s\"}}", revision);
    AUTO_FREE char *target = xasprintf(MAPS "?watch=1&resourceVersion=%s", revision);
    follow(&w, &f, target);
    shoot(&w, &shots[0], "PATCH", "application/merge-patch+json", "{\"data\":{\"k\":\"1\"}}");
    shoot(&w, &shots[1], "PATCH", "application/merge-patch+json", "{\"data\":{\"k\":\"1\"}}"); /* nothing to add */
    shoot(&w, &shots[2], "PUT", "application/json", update); /* its revision is old by then */
    shoot(&w, &shots[3], "PATCH", "application/merge-patch+json", "{\"data\":{\"k\":\"2\"}}");
    shoot(&w, &shots[4], "DELETE", "application/json", "");
    shoot(&w, &shots[5], "PATCH", "application/merge-patch+json", "{\"data\":{\"k\":\"3\"}}");
    loop_sim_run_until_idle(w.loop);
    static const int expected[] = { 200, 200, 409, 200, 200, 404 };
    for (int i = 0; i < 6; i++)
        ASSERT_INT(shots[i].status, expected[i]);
    ASSERT_STR(next_event(&f), "MODIFIED a");
    ASSERT_STR(next_event(&f), "MODIFIED a");
    ASSERT_STR(next_event(&f), "DELETED a");
    unfollow(&f);
    world_stop(&w);
}
