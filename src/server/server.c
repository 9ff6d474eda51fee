/* The server's life: open the store, load the state, start the parts, make what a new cluster needs, listen; and back. */
#include "server/server_internal.h"
#include "server/servers.h"
#include "server/servers_local.h"

#include "base/file.h"
#include "base/time.h"

#define LOG_PART "server"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define STOP_AFTER_MS (10 * SECOND_MS) /* requests in flight get so long to finish */
#define DRAIN_MS      1200             /* before it: the API's virtual address notices in 800 ms */

static const struct {
    int (*init)(struct server *s, struct error *err);
    void (*done)(struct server *s);
} parts[] = {
#define SERVER_PART(name, init, done) { init, done },
#include "server/parts.def"
#undef SERVER_PART
};

static void fill_defaults(struct server_config *c)
{
    c->name = c->name ? c->name : "server";
    c->service_cidr = c->service_cidr ? c->service_cidr : "10.96.0.0/16";
    c->pod_cidr = c->pod_cidr ? c->pod_cidr : "10.244.0.0/16";
    c->node_port_range = c->node_port_range ? c->node_port_range : "30000-32767";
    c->service_account_issuer =
        c->service_account_issuer ? c->service_account_issuer : "https://kubernetes.default.svc.cluster.local";
    c->default_not_ready_toleration_s = c->default_not_ready_toleration_s ? c->default_not_ready_toleration_s : 300;
    c->default_unreachable_toleration_s =
        c->default_unreachable_toleration_s ? c->default_unreachable_toleration_s : 300;
    c->audit_max_bytes = c->audit_max_bytes ? c->audit_max_bytes : 64 * MIB;
    c->requests_max = c->requests_max ? c->requests_max : 400;
    c->mutating_requests_max = c->mutating_requests_max ? c->mutating_requests_max : 200;
    c->compact_every_ms = c->compact_every_ms ? c->compact_every_ms : 5 * MINUTE_MS;
    c->history_min_revisions = c->history_min_revisions ? c->history_min_revisions : 5000;
}

struct server *server_new(const struct server_config *config)
{
    kinds_init();
    struct server *s = xnew(struct server);
    s->config = *config;
    fill_defaults(&s->config);
    s->loop = config->loop;
    s->env = loop_env(config->loop);
    s->started_wall_ms = env_wall_ms(s->env);
    list_init(&s->requests);
    return s;
}

/* --- starting ------------------------------------------------------------------------------------------------------------- */

static void start_failed(struct server *s, struct error *err)
{
    error_move(&s->start_error, err);
    s->start_done(s->start_arg, &s->start_error);
}

static int open_listener(struct server *s, struct error *err)
{
    if (!s->config.listen)
        return 0;
    struct address at;
    struct tls_context *tls = NULL;
    if (address_parse(str_of(s->config.listen), &at, err) < 0)
        return error_context(err, "--listen %s", s->config.listen);
    if (s->config.data_folder && !(tls = server_tls_context(s, err)))
        return -1;
    s->http = http_server_new(s->loop, &(struct http_server_options){ .tls = tls }, server_handler, s);
    tls_context_unref(tls);
    return http_server_listen(s->http, &at, &s->address, err);
}

static void on_bootstrapped(void *arg, const struct error *failed)
{
    struct server *s = arg;
    AUTO_ERROR struct error err = { 0 };
    char text[ADDRESS_TEXT_SIZE];
    if (failed) {
        fail(&err, failed->code, "what every cluster has cannot be made: %s", error_text(failed));
        start_failed(s, &err);
        return;
    }
    if (open_listener(s, &err) < 0) {
        start_failed(s, &err);
        return;
    }
    s->ready = true;
    log_info("server ready", KV("address", "%s", address_format(&s->address, text)),
             KV("revision", "%llu", (unsigned long long)state_revision(s->state)),
             KV("ms", "%lld", (long long)(env_wall_ms(s->env) - s->started_wall_ms)));
    s->start_done(s->start_arg, NULL);
}

static void on_loaded(void *arg, const struct error *failed)
{
    struct server *s = arg;
    AUTO_ERROR struct error err = { 0 };
    if (failed) {
        fail(&err, failed->code, "the store cannot be loaded: %s", error_text(failed));
        start_failed(s, &err);
        return;
    }
    while (s->parts_started < SERVER_PART_COUNT) {
        if (parts[s->parts_started].init(s, &err) < 0) {
            start_failed(s, &err);
            return;
        }
        s->parts_started++;
    }
    if (s->config.no_control)
        on_bootstrapped(s, NULL); /* also what every cluster has must be there as it was saved */
    else
        bootstrap_objects(s, on_bootstrapped, s);
}

/* One server a data folder, whatever its store is; commands see by it that one runs. */
static int take_lock(struct server *s, struct error *err)
{
    if (!s->config.data_folder)
        return 0;
    AUTO_FREE char *path = xasprintf("%s/lock", s->config.data_folder);
    if (file_mkdirs(s->config.data_folder, 0700, err) < 0)
        return -1;
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_sys(err, errno, "open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return fail(err, ERR_UNAVAILABLE, "the data folder '%s' is in use by another klein process",
                    s->config.data_folder);
    s->lock_fd = TAKE_FD(fd);
    return 0;
}

