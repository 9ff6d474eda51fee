/* The real HAProxy, with the files and commands the gateway gives it, on loopback ports. */
#include "../loop/loop_test.h"
#include "base/file.h"
#include "base/time.h"
#include "gateway/config.h"
#include "gateway/haproxy.h"
#include "loop/stream.h"

#include <signal.h>

/* A server that answers every request with its name and the request it got. */
struct pod {
    struct listener *listener;
    const char *name;
    char address[ADDRESS_TEXT_SIZE];
};

struct client {
    struct buf answer;
    struct str request;
    bool closed;
};

static struct loop *loop;
static struct haproxy *haproxy;
static struct config_paths paths;
static struct slots slots;
static struct pod pods[2];
static struct gateway_server servers[2];
static struct gateway_backend backend = { .name = { "be_default_web_80", 17 }, .servers = servers };
static struct gateway_backend *backends[] = { &backend };
static struct gateway_route exact[] = { { { "a.example/only", 14 }, { "be_default_web_80", 17 } } };
static struct gateway_route prefix[] = { { { "a.example/shop/", 15 }, { "be_default_web_80", 17 } },
                                         { { "*.b.example/", 12 }, { "be_default_web_80", 17 } },
                                         { { "c.example/", 10 }, { "be_none", 7 } } };
static struct gateway_plan plan = { .exact = { .items = exact, .count = 1 },
                                    .prefix = { .items = prefix, .count = 3 },
                                    .backends = backends,
                                    .backends_count = 1 };
static char folder[4096];
static pid_t haproxy_pid;

/* --- pods ----------------------------------------------------------------------------------------------------------------------- */

static void pod_read(struct stream *s, struct str bytes, void *arg)
{
    const struct pod *pod = arg;
    AUTO_BUF struct buf answer = BUF_MAX(64 * KIB);

    if (str_contains(bytes, STR("upgrade: websocket"))) {
        stream_write(s, STR("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        return;
    }
    if (str_is(bytes, "hello")) {
        stream_write(s, STR("echo hello"));
        stream_close_after_write(s, 1000);
        return;
    }

    buf_addf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s\n%.*s", strlen(pod->name) + 1 + bytes.n,
             pod->name, STR_ARG(bytes));
    stream_write(s, buf_str(&answer));
}

static void pod_closed(struct stream *s, const struct error *err, void *arg)
{
    (void)s;
    (void)err;
    (void)arg;
}

static void pod_stream(struct listener *l, struct stream *s, void *arg)
{
    static const struct stream_callbacks callbacks = { .on_read = pod_read, .on_closed = pod_closed };

    (void)l;
    stream_set_callbacks(s, &callbacks, arg);
}

static struct listener *listen_anywhere(const struct listener_callbacks *callbacks, void *arg,
                                        char text[ADDRESS_TEXT_SIZE])
{
    AUTO_ERROR struct error err = { 0 };
    struct address at, got;
    struct listener *l;

    ASSERT_OK(address_parse(STR("127.0.0.1:0"), &at, &err), &err);
    l = listener_new(loop, &at, NULL, callbacks, arg, &err);
    ASSERT_OK(l, &err);
    got = listener_address(l);
    address_format(&got, text);
    return l;
}

static uint16_t unused_port(void)
{
    static const struct listener_callbacks callbacks = { .on_stream = pod_stream };
    char text[ADDRESS_TEXT_SIZE];
    struct listener *l = listen_anywhere(&callbacks, NULL, text);
    struct address at = listener_address(l);

    listener_close(l);
    return address_port(&at);
}

/* --- clients ---------------------------------------------------------------------------------------------------------------------- */

static void client_open(struct stream *s, void *arg)
{
    stream_write(s, ((struct client *)arg)->request);
}

static void client_read(struct stream *s, struct str bytes, void *arg)
{
    (void)s;
    buf_add(&((struct client *)arg)->answer, bytes);
}

static void client_closed(struct stream *s, const struct error *err, void *arg)
{
    (void)s;
    (void)err;
    ((struct client *)arg)->closed = true;
}

/* What comes back until the connection ends; requests should ask for that. Lives until the next call. */
static struct str ask(const char *request)
{
    static const struct stream_callbacks callbacks = { .on_open = client_open,
                                                       .on_read = client_read,
                                                       .on_closed = client_closed };
    static struct client c;
    struct address at;
    AUTO_FREE char *text = xasprintf("127.0.0.1:%u", paths.http_port);

    buf_done(&c.answer);
    c = (struct client){ .answer = BUF_MAX(MIB), .request = str_of(request) };
    ASSERT_OK(address_parse(str_of(text), &at, NULL), NULL);
    stream_connect(loop, &at, NULL, &callbacks, &c);
    RUN_UNTIL(loop, c.closed);
    return buf_str(&c.answer);
}

static struct str get(const char *host, const char *path)
{
    AUTO_FREE char *request = xasprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);

    return ask(request);
}

