/* One question to a container: exec, HTTP, TCP, or a wait. */
#include "node/check.h"

#include "base/time.h"
#include "kinds/fields.h"
#include "node/check_grpc.h"
#include "node/exec_process.h"
#include "object/intstr.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_MAX   (10 * KIB) /* Source: kubelet's maxRespBodyLength */
#define OUTPUT_MAX (10 * KIB)

struct check {
    struct agent *agent;
    check_done *done;
    void *arg;
    struct loop_timer timer; /* sleep, the deadline of TCP, a refusal told later */
    struct process_capture *exec;
    struct http_client *http;
    struct http_call *call;
    struct stream *tcp;
    struct buf received; /* gRPC */
    bool success;
    char *message; /* what the timer tells */
};

static void ignore_closed(struct stream *s, const struct error *err, void *arg)
{
    (void)s, (void)err, (void)arg;
}

static void ignore_read(struct stream *s, struct str bytes, void *arg)
{
    (void)s, (void)bytes, (void)arg;
}

static const struct stream_callbacks ignore_callbacks = { .on_read = ignore_read, .on_closed = ignore_closed };

static void check_free(struct check *c)
{
    loop_timer_stop(&c->timer);
    if (c->exec)
        process_capture_cancel(c->exec);
    if (c->call)
        http_call_cancel(c->call);
    http_client_free(c->http);
    if (c->tcp) {
        stream_set_callbacks(c->tcp, &ignore_callbacks, NULL);
        stream_close(c->tcp);
    }
    buf_done(&c->received);
    free(c->message);
    free(c);
}

void check_cancel(struct check *c)
{
    if (c)
        check_free(c);
}

static void finish(struct check *c, bool success, struct str message)
{
    check_done *done = c->done;
    void *arg = c->arg;
    AUTO_FREE char *copy = str_dup(message);

    check_free(c);
    done(arg, success, str_of(copy));
}

static void on_timer(void *arg)
{
    struct check *c = arg;
    AUTO_FREE char *message = TAKE(c->message);
    finish(c, c->success, str_of(message));
}

/* Tell this after a while, 0 = in the next round. */
static void tell_later(struct check *c, bool success, const char *message, int64_t after_ms)
{
    c->success = success;
    free(c->message);
    c->message = xstrdup(message);
    loop_timer_start(&c->timer, after_ms);
}

/* --- exec ------------------------------------------------------------------------------------------------------------------ */

static void on_exec(void *arg, const struct process_result *result, const struct error *err)
{
    struct check *c = arg;
    AUTO_BUF struct buf text = BUF_MAX(2 * OUTPUT_MAX + 256);

    c->exec = NULL;
    if (err && err->code == ERR_TIMEOUT) {
        finish(c, false, STR("command timed out"));
        return;
    }
    if (err) {
        finish(c, false, str_of(error_text(err)));
        return;
    }
    buf_add(&text, str_trim(result->out));
    if (result->err_out.n) {
        buf_add(&text, text.n ? STR("\n") : STR(""));
        buf_add(&text, str_trim(result->err_out));
    }
    if (!text.n && result->exit.code != 0)
        buf_addf(&text, "command terminated with exit code %d", result->exit.code);
    finish(c, result->exit.code == 0, buf_str(&text));
}

static void start_exec(struct check *c, const struct check_target *t, struct view exec, int64_t timeout_ms)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    struct view command = view_get(exec, F_EXEC_ACTION_COMMAND);
    struct str *args = arena_alloc_array(&a, view_count(command) + 1, sizeof(*args));
    size_t n = 0;
    struct exec_process x;

    for (struct view_iter it = { 0 }; view_next(command, &it);)
        args[n++] = view_str(it.value);
    if (exec_process_prepare(t->agent->runtime, t->container_id, args, n, false, &x, &err) < 0) {
        tell_later(c, false, error_text(&err), 0);
        return;
    }
    struct process_options o = { .argv = x.argv };
    c->exec = process_capture(t->agent->loop, &o, STR_NONE, OUTPUT_MAX, timeout_ms, on_exec, c);
    exec_process_done(&x);
}

/* --- HTTP -------------------------------------------------------------------------------------------------------------------- */