void server_follow_store(struct server *s)
{
    s->store->on_progress = state_on_progress;
    s->store->on_progress_arg = s->state;
}

static void on_store_open(void *arg, const struct error *failed)
{
    struct server *s = arg;
    AUTO_ERROR struct error err = { 0 };
    if (failed) {
        fail(&err, failed->code, "%s", error_text(failed));
        start_failed(s, &err);
        return;
    }
    state_load(s->state, s->store, on_loaded, s);
}

static void open_store(void *arg)
{
    struct server *s = arg;
    if (s->stopping)
        return;
    AUTO_ERROR struct error locked = { 0 };
    s->state = state_new(s->loop, s->env);
    if (take_lock(s, &locked) < 0) {
        on_store_open(s, &locked);
        return;
    }
    if (!s->config.open_store && s->config.data_folder) {
        servers_open(s, on_store_open, s); /* the one place that knows the kinds of stores */
        return;
    }
    AUTO_ERROR struct error err = { 0 };
    if (s->config.open_store)
        s->store = s->config.open_store(s->config.open_store_arg, s->loop, s->env, state_on_change, s->state, &err);
    else
        s->store = store_open_memory(s->loop, s->env, state_on_change, s->state);
    if (s->store)
        server_follow_store(s);
    on_store_open(s, s->store ? NULL : &err);
}

void server_start(struct server *s, server_done_fn *ready, void *arg)
{
    s->start_done = ready;
    s->start_arg = arg;
    loop_post(s->loop, open_store, s);
}

/* --- stopping: no new requests, watches end, writes finish, parts in reverse, the store last ---------------------------------- */

static void on_store_closed(void *arg)
{
    struct server *s = arg;
    server_done_fn *stopped = s->stop_done;
    void *stop_arg = s->stop_arg;
    servers_local_free(s->local);
    state_free(s->state);
    if (s->lock_fd)
        close(s->lock_fd);
    error_done(&s->start_error);
    free(s);
    stopped(stop_arg, NULL);
}

static void stop_parts(struct server *s)
{
    for (size_t i = SERVER_PART_COUNT; i-- > 0;)
        parts[i].done(s);
    if (s->store)
        store_close(s->store, on_store_closed, s);
    else
        loop_post(s->loop, on_store_closed, s);
}

static void cancel_waiting(struct server *s)
{
    list_each (&s->requests, struct request, core.link, r) {
        r->gone = true;
        if (r->cancel)
            r->cancel(r);
    }
}

static void on_stop_timer(void *arg)
{
    struct server *s = arg;
    cancel_waiting(s);
    if (s->requests_count == 0 && !s->http) {
        stop_parts(s);
        return;
    }
    if (env_monotonic_ms(s->env) - s->stop_started_ms > 2 * STOP_AFTER_MS) {
        AUTO_ERROR struct error err = { 0 };
        fail(&err, ERR_TIMEOUT, "%zu requests did not end in time", s->requests_count);
        s->stop_done(s->stop_arg, &err);
        return;
    }
    loop_timer_start(&s->stop_timer, s->requests_count ? 20 : 1);
}

static void on_http_down(void *arg)
{
    struct server *s = arg;
    s->http = NULL;
}

static void stop_now(void *arg)
{
    struct server *s = arg;
    s->stopping = true;
    s->stop_started_ms = env_monotonic_ms(s->env);
    loop_timer_init(&s->stop_timer, s->loop, on_stop_timer, s);
    servers_local_stop(s->local);
    /* First a clean end for every watch: the transport would break them off. */
    cancel_waiting(s);
    if (s->http)
        http_server_shutdown(s->http, STOP_AFTER_MS, on_http_down, s);
    loop_timer_start(&s->stop_timer, 0);
}

/* With others to go to, clients are sent there first; /readyz says so to whoever spreads connections over the servers. */
void server_stop(struct server *s, server_done_fn *stopped, void *arg)
{
    bool others = s->http && s->ready && servers_known(s) > 1;
    s->stop_done = stopped;
    s->stop_arg = arg;
    s->ready = false;
    if (!others) {
        stop_now(s);
        return;
    }
    log_info("clients are sent to the other servers");
    http_server_drain(s->http);
    loop_timer_init(&s->stop_timer, s->loop, stop_now, s);
    loop_timer_start(&s->stop_timer, DRAIN_MS);
}

/* --- small answers ------------------------------------------------------------------------------------------------------------ */

void server_reload_tls(struct server *s)
{
    AUTO_ERROR struct error err = { 0 };
    struct tls_context *tls = s->http ? server_tls_context(s, &err) : NULL;
    if (tls)
        http_server_set_tls(s->http, tls);
    else if (s->http)
        log_error("new certificate not used", KV_ERR(&err));
    tls_context_unref(tls);
}

struct state *server_state(struct server *s)
{
    return s->state;
}

const struct server_config *server_config(const struct server *s)
{
    return &s->config;
}

struct loop *server_loop(struct server *s)
{
    return s->loop;
}

struct env *server_env(struct server *s)
{
    return s->env;
}

bool server_is_ready(const struct server *s)
{
    return s->ready;
}

struct address server_address(const struct server *s)
{
    return s->address;
}

void *server_part(struct server *s, enum server_part part)
{
    return s->parts[part];
}

void server_part_set(struct server *s, enum server_part part, void *p)
{
    s->parts[part] = p;
}
