/* The API's virtual address: the real HAProxy before two HTTPS servers that say whether they are ready. */
#include "../loop/loop_test.h"
#include "../wire/certificates.h"
#include "base/file.h"
#include "gateway/api_proxy.h"
#include "transport/http_client.h"
#include "transport/http_server.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

struct api_server {
    struct http_server *http;
    const char *name;
    char url[80];
    bool refuses;
    unsigned answered;
};

static struct loop *loop;
static struct api_server servers[2];
static struct api_proxy *proxy;
static struct http_client *client;
static struct tls_context *server_tls, *client_tls;
static char folder[4096], virtual_address[64];

/* --- two servers ---------------------------------------------------------------------------------------------------- */

static void handle(struct http_exchange *x, void *arg)
{
    struct api_server *s = arg;

    if (str_is(x->request->path, "/readyz")) {
        http_exchange_respond_bytes(x, s->refuses ? 500 : 200, STR("text/plain"), STR("ok"));
        return;
    }
    s->answered++;
    http_exchange_respond_bytes(x, 200, STR("text/plain"), str_of(s->name));
}

static void make_certificates(void)
{
    AUTO_IDENTITY struct identity ca = ca_make("test CA");
    AUTO_IDENTITY struct identity server = identity_make(&ca, "server", "klein", PKI_SERVER, HOUR_MS);
    AUTO_FREE char *path = xasprintf("%s/ca.crt", folder);

    ASSERT_OK(file_write(path, buf_str(&ca.pem), 0600, NULL), NULL);
    server_tls = server_context(&server, NULL);
    client_tls = client_context(&ca, NULL);
}

static void start_server(struct api_server *s, const char *name)
{
    AUTO_ERROR struct error err = { 0 };
    struct address at, bound;
    char text[ADDRESS_TEXT_SIZE];

    *s = (struct api_server){ .name = name };
    s->http = http_server_new(loop, &(struct http_server_options){ .tls = server_tls }, handle, s);
    ASSERT_OK(address_parse(STR("127.0.0.1:0"), &at, &err), &err);
    ASSERT_OK(http_server_listen(s->http, &at, &bound, &err), &err);
    snprintf(s->url, sizeof(s->url), "https://%s", address_format(&bound, text));
}

static void stop_server(struct api_server *s)
{
    if (s->http)
        http_server_shutdown(TAKE(s->http), 1000, NULL, NULL);
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

struct answer {
    bool over;
    int status;
    char body[64];
};

static void on_answer(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct answer *a = arg;

    a->over = true;
    a->status = err ? 0 : head->status;
    snprintf(a->body, sizeof(a->body), "%.*s", STR_ARG(body));
}

/* Each question on a connection of its own. Returns the name of the server that answered, "" when none did. */
static const char *ask(void)
{
    static struct answer a;
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *url = xasprintf("https://%s", virtual_address);
    const struct str urls[] = { str_of(url) };

    a = (struct answer){ 0 };
    http_client_free(client);
    client = http_client_new(loop,
                             &(struct http_client_options){
                                 .servers = urls, .servers_count = 1, .tls = client_tls, .connect_timeout_ms = 2000 },
                             &err);
    ASSERT_OK(client, &err);
    http_client_fetch(client,
                      &(struct http_call_request){ .method = STR("GET"), .target = STR("/who"), .timeout_ms = 2000 },
                      4096, on_answer, &a);
    RUN_UNTIL(loop, a.over);
    return a.body;
}

/* Nobody else answers any more (ten in a row), or the limit. */
static void wait_for_only(const char *name)
{
    int64_t until_ms = time_monotonic_ms() + 15000;

    for (unsigned in_a_row = 0; in_a_row < 10;) {
        in_a_row = str_is(str_of(ask()), name) ? in_a_row + 1 : 0;
        if (time_monotonic_ms() > until_ms)
            FAIL("'%s' should be the only one to answer", name);
    }
}

static void use(size_t count)
{
    const char *urls[] = { servers[0].url, servers[1].url };

    api_proxy_set_servers(proxy, urls, count);
}

static void start_proxy(void)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *ca = xasprintf("%s/ca.crt", folder);
    AUTO_FREE char *own = xasprintf("%s/api", folder);

    proxy = api_proxy_start(loop, &(struct api_proxy_config){ own, virtual_address, ca }, &err);
    ASSERT_OK(proxy, &err);
}