/* --- HAProxy ---------------------------------------------------------------------------------------------------------------------- */

struct outcome {
    bool over;
    struct error err;
    struct buf answer;
};

static void on_done(void *arg, const struct error *err)
{
    struct outcome *o = arg;

    if (err)
        fail(&o->err, err->code, "%s", error_text(err));
    o->over = true;
}

static void on_answer(void *arg, struct str answer, const struct error *err)
{
    struct outcome *o = arg;

    buf_add(&o->answer, answer);
    on_done(o, err);
}

static void reload(void)
{
    AUTO_ERROR struct error err = { 0 };
    struct outcome o = { 0 };

    slots_renew(&slots, &plan);
    ASSERT_OK(config_write(&plan, &slots, &paths, &err), &err);
    haproxy_reload(haproxy, on_done, &o);
    ASSERT(run_until(loop, run_until_flag, &o.over, 20000));
    ASSERT_OK(o.err.code == 0, &o.err);
}

static void command(struct str commands, struct buf *ret_answer)
{
    struct outcome o = { .answer = BUF_MAX(MIB) };

    haproxy_command(haproxy, commands, on_answer, &o);
    RUN_UNTIL(loop, o.over);
    ASSERT_OK(o.err.code == 0, &o.err);
    *ret_answer = o.answer;
}

/* Also when a test fails: HAProxy outlives who started it. */
static void kill_haproxy(void)
{
    if (haproxy_pid > 1)
        kill(haproxy_pid, SIGTERM);
    haproxy_pid = 0;
}

static pid_t read_pid(void)
{
    AUTO_BUF struct buf text = BUF_MAX(KIB);
    struct str rest, line;
    int64_t pid = 0;

    ASSERT_OK(file_read(test_path("haproxy.pid"), &text, NULL), NULL);
    rest = buf_str(&text);
    ASSERT(str_next(&rest, '\n', &line) && str_to_i64(str_trim(line), &pid));
    return (pid_t)pid;
}

static void start(void)
{
    static const struct listener_callbacks callbacks = { .on_stream = pod_stream };
    static bool registered;
    AUTO_ERROR struct error err = { 0 };

    if (!registered)
        atexit(kill_haproxy);
    registered = true;
    kill_haproxy();
    loop = loop_new_system(env_system());
    for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
        pods[i].name = i == 0 ? "pod-one" : "pod-two";
        pods[i].listener = listen_anywhere(&callbacks, &pods[i], pods[i].address);
        servers[i] = (struct gateway_server){ str_of(pods[i].name), str_of(pods[i].address) };
    }
    backend.count = 1;
    ASSERT(realpath(test_folder(), folder));
    paths = (struct config_paths){
        .folder = folder, .listen_ip = "127.0.0.1", .http_port = unused_port(), .https_port = unused_port()
    };
    ASSERT_OK(config_default_certificate(&paths, time_wall_ms(), &err), &err);
    haproxy = haproxy_new(loop, folder);
    reload();
    haproxy_pid = read_pid();
}

