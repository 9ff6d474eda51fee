/* The API's virtual address: a list of servers becomes a HAProxy configuration, and a change of the list a reload. */
#define LOG_PART "gateway"
#include "gateway/api_proxy.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "gateway/haproxy.h"
#include "loop/address.h"

#include <stdlib.h>

#define CONFIG_MAX (64 * KIB)
#define RETRY_MS   SECOND_MS

struct api_proxy {
    struct loop *loop;
    struct api_proxy_config config; /* own copies */
    struct haproxy *haproxy;
    struct loop_timer retry;
    char *wanted;  /* configuration that should run; NULL: none yet */
    char *running; /* configuration that runs; NULL: unknown */
    char *loading; /* given to haproxy_reload(), which has not answered */
};

/*
 * Connections live as long as a watch: an hour without a byte ends them, and a dead peer is found by keep-alives. A server counts as
 * gone after two missed checks (under a second), and its connections are cut, so that clients hanging on it dial again. The
 * server's chain is verified; its names are the clients' affair, who see the server's own certificate. Without a
 * right to read /readyz (no anonymous access) a refusal proves life as well.
 */
static const char fixed[] = "defaults\n"
                            "    mode tcp\n"
                            "    timeout connect 400ms\n"
                            "    timeout client 1h\n"
                            "    timeout server 1h\n"
                            "    timeout client-fin 10s\n"
                            "    timeout server-fin 10s\n"
                            "    timeout check 400ms\n"
                            "    retries 4\n"
                            "    option redispatch 1\n"
                            "    option clitcpka\n"
                            "    option srvtcpka\n"
                            "    srvtcpka-idle 2s\n"
                            "    srvtcpka-intvl 1s\n"
                            "    srvtcpka-cnt 3\n";

static void add_backend(struct buf *to, const struct api_proxy_config *config, const char *name, const char *path,
                        const char *const *addresses, size_t count)
{
    buf_addf(to,
             "backend %s\n    balance leastconn\n    option httpchk GET %s HTTP/1.1\\r\\nHost:\\ klein\n"
             "    http-check expect rstatus ^(200|401|403)$\n"
             "    default-server check check-ssl verify required ca-file %s inter 400ms fall 2 rise 1 "
             "on-marked-down shutdown-sessions\n",
             name, path, config->ca_file);
    for (size_t i = 0; i < count; i++)
        buf_addf(to, "    server server%zu %s\n", i + 1, addresses[i]);
}

/* Servers that are not ready (their store has no majority, its disk is full) still answer reads: they get what no ready one can take. */
void api_proxy_config_text(struct buf *to, const struct api_proxy_config *config, const char *const *addresses,
                           size_t count)
{
    buf_addf(to,
             "# Written by klein; changes are lost. Passes connections to the API servers.\n"
             "global\n    stats socket %s/runtime.sock mode 600 level admin expose-fd listeners\n"
             "    maxconn 4000\n    nbthread 1\n    hard-stop-after 1h\n    tune.bufsize 16384\n    "
             "tune.ssl.default-dh-param 2048\n",
             config->folder);
    buf_add_text(to, fixed);
    buf_addf(
        to,
        "frontend api\n    bind %s\n    use_backend living if { nbsrv(servers) eq 0 }\n    default_backend servers\n",
        config->listen);
    add_backend(to, config, "servers", "/readyz", addresses, count);
    add_backend(to, config, "living", "/livez", addresses, count);
}

/* --- reloads ------------------------------------------------------------------------------------------------------ */

static void load(struct api_proxy *p);

static void on_reloaded(void *arg, const struct error *err)
{
    struct api_proxy *p = arg;

    if (err) {
        log_error("the API's virtual address could not be changed; the old servers stay, trying again", KV_ERR(err));
        free(TAKE(p->loading));
        loop_timer_start(&p->retry, RETRY_MS);
        return;
    }
    free(p->running);
    p->running = TAKE(p->loading);
    load(p);
}

static void load(struct api_proxy *p)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *path = xasprintf("%s/haproxy.cfg.new", p->config.folder);

    if (p->loading || !p->wanted)
        return;
    if (p->running && !strcmp(p->running, p->wanted) && haproxy_is_running(p->haproxy))
        return;
    if (file_write(path, str_of(p->wanted), 0600, &err) < 0) {
        log_error("the API's virtual address could not be changed, trying again", KV_ERR(&err));
        loop_timer_start(&p->retry, RETRY_MS);
        return;
    }
    p->loading = xstrdup(p->wanted);
    haproxy_reload(p->haproxy, on_reloaded, p);
}

static void on_retry(void *arg)
{
    load(arg);
}

/* An earlier agent's HAProxy goes on: with the same servers it needs no reload, and nobody's watch ends. */
static void read_running(struct api_proxy *p)
{
    AUTO_FREE char *path = xasprintf("%s/haproxy.cfg", p->config.folder);
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);

    if (file_read(path, &text, NULL) == 0)
        p->running = str_dup(buf_str(&text));
}

/* --- the door ----------------------------------------------------------------------------------------------------- */

struct api_proxy *api_proxy_start(struct loop *loop, const struct api_proxy_config *config, struct error *err)
{
    struct address at;

    if (address_parse(str_of(config->listen), &at, err) < 0) {
        error_context(err, "the address of the API, '%s'", config->listen);
        return NULL;
    }
    if (file_mkdirs(config->folder, 0700, err) < 0)
        return NULL;
    struct api_proxy *p = xnew(struct api_proxy);
    p->loop = loop;
    p->config = (struct api_proxy_config){ xstrdup(config->folder), xstrdup(config->listen), xstrdup(config->ca_file) };
    loop_timer_init(&p->retry, loop, on_retry, p);
    p->haproxy = haproxy_new(loop, p->config.folder);
    haproxy_on_ended(p->haproxy, on_retry, p);
    if (haproxy_is_running(p->haproxy))
        read_running(p);
    return p;
}

void api_proxy_set_servers(struct api_proxy *p, const char *const *urls, size_t count)
{
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);
    char texts[API_PROXY_SERVERS_MAX][ADDRESS_TEXT_SIZE];
    const char *addresses[API_PROXY_SERVERS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < count && n < API_PROXY_SERVERS_MAX; i++) {
        struct str rest = str_of(urls[i]), authority;
        struct address at;
        if (str_starts(rest, STR("https://")))
            rest = str_from(rest, STR("https://").n);
        str_next(&rest, '/', &authority);
        if (address_parse(authority, &at, NULL) < 0) {
            log_warn("a server is left out of the API's virtual address: no IP address and port",
                     KV("url", "%s", urls[i]));
            continue;
        }
        addresses[n] = address_format(&at, texts[n]);
        n++;
    }
    if (!n)
        return; /* an empty list is a mistake somewhere: the servers known so far are better */
    api_proxy_config_text(&text, &p->config, addresses, n);
    free(p->wanted);
    p->wanted = str_dup(buf_str(&text));
    load(p);
}

void api_proxy_stop(struct api_proxy *p)
{
    if (!p)
        return;
    loop_timer_stop(&p->retry);
    haproxy_free(p->haproxy);
    free(p->wanted);
    free(p->running);
    free(p->loading);
    free((char *)(uintptr_t)p->config.folder);
    free((char *)(uintptr_t)p->config.listen);
    free((char *)(uintptr_t)p->config.ca_file);
    free(p);
}
