/* Port forwarding and proxying to pods. */
#include "node/forward.h"

#include "node/json_out.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_S 5

void answer_error(struct http_exchange *x, const struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct json_out j = { .to = &text };
    int status = error_http_status(err->code);

    json_object(&j, NULL);
    json_text(&j, "kind", "Status");
    json_text(&j, "apiVersion", "v1");
    json_object(&j, "metadata");
    json_object_end(&j);
    json_text(&j, "status", "Failure");
    json_text(&j, "message", error_text(err));
    json_text(&j, "reason", error_reason(err->code));
    json_int(&j, "code", status);
    json_object_end(&j);
    http_exchange_respond_bytes(x, status, STR("application/json"), buf_str(&text));
}

/* --- into a network namespace --------------------------------------------------------------------------------------------- */

struct port_job {
    struct agent *agent;
    struct http_exchange *x;
    char *netns;
    uint16_t port;
    int fd, sys;
};

static int connect_to(const struct sockaddr *to, socklen_t n)
{
    struct timeval limit = { .tv_sec = CONNECT_TIMEOUT_S };
    AUTO_FD int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return connect(fd, to, n) < 0 ? -1 : TAKE_FD(fd);
}

/* A thread of its own: setns() changes only it, and it ends. */
static void *connect_thread(void *arg)
{
    struct port_job *j = arg;
    AUTO_FD int ns = open(j->netns, O_RDONLY | O_CLOEXEC);
    struct sockaddr_in v4 = { .sin_family = AF_INET,
                              .sin_port = htons(j->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                               .sin6_port = htons(j->port),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT };

    j->fd = -1;
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
        j->sys = errno;
        return NULL;
    }
    j->fd = connect_to((struct sockaddr *)&v4, sizeof(v4));
    j->sys = errno;
    if (j->fd < 0)
        j->fd = connect_to((struct sockaddr *)&v6, sizeof(v6));
    return NULL;
}

static void port_work(void *arg)
{
    pthread_t thread;
    struct port_job *j = arg;

    j->fd = -1;
    j->sys = pthread_create(&thread, NULL, connect_thread, j);
    if (j->sys == 0)
        pthread_join(thread, NULL);
}

static void port_done(void *arg)
{
    struct port_job *j = arg;
    AUTO_ERROR struct error err = { 0 };

    if (j->fd < 0) {
        fail_sys(&err, j->sys, "connect to port %u in the pod", j->port);
        AUTO_BUF struct buf text = BUF_MAX(4096);
        buf_addf(&text, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"reason\":"
                        "\"ServiceUnavailable\",\"code\":502,\"message\":");
        json_write_str(&text, str_of(error_text(&err)));
        buf_add_char(&text, '}');
        http_exchange_respond_bytes(j->x, 502, STR("application/json"), buf_str(&text));
    } else {
        const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("application/octet-stream") } };
        struct http_response head = { .status = 200, .headers = headers, .headers_count = 1 };
        struct channel *client = http_exchange_channel(j->x, &head);
        static const struct stream_callbacks none = { 0 };
        channel_join(client, channel_of_stream(stream_wrap(j->agent->loop, j->fd, NULL, &none, NULL)), NULL, NULL);
    }
    free(j->netns);
    free(j);
}

void forward_port(struct agent *a, struct http_exchange *x, const char *netns_path, uint16_t port)
{
    struct port_job *j = xnew(struct port_job);
    *j = (struct port_job){ .agent = a, .x = x, .netns = xstrdup(netns_path), .port = port };
    loop_work(a->loop, port_work, port_done, j);
}

/* --- HTTP ------------------------------------------------------------------------------------------------------------------- */

#define REQUEST_BODY_MAX (16 * MIB)

struct proxy {
    struct agent *agent;
    struct http_exchange *x;
    struct http_client *client;
    struct http_call *call;
    struct str target;
    bool started;
};

static bool is_hop_by_hop(struct str name)
{
    static const char *const names[] = { "connection", "keep-alive",     "proxy-authenticate", "proxy-authorization",
                                         "te",         "trailer",        "transfer-encoding",  "upgrade",
                                         "host",       "content-length", "klein-pod-uid" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (str_is(name, names[i]))
            return true;
    }
    return false;
}

static size_t copy_headers(struct arena *a, const struct http_header *from, size_t count, struct http_header **ret)
{
    struct http_header *to = arena_alloc_array(a, count + 1, sizeof(*to));
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (!is_hop_by_hop(from[i].name))
            to[n++] = from[i];
    }
    *ret = to;
    return n;
}

static void proxy_free(struct proxy *p)
{
    if (p->call)
        http_call_cancel(p->call);
    http_client_free(p->client);
    free(p);
}

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct proxy *p = arg;
    AUTO_ARENA struct arena a = { 0 };
    struct http_header *headers;
    (void)call;

    size_t n = copy_headers(&a, head->headers, head->headers_count, &headers);
    struct http_response answer = { .status = head->status, .headers = headers, .headers_count = n };
    p->started = true;
    http_exchange_start(p->x, &answer);
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    struct proxy *p = arg;
    if (!http_exchange_write_copy(p->x, bytes))
        http_call_pause(call);
}

static void on_done(struct http_call *call, const struct error *err, void *arg)
{
    struct proxy *p = arg;
    (void)call;

    p->call = NULL;
    if (p->started && err)
        http_exchange_abort(p->x);
    else if (p->started)
        http_exchange_end(p->x);
    else
        http_exchange_respond_bytes(p->x, 502, STR("text/plain"), str_of(error_text(err)));
    proxy_free(p);
}

static const struct http_call_callbacks call_callbacks = { .on_head = on_head, .on_body = on_body, .on_done = on_done };

static void on_drained(struct http_exchange *x, void *user)
{
    struct proxy *p = user;
    (void)x;
    if (p->call)
        http_call_resume(p->call);
}

static void on_gone(struct http_exchange *x, void *user)
{
    struct proxy *p = user;
    http_exchange_abort(x);
    proxy_free(p);
}

static const struct http_exchange_callbacks exchange_callbacks = { .on_drained = on_drained, .on_gone = on_gone };

static void on_collected(struct http_exchange *x, struct str body, const struct error *err, void *arg)
{
    struct proxy *p = arg;
    struct http_header *headers;

    if (err) {
        http_exchange_abort(x);
        proxy_free(p);
        return;
    }
    size_t n = copy_headers(x->arena, x->request->headers, x->request->headers_count, &headers);
    struct http_call_request r = {
        .method = x->request->method, .target = p->target, .headers = headers, .headers_count = n, .body = body
    };
    http_exchange_set_callbacks(x, &exchange_callbacks, p);
    p->call = http_client_call(p->client, &r, &call_callbacks, p);
}

void forward_http(struct agent *a, struct http_exchange *x, const char *ip, uint16_t port, struct str rest)
{
    struct proxy *p = xnew(struct proxy);
    AUTO_ERROR struct error err = { 0 };
    struct str server = arena_printf(x->arena, "http://%s:%u", ip, port);
    struct http_client_options o = { .servers = &server, .servers_count = 1, .http1_only = true };

    *p = (struct proxy){ .agent = a, .x = x, .client = http_client_new(a->loop, &o, &err) };
    p->target = arena_printf(x->arena, "/%.*s%s%.*s", STR_ARG(rest), x->request->query.n ? "?" : "",
                             STR_ARG(x->request->query));
    if (!p->client) {
        answer_error(x, &err);
        proxy_free(p);
        return;
    }
    http_exchange_collect(x, REQUEST_BODY_MAX, on_collected, p);
}
