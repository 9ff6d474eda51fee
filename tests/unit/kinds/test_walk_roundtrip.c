/* Objects with every field set, as Kubernetes 1.36 writes them in JSON and in protobuf: each form gives the other. */
#include "test.h"

#include "base/file.h"
#include "kinds/schemas.h"
#include "object/protobuf.h"
#include "object/schema_walk.h"

#include <dirent.h>
#include <stdio.h>

static const struct schema *find_schema(struct str api_version, struct str kind)
{
    struct str group = STR_NONE, version = api_version;

    if (str_find(api_version, '/') >= 0)
        str_cut(&version, '/', &group);
    for (size_t i = 0; i < ARRAY_SIZE(schemas_named); i++) {
        const struct schema *s = schemas_named[i];
        if (s->kind && str_is(kind, s->kind) && str_is(group, s->group) && str_is(version, s->version))
            return s;
    }
    return NULL;
}

static struct buf read_file(const char *folder, struct str name, const char *end)
{
    struct buf text = BUF_MAX(4 * MIB);
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *path = xasprintf("%s/%.*s%s", folder, STR_ARG(name), end);

    ASSERT_OK(file_read(path, &text, &err), &err);
    return text;
}

typedef void check_fn(struct str name, struct str json, struct str pb);

/* Every pair in the folder; KLEIN_ROUNDTRIP names another folder than the one in the tree. */
static void each_pair(check_fn *check)
{
    const char *folder = getenv("KLEIN_ROUNDTRIP") ? getenv("KLEIN_ROUNDTRIP") : test_source("tests/golden/roundtrip");
    DIR *dir = opendir(folder);
    size_t count = 0;

    ASSERT(dir);
    name_table_set(schema_names, ARRAY_SIZE(schema_names));
    for (struct dirent *e; (e = readdir(dir));) {
        struct str name = str_of(e->d_name);
        if (!str_ends(name, STR(".pb")))
            continue;
        name.n -= 3;
        AUTO_BUF struct buf pb = read_file(folder, name, ".pb"), json = read_file(folder, name, ".json");
        check(name, buf_str(&json), buf_str(&pb));
        count++;
    }
    closedir(dir);
    ASSERT(count > 30);
}

static const struct schema *schema_of(struct str name, const struct value *tree)
{
    const struct schema *s = find_schema(value_to_str(value_get_str(tree, STR("apiVersion"))),
                                         value_to_str(value_get_str(tree, STR("kind"))));
    if (!s)
        FAIL("%.*s: no schema", STR_ARG(name));
    return s;
}

static void check_encode(struct str name, struct str json, struct str pb)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf out = BUF_MAX(4 * MIB);
    struct value *tree = value_parse(&a, json, NULL, &err);

    ASSERT_OK(tree, &err);
    const struct schema *s = schema_of(name, tree);
    ASSERT_OK(schema_normalize(&a, s, tree, NULL, &err), &err);
    ASSERT_OK(protobuf_encode(&out, s, tree, &err), &err);
    size_t at = 0;
    while (at < MIN(out.n, pb.n) && out.p[at] == pb.p[at])
        at++;
    if (out.n != pb.n || at != pb.n)
        FAIL("%.*s: differs at byte %zu of %zu (ours has %zu)", STR_ARG(name), at, pb.n, out.n);
}

TEST("a JSON object encodes to the bytes of Kubernetes' protobuf")
{
    each_pair(check_encode);
}

static void check_decode(struct str name, struct str json, struct str pb)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf ours = BUF_MAX(4 * MIB), theirs = BUF_MAX(4 * MIB);
    struct protobuf_envelope envelope;
    struct value *expected = value_parse(&a, json, NULL, &err), *tree;

    ASSERT_OK(expected, &err);
    ASSERT_OK(protobuf_open(pb, &envelope, &err), &err);
    const struct schema *s = find_schema(envelope.api_version, envelope.kind);
    ASSERT(s == schema_of(name, expected));
    ASSERT_OK((tree = protobuf_decode(&a, s, &envelope, &err)), &err);
    if (!value_equal(tree, expected)) {
        value_write(&ours, tree);
        value_write(&theirs, expected);
        FAIL("%.*s\n  ours:   %s\n  theirs: %s", STR_ARG(name), ours.p, theirs.p);
    }
}

TEST("Kubernetes' protobuf decodes to the JSON object")
{
    each_pair(check_decode);
}

static void check_normal(struct str name, struct str json, UNUSED struct str pb)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf once = BUF_MAX(4 * MIB), twice = BUF_MAX(4 * MIB);
    struct schema_options strict = { .validation = FIELD_VALIDATION_STRICT };
    struct value *tree = value_parse(&a, json, NULL, &err), *expected = value_copy(&a, tree);

    ASSERT_OK(tree, &err);
    const struct schema *s = schema_of(name, tree);
    ASSERT_OK(schema_normalize(&a, s, tree, &strict, &err), &err);
    if (!value_equal(tree, expected))
        FAIL("%.*s: normalizing changed a full object", STR_ARG(name));
    value_write(&once, tree);
    ASSERT_OK(schema_normalize(&a, s, tree, &strict, &err), &err);
    value_write(&twice, tree);
    ASSERT_STR(twice, buf_str(&once));
}

TEST("normalizing keeps every field of a full object, and a second time changes nothing")
{
    each_pair(check_normal);
}

static void check_cut(struct str name, UNUSED struct str json, struct str pb)
{
    struct protobuf_envelope envelope;

    for (size_t n = 0; n < pb.n; n += 1 + n / 16) {
        AUTO_ARENA struct arena a = { 0 };
        AUTO_ERROR struct error err = { 0 };
        if (protobuf_open(str_part(pb, 0, n), &envelope, &err) == 0) {
            const struct schema *s = find_schema(envelope.api_version, envelope.kind);
            if (s)
                protobuf_decode(&a, s, &envelope, &err);
        } else if (err.code != ERR_BAD_REQUEST) {
            FAIL("%.*s cut to %zu bytes: %s", STR_ARG(name), n, error_text(&err));
        }
    }
}

TEST("protobuf that ends anywhere is refused, not misread")
{
    each_pair(check_cut);
}
