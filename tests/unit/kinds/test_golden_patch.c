/* Recorded patches are replayed: the same patch of the same object gives the object, its owners, or the refusal Kubernetes gave. */
#include "test.h"

#include "base/file.h"
#include "kinds/fields.h"
#include "kinds/kinds.h"
#include "object/jsonpatch.h"
#include "object/managed.h"
#include "object/mergepatch.h"
#include "object/schema_walk.h"
#include "object/strategic.h"

#include <stdlib.h>

#define MEMBER(v, name) value_get_str((v), STR(name))
#define TEXT(v, name)   value_to_str(MEMBER(v, name))

/* Where 1.36 differs from the recorded 1.24 on purpose. */
static const struct {
    const char *kind, *part, *why; /* part: of the patch or of what differs */
} newer[] = {
    { "Ingress", "f:port", "ServiceBackendPort is owned as one (structType=atomic) since 1.31" },
    { "Deployment", "terminationMessagePolicy: Unsupported value", "the values are listed since 1.31" },
    { "Deployment", "\"op\":\"remove\",\"path\":\"/spec/template/metadata/creationTimestamp\"",
      "unset times are left out since 1.34" },
    { "Service", "of type v1.IPFamilyPolicyType", "the Go type is called IPFamilyPolicy now" },
    { "Service", "spec.externalTrafficPolicy: Invalid value", "refused on services that are not external since 1.26" },
    { "StatefulSet", "'replicas', 'ordinals', 'template'",
      "ordinals may change since 1.26, revisionHistoryLimit since 1.33" },
    { "StatefulSet", "{\"revisionHistoryLimit\":11}", "the same, and the change goes through" },
    { "StatefulSet", "\"op\":\"remove\",\"path\":\"/spec/template/metadata/creationTimestamp\"",
      "unset times are left out since 1.34" },
    { "StatefulSet",
      "\"path\":\"/spec/template/spec/containers/0/ports/0\",\"value\":{\"name\":\"web\",\"containerPort\":80",
      "a list with a key twice keeps its owners since 1.31" },
    { "StatefulSet", "Go struct field VolumeResourceRequirements",
      "claims have a type of resources of their own since 1.29" },
    { "PersistentVolumeClaim", "type v1.VolumeResourceRequirements", "the same" },
    { "PersistentVolumeClaim", "\"ReadWriteOncePod\"", "GA since 1.29" },
    { "PersistentVolumeClaim", "less than status.capacity", "a claim may ask for less again since 1.31" },
};

struct totals {
    const char *kind;
    int cases, passed, forgiven;
};
static struct totals totals[32];

struct replay {
    struct arena *a;
    const struct kind *kind;
    struct value *before, *patch, *after;
    struct str type, query;
    int64_t code;
    struct object *old; /* the tree after prepare borrows from it */
    char *inner;        /* why the patched object did not decode, before it is wrapped in a 422; NULL */
};

static struct str parameter(struct str query, const char *name)
{
    struct str part, key;

    query = str_from(query, query.n && query.p[0] == '?');
    while (str_next(&query, '&', &part))
        if (str_cut(&part, '=', &key) && str_is(key, name))
            return part;
    return STR_NONE;
}

static struct value *normalized(struct replay *r, struct value *tree, enum schema_style style, struct error *err)
{
    struct schema_options options = { .style = style };
    bool strategic = style == SCHEMA_CONVERT;
    struct value *quoted = strategic ? r->patch : value_copy(r->a, tree);

    if (!tree || schema_normalize(r->a, r->kind->schema, tree, &options, err) == 0)
        return tree;
    r->inner = arena_strdup(r->a, str_of(error_text(err)));
    patch_invalid(quoted, strategic, err);
    return NULL;
}

