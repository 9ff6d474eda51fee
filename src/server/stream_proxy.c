/*
 * nodes/proxy, pods/proxy and services/proxy: plain HTTP through the agent of the node.
 *
 * What is dialled is chosen by the agent from its own records of its pods; a service is followed only to endpoints that are
 * pods. The caller's credentials and impersonation stop here. Source: pkg/registry/core/{node,pod,service}/rest.
 */
#include "base/codec.h"
#include "kinds/fields.h"
#include "server/nodes.h"
#include "server/stream.h"

#define HEADERS_MAX 100

/* Headers of the client that go on: no hop-by-hop ones, no credentials, none of ours. */
static bool goes_on(struct str name)
{
    static const char *const stopped[] = { "connection",
                                           "keep-alive",
                                           "proxy-authenticate",
                                           "proxy-authorization",
                                           "proxy-connection",
                                           "te",
                                           "trailer",
                                           "transfer-encoding",
                                           "upgrade",
                                           "content-length",
                                           "host",
                                           "authorization",
                                           "sec-websocket-protocol",
                                           "expect",
                                           "klein-pod-uid" };
    for (size_t i = 0; i < ARRAY_SIZE(stopped); i++)
        if (str_is(name, stopped[i]))
            return false;
    return !str_starts(name, STR("impersonate-")) && !str_starts(name, STR("x-remote-"));
}

/* The path below ".../proxy/", decoded and encoded again: nothing climbs out of what authorization saw. */
static int add_rest(struct request *r, struct buf *target)
{
    struct str rest = r->info.rest, part;
    while (str_next(&rest, '/', &part)) {
        AUTO_BUF struct buf plain = BUF_MAX(16 * KIB);
        bool ok;
        percent_decode(&plain, part, false, &ok);
        if (!ok || str_is(buf_str(&plain), ".") || str_is(buf_str(&plain), ".."))
            return fail(&r->err, ERR_BAD_REQUEST, "the path to proxy is not canonical");
        buf_add_char(target, '/');
        percent_encode(target, buf_str(&plain));
    }
    if (str_empty(r->info.rest) || str_ends(r->info.rest, STR("/")))
        buf_add_char(target, '/');
    return 0;
}

static enum phase_result relay(struct request *r, const struct stream_target *t, struct str path)
{
    const struct http_request *q = r->exchange->request;
    struct http_header headers[HEADERS_MAX + 1];
    size_t count = 0;
    AUTO_BUF struct buf target = BUF_MAX(64 * KIB);
    buf_add(&target, path);
    if (add_rest(r, &target) < 0)
        return PHASE_FAILED;
    if (!str_empty(q->query))
        buf_addf(&target, "?%.*s", STR_ARG(q->query));
    for (size_t i = 0; i < q->headers_count && count < HEADERS_MAX; i++)
        if (goes_on(q->headers[i].name))
            headers[count++] = q->headers[i];
    if (!str_empty(t->uid))
        headers[count++] = (struct http_header){ STR("klein-pod-uid"), t->uid };
    bool with_body = q->content_length != 0 && !str_is(q->method, "GET") && !str_is(q->method, "HEAD");
    return stream_relay(r, &(struct stream_relay){ .agent = t->agent,
                                                   .method = q->method,
                                                   .target = buf_str(&target),
                                                   .headers = headers,
                                                   .headers_count = count,
                                                   .with_body = with_body });
}

/* "name", "name:port" or "scheme:name:port". */
static int split_name(struct request *r, struct str *ret_name, struct str *ret_port)
{
    struct str parts[3], rest = r->info.name;
    size_t count = 0;
    while (count < 3 && str_next(&rest, ':', &parts[count]))
        count++;
    if (count == 0 || !str_empty(rest))
        return fail(&r->err, ERR_BAD_REQUEST, "invalid service request \"%.*s\"", STR_ARG(r->info.name));
    if (count == 3 && !str_empty(parts[0]) && !str_is(parts[0], "http"))
        return fail(&r->err, ERR_BAD_REQUEST, "only the scheme http is proxied");
    *ret_name = count == 3 ? parts[1] : parts[0];
    *ret_port = count == 3 ? parts[2] : count == 2 ? parts[1] : STR_NONE;
    return 0;
}

static enum phase_result relay_pod(struct request *r, struct str pod, int64_t port)
{
    struct stream_target t = { 0 };
    AUTO_BUF struct buf path = BUF_MAX(4 * KIB);
    if (port < 1 || port > 65535)
        return request_fail(r, ERR_BAD_REQUEST, "invalid port");
    if (stream_find_pod(r, r->info.namespace_, pod, &t, &r->err) < 0)
        return PHASE_FAILED;
    buf_add_text(&path, "/podProxy/");
    percent_encode(&path, t.namespace_);
    buf_add_char(&path, '/');
    percent_encode(&path, t.pod);
    buf_addf(&path, "/%lld", (long long)port);
    return relay(r, &t, buf_str(&path));
}

enum phase_result stream_pod_proxy(struct request *r)
{
    struct str name, port_text;
    int64_t port = 80;
    if (!r->exchange)
        return request_fail(r, ERR_BAD_REQUEST, "proxying needs HTTP");
    if (split_name(r, &name, &port_text) < 0)
        return PHASE_FAILED;
    const struct object *pod = state_get(server_state(r->server), &kind_pod, r->info.namespace_, name);
    if (str_empty(port_text)) {
        struct view containers = view_path(object_root(pod), F_POD_SPEC, F_POD_SPEC_CONTAINERS);
        struct view ports = view_get(view_item(containers, 0), F_CONTAINER_PORTS);
        port = view_int_at(view_item(ports, 0), 80, F_CONTAINER_PORT_CONTAINER_PORT);
    } else if (!str_to_i64(port_text, &port)) {
        return request_fail(r, ERR_BAD_REQUEST, "invalid port \"%.*s\"", STR_ARG(port_text));
    }
    return relay_pod(r, name, port);
}

