/* The documents: which definitions and paths they hold, written piece by piece. */
#include "object/openapi.h"
#include "base/codec.h"
#include "object/openapi_build.h"
#include "object/protobuf_wire.h"

#include <stdlib.h>

#define DEPTH_MAX 64

/* Every named schema that can be reached, under its name; lists that have no schema under theirs with the resource as value. */
struct definitions {
    struct map schemas, lists;
};

static void definitions_done(struct definitions *d)
{
    map_done(&d->schemas);
    map_done(&d->lists);
}

static void collect(struct definitions *d, const struct schema *s, int depth)
{
    if (!s || depth > DEPTH_MAX)
        return;
    if (s->name) {
        if (map_has(&d->schemas, str_of(s->name)))
            return;
        map_put(&d->schemas, str_of(s->name), (void *)s);
    }
    collect(d, s->item, depth + 1);
    for (size_t i = 0; i < s->fields_count; i++)
        collect(d, s->fields[i].schema, depth + 1);
}

static bool in_group_version(const struct openapi_resource *r, const struct str *group, struct str version)
{
    return !group || (str_is(*group, r->group) && str_is(version, r->version));
}

/* group NULL: of the whole api. Returns how many resources there are. */
static size_t collect_all(struct definitions *d, const struct openapi_api *api, const struct str *group,
                          struct str version)
{
    AUTO_ARENA struct arena a = { 0 };
    size_t count = 0;

    for (size_t i = 0; i < api->count; i++) {
        const struct openapi_resource *r = &api->resources[i];
        if (!in_group_version(r, group, version))
            continue;
        count++;
        collect(d, r->schema, 0);
        if (r->list_kind && r->schema && (r->verbs & OPENAPI_LIST))
            map_put(&d->lists, openapi_list_name(&a, r), (void *)r);
    }
    if (count == 0)
        return 0;
    collect(d, api->status, 0);
    collect(d, api->delete_options, 0);
    collect(d, api->list_meta, 0);
    return count;
}

struct named {
    struct str name;
    const struct schema *schema;
    const struct openapi_resource *list;
};