static bool is_gone(void *arg)
{
    (void)arg;
    return !haproxy_is_running(haproxy);
}

static void stop(void)
{
    haproxy_kill(haproxy);
    ASSERT(run_until(loop, is_gone, NULL, 5000));
    haproxy_pid = 0;
    haproxy_free(haproxy);
    slots_done(&slots);
    for (size_t i = 0; i < ARRAY_SIZE(pods); i++)
        listener_close(pods[i].listener);
    loop_free(loop);
}

/* --- what it does ----------------------------------------------------------------------------------------------------------------- */

TEST("rules match hosts and paths element by element, and nothing goes around them")
{
    static const struct {
        const char *host, *path;
        int status;
    } requests[] = {
        { "a.example", "/only", 200 },          { "A.EXAMPLE:80", "/only", 200 },
        { "a.example.", "/only", 200 },         { "a.example", "/only/", 404 },
        { "a.example", "/ONLY", 404 },          { "a.example", "/onl%79", 200 },
        { "a.example", "/shop", 200 },          { "a.example", "/shop/x?y=/../z", 200 },
        { "a.example", "//shop//x", 200 },      { "a.example", "/shopping", 404 },
        { "a.example", "/shop/../only", 400 },  { "a.example", "/shop/%2e%2E/only", 400 },
        { "a.example", "/shop%2f..%2fx", 400 }, { "a.example", "/only%00.txt", 400 },
        { "a.example", "/only/.", 400 },        { "a.example", "/only..x", 404 },
        { "x.b.example", "/any", 200 },         { "x.y.b.example", "/any", 404 },
        { "b.example", "/any", 404 },           { "*.b.example", "/any", 400 },
        { "a.example/shop", "/", 400 },         { "c.example", "/", 503 },
        { "other.example", "/only", 404 },
    };

    start();
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        AUTO_FREE char *expected = xasprintf("HTTP/1.1 %d ", requests[i].status);
        struct str answer = get(requests[i].host, requests[i].path);
        if (!str_starts(answer, str_of(expected)))
            FAIL("%s%s: expected %s, got %.*s", requests[i].host, requests[i].path, expected,
                 STR_ARG(str_part(answer, 0, 40)));
    }
    stop();
}

TEST("requests that two parsers could read in two ways are refused")
{
    static const char *const requests[] = {
        "GET /only HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "POST /only HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST /only HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5, 6\r\n\r\nabcdef",
        "POST /only HTTP/1.1\r\nHost: a.example\r\nContent-Length: +5\r\n\r\nabcde",
        "POST /only HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        "GET /only HTTP/1.1\r\nHost: a.example\r\nX : y\r\n\r\n",
        "GET /only HTTP/1.1\r\nHost: a.example\r\nX: a\r\n b\rc\r\n\r\n",
        "GET /on ly HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /only\r\n HTTP/1.1\r\nHost: a.example\r\n\r\n",
    };

    start();
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct str answer = ask(requests[i]);
        if (!str_starts(answer, STR("HTTP/1.1 400 ")))
            FAIL("%s: got %.*s", requests[i], STR_ARG(str_part(answer, 0, 200)));
    }
    stop();
}

