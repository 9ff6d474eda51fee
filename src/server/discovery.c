/* Discovery: which groups, versions and resources there are, in the legacy and the aggregated form. */
#include "server/discovery.h"

#include "base/codec.h"
#include "server/negotiate.h"
#include "server/response.h"
#include "server/server_internal.h"

static const struct {
    const char *name;
    uint16_t bit;
} verbs[] = {
    { "create", VERB_CREATE }, { "delete", VERB_DELETE }, { "deletecollection", VERB_DELETECOLLECTION },
    { "get", VERB_GET },       { "list", VERB_LIST },     { "patch", VERB_PATCH },
    { "update", VERB_UPDATE }, { "watch", VERB_WATCH },
};

static const struct {
    const char *path;
    subresource_handler *handler;
} paths[] = {
#define DISCOVERY_PATH(path, handler) { path, handler },
#include "server/discovery.def"
#undef DISCOVERY_PATH
};

static bool path_matches(struct str path, struct str pattern)
{
    struct str a, b;
    while (str_next(&pattern, '/', &b)) {
        if (!str_next(&path, '/', &a) || (!str_is(b, "*") && !str_eq(a, b)))
            return false;
    }
    return str_empty(path);
}

subresource_handler *discovery_find(struct str path)
{
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (str_is(path, paths[i].path) || (strchr(paths[i].path, '*') && path_matches(path, str_of(paths[i].path))))
            return paths[i].handler;
    return NULL;
}

enum phase_result answer_with_etag(struct request *r, struct str content_type, struct str body)
{
    if (!r->exchange)
        return request_fail(r, ERR_METHOD_NOT_ALLOWED, "this path answers only over HTTP");
    char hex[SHA256_HEX_SIZE];
    struct str etag = arena_printf(&r->arena, "\"%s\"", sha256_hex(body, hex));
    struct http_header headers[] = { { STR("etag"), etag }, { STR("vary"), STR("Accept") } };
    AUTO_BUF struct buf copy = BUF_MAX(RESPONSE_BYTES_MAX);
    bool same = str_eq(request_header(r, "if-none-match"), etag);
    if (!same)
        buf_add(&copy, body);
    response_send(r, same ? 304 : 200, content_type, &copy, headers, 2);
    return PHASE_ANSWERED;
}

static enum phase_result answer_tree(struct request *r, struct str content_type, const struct value *tree)
{
    AUTO_BUF struct buf body = BUF_MAX(RESPONSE_BYTES_MAX);
    if (r->options.pretty)
        value_write_pretty(&body, tree, 2);
    else
        value_write(&body, tree);
    buf_add_char(&body, '\n');
    return answer_with_etag(r, content_type, buf_str(&body));
}

/* --- small builders ----------------------------------------------------------------------------------------------------- */

static void put(struct arena *a, struct value *o, const char *name, struct value *v)
{
    value_put_str(a, o, str_of(name), v);
}

static struct value *texts(struct arena *a, const char *const *list)
{
    struct value *v = value_array(a);
    for (; list && *list; list++)
        value_append(a, v, value_text(a, *list));
    return v;
}

static struct value *verb_list(struct arena *a, uint16_t bits)
{
    struct value *v = value_array(a);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (bits & verbs[i].bit)
            value_append(a, v, value_text(a, verbs[i].name));
    return v;
}

static struct value *group_version(struct arena *a, const char *group, const char *version)
{
    return group[0] ? value_strf(a, "%s/%s", group, version) : value_text(a, version);
}

/* The first kind of each group-version, in order. */
static bool is_first_of_version(size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (!strcmp(kinds[j]->group, kinds[i]->group) && !strcmp(kinds[j]->version, kinds[i]->version))
            return false;
    return true;
}

static bool is_first_of_group(size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (!strcmp(kinds[j]->group, kinds[i]->group))
            return false;
    return true;
}

/* --- legacy --------------------------------------------------------------------------------------------------------------- */

static struct value *list_root(struct arena *a, const char *kind)
{
    struct value *v = value_object(a);
    put(a, v, "kind", value_text(a, kind));
    put(a, v, "apiVersion", value_text(a, "v1"));
    return v;
}

static struct value *version_entry(struct arena *a, const char *group, const char *version)
{
    struct value *v = value_object(a);
    put(a, v, "groupVersion", group_version(a, group, version));
    put(a, v, "version", value_text(a, version));
    return v;
}

static void fill_group(struct arena *a, struct value *v, const char *group)
{
    struct value *versions = value_array(a), *preferred = NULL;
    for (size_t i = 0; i < kinds_count; i++) {
        if (strcmp(kinds[i]->group, group) || !is_first_of_version(i))
            continue;
        struct value *entry = version_entry(a, group, kinds[i]->version);
        value_append(a, versions, entry);
        if (!preferred)
            preferred = entry;
    }
    put(a, v, "name", value_text(a, group));
    put(a, v, "versions", versions);
    put(a, v, "preferredVersion", preferred);
}

