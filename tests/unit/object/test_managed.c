/* Field ownership: who owns what after which write, and what applying may do. */
#include "test.h"
#include "walk_schema.h"

#include "object/managed.h"

#define KIND "\"apiVersion\":\"example.org/v1\",\"kind\":\"Thing\","

/* A cluster of one object: writes go through the doors a server has. */
struct world {
    struct arena arena;
    struct value *live; /* NULL before it is created */
    int64_t now_ms;
    bool changed;
};

static void world_done(struct world *w)
{
    arena_done(&w->arena);
}
#define WORLD CLEANUP(world_done) struct world w = { .now_ms = 1700000000000 }

static struct managed_call call_of(struct world *w, const char *manager, const char *subresource)
{
    w->now_ms += 1000;
    return (struct managed_call){
        .schema = thing_schema(), .manager = str_of(manager), .subresource = str_of(subresource), .now_ms = w->now_ms
    };
}

static void keep(struct world *w, struct value *object)
{
    value_put_str(&w->arena, value_get_str(object, STR("metadata")), STR("uid"), value_text(&w->arena, "u"));
    schema_order(thing_schema(), object);
    w->live = object;
}

/* Create or update: the whole object as the client sends it. */
static void write_through(struct world *w, const char *manager, const char *subresource, const char *text)
{
    AUTO_ERROR struct error err = { 0 };
    struct managed_call call = call_of(w, manager, subresource);
    struct value *object = parse_json(&w->arena, text);

    ASSERT_OK(schema_normalize(&w->arena, thing_schema(), object, NULL, &err), &err);
    schema_default(&w->arena, thing_schema(), object);
    managed_update(&w->arena, &call, w->live, object);
    keep(w, object);
}

static int apply(struct world *w, const char *manager, const char *text, bool force, struct error *err)
{
    struct managed_call call = call_of(w, manager, "");
    struct value *config = parse_json(&w->arena, text), *object;

    if (managed_apply(&w->arena, &call, w->live, config, force, &object, &w->changed, err) < 0)
        return -1;
    schema_default(&w->arena, thing_schema(), object);
    keep(w, object);
    return 0;
}

static void must_apply(struct world *w, const char *manager, const char *text)
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(apply(w, manager, text, false, &err), &err);
}

/* FieldsV1 of one manager, "" when there is none. */
static struct str owned(struct world *w, const char *manager, const char *operation)
{
    struct value *entries = value_get_str(value_get_str(w->live, STR("metadata")), STR("managedFields"));

    for (uint32_t i = 0; entries && i < entries->items_count; i++)
        if (str_is(value_to_str(value_get_str(entries->items[i], STR("manager"))), manager) &&
            str_is(value_to_str(value_get_str(entries->items[i], STR("operation"))), operation))
            return json_of(&w->arena, value_get_str(entries->items[i], STR("fieldsV1")));
    return STR("");
}

static struct str spec_of(struct world *w)
{
    return json_of(&w->arena, value_get_str(w->live, STR("spec")));
}

TEST("a create owns what it says and what defaults add, but not its identity and not the status")
{
    WORLD;

    write_through(&w, "ann", "",
                  "{" KIND "\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}},\"spec\":{\"replicas\":1,"
                  "\"selector\":{\"a\":\"b\"},\"ports\":[{\"port\":80}]},\"status\":{\"phase\":\"On\"}}");
    ASSERT_STR(owned(&w, "ann", "Update"),
               "{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:x\":{}}},\"f:spec\":{\"f:ports\":{\".\":{},"
               "\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":{},\"f:port\":{},\"f:protocol\":{}}},"
               "\"f:replicas\":{},\"f:selector\":{}}}");
}

TEST("an update takes over what it changes and gives up what it removes")
{
    WORLD;

    write_through(&w, "ann", "", "{" KIND "\"spec\":{\"replicas\":1,\"tags\":[\"a\",\"b\"],\"args\":[\"x\"]}}");
    write_through(&w, "bob", "",
                  "{" KIND
                  "\"metadata\":{\"uid\":\"u\"},\"spec\":{\"replicas\":2,\"tags\":[\"b\",\"c\"],\"args\":[\"x\"]}}");
    ASSERT_STR(owned(&w, "ann", "Update"), "{\"f:spec\":{\"f:args\":{},\"f:tags\":{\".\":{},\"v:\\\"b\\\"\":{}}}}");
    ASSERT_STR(owned(&w, "bob", "Update"), "{\"f:spec\":{\"f:replicas\":{},\"f:tags\":{\"v:\\\"c\\\"\":{}}}}");
}