TEST("a length beside chunks does not reach the pod")
{
    struct str answer;

    start();
    answer = ask("POST /only HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 6\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    ASSERT(str_starts(answer, STR("HTTP/1.1 400 ")) || !str_contains(answer, STR("content-length: 6")));
    stop();
}

TEST("a client cannot say where it comes from")
{
    struct str answer;

    start();
    answer =
        ask("GET /only HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-Forwarded-For: 6.6.6.6\r\n"
            "x-forwarded-proto: evil\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Prefix: evil\r\nX-Real-IP: 6.6.6.6\r\n"
            "Forwarded: for=6.6.6.6\r\n\r\n");
    ASSERT_CONTAINS(answer, "x-forwarded-for: 127.0.0.1\r\n");
    ASSERT_CONTAINS(answer, "x-forwarded-proto: http\r\n");
    ASSERT_CONTAINS(answer, "x-forwarded-host: a.example\r\n");
    ASSERT(!str_contains(answer, STR("6.6.6.6")));
    ASSERT(!str_contains(answer, STR("evil")));
    stop();
}

static void upgraded_read(struct stream *s, struct str bytes, void *arg)
{
    struct client *c = arg;

    if (!c->answer.n)
        stream_write(s, STR("hello"));
    buf_add(&c->answer, bytes);
}

TEST("an upgraded connection carries bytes both ways")
{
    static const struct stream_callbacks callbacks = { .on_open = client_open,
                                                       .on_read = upgraded_read,
                                                       .on_closed = client_closed };
    struct client c = {
        .answer = BUF_MAX(KIB),
        .request =
            STR("GET /only HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: "
                "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    };
    struct address at;
    AUTO_FREE char *text = NULL;

    start();
    text = xasprintf("127.0.0.1:%u", paths.http_port);
    ASSERT_OK(address_parse(str_of(text), &at, NULL), NULL);
    stream_connect(loop, &at, NULL, &callbacks, &c);
    RUN_UNTIL(loop, c.closed);
    ASSERT_CONTAINS(c.answer, "HTTP/1.1 101 ");
    ASSERT_CONTAINS(c.answer, "echo hello");
    buf_done(&c.answer);
    stop();
}

TEST("endpoints move without a reload, and drained slots are free again")
{
    AUTO_BUF struct buf commands = BUF_MAX(64 * KIB);
    struct buf answer;

    start();
    ASSERT_CONTAINS(get("a.example", "/only"), "pod-one");
    servers[0] = servers[1];
    ASSERT(slots_assign(&slots, &plan, &commands));
    command(buf_str(&commands), &answer);
    buf_done(&answer);
    ASSERT_CONTAINS(get("a.example", "/only"), "pod-two");
    ASSERT_CONTAINS(ask("POST /only HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"),
                    "pod-two");
    buf_truncate(&commands, 0);
    ASSERT(slots_ask(&slots, &commands));
    command(buf_str(&commands), &answer);
    slots_settle(&slots, buf_str(&answer));
    buf_done(&answer);
    ASSERT_INT(slots_of(&slots, backend.name)->slots[0].state, SLOT_FREE);
    stop();
}

TEST("more commands than fit one line are all carried out")
{
    AUTO_BUF struct buf commands = BUF_MAX(MIB);
    struct buf answer;

    start();
    for (int i = 0; i < 3000; i++)
        buf_addf(&commands, "add map %s/exact.map a.example/route-%d be_default_web_80\n", folder, i);
    command(buf_str(&commands), &answer);
    buf_done(&answer);
    ASSERT_CONTAINS(get("a.example", "/route-0"), "pod-one");
    ASSERT_CONTAINS(get("a.example", "/route-2999"), "pod-one");
    stop();
}

TEST("HAProxy of an earlier agent goes on and is reloaded, not started twice")
{
    start();
    haproxy_free(haproxy);
    ASSERT_CONTAINS(get("a.example", "/only"), "pod-one");
    haproxy = haproxy_new(loop, folder);
    ASSERT(haproxy_is_running(haproxy));
    servers[0] = servers[1];
    reload();
    ASSERT_CONTAINS(get("a.example", "/only"), "pod-two");
    stop();
}

TEST("a refused configuration leaves the old one in place")
{
    AUTO_FREE char *path = NULL;
    struct outcome o = { 0 };

    start();
    path = xasprintf("%s/haproxy.cfg.new", folder);
    ASSERT_OK(file_write(path, STR("global\n    nonsense\n"), 0600, NULL), NULL);
    haproxy_reload(haproxy, on_done, &o);
    RUN_UNTIL(loop, o.over);
    ASSERT_INT(o.err.code, ERR_INVALID);
    error_done(&o.err);
    ASSERT_CONTAINS(get("a.example", "/only"), "pod-one");
    stop();
}