static void on_fetched(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct check *c = arg;
    char text[128];

    c->call = NULL;
    /* A body over the maximum is cut upstream; here the head says enough. */
    if (!head) {
        finish(c, false, str_of(error_text(err)));
        return;
    }
    (void)body;
    snprintf(text, sizeof(text), "HTTP probe failed with statuscode: %d", head->status);
    finish(c, head->status >= 200 && head->status < 400, str_of(text));
}

/* A port number, or the name of a container's port. */
static int64_t find_port(const struct check_target *t, struct view port)
{
    struct intstr p = intstr_of_view(port, INTSTR_INT(0));
    int64_t number;

    if (!p.is_string)
        return p.number;
    for (struct view_iter it = { 0 }; view_next(view_get(t->container, F_CONTAINER_PORTS), &it);) {
        if (str_eq(view_str_at(it.value, F_CONTAINER_PORT_NAME), p.text))
            return view_int_at(it.value, 0, F_CONTAINER_PORT_CONTAINER_PORT);
    }
    return str_to_i64(p.text, &number) ? number : 0;
}

static struct tls_context *insecure_tls(struct error *err)
{
    struct tls_client_options o = { .insecure = true, .http1_only = true };
    return tls_context_new_client(&o, err);
}

static void start_http(struct check *c, const struct check_target *t, struct view get, int64_t timeout_ms)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    bool https = str_is(view_str_at(get, F_HTTP_GET_ACTION_SCHEME), "HTTPS");
    struct str host = view_str_at(get, F_HTTP_GET_ACTION_HOST), path = view_str_at(get, F_HTTP_GET_ACTION_PATH);
    int64_t port = find_port(t, view_get(get, F_HTTP_GET_ACTION_PORT));
    struct view headers = view_get(get, F_HTTP_GET_ACTION_HTTP_HEADERS);
    struct http_header *list = arena_alloc_array(&a, view_count(headers) + 3, sizeof(*list));
    size_t n = 0;
    bool agent = false, accept = false;

    if (port <= 0 || port > 65535) {
        tell_later(c, false, "invalid port number", 0);
        return;
    }
    for (struct view_iter it = { 0 }; view_next(headers, &it);) {
        char *name = arena_strdup(&a, view_str_at(it.value, F_HTTP_HEADER_NAME));
        for (char *p = name; *p; p++)
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        agent = agent || strcmp(name, "user-agent") == 0;
        accept = accept || strcmp(name, "accept") == 0;
        list[n++] = (struct http_header){ str_of(name), view_str_at(it.value, F_HTTP_HEADER_VALUE) };
    }
    if (!agent)
        list[n++] =
            (struct http_header){ STR("user-agent"), t->hook ? STR("kube-lifecycle/1.36") : STR("kube-probe/1.36") };
    if (!accept)
        list[n++] = (struct http_header){ STR("accept"), STR("*/*") };
    struct str server = arena_printf(&a, "%s://%.*s:%lld", https ? "https" : "http",
                                     STR_ARG(host.n ? host : str_of(t->ip)), (long long)port);
    struct tls_context *tls = https ? insecure_tls(&err) : NULL;
    struct http_client_options o = {
        .servers = &server, .servers_count = 1, .tls = tls, .http1_only = true, .connect_timeout_ms = timeout_ms
    };
    c->http = http_client_new(t->agent->loop, &o, &err);
    tls_context_unref(tls);
    if (!c->http) {
        tell_later(c, false, error_text(&err), 0);
        return;
    }
    struct http_call_request r = { .method = STR("GET"),
                                   .target =
                                       str_starts(path, STR("/")) ? path : arena_printf(&a, "/%.*s", STR_ARG(path)),
                                   .headers = list,
                                   .headers_count = n,
                                   .timeout_ms = timeout_ms,
                                   .total_timeout_ms = timeout_ms };
    c->call = http_client_fetch(c->http, &r, BODY_MAX * 100, on_fetched, c);
}

/* --- TCP ----------------------------------------------------------------------------------------------------------------------- */

static void on_connected(struct stream *s, void *arg)
{
    struct check *c = arg;
    (void)s;
    finish(c, true, STR_NONE);
}

static void on_tcp_closed(struct stream *s, const struct error *err, void *arg)
{
    struct check *c = arg;
    (void)s;
    c->tcp = NULL;
    finish(c, false, str_of(error_text(err)));
}

static const struct stream_callbacks tcp_callbacks = { .on_open = on_connected,
                                                       .on_read = ignore_read,
                                                       .on_closed = on_tcp_closed };