static pid_t haproxy_pid(void)
{
    AUTO_BUF struct buf text = BUF_MAX(KIB);
    struct str rest, line;
    int64_t pid = 0;

    if (file_read(test_path("api/haproxy.pid"), &text, NULL) < 0)
        return 0;
    rest = buf_str(&text);
    return str_next(&rest, '\n', &line) && str_to_i64(str_trim(line), &pid) ? (pid_t)pid : 0;
}

static void kill_haproxy(void)
{
    pid_t pid = folder[0] ? haproxy_pid() : 0;

    if (pid > 1)
        kill(pid, SIGTERM);
}

static void start(void)
{
    static bool registered;
    struct address at;
    struct http_server *probe;

    if (!registered)
        atexit(kill_haproxy); /* it outlives who started it, also when a test fails */
    registered = true;
    loop = loop_new_system(env_system());
    ASSERT(realpath(test_folder(), folder));
    make_certificates();
    start_server(&servers[0], "one");
    start_server(&servers[1], "two");
    probe = http_server_new(loop, &(struct http_server_options){ 0 }, handle, NULL);
    ASSERT_OK(address_parse(STR("127.0.0.1:0"), &at, NULL), NULL);
    ASSERT_OK(http_server_listen(probe, &at, &at, NULL), NULL);
    address_format(&at, virtual_address);
    http_server_shutdown(probe, 0, NULL, NULL);
    start_proxy();
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void stop(void)
{
    http_client_free(TAKE(client));
    api_proxy_stop(TAKE(proxy));
    kill_haproxy();
    stop_server(&servers[0]);
    stop_server(&servers[1]);
    run_until(loop, never, NULL, 50);
    tls_context_unref(TAKE(server_tls));
    tls_context_unref(TAKE(client_tls));
    loop_free(loop);
    folder[0] = '\0';
}

/* --- what it does --------------------------------------------------------------------------------------------------- */

TEST("a server that is not ready, or gone, gets no connections")
{
    start();
    use(2);
    for (int64_t until_ms = time_monotonic_ms() + 15000; !servers[0].answered || !servers[1].answered;) {
        ask();
        ASSERT(time_monotonic_ms() < until_ms);
    }
    servers[0].refuses = true;
    wait_for_only("two");
    servers[0].refuses = false;
    stop_server(&servers[1]);
    wait_for_only("one");
    stop();
}

TEST("the list of servers can change, and an unchanged one disturbs nobody")
{
    start();
    use(1);
    wait_for_only("one");
    ASSERT_INT(servers[1].answered, 0);
    const char *other[] = { servers[1].url, "https://no.address.example:6443" };
    api_proxy_set_servers(proxy, other, 2);
    wait_for_only("two");
    api_proxy_set_servers(proxy, NULL, 0); /* a mistake is not followed */
    wait_for_only("two");
    stop();
}

TEST("HAProxy outlives klein, and one with the same servers is not reloaded")
{
    pid_t pid;
    struct stat before, after;

    start();
    use(1);
    wait_for_only("one");
    pid = haproxy_pid();
    ASSERT_INT(stat(test_path("api/haproxy.cfg"), &before), 0);
    api_proxy_stop(proxy);
    start_proxy();
    use(1);
    wait_for_only("one");
    ASSERT_INT(haproxy_pid(), pid);
    ASSERT_INT(stat(test_path("api/haproxy.cfg"), &after), 0);
    ASSERT(before.st_ino == after.st_ino);
    use(2);
    servers[0].refuses = true;
    wait_for_only("two");
    ASSERT_INT(haproxy_pid(), pid);
    stop();
}

TEST("an address that is none is told")
{
    AUTO_ERROR struct error err = { 0 };

    loop = loop_new_system(env_system());
    ASSERT(!api_proxy_start(loop, &(struct api_proxy_config){ test_folder(), "here", "ca.crt" }, &err));
    ASSERT_CONTAINS(error_text(&err), "the address of the API, 'here'");
    loop_free(loop);
}