TEST("an update that changes nothing leaves owners and times alone")
{
    AUTO_ARENA struct arena a = { 0 };
    WORLD;

    write_through(&w, "ann", "", "{" KIND "\"spec\":{\"replicas\":1}}");
    struct str before = json_of(&a, w.live);
    write_through(&w, "bob", "", "{" KIND "\"metadata\":{\"uid\":\"u\"},\"spec\":{\"replicas\":1}}");
    ASSERT_STR(json_of(&a, w.live), before);
}

TEST("the status belongs to the status door, and only it")
{
    WORLD;

    write_through(&w, "ann", "", "{" KIND "\"spec\":{\"replicas\":1}}");
    write_through(&w, "ctl", "status",
                  "{" KIND "\"metadata\":{\"uid\":\"u\"},\"spec\":{\"replicas\":5},\"status\":{\"phase\":\"On\"}}");
    ASSERT_STR(owned(&w, "ctl", "Update"), "{\"f:status\":{\"f:phase\":{}}}");
    ASSERT_STR(owned(&w, "ann", "Update"), "{\"f:spec\":{\"f:replicas\":{}}}");
    ASSERT_CONTAINS(json_of(&w.arena, w.live), "\"subresource\":\"status\"");
}

TEST("[] forgets all managers, and an object without managers stays without until somebody applies")
{
    WORLD;

    write_through(&w, "ann", "", "{" KIND "\"spec\":{\"replicas\":1}}");
    write_through(&w, "ann", "",
                  "{" KIND "\"metadata\":{\"uid\":\"u\",\"managedFields\":[]},\"spec\":{\"replicas\":1}}");
    ASSERT(!value_get_str(value_get_str(w.live, STR("metadata")), STR("managedFields")));
    write_through(&w, "ann", "", "{" KIND "\"metadata\":{\"uid\":\"u\"},\"spec\":{\"replicas\":2}}");
    ASSERT(!value_get_str(value_get_str(w.live, STR("metadata")), STR("managedFields")));
    must_apply(&w, "bob", "{" KIND "\"spec\":{\"args\":[\"x\"]}}");
    ASSERT_STR(owned(&w, "before-first-apply", "Update"), "{\"f:spec\":{\"f:replicas\":{}}}");
}

TEST("managedFields that do not decode count as none")
{
    WORLD;

    write_through(&w, "ann", "", "{" KIND "\"spec\":{\"replicas\":1}}");
    write_through(&w, "bob", "",
                  "{" KIND
                  "\"metadata\":{\"uid\":\"u\",\"managedFields\":[{\"manager\":\"evil\",\"operation\":\"Eat\"}]},"
                  "\"spec\":{\"replicas\":2}}");
    ASSERT_STR(owned(&w, "evil", "Eat"), "");
    ASSERT_STR(owned(&w, "bob", "Update"), "{\"f:spec\":{\"f:replicas\":{}}}");
}

TEST("the oldest of more than ten updaters are united as ancient-changes")
{
    WORLD;

    write_through(&w, "m0", "", "{" KIND "\"metadata\":{\"labels\":{\"l0\":\"0\"}}}");
    for (int i = 1; i < 15; i++) {
        AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
        buf_add_text(&text, "{" KIND "\"metadata\":{\"uid\":\"u\",\"labels\":{\"l0\":\"0\"");
        for (int j = 1; j <= i; j++)
            buf_addf(&text, ",\"l%d\":\"%d\"", j, j);
        buf_add_text(&text, "}}}");
        AUTO_FREE char *manager = xasprintf("m%d", i);
        write_through(&w, arena_strdup(&w.arena, str_of(manager)), "", arena_strdup(&w.arena, buf_str(&text)));
    }
    struct value *entries = value_get_str(value_get_str(w.live, STR("metadata")), STR("managedFields"));
    ASSERT_INT(entries->items_count, MANAGED_UPDATERS_MAX);
    ASSERT_CONTAINS(owned(&w, "ancient-changes", "Update"), "\"f:l0\":{},\"f:l1\":{}");
    ASSERT_STR(owned(&w, "m14", "Update"), "{\"f:metadata\":{\"f:labels\":{\"f:l14\":{}}}}");
}