static int named_compare(const void *a, const void *b)
{
    return str_cmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Sorted by name; *ret_count of them, caller frees. */
static struct named *sorted_definitions(const struct definitions *d, size_t *ret_count)
{
    struct named *all = xcalloc(d->schemas.count + d->lists.count + 1, sizeof(*all));
    struct str name;
    void *value;
    size_t count = 0;

    for (size_t i = 0; map_next(&d->schemas, &i, &name, &value);)
        all[count++] = (struct named){ name, value, NULL };
    for (size_t i = 0; map_next(&d->lists, &i, &name, &value);)
        if (!map_has(&d->schemas, name))
            all[count++] = (struct named){ name, NULL, value };
    qsort(all, count, sizeof(*all), named_compare);
    *ret_count = count;
    return all;
}

/* Where pieces go: `"name":value` in JSON, or a named message. */
struct sink {
    struct buf *to;
    bool protobuf;
    bool first;
};

static void write_member(struct sink *sink, struct str name, const struct value *v)
{
    if (!sink->first)
        buf_add_char(sink->to, ',');
    sink->first = false;
    json_write_str(sink->to, name);
    buf_add_char(sink->to, ':');
    value_write(sink->to, v);
}

static void write_definitions(struct sink *sink, struct openapi_build *b, const struct definitions *d)
{
    size_t count;
    AUTO_FREE struct named *all = sorted_definitions(d, &count);

    for (size_t i = 0; i < count && !sink->to->full; i++) {
        struct value *v =
            all[i].schema ? openapi_definition(b, all[i].schema) : openapi_list_definition(b, all[i].list);
        if (sink->protobuf)
            openapi_put_schema(sink->to, 1, all[i].name, v);
        else
            write_member(sink, all[i].name, v);
        arena_reset(b->arena);
    }
}

static void write_paths(struct sink *sink, struct openapi_build *b, const struct str *group, struct str version)
{
    for (size_t i = 0; i < b->api->count && !sink->to->full; i++) {
        const struct openapi_resource *r = &b->api->resources[i];
        for (enum openapi_place place = 0; place < PLACES && in_group_version(r, group, version); place++) {
            struct str path;
            struct value *item = openapi_path(b, r, place, &path);
            if (item && sink->protobuf)
                openapi_put_path(sink->to, 2, path, item);
            else if (item)
                write_member(sink, path, item);
            arena_reset(b->arena);
        }
    }
}

static int finish(const struct buf *to, struct error *err)
{
    return to->full ? fail(err, ERR_TOO_LARGE, "the OpenAPI document is larger than %zu bytes", to->max) : 0;
}

static int write_json(struct buf *to, const struct openapi_api *api, enum openapi_version version,
                      const struct str *group, struct str group_version, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    CLEANUP(definitions_done) struct definitions d = { 0 };
    struct openapi_build b = { &a, version, api };
    struct sink sink = { .to = to, .first = true };

    if (collect_all(&d, api, group, group_version) == 0 && group)
        return fail(err, ERR_NOT_FOUND, "the server serves no such group and version");
    buf_addf(to, "{\"%s\":\"%s\",\"info\":{\"title\":\"Kubernetes\",\"version\":",
             version == OPENAPI_V2 ? "swagger" : "openapi", version == OPENAPI_V2 ? "2.0" : "3.0.0");
    json_write_str(to, str_of(api->version));
    buf_add_text(to, "},\"paths\":{");
    write_paths(&sink, &b, group, group_version);
    buf_add_text(to, version == OPENAPI_V2 ? "},\"definitions\":{" : "},\"components\":{\"schemas\":{");
    sink.first = true;
    write_definitions(&sink, &b, &d);
    buf_add_text(to, version == OPENAPI_V2 ? "}}" : "}}}");
    return finish(to, err);
}

int openapi_v2_json(struct buf *to, const struct openapi_api *api, struct error *err)
{
    return write_json(to, api, OPENAPI_V2, NULL, STR_NONE, err);
}

int openapi_v3_json(struct buf *to, const struct openapi_api *api, struct str group, struct str version,
                    struct error *err)
{
    return write_json(to, api, OPENAPI_V3, &group, version, err);
}

static void write_field(struct buf *to, uint32_t number, struct str bytes)
{
    struct wire_back head = { .max = 64 };

    wire_put_varint(&head, bytes.n);
    wire_put_tag(&head, number, WIRE_BYTES);
    buf_add(to, wire_back_str(&head));
    buf_add(to, bytes);
    wire_back_done(&head);
}

/* Document{ swagger = 1, info = 2, paths = 8, definitions = 9 }. */
int openapi_v2_protobuf(struct buf *to, const struct openapi_api *api, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf part = BUF_MAX(to->max);
    CLEANUP(definitions_done) struct definitions d = { 0 };
    struct openapi_build b = { &a, OPENAPI_V2, api };
    struct sink sink = { .to = &part, .protobuf = true };

    collect_all(&d, api, NULL, STR_NONE);
    write_field(to, 1, STR("2.0"));
    write_field(&part, 1, STR("Kubernetes"));
    write_field(&part, 2, str_of(api->version));
    write_field(to, 2, buf_str(&part));
    buf_clear(&part);
    write_paths(&sink, &b, NULL, STR_NONE);
    to->full = to->full || part.full;
    write_field(to, 8, buf_str(&part));
    buf_clear(&part);
    write_definitions(&sink, &b, &d);
    to->full = to->full || part.full;
    write_field(to, 9, buf_str(&part));
    return finish(to, err);
}

/* Documents change only with the program and with what is served, so that is what the hash is made of. */
static void group_version_hash(const struct openapi_api *api, const struct openapi_resource *of,
                               char hex[SHA256_HEX_SIZE])
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);

    buf_addf(&text, "%s %s/%s\n", api->version, of->group, of->version);
    for (size_t i = 0; i < api->count; i++) {
        const struct openapi_resource *r = &api->resources[i];
        if (strcmp(r->group, of->group) == 0 && strcmp(r->version, of->version) == 0)
            buf_addf(&text, "%s/%s %x\n", r->plural, r->subresource ? r->subresource : "", r->verbs);
    }
    sha256_hex(buf_str(&text), hex);
}

int openapi_v3_index(struct buf *to, const struct openapi_api *api, struct error *err)
{
    AUTO_MAP struct map seen = { 0 };
    char hex[SHA256_HEX_SIZE];

    buf_add_text(to, "{\"paths\":{");
    for (size_t i = 0; i < api->count; i++) {
        const struct openapi_resource *r = &api->resources[i];
        AUTO_BUF struct buf path = BUF_MAX(KIB);

        buf_addf(&path, "%s%s/%s", r->group[0] ? "apis/" : "api", r->group, r->version);
        if (map_has(&seen, buf_str(&path)))
            continue;
        group_version_hash(api, r, hex);
        buf_addf(to, "%s\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%s\"}", seen.count ? "," : "", path.p,
                 path.p, hex);
        map_put(&seen, buf_str(&path), to);
    }
    buf_add_text(to, "}}");
    return finish(to, err);
}
