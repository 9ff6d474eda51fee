/* The HTTP client: servers, connections, and which call goes where. */
#include "transport/client_internal.h"

#include <stdlib.h>

#define LOG_PART "http"
#include "base/log.h"

/* --- servers --- */

static int parse_server(struct str text, struct server_address *ret, struct error *err)
{
    struct str rest;
    ptrdiff_t colon;
    int64_t port;

    *ret = (struct server_address){ .text = str_dup(text) };
    rest = str_of(ret->text);
    if (str_starts(rest, STR("unix:"))) {
        ret->is_unix = true;
        ret->host = xstrdup("localhost");
        ret->authority = STR("localhost");
        return address_parse(rest, &ret->address, err);
    }
    ret->tls = str_starts(rest, STR("https://"));
    if (!ret->tls && !str_starts(rest, STR("http://")))
        return fail(err, ERR_BAD_REQUEST, "server '%.*s' starts neither with https:// nor with http://", STR_ARG(text));
    rest = str_from(rest, ret->tls ? 8 : 7);
    if (rest.n && rest.p[rest.n - 1] == '/')
        rest.n--;
    ret->authority = rest;
    colon = str_find_last(rest, ':');
    if (colon >= 0 && str_find_last(rest, ']') < colon) {
        if (!str_to_i64(str_from(rest, (size_t)colon + 1), &port) || port < 1 || port > UINT16_MAX)
            return fail(err, ERR_BAD_REQUEST, "server '%.*s' has no port between 1 and 65535", STR_ARG(text));
        rest = str_part(rest, 0, (size_t)colon);
    } else {
        port = ret->tls ? 443 : 80;
    }
    if (rest.n >= 2 && rest.p[0] == '[')
        rest = str_part(rest, 1, rest.n - 2);
    if (!rest.n || str_find(rest, '/') >= 0 || str_find(rest, '@') >= 0)
        return fail(err, ERR_BAD_REQUEST, "server '%.*s' is more or less than a host", STR_ARG(text));
    ret->host = str_dup(rest);
    ret->port = (uint16_t)port;
    if (address_of_ip(rest, ret->port, &ret->address, NULL) < 0)
        ret->address.length = 0;
    return 0;
}

static void free_servers(struct http_client *c)
{
    for (size_t i = 0; i < c->servers_count; i++) {
        free(c->servers[i].text);
        free(c->servers[i].host);
    }
    free(c->servers);
    c->servers = NULL;
    c->servers_count = 0;
}

static int set_servers(struct http_client *c, const struct str *servers, size_t count, struct error *err)
{
    free_servers(c);
    c->server_now = c->failed_servers = 0;
    c->servers = xcalloc(MAX(count, (size_t)1), sizeof(*c->servers));
    for (size_t i = 0; i < count; i++) {
        c->servers_count++;
        if (parse_server(servers[i], &c->servers[i], err) < 0)
            return -1;
    }
    return 0;
}

void http_client_set_servers(struct http_client *c, const struct str *servers, size_t count)
{
    AUTO_ERROR struct error err = { 0 };

    if (set_servers(c, servers, count, &err) < 0)
        log_warn("list of servers not usable", KV_ERR(&err));
}

/* --- life --- */

static void run_assign(void *arg)
{
    client_assign(arg);
}

static void run_freed(void *arg)
{
    struct http_client *c = arg;

    loop_defer_cancel(&c->assign_task);
    free_servers(c);
    tls_context_unref(c->options.tls);
    arena_done(&c->peer_arena);
    loop_fn *on_freed = c->on_freed;
    void *on_freed_arg = c->on_freed_arg;
    free(c);
    if (on_freed)
        on_freed(on_freed_arg);
}

static struct http_client *client_alloc(struct loop *loop)
{
    struct http_client *c = xnew(struct http_client);

    c->loop = loop;
    list_init(&c->connections);
    list_init(&c->waiting);
    list_init(&c->open);
    c->assign_task = (struct loop_task){ .fn = run_assign, .arg = c };
    c->freed_task = (struct loop_task){ .fn = run_freed, .arg = c };
    c->options.calls_max = 4096;
    return c;
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *o, struct error *err)
{
    struct http_client *c = client_alloc(loop);

    c->options = *o;
    c->options.connections_max = o->connections_max ? o->connections_max : 32;
    c->options.connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 5000;
    c->options.idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : 90000;
    c->options.calls_max = o->calls_max ? o->calls_max : 4096;
    c->options.servers = NULL;
    if (o->tls)
        tls_context_ref(o->tls);
    if (set_servers(c, o->servers, o->servers_count, err) < 0) {
        run_freed(c);
        return NULL;
    }
    for (size_t i = 0; i < c->servers_count; i++) {
        if (c->servers[i].tls && !c->options.tls) {
            fail(err, ERR_BAD_REQUEST, "server '%s' needs TLS", c->servers[i].text);
            run_freed(c);
            return NULL;
        }
    }
    return c;
}