TEST("applying creates, owns exactly what it says, and a second time changes nothing")
{
    WORLD;

    must_apply(
        &w, "ann",
        "{" KIND
        "\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}},\"spec\":{\"ports\":[{\"port\":80,\"name\":\"p\"}]}}");
    ASSERT(w.changed);
    ASSERT_STR(owned(&w, "ann", "Apply"),
               "{\"f:metadata\":{\"f:labels\":{\"f:x\":{}}},\"f:spec\":{\"f:ports\":{"
               "\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":{},\"f:name\":{},\"f:port\":{}}}}}");
    must_apply(
        &w, "ann",
        "{" KIND
        "\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}},\"spec\":{\"ports\":[{\"port\":80,\"name\":\"p\"}]}}");
    ASSERT(!w.changed);
}

TEST("what is applied no longer goes, unless somebody else owns it too")
{
    WORLD;

    must_apply(&w, "ann",
               "{" KIND "\"spec\":{\"replicas\":3,\"tags\":[\"a\",\"b\"],\"ports\":[{\"port\":1},{\"port\":2}]}}");
    must_apply(&w, "bob", "{" KIND "\"spec\":{\"tags\":[\"b\"],\"ports\":[{\"port\":2,\"name\":\"two\"}]}}");
    must_apply(&w, "ann", "{" KIND "\"spec\":{\"tags\":[\"c\"]}}");
    ASSERT_STR(spec_of(&w),
               "{\"ports\":[{\"name\":\"two\",\"port\":2,\"protocol\":\"TCP\"}],\"tags\":[\"b\",\"c\"],\"items\":null,"
               "\"box\":{\"since\":null},\"enabled\":false}");
}

TEST("a value that another manager set is a conflict; force takes it over")
{
    AUTO_ERROR struct error err = { 0 };
    WORLD;

    write_through(&w, "kubectl", "", "{" KIND "\"spec\":{\"replicas\":1,\"ports\":[{\"port\":80,\"name\":\"a\"}]}}");
    ASSERT_FAILS(apply(&w, "ann", "{" KIND "\"spec\":{\"replicas\":2}}", false, &err), &err, ERR_CONFLICT,
                 "Apply failed with 1 conflict: conflict with \"kubectl\" using example.org/v1: .spec.replicas");
    ASSERT_INT(
        apply(&w, "ann", "{" KIND "\"spec\":{\"replicas\":2,\"ports\":[{\"port\":80,\"name\":\"b\"}]}}", false, &err),
        -1);
    ASSERT_STR(err.message,
               "Apply failed with 2 conflicts: conflicts with \"kubectl\" using example.org/v1:\n- .spec.replicas\n"
               "- .spec.ports[port=80,protocol=\"TCP\"].name");
    ASSERT_STR(err.causes[1].reason, "FieldManagerConflict");
    ASSERT_STR(err.causes[1].field, ".spec.ports[port=80,protocol=\"TCP\"].name");
    ASSERT_STR(err.causes[1].message, "conflict with \"kubectl\" using example.org/v1");
    error_done(&err);
    ASSERT_OK(apply(&w, "ann", "{" KIND "\"spec\":{\"replicas\":2}}", true, &err), &err);
    ASSERT_CONTAINS(owned(&w, "ann", "Apply"), "f:replicas");
    ASSERT_STR(owned(&w, "kubectl", "Update"),
               "{\"f:spec\":{\"f:ports\":{\".\":{},\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":"
               "{\".\":{},\"f:name\":{},\"f:port\":{},\"f:protocol\":{}}}}}");
}

TEST("applying the same value as another manager shares it")
{
    WORLD;

    write_through(&w, "kubectl", "", "{" KIND "\"spec\":{\"replicas\":1}}");
    must_apply(&w, "ann", "{" KIND "\"spec\":{\"replicas\":1}}");
    ASSERT_STR(owned(&w, "ann", "Apply"), "{\"f:spec\":{\"f:replicas\":{}}}");
    ASSERT_STR(owned(&w, "kubectl", "Update"), "{\"f:spec\":{\"f:replicas\":{}}}");
}

