/* Phase parse: path, query and headers become what is wanted; no later phase looks at the URL. */
#include "server/negotiate.h"
#include "server/request_options.h"
#include "server/request_path.h"

#include "object/managed.h"

static bool is_connect(struct str subresource)
{
    static const char *const names[] = { "log", "exec", "attach", "portforward", "proxy", NULL };
    for (const char *const *n = names; *n; n++)
        if (str_is(subresource, *n))
            return true;
    return false;
}

/* The namespace in the path must fit the kind: a cluster-scoped object has none (CVE-2019-11247). */
static bool scope_fits(const struct request *r)
{
    const struct request_info *info = &r->info;
    if (!r->kind->namespaced)
        return str_empty(info->namespace_) || (r->kind == &kind_namespace && str_eq(info->namespace_, info->name));
    /* Without a namespace only reading over all of them makes sense, and reviews that have none. */
    return !str_empty(info->namespace_) || str_empty(info->name);
}

static void find_kind(struct request *r)
{
    r->kind = kind_find_resource(r->info.group, r->info.version, r->info.resource);
    if (!r->kind)
        return;
    if (!scope_fits(r)) {
        r->kind = NULL;
        return;
    }
    r->body_schema = r->kind->schema;
    if (str_empty(r->info.subresource))
        return;
    r->sub = kind_subresource(r->kind, r->info.subresource);
    if (!r->sub)
        r->kind = NULL;
}

/* metadata.name=X in a field selector names the object for authorization. Source: RequestInfoFactory.NewRequestInfo. */
static void name_from_selector(struct request *r)
{
    struct str rest = r->options.field_selector, clause, name = STR_NONE;
    int hits = 0;
    while (str_next(&rest, ',', &clause)) {
        struct str value = clause, key;
        if (!str_cut(&value, '=', &key) || !str_is(key, "metadata.name"))
            continue;
        if (str_starts(value, STR("=")))
            value = str_from(value, 1);
        name = value;
        hits++;
    }
    if (hits == 1)
        r->info.name = name;
}

static void wants_pretty(struct request *r)
{
    if (r->options.pretty_set)
        return;
    struct str agent = request_header(r, "user-agent");
    r->options.pretty =
        str_starts(agent, STR("curl")) || str_starts(agent, STR("Wget")) || str_starts(agent, STR("Mozilla/5.0"));
}

static int parse_http(struct request *r, struct error *err)
{
    const struct http_request *http = r->exchange->request;
    /* Copied: the audit log and metrics read r->info after the exchange is gone. */
    struct str path = arena_str(&r->arena, http->path), query = arena_str(&r->arena, http->query);
    if (request_path_parse(&r->arena, http->method, path, &r->info, err) < 0)
        return -1;
    if (!r->info.is_resource) {
        wants_pretty(r);
        return 0;
    }
    /* The parameters of exec, log, proxy ... are their handlers' (and the far side's) business. */
    if (is_connect(r->info.subresource)) {
        find_kind(r);
        return 0;
    }
    if (request_options_parse(r, query, err) < 0)
        return -1;
    wants_pretty(r);
    find_kind(r);
    if (str_is(r->info.verb, "list") && r->options.watch)
        r->info.verb = STR("watch");
    /* GET .../pods/x?watch=1 is a watch of one object. */
    if (str_is(r->info.verb, "get") && r->options.watch && !r->sub) {
        r->info.verb = STR("watch");
        r->options.field_selector = arena_printf(&r->arena, "metadata.name=%.*s", STR_ARG(r->info.name));
    }
    if (str_is(r->info.verb, "list") || str_is(r->info.verb, "watch") || str_is(r->info.verb, "deletecollection"))
        name_from_selector(r);
    if (negotiate_answer(r, err) < 0)
        return -1;
    bool has_body = !str_is(r->info.verb, "get") && !str_is(r->info.verb, "list") && !str_is(r->info.verb, "watch");
    if (has_body && negotiate_body(r, err) < 0)
        return -1;
    if (request_options_check(r, err) < 0)
        return -1;
    if (str_empty(r->options.field_manager))
        r->options.field_manager = managed_default_manager(&r->arena, request_header(r, "user-agent"));
    return 0;
}

enum phase_result phase_parse(struct request *r)
{
    if (r->source == REQUEST_LOCAL) {
        find_kind(r);
        return PHASE_DONE;
    }
    return parse_http(r, &r->err) < 0 ? PHASE_FAILED : PHASE_DONE;
}