/* What the server does for each type of patch, up to the defaults. */
static struct value *patched(struct replay *r, struct error *err)
{
    if (str_is(r->type, "application/json-patch+json"))
        return normalized(r, value_copy(r->a, json_patch_apply(r->a, r->before, r->patch, err)), SCHEMA_DECODE_PLAIN,
                          err);
    if (str_is(r->type, "application/merge-patch+json"))
        return normalized(r, value_copy(r->a, merge_patch_apply(r->a, r->before, r->patch)), SCHEMA_DECODE_PLAIN, err);
    return normalized(r, strategic_merge(r->a, r->kind->schema, r->before, r->patch, err), SCHEMA_CONVERT, err);
}

/* The server fills in what an update must not lose. */
static void keep_identity(struct replay *r, struct value *object)
{
    static const char *const names[] = { "namespace", "uid", "resourceVersion", "creationTimestamp" };
    struct value *metadata = MEMBER(object, "metadata");

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!value_get_str(metadata, str_of(names[i])))
            value_put_str(r->a, metadata, str_of(names[i]),
                          value_get_str(MEMBER(r->before, "metadata"), str_of(names[i])));
}

static struct value *run(struct replay *r, struct error *err)
{
    struct kind_context c = { .arena = r->a, .now_ms = 1700000000000, .subresource = "" };
    struct managed_call call = { .schema = r->kind->schema,
                                 .manager = parameter(r->query, "fieldManager"),
                                 .now_ms = c.now_ms };
    bool force = str_is(parameter(r->query, "force"), "true"), apply = str_is(r->type, "application/apply-patch+yaml");
    struct object *new;
    struct value *tree = NULL;
    int rc;

    ASSERT_OK((r->old = object_new(r->before, err)), err);
    if (apply)
        rc = managed_apply(r->a, &call, r->before, r->patch, force, &tree, NULL, err);
    else
        rc = (tree = patched(r, err)) ? 0 : -1;
    if (rc == 0) {
        kind_run_default(r->kind, &c, tree);
        if (!apply)
            managed_update(r->a, &call, r->before, tree);
        keep_identity(r, tree);
        kind_run_prepare(r->kind, &c, tree, object_root(r->old));
        schema_order(r->kind->schema, tree);
        new = object_new(tree, err);
        rc = new ? kind_run_validate(r->kind, &c, object_root(new), object_root(r->old), err) : -1;
        object_unref(new);
    }
    return rc == 0 ? tree : NULL;
}

static int manager_compare(const void *a, const void *b)
{
    const struct value *x = *(struct value *const *)a, *y = *(struct value *const *)b;
    int c = str_cmp(TEXT(x, "operation"), TEXT(y, "operation"));

    c = c ? c : str_cmp(TEXT(x, "manager"), TEXT(y, "manager"));
    return c ? c : str_cmp(TEXT(x, "subresource"), TEXT(y, "subresource"));
}

/* Times were not recorded, and with them the order of managers. */
static void comparable(struct value *object)
{
    static const char *const given[] = { "uid", "resourceVersion", "creationTimestamp", "generation" };
    struct value *metadata = MEMBER(object, "metadata"), *managers = MEMBER(metadata, "managedFields");

    for (size_t i = 0; i < ARRAY_SIZE(given); i++)
        value_del_str(metadata, str_of(given[i]));
    for (uint32_t i = 0; managers && i < managers->items_count; i++)
        value_del_str(managers->items[i], STR("time"));
    if (managers)
        qsort(managers->items, managers->items_count, sizeof(*managers->items), manager_compare);
}

static void compare_trees(struct buf *difference, const char *path, const struct value *wanted, const struct value *got)
{
    if (value_equal(wanted, got))
        return;
    if (value_type(wanted) == VALUE_OBJECT && value_type(got) == VALUE_OBJECT) {
        for (int side = 0; side < 2; side++) {
            const struct value *one = side ? got : wanted, *other = side ? wanted : got;
            for (uint32_t i = 0; i < one->members_count; i++) {
                struct value *there = value_get_str(other, one->members[i].name);
                AUTO_FREE char *inner = xasprintf("%s.%.*s", path, STR_ARG(one->members[i].name));
                if (!side || !there)
                    compare_trees(difference, inner, side ? NULL : one->members[i].value,
                                  side ? one->members[i].value : there);
            }
        }
        return;
    }
    buf_addf(difference, "  %s: wanted ", path);
    if (wanted)
        value_write(difference, wanted);
    buf_add_text(difference, " got ");
    if (got)
        value_write(difference, got);
    buf_add_text(difference, "\n");
}