TEST("atomic maps, structs and lists are owned and replaced as one")
{
    AUTO_ERROR struct error err = { 0 };
    WORLD;

    must_apply(&w, "ann",
               "{" KIND "\"spec\":{\"selector\":{\"a\":\"1\"},\"whole\":{\"name\":\"n\"},\"args\":[\"x\"]}}");
    ASSERT_STR(owned(&w, "ann", "Apply"), "{\"f:spec\":{\"f:args\":{},\"f:selector\":{},\"f:whole\":{}}}");
    ASSERT_OK(apply(&w, "bob", "{" KIND "\"spec\":{\"whole\":{\"phase\":\"p\"}}}", true, &err), &err);
    ASSERT_CONTAINS(spec_of(&w), "\"whole\":{\"phase\":\"p\"}");
    ASSERT_STR(owned(&w, "ann", "Apply"), "{\"f:spec\":{\"f:args\":{},\"f:selector\":{}}}");
}

TEST("kubectl moves from client-side to server-side apply without force")
{
    AUTO_ERROR struct error err = { 0 };
    WORLD;

    write_through(&w, "kubectl-client-side-apply", "",
                  "{" KIND "\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/last-applied-configuration\":"
                  "\"{\\\"apiVersion\\\":\\\"example.org/"
                  "v1\\\",\\\"kind\\\":\\\"Thing\\\",\\\"spec\\\":{\\\"replicas\\\":1}}\"}},"
                  "\"spec\":{\"replicas\":1,\"args\":[\"x\"]}}");
    must_apply(&w, "kubectl", "{" KIND "\"spec\":{\"replicas\":2}}");
    ASSERT_CONTAINS(json_of(&w.arena, w.live), "\\\"spec\\\":{\\\"replicas\\\":2}}\\n");
    ASSERT_FAILS(apply(&w, "kubectl", "{" KIND "\"spec\":{\"args\":[\"y\"]}}", false, &err), &err, ERR_CONFLICT,
                 ".spec.args");
}

TEST("what cannot be applied is refused")
{
    AUTO_ERROR struct error err = { 0 };
    WORLD;

    ASSERT_FAILS(apply(&w, "a", "{\"apiVersion\":\"v1\",\"kind\":\"Thing\"}", false, &err), &err, ERR_BAD_REQUEST,
                 "Incorrect version specified in apply patch. Specified patch version: v1, expected: example.org/v1");
    ASSERT_FAILS(apply(&w, "a", "{" KIND "\"metadata\":{\"managedFields\":[]}}", false, &err), &err, ERR_BAD_REQUEST,
                 "metadata.managedFields must be nil");
    ASSERT_FAILS(apply(&w, "a", "{" KIND "\"metadata\":{\"name\":\"n\",\"namespace\":\"s\",\"foo\":1}}", false, &err),
                 &err, ERR_INTERNAL,
                 "failed to create typed patch object (s/n; example.org/v1, Kind=Thing): .metadata.foo: field not "
                 "declared in schema");
    ASSERT_FAILS(
        apply(&w, "a", "{" KIND "\"spec\":{\"ports\":[{\"port\":1},{\"port\":1}],\"replicas\":\"x\"}}", false, &err),
        &err, ERR_INTERNAL,
        "errors:\n  .spec.ports: duplicate entries for key [port=1,protocol=\"TCP\"]\n"
        "  .spec.replicas: expected numeric (int or float), got string");
    ASSERT_FAILS(apply(&w, "a", "{" KIND "\"spec\":{\"limits\":{\"cpu\":\"x\"}}}", false, &err), &err, ERR_INTERNAL,
                 "failed to convert new object (/; example.org/v1, Kind=Thing) to proper version");
}

TEST("times alone are no change")
{
    WORLD;

    write_through(&w, "ann", "", "{" KIND "\"spec\":{\"replicas\":1}}");
    struct value *again = value_copy(&w.arena, w.live);
    struct value *entry = value_get_str(value_get_str(again, STR("metadata")), STR("managedFields"))->items[0];
    value_put_str(&w.arena, entry, STR("time"), value_text(&w.arena, "2030-01-01T00:00:00Z"));
    ASSERT(managed_keep_times(&w.arena, w.live, again));
    ASSERT(value_equal(w.live, again));
    value_put_str(&w.arena, value_get_str(again, STR("spec")), STR("replicas"), value_int(&w.arena, 2));
    ASSERT(!managed_keep_times(&w.arena, w.live, again));
}

TEST("a manager's name comes from the user agent")
{
    AUTO_ARENA struct arena a = { 0 };

    ASSERT_STR(managed_default_manager(&a, STR("kubectl/v1.34.0 (linux/amd64)")), "kubectl");
    ASSERT_STR(managed_default_manager(&a, STR("")), "");
}
