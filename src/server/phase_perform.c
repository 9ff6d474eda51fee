/* Phase perform: which code answers a request. */
#include "server/discovery.h"
#include "server/read.h"
#include "server/server_internal.h"
#include "server/write.h"

static enum phase_result perform_path(struct request *r)
{
    subresource_handler *handler = path_find(r->info.path);
    if (handler)
        return handler(r);
    if (!str_is(r->info.verb, "get") && !str_is(r->info.verb, "head"))
        return request_fail(r, ERR_METHOD_NOT_ALLOWED,
                            "the server does not allow this method on the requested resource");
    handler = discovery_find(r->info.path);
    if (handler)
        return handler(r);
    return request_fail(r, ERR_NOT_FOUND, "the server could not find the requested resource");
}

static bool is_reading(const struct request *r)
{
    static const char *const verbs[] = { "get", "head", "list", "watch", NULL };
    for (const char *const *v = verbs; *v; v++)
        if (str_is(r->info.verb, *v))
            return true;
    return false;
}

enum phase_result phase_perform(struct request *r)
{
    if (r->server->config.no_control && !is_reading(r))
        return request_fail(r, ERR_UNAVAILABLE, "this server only shows a state (--no-control) and changes nothing");
    if (!r->info.is_resource)
        return perform_path(r);
    subresource_handler *handler = subresource_find(r->info.group, r->info.resource, r->info.subresource);
    if (handler)
        return handler(r);
    struct str verb = r->info.verb;
    if (str_is(verb, "get"))
        return read_get(r);
    if (str_is(verb, "list"))
        return read_list(r);
    if (str_is(verb, "watch"))
        return watch_start(r);
    if (str_is(verb, "deletecollection"))
        return write_deletecollection(r);
    if (r->sub && strcmp(r->sub->name, "status") && strcmp(r->sub->name, "scale") && strcmp(r->sub->name, "finalize") &&
        strcmp(r->sub->name, "ephemeralcontainers") && strcmp(r->sub->name, "resize"))
        return request_fail(r, ERR_METHOD_NOT_ALLOWED, "the server does not offer this subresource yet");
    return write_perform(r);
}