/* The same fields for the same reasons; upstream names some twice. */
static bool same_causes(const struct value *wanted, const struct error *got)
{
    bool same = true;

    for (size_t i = 0; i < got->causes_count; i++) {
        bool found = false;
        for (uint32_t j = 0; wanted && j < wanted->items_count && !found; j++)
            found = str_is(TEXT(wanted->items[j], "field"), got->causes[i].field) &&
                    str_is(TEXT(wanted->items[j], "reason"), got->causes[i].reason);
        same = same && found;
    }
    for (uint32_t j = 0; wanted && j < wanted->items_count; j++) {
        bool found = false;
        for (size_t i = 0; i < got->causes_count && !found; i++)
            found = str_is(TEXT(wanted->items[j], "field"), got->causes[i].field) &&
                    str_is(TEXT(wanted->items[j], "reason"), got->causes[i].reason);
        same = same && found;
    }
    return same;
}

/* A refusal is the same when code, fields and reasons are; of a patch that does not decode also the sentence. */
static void compare_refusal(struct replay *r, struct buf *difference, const struct error *err)
{
    struct str message = TEXT(r->after, "message");
    const struct value *causes = MEMBER(MEMBER(r->after, "details"), "causes");
    bool same = r->code == error_http_status(err->code);

    if (r->inner)
        same = same && str_ends(message, str_of(r->inner));
    else if (!err->causes_count || r->code == 409)
        same = same && str_eq(message, str_of(error_text(err)));
    same = same && same_causes(causes, err);
    if (!same)
        buf_addf(difference, "  wanted %lld %.*s\n  got    %d %s\n", (long long)r->code, STR_ARG(message),
                 error_http_status(err->code), error_text(err));
}

/* Names, versions and quota are the server's to check. */
static bool is_server_rule(const struct replay *r)
{
    struct str message = TEXT(r->after, "message");

    return str_starts(message, STR("the name of the object")) ||
           str_starts(message, STR("the namespace of the object")) ||
           str_contains(message, STR("Operation cannot be fulfilled")) || str_starts(message, STR("strconv."));
}

/* A default since 1.27 that the recordings do not have. */
static void add_retention(struct replay *r, struct value *set)
{
    struct value *policy = value_object(r->a), *spec = MEMBER(set, "spec");

    if (strcmp(r->kind->kind, "StatefulSet") != 0 || !spec)
        return;
    value_put(r->a, policy, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_DELETED,
              value_text(r->a, "Retain"));
    value_put(r->a, policy, F_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY_WHEN_SCALED,
              value_text(r->a, "Retain"));
    value_put(r->a, spec, F_STATEFUL_SET_SPEC_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY, policy);
}

static void replay_case(struct replay *r, struct buf *difference)
{
    AUTO_ERROR struct error err = { 0 };
    struct value *metadata = MEMBER(r->before, "metadata");

    add_retention(r, r->before);
    add_retention(r, r->after);
    ASSERT_OK(schema_normalize(r->a, r->kind->schema, r->before, NULL, &err), &err);
    value_put_str(r->a, metadata, STR("uid"), value_text(r->a, "b2f3f9b1-32f6-4f2e-9f0e-6f6f5f0f9b10"));
    value_put_str(r->a, metadata, STR("resourceVersion"), value_text(r->a, "1"));
    value_put_str(r->a, metadata, STR("creationTimestamp"), value_text(r->a, "2026-11-20T23:47:57Z"));
    schema_order(r->kind->schema, r->before);

    struct value *got = run(r, &err);
    if (!got && r->code != 200) {
        compare_refusal(r, difference, &err);
    } else if (!got || r->code != 200) {
        buf_addf(difference, "  wanted %lld %.*s\n  got %s\n", (long long)r->code, STR_ARG(TEXT(r->after, "message")),
                 got ? "no refusal" : error_text(&err));
    } else {
        ASSERT_OK(schema_normalize(r->a, r->kind->schema, r->after, NULL, &err), &err);
        comparable(got);
        comparable(r->after);
        compare_trees(difference, "", r->after, got);
    }
}