static void start_tcp(struct check *c, const struct check_target *t, struct view tcp, int64_t timeout_ms)
{
    struct str host = view_str_at(tcp, F_TCP_SOCKET_ACTION_HOST);
    int64_t port = find_port(t, view_get(tcp, F_TCP_SOCKET_ACTION_PORT));
    AUTO_ERROR struct error err = { 0 };
    struct address to;
    struct stream_options o = { .connect_timeout_ms = timeout_ms };

    if (port <= 0 || port > 65535 || address_of_ip(host.n ? host : str_of(t->ip), (uint16_t)port, &to, &err) < 0) {
        tell_later(c, false, err.message ? error_text(&err) : "invalid port number", 0);
        return;
    }
    c->tcp = stream_connect(t->agent->loop, &to, &o, &tcp_callbacks, c);
}

/* --- gRPC ------------------------------------------------------------------------------------------------------------ */

static void on_grpc_timeout(void *arg)
{
    finish(arg, false, STR("timeout: health rpc did not complete in time"));
}

static void on_grpc_read(struct stream *s, struct str bytes, void *arg)
{
    struct check *c = arg;
    (void)s;

    buf_add(&c->received, bytes);
    enum grpc_health h = c->received.full ? GRPC_BROKEN : grpc_health_answer(buf_str(&c->received));
    if (h == GRPC_SERVING)
        finish(c, true, STR_NONE);
    else if (h == GRPC_NOT_SERVING)
        finish(c, false, STR("service unhealthy (responded with \"NOT_SERVING\")"));
    else if (h == GRPC_BROKEN)
        finish(c, false, STR("error: health rpc probe failed"));
}

static const struct stream_callbacks grpc_callbacks = { .on_read = on_grpc_read, .on_closed = on_tcp_closed };

static void start_grpc(struct check *c, const struct check_target *t, struct view grpc, int64_t timeout_ms)
{
    AUTO_BUF struct buf request = BUF_MAX(16 * KIB);
    AUTO_FREE char *authority = NULL;
    int64_t port = view_int_at(grpc, 0, F_GRPC_ACTION_PORT);
    struct stream_options o = { .connect_timeout_ms = timeout_ms };
    struct address to;

    if (port <= 0 || port > 65535 || address_of_ip(str_of(t->ip), (uint16_t)port, &to, NULL) < 0) {
        tell_later(c, false, "invalid port number", 0);
        return;
    }
    authority = xasprintf("%s:%lld", t->ip, (long long)port);
    grpc_health_request(&request, str_of(authority), view_str_at(grpc, F_GRPC_ACTION_SERVICE));
    c->received = (struct buf)BUF_MAX(2 * GRPC_ANSWER_MAX);
    loop_timer_init(&c->timer, t->agent->loop, on_grpc_timeout, c);
    loop_timer_start(&c->timer, timeout_ms);
    c->tcp = stream_connect(t->agent->loop, &to, &o, &grpc_callbacks, c);
    stream_write(c->tcp, buf_str(&request));
}

/* --- all --------------------------------------------------------------------------------------------------------------------------- */

bool check_is_cheap(struct view handler)
{
    return !view_present(view_get(handler, F_PROBE_EXEC));
}

struct check *check_start(const struct check_target *target, struct view handler, int64_t timeout_ms, check_done *done,
                          void *arg)
{
    struct check *c = xnew(struct check);
    struct view part;

    *c = (struct check){ .agent = target->agent, .done = done, .arg = arg };
    loop_timer_init(&c->timer, target->agent->loop, on_timer, c);
    if (view_present(part = view_get(handler, F_PROBE_EXEC)))
        start_exec(c, target, part, timeout_ms);
    else if (view_present(part = view_get(handler, F_PROBE_HTTP_GET)))
        start_http(c, target, part, timeout_ms);
    else if (view_present(part = view_get(handler, F_PROBE_TCP_SOCKET)))
        start_tcp(c, target, part, timeout_ms);
    else if (view_present(part = view_get(handler, F_PROBE_GRPC)))
        start_grpc(c, target, part, timeout_ms);
    else if (view_present(part = view_get(handler, F_LIFECYCLE_HANDLER_SLEEP)))
        tell_later(c, true, "", MIN(view_int_at(part, 0, F_SLEEP_ACTION_SECONDS) * SECOND_MS, timeout_ms));
    else
        tell_later(c, false, "this kind of probe is not supported", 0);
    return c;
}