struct http_client *http_client_new_local(struct loop *loop, http_handler *handler, void *arg,
                                          const struct http_peer *peer)
{
    struct http_client *c = client_alloc(loop);
    struct str *organizations;

    c->handler = handler;
    c->handler_arg = arg;
    c->options.calls_max = 100000;
    if (peer) {
        c->peer = *peer;
        c->peer.common_name = arena_str(&c->peer_arena, peer->common_name);
        organizations = arena_alloc_array(&c->peer_arena, peer->organizations_count + 1, sizeof(*organizations));
        for (size_t i = 0; i < peer->organizations_count; i++)
            organizations[i] = arena_str(&c->peer_arena, peer->organizations[i]);
        c->peer.organizations = organizations;
    }
    c->peer.in_process = true;
    return c;
}

struct http_client *client_new_tunnel(struct loop *loop)
{
    struct http_client *c = client_alloc(loop);

    c->is_tunnel = true;
    return c;
}

void client_maybe_freed(struct http_client *c)
{
    if (c->freed && !c->calls_count && !c->connections_count)
        loop_defer(c->loop, &c->freed_task);
}

void http_client_free(struct http_client *c)
{
    static const struct error closed = { .code = ERR_UNAVAILABLE,
                                         .message = (char *)(uintptr_t) "the client was closed" };

    if (!c || c->freed)
        return;
    c->freed = true;
    list_each (&c->waiting, struct http_call, link, call) {
        list_del(&call->link);
        if (call->ops)
            call->ops->cancel(call);
        call_failed(call, &closed);
    }
    list_each (&c->open, struct http_call, link, call) {
        list_del(&call->link);
        call->ops->cancel(call);
        call_failed(call, &closed);
    }
    list_each (&c->connections, struct client_connection, link, cc)
        client_connection_close(cc, &closed);
    client_maybe_freed(c);
}

void http_client_free_then(struct http_client *c, loop_fn *freed, void *arg)
{
    c->on_freed = freed;
    c->on_freed_arg = arg;
    http_client_free(c);
}

void http_client_set_tls(struct http_client *c, struct tls_context *tls)
{
    if (tls)
        tls_context_ref(tls);
    tls_context_unref(c->options.tls);
    c->options.tls = tls;
}

struct loop *http_client_loop(const struct http_client *c)
{
    return c->loop;
}

/* --- assignment --- */

void client_later(struct http_client *c)
{
    loop_defer(c->loop, &c->assign_task);
}

/* Every server was tried in vain: tell those who wait. */
void client_servers_failed(struct http_client *c, const struct error *err)
{
    c->server_now = c->servers_count ? (c->server_now + 1) % c->servers_count : 0;
    if (++c->failed_servers < c->servers_count)
        return;
    c->failed_servers = 0;
    list_each (&c->waiting, struct http_call, link, call) {
        if (call->request.upgrade)
            continue;
        list_del(&call->link);
        call_failed(call, err);
    }
}

void client_server_lost(struct http_client *c, struct str authority)
{
    if (c->servers_count > 1 && str_eq(c->servers[c->server_now].authority, authority))
        c->server_now = (c->server_now + 1) % c->servers_count;
}

static struct client_connection *find_connection(struct http_client *c, size_t *ret_connecting)
{
    *ret_connecting = 0;
    list_each (&c->connections, struct client_connection, link, cc) {
        if (client_connection_has_room(cc))
            return cc;
        *ret_connecting += cc->protocol == CLIENT_CONNECTING && !cc->closing && !cc->http1_wanted;
    }
    return NULL;
}

void client_forget_waiting(struct http_call *call)
{
    list_each (&call->client->connections, struct client_connection, link, cc) {
        if (cc->waiting_for != call)
            continue;
        cc->waiting_for = NULL;
        client_connection_close(cc, NULL);
    }
}

static void assign_upgrade(struct http_client *c, struct http_call *call)
{
    list_each (&c->connections, struct client_connection, link, cc)
        if (cc->waiting_for == call)
            return;
    client_connect(c, true)->waiting_for = call;
}

void client_assign(struct http_client *c)
{
    size_t connecting = 0, wanted = 0;
    static const struct error none = { .code = ERR_UNAVAILABLE, .message = (char *)(uintptr_t) "no server is known" };

    list_each (&c->waiting, struct http_call, link, call) {
        struct client_connection *cc;

        if (c->handler) {
            list_del(&call->link);
            list_add_tail(&c->open, &call->link);
            call_local_start(call);
            continue;
        }
        if (call->request.upgrade && !c->is_tunnel && c->servers_count) {
            assign_upgrade(c, call);
            continue;
        }
        cc = find_connection(c, &connecting);
        if (cc) {
            list_del(&call->link);
            client_connection_start(cc, call);
        } else if (!c->servers_count) {
            list_del(&call->link);
            call_failed(call, &none);
        } else {
            wanted++;
        }
    }
    /* One connection is enough until it turns out that the server speaks HTTP/1.1 only. */
    if (!wanted || connecting || c->connections_count >= c->options.connections_max)
        return;
    client_connect(c, c->options.http1_only);
}