static bool is_forgiven(const struct replay *r, const struct buf *patch, const struct buf *difference)
{
    for (size_t i = 0; i < ARRAY_SIZE(newer); i++)
        if (strcmp(newer[i].kind, r->kind->kind) == 0 && (str_contains(buf_str(difference), str_of(newer[i].part)) ||
                                                          str_contains(buf_str(patch), str_of(newer[i].part))))
            return true;
    return false;
}

static struct totals *totals_of(const struct kind *kind)
{
    size_t i = 0;

    while (totals[i].kind && strcmp(totals[i].kind, kind->plural) != 0)
        i++;
    totals[i].kind = kind->plural;
    return &totals[i];
}

/* A controller wrote between the two recordings: patches of the object itself cannot change its status, or a token's name. */
static bool has_drifted(const struct replay *r)
{
    return r->code == 200 && (!value_equal(MEMBER(r->before, "status"), MEMBER(r->after, "status")) ||
                              (MEMBER(r->after, "secrets") && !MEMBER(r->before, "secrets")));
}

static void replay_line(struct str line)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf difference = BUF_MAX(MIB), patch = BUF_MAX(MIB);
    struct value *c = value_parse(&a, line, NULL, &err);
    struct str version = TEXT(MEMBER(c, "before"), "apiVersion"), group = STR_NONE;
    struct replay r = { .a = &a,
                        .before = MEMBER(c, "before"),
                        .patch = MEMBER(c, "patch"),
                        .after = MEMBER(c, "after"),
                        .type = TEXT(c, "contentType"),
                        .query = TEXT(c, "query"),
                        .code = value_to_int(MEMBER(c, "code"), 0) };

    if (str_find(version, '/') >= 0)
        str_cut(&version, '/', &group);
    r.kind = kind_find(group, version, TEXT(r.before, "kind"));
    if (!r.kind || is_server_rule(&r) || has_drifted(&r))
        return;
    value_write(&patch, r.patch);
    struct totals *total = totals_of(r.kind);
    total->cases++;
    replay_case(&r, &difference);
    object_unref(r.old);
    if (!difference.n)
        total->passed++;
    else if (is_forgiven(&r, &patch, &difference))
        total->forgiven++;
    else
        print_message("%s %.*s %.*s %.1000s\n%.4000s", r.kind->kind, STR_ARG(r.type), STR_ARG(r.query), patch.p,
                      difference.p);
}

TEST("every recorded patch gives the recorded object, owners or refusal")
{
    AUTO_BUF struct buf text = BUF_MAX(16 * MIB);
    AUTO_ERROR struct error err = { 0 };
    struct str rest, line;
    int cases = 0, fine = 0;

    kinds_init();
    ASSERT_OK(file_read(GOLDEN_PATCH, &text, &err), &err);
    rest = buf_str(&text);
    while (str_next(&rest, '\n', &line))
        if (line.n)
            replay_line(line);
    for (size_t i = 0; totals[i].kind; i++) {
        print_message("%-24s %4d cases, %4d same, %3d newer on purpose\n", totals[i].kind, totals[i].cases,
                      totals[i].passed, totals[i].forgiven);
        cases += totals[i].cases;
        fine += totals[i].passed + totals[i].forgiven;
    }
    print_message("%d of %d\n", fine, cases);
    ASSERT(cases > 500);
    ASSERT_INT(fine, cases);
}