static struct value *resource_entry(struct arena *a, const struct kind *k, const struct kind_subresource *sub)
{
    struct value *v = value_object(a);
    put(a, v, "name", sub ? value_strf(a, "%s/%s", k->plural, sub->name) : value_text(a, k->plural));
    put(a, v, "singularName", value_text(a, sub ? "" : k->singular));
    put(a, v, "namespaced", value_bool(a, k->namespaced));
    struct group_version_kind id = subresource_kind(k, sub);
    if (strcmp(id.group, k->group) || strcmp(id.version, k->version)) {
        put(a, v, "group", value_text(a, id.group));
        put(a, v, "version", value_text(a, id.version));
    }
    put(a, v, "kind", value_text(a, id.kind));
    put(a, v, "verbs", verb_list(a, sub ? sub->verbs : k->verbs));
    if (!sub && k->short_names)
        put(a, v, "shortNames", texts(a, k->short_names));
    if (!sub && k->categories)
        put(a, v, "categories", texts(a, k->categories));
    return v;
}

static bool in_version(const struct kind *k, struct str group, struct str version)
{
    return str_is(group, k->group) && str_is(version, k->version);
}

enum phase_result discovery_resources(struct request *r)
{
    struct arena *a = &r->arena;
    struct str rest = str_from(r->info.path, 1), root, group = STR_NONE, version;
    str_cut(&rest, '/', &root);
    if (str_is(root, "apis"))
        str_cut(&rest, '/', &group);
    version = rest;
    struct value *v = list_root(a, "APIResourceList"), *resources = value_array(a);
    for (size_t i = 0; i < kinds_count; i++) {
        if (!in_version(kinds[i], group, version))
            continue;
        value_append(a, resources, resource_entry(a, kinds[i], NULL));
        for (const struct kind_subresource *s = kinds[i]->subresources; s && s->name; s++)
            value_append(a, resources, resource_entry(a, kinds[i], s));
    }
    if (resources->items_count == 0)
        return request_fail(r, ERR_NOT_FOUND, "the server could not find the requested resource");
    put(a, v, "groupVersion",
        str_empty(group) ? value_str(a, version) : value_strf(a, "%.*s/%.*s", STR_ARG(group), STR_ARG(version)));
    put(a, v, "resources", resources);
    return answer_tree(r, STR("application/json"), v);
}

enum phase_result discovery_group(struct request *r)
{
    struct arena *a = &r->arena;
    struct str group = str_from(r->info.path, sizeof("/apis/") - 1);
    for (size_t i = 0; i < kinds_count; i++) {
        if (!kinds[i]->group[0] || !str_is(group, kinds[i]->group))
            continue;
        struct value *v = list_root(a, "APIGroup");
        fill_group(a, v, kinds[i]->group);
        return answer_tree(r, STR("application/json"), v);
    }
    return request_fail(r, ERR_NOT_FOUND, "the server could not find the requested resource");
}

/* --- aggregated: KEP-3352 ------------------------------------------------------------------------------------------------- */

static struct value *response_kind(struct arena *a, const struct kind *k, const struct kind_subresource *sub)
{
    struct group_version_kind id = subresource_kind(k, sub);
    struct value *v = value_object(a);
    put(a, v, "group", value_text(a, id.group));
    put(a, v, "version", value_text(a, id.version));
    put(a, v, "kind", value_text(a, id.kind));
    return v;
}

static struct value *aggregated_resource(struct arena *a, const struct kind *k)
{
    struct value *v = value_object(a), *subs = value_array(a);
    put(a, v, "resource", value_text(a, k->plural));
    put(a, v, "responseKind", response_kind(a, k, NULL));
    put(a, v, "scope", value_text(a, k->namespaced ? "Namespaced" : "Cluster"));
    put(a, v, "singularResource", value_text(a, k->singular));
    put(a, v, "verbs", verb_list(a, k->verbs));
    if (k->short_names)
        put(a, v, "shortNames", texts(a, k->short_names));
    if (k->categories)
        put(a, v, "categories", texts(a, k->categories));
    for (const struct kind_subresource *s = k->subresources; s && s->name; s++) {
        struct value *sub = value_object(a);
        put(a, sub, "subresource", value_text(a, s->name));
        put(a, sub, "responseKind", response_kind(a, k, s));
        put(a, sub, "verbs", verb_list(a, s->verbs));
        value_append(a, subs, sub);
    }
    if (subs->items_count)
        put(a, v, "subresources", subs);
    return v;
}

static struct value *aggregated_group(struct arena *a, const char *group)
{
    struct value *v = value_object(a), *meta = value_object(a), *versions = value_array(a);
    if (group[0])
        put(a, meta, "name", value_text(a, group));
    put(a, meta, "creationTimestamp", value_null(a));
    for (size_t i = 0; i < kinds_count; i++) {
        if (strcmp(kinds[i]->group, group) || !is_first_of_version(i))
            continue;
        struct value *version = value_object(a), *resources = value_array(a);
        for (size_t j = i; j < kinds_count; j++)
            if (in_version(kinds[j], str_of(group), str_of(kinds[i]->version)))
                value_append(a, resources, aggregated_resource(a, kinds[j]));
        put(a, version, "version", value_text(a, kinds[i]->version));
        put(a, version, "resources", resources);
        put(a, version, "freshness", value_text(a, "Current"));
        value_append(a, versions, version);
    }
    put(a, v, "metadata", meta);
    put(a, v, "versions", versions);
    return v;
}