/* --- services ------------------------------------------------------------------------------------------------------ */

struct endpoint_search {
    struct arena *arena;
    struct env *env;
    struct str service, port_name;
    int64_t port_number; /* 0: by name */
    struct str pod;      /* found */
    int64_t port;
    unsigned seen;
};

static bool slice_port(struct endpoint_search *s, struct view slice, int64_t *ret)
{
    struct view_iter it = { 0 };
    struct view ports = view_get(slice, F_ENDPOINT_SLICE_PORTS);
    while (view_next(ports, &it))
        if (str_eq(view_str(view_get(it.value, F_ENDPOINT_PORT_NAME)), s->port_name)) {
            *ret = view_int_at(it.value, 0, F_ENDPOINT_PORT_PORT);
            return true;
        }
    return false;
}

static bool look_slice(void *arg, const struct object *slice)
{
    struct endpoint_search *s = arg;
    struct view root = object_root(slice), labels = view_path(root, F_POD_METADATA, F_OBJECT_META_LABELS);
    struct view endpoints = view_get(root, F_ENDPOINT_SLICE_ENDPOINTS);
    struct view_iter it = { 0 };
    int64_t port;
    if (!str_eq(view_str(view_get_str(labels, STR("kubernetes.io/service-name"))), s->service) ||
        !slice_port(s, root, &port))
        return true;
    while (view_next(endpoints, &it)) {
        struct view target = view_get(it.value, F_ENDPOINT_TARGET_REF);
        if (!view_bool_at(it.value, true, F_ENDPOINT_CONDITIONS, F_ENDPOINT_CONDITIONS_READY) ||
            !str_is(view_str(view_get(target, F_OBJECT_REFERENCE_KIND)), "Pod"))
            continue;
        /* One of all, each as likely as the others. */
        if (env_random_below(s->env, ++s->seen) == 0) {
            s->pod = arena_str(s->arena, view_str(view_get(target, F_OBJECT_REFERENCE_NAME)));
            s->port = port;
        }
    }
    return true;
}

/* The name of the port that the text means: a name, a number, or the only port. */
static int find_port(struct request *r, const struct object *service, struct str text, struct str *ret_name)
{
    struct view ports = view_path(object_root(service), F_SERVICE_SPEC, F_SERVICE_SPEC_PORTS);
    struct view_iter it = { 0 };
    int64_t number = 0;
    bool by_number = str_to_i64(text, &number);
    while (view_next(ports, &it)) {
        struct str name = view_str(view_get(it.value, F_SERVICE_PORT_NAME));
        if (str_empty(text)
                ? view_count(ports) == 1
                : str_eq(name, text) || (by_number && view_int_at(it.value, 0, F_SERVICE_PORT_PORT) == number)) {
            *ret_name = name;
            return 0;
        }
    }
    return fail(&r->err, ERR_UNAVAILABLE, "no service port \"%.*s\" found for service \"%.*s\"", STR_ARG(text),
                STR_ARG(object_name(service)));
}

enum phase_result stream_service_proxy(struct request *r)
{
    struct endpoint_search s = { .arena = &r->arena, .env = server_env(r->server) };
    struct str name, port_text;
    if (!r->exchange)
        return request_fail(r, ERR_BAD_REQUEST, "proxying needs HTTP");
    if (split_name(r, &name, &port_text) < 0)
        return PHASE_FAILED;
    const struct object *service = state_get(server_state(r->server), &kind_service, r->info.namespace_, name);
    if (!service) {
        request_fail(r, ERR_NOT_FOUND, "services \"%.*s\" not found", STR_ARG(name));
        error_set_details(&r->err, STR_NONE, STR("services"), name);
        return PHASE_FAILED;
    }
    s.service = name;
    if (find_port(r, service, port_text, &s.port_name) < 0)
        return PHASE_FAILED;
    state_each(server_state(r->server), &kind_endpointslice, r->info.namespace_, look_slice, &s);
    if (str_empty(s.pod))
        return request_fail(r, ERR_UNAVAILABLE, "no endpoints available for service \"%.*s\"", STR_ARG(r->info.name));
    return relay_pod(r, s.pod, s.port);
}

/* --- nodes --------------------------------------------------------------------------------------------------------- */

/* What of an agent may be seen this way: reading, and nothing that runs commands (that is pods/exec, with rights of its own). */
static bool is_readable(struct str path)
{
    static const char *const paths[] = { "pods", "healthz", "metrics", "stats/summary" };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (str_is(path, paths[i]))
            return true;
    return str_starts(path, STR("containerLogs/"));
}

enum phase_result stream_node_proxy(struct request *r)
{
    struct stream_target t = { 0 };
    struct str name, port;
    if (!r->exchange || !str_is(r->info.verb, "get"))
        return request_fail(r, ERR_METHOD_NOT_ALLOWED,
                            "the server does not allow this method on the requested resource");
    if (split_name(r, &name, &port) < 0)
        return PHASE_FAILED;
    if (!state_get(server_state(r->server), &kind_node, STR_NONE, name)) {
        request_fail(r, ERR_NOT_FOUND, "nodes \"%.*s\" not found", STR_ARG(name));
        error_set_details(&r->err, STR_NONE, STR("nodes"), name);
        return PHASE_FAILED;
    }
    if (!is_readable(r->info.rest))
        return request_fail(r, ERR_NOT_FOUND, "the server could not find the requested resource");
    t.agent = nodes_client(server_nodes(r->server), name, &r->err);
    return t.agent ? relay(r, &t, STR_NONE) : PHASE_FAILED;
}