/* The version of apidiscovery.k8s.io the client prefers over the legacy form; NULL when it does not ask for one. */
static const char *wants_aggregated(const struct request *r)
{
    struct media_range ranges[MEDIA_RANGES_MAX];
    size_t count = media_ranges(request_header(r, "accept"), ranges);
    for (size_t i = 0; i < count; i++) {
        if (!str_is(ranges[i].type, "application/json"))
            continue;
        if (str_empty(ranges[i].as))
            return NULL;
        if (!str_is(ranges[i].as, "APIGroupDiscoveryList") || !str_is(ranges[i].group, "apidiscovery.k8s.io"))
            continue;
        if (str_is(ranges[i].version, "v2"))
            return "v2";
        if (str_is(ranges[i].version, "v2beta1"))
            return "v2beta1";
    }
    return NULL;
}

static enum phase_result answer_aggregated(struct request *r, const char *version, bool core)
{
    struct arena *a = &r->arena;
    struct value *v = value_object(a), *items = value_array(a);
    put(a, v, "kind", value_text(a, "APIGroupDiscoveryList"));
    put(a, v, "apiVersion", value_strf(a, "apidiscovery.k8s.io/%s", version));
    put(a, v, "metadata", value_object(a));
    for (size_t i = 0; i < kinds_count; i++)
        if (is_first_of_group(i) && core == !kinds[i]->group[0])
            value_append(a, items, aggregated_group(a, kinds[i]->group));
    put(a, v, "items", items);
    return answer_tree(
        r, arena_printf(a, "application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList", version), v);
}

enum phase_result discovery_api(struct request *r)
{
    struct arena *a = &r->arena;
    const char *aggregated = wants_aggregated(r);
    if (aggregated)
        return answer_aggregated(r, aggregated, true);
    struct value *v = value_object(a), *addresses = value_array(a), *entry = value_object(a);
    char text[ADDRESS_TEXT_SIZE];
    struct address address = server_address(r->server);
    put(a, v, "kind", value_text(a, "APIVersions"));
    put(a, v, "versions", texts(a, (const char *const[]){ "v1", NULL }));
    put(a, entry, "clientCIDR", value_text(a, "0.0.0.0/0"));
    put(a, entry, "serverAddress", value_str(a, arena_str(a, str_of(address_format(&address, text)))));
    value_append(a, addresses, entry);
    put(a, v, "serverAddressByClientCIDRs", addresses);
    return answer_tree(r, STR("application/json"), v);
}

enum phase_result discovery_apis(struct request *r)
{
    struct arena *a = &r->arena;
    const char *aggregated = wants_aggregated(r);
    if (aggregated)
        return answer_aggregated(r, aggregated, false);
    struct value *v = list_root(a, "APIGroupList"), *groups = value_array(a);
    for (size_t i = 0; i < kinds_count; i++) {
        if (!kinds[i]->group[0] || !is_first_of_group(i))
            continue;
        struct value *group = value_object(a);
        fill_group(a, group, kinds[i]->group);
        value_append(a, groups, group);
    }
    put(a, v, "groups", groups);
    return answer_tree(r, STR("application/json"), v);
}

enum phase_result discovery_root(struct request *r)
{
    struct arena *a = &r->arena;
    struct value *v = value_object(a), *list = value_array(a);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (!strchr(paths[i].path, '*') && strcmp(paths[i].path, "/"))
            value_append(a, list, value_text(a, paths[i].path));
        if (strcmp(paths[i].path, "/apis/*"))
            continue;
        for (size_t k = 0; k < kinds_count; k++) {
            if (!kinds[k]->group[0])
                continue;
            if (is_first_of_group(k))
                value_append(a, list, value_strf(a, "/apis/%s", kinds[k]->group));
            if (is_first_of_version(k))
                value_append(a, list, value_strf(a, "/apis/%s/%s", kinds[k]->group, kinds[k]->version));
        }
    }
    put(a, v, "paths", list);
    return answer_tree(r, STR("application/json"), v);
}

enum phase_result version_path(struct request *r)
{
    struct arena *a = &r->arena;
    struct value *v = value_object(a);
    put(a, v, "major", value_text(a, "1"));
    put(a, v, "minor", value_text(a, "36"));
    put(a, v, "gitVersion", value_text(a, SERVER_VERSION));
    put(a, v, "gitCommit", value_text(a, "klein-" KLEIN_VERSION));
    put(a, v, "gitTreeState", value_text(a, "clean"));
    put(a, v, "buildDate", value_text(a, "2026-01-01T00:00:00Z"));
    put(a, v, "goVersion", value_text(a, "none"));
    put(a, v, "compiler", value_text(a, __VERSION__));
    put(a, v, "platform", value_text(a, "linux/amd64"));
    return answer_tree(r, STR("application/json"), v);
}
