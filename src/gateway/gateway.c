/*
 * The gateway's life: changes are gathered for a round, planned, and carried out one after the other.
 *
 *   IDLE --something changed--> WORKING (reload or commands) --done--> IDLE, or WORKING again when more changed meanwhile
 */
#define LOG_PART "gateway"
#include "gateway/gateway.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "client/events.h"
#include "gateway/config.h"
#include "gateway/haproxy.h"
#include "gateway/plan.h"
#include "gateway/slots.h"
#include "kinds/fields.h"
#include "object/value.h"

#include <stdlib.h>

#define RETRY_MS       SECOND_MS
#define DRAIN_FIRST_MS 20
#define DRAIN_POLL_MS  500
#define COMMANDS_MAX   (256 * KIB) /* more: a reload is cheaper */

struct gateway {
    struct loop *loop;
    struct env *env;
    struct api *api;
    char *folder, *listen_ip, *publish_ip, *zone;
    struct config_paths paths;
    struct gateway_seen seen;
    struct haproxy *haproxy;
    struct loop_task task;
    struct loop_timer retry, drain;
    bool dirty, working;
    struct slots slots;              /* as HAProxy has them, or will when `working` is over */
    struct gateway_plan applied;     /* what HAProxy does now */
    struct gateway_plan next;        /* what is being carried out */
    char structure[SHA256_HEX_SIZE]; /* of the configuration HAProxy runs; "" unknown: reload */
    char next_structure[SHA256_HEX_SIZE];
    uint64_t revision, next_revision;
    void (*on_applied)(void *arg, uint64_t revision);
    void *on_applied_arg;
    struct map told; /* what was last refused, so that it is told once */
    struct event_recorder *events;
    size_t calls_open;
    bool stopped;
};

/* --- differences as commands ------------------------------------------------------------------------------------------------------------ */

static struct str route_backend(const struct gateway_routes *r, struct str key)
{
    return str_of(map_get(&r->by_key, key));
}

static void add_map_commands(struct buf *to, const char *folder, const char *map, const struct gateway_routes *old,
                             const struct gateway_routes *now)
{
    for (size_t i = 0; i < now->count; i++) {
        struct str key = now->items[i].key, before = route_backend(old, key);
        if (!str_eq(before, now->items[i].backend))
            buf_addf(to, "%s map %s/%s %.*s %.*s\n", before.n ? "set" : "add", folder, map, STR_ARG(key),
                     STR_ARG(now->items[i].backend));
    }
    for (size_t i = 0; i < old->count; i++)
        if (!map_has(&now->by_key, old->items[i].key))
            buf_addf(to, "del map %s/%s %.*s\n", folder, map, STR_ARG(old->items[i].key));
}

/* --- carrying out ------------------------------------------------------------------------------------------------------------------------- */

static void work(struct gateway *g);

static void wake(struct gateway *g)
{
    g->dirty = true;
    if (!g->working && !g->stopped)
        loop_defer(g->loop, &g->task);
}

static void done(struct gateway *g, const struct error *err)
{
    g->working = false;
    if (err) {
        log_error("the gateway could not be changed; the old configuration goes on, trying again", KV_ERR(err));
        g->structure[0] = '\0';
        g->dirty = true;
        gateway_plan_done(&g->next);
        loop_timer_start(&g->retry, RETRY_MS);
        return;
    }
    gateway_plan_done(&g->applied);
    g->applied = g->next;
    g->next = (struct gateway_plan){ 0 };
    memcpy(g->structure, g->next_structure, sizeof(g->structure));
    if (g->next_revision > g->revision) {
        g->revision = g->next_revision;
        if (g->on_applied)
            g->on_applied(g->on_applied_arg, g->revision);
    }
    if (g->dirty)
        wake(g);
}

static void on_reloaded(void *arg, const struct error *err)
{
    done(arg, err);
}

static void on_commanded(void *arg, struct str answer, const struct error *err)
{
    struct gateway *g = arg;
    AUTO_ERROR struct error refused = { 0 };
    struct str line;

    while (!err && str_next(&answer, '\n', &line)) {
        /* Success is silent, or tells what became of an address. */
        if (!line.n || str_starts(line, STR("IP changed")) || str_starts(line, STR("no need to change the addr")))
            continue;
        fail(&refused, ERR_INTERNAL, "HAProxy refuses a command: %.*s", STR_ARG(str_part(line, 0, 200)));
        err = &refused;
    }
    if (!err)
        loop_timer_start(&g->drain, DRAIN_FIRST_MS); /* most are idle at once: slots go round without a reload */
    done(g, err);
}

static void on_drained(void *arg, struct str answer, const struct error *err)
{
    struct gateway *g = arg;

    g->working = false;
    if (!err)
        slots_settle(&g->slots, answer);
    loop_timer_start(&g->drain, DRAIN_POLL_MS);
    if (g->dirty)
        wake(g);
}

static void on_drain(void *arg)
{
    struct gateway *g = arg;
    AUTO_BUF struct buf commands = BUF_MAX(COMMANDS_MAX);

    if (g->working) {
        loop_timer_start(&g->drain, DRAIN_POLL_MS);
    } else if (slots_ask(&g->slots, &commands)) {
        g->working = true;
        haproxy_command(g->haproxy, buf_str(&commands), on_drained, g);
    }
}

/* Once for each sentence about each Ingress, in the log and as an Event. */
static void tell_refused(struct gateway *g)
{
    struct map told = { 0 };

    for (size_t i = 0; i < g->next.refused_count; i++) {
        const struct gateway_refusal *r = &g->next.refused[i];
        struct str namespace_ = object_namespace(r->ingress), name = object_name(r->ingress);
        AUTO_FREE char *key = xasprintf("%.*s/%.*s: %.*s", STR_ARG(namespace_), STR_ARG(name), STR_ARG(r->text));
        if (!map_has(&g->told, str_of(key)) && !map_has(&told, str_of(key))) {
            log_warn("a part of an Ingress is not served",
                     KV("ingress", "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name)), KV_STR("why", r->text));
            event_record(g->events, &kind_ingress, r->ingress, NULL, "Warning", "NotServed", r->text);
        }
        map_put(&told, str_of(key), NULL);
    }
    map_done(&g->told);
    g->told = told;
}

static bool is_synced(const struct gateway *g)
{
    const struct gateway_seen *s = &g->seen;

    return cache_is_synced(s->ingresses) && cache_is_synced(s->classes) && cache_is_synced(s->services) &&
           cache_is_synced(s->slices) && cache_is_synced(s->secrets);
}

static void reload(struct gateway *g)
{
    AUTO_ERROR struct error err = { 0 };

    slots_renew(&g->slots, &g->next);
    if (config_write(&g->next, &g->slots, &g->paths, &err) < 0)
        done(g, &err);
    else
        haproxy_reload(g->haproxy, on_reloaded, g);
}

static void work(struct gateway *g)
{
    AUTO_BUF struct buf commands = BUF_MAX(COMMANDS_MAX);

    g->dirty = false;
    g->working = true;
    gateway_plan_make(&g->next, &g->seen);
    g->next_revision = cache_revision(g->seen.slices);
    config_structure(&g->next, &g->paths, g->next_structure);
    tell_refused(g);
    if (!str_is(str_of(g->structure), g->next_structure) || !haproxy_is_running(g->haproxy) ||
        !slots_assign(&g->slots, &g->next, &commands)) {
        reload(g);
        return;
    }
    add_map_commands(&commands, g->folder, "exact.map", &g->applied.exact, &g->next.exact);
    add_map_commands(&commands, g->folder, "prefix.map", &g->applied.prefix, &g->next.prefix);
    if (commands.full)
        reload(g);
    else if (!commands.n)
        done(g, NULL);
    else
        haproxy_command(g->haproxy, buf_str(&commands), on_commanded, g);
}

static void run(void *arg)
{
    struct gateway *g = arg;

    if (g->working || !g->dirty || !is_synced(g))
        return;
    work(g);
}

static void on_retry(void *arg)
{
    wake(arg);
}

static void on_ended(void *arg)
{
    wake(arg);
}

/* --- Ingress.status ------------------------------------------------------------------------------------------------------------------------- */

static void on_published(void *arg, const struct object *result, const struct error *err)
{
    struct gateway *g = arg;

    (void)result;
    g->calls_open--;
    if (err && err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT && !g->stopped)
        log_warn("the address of an Ingress could not be written", KV_ERR(err));
    if (g->stopped && !g->calls_open)
        free(g);
}

static void publish(struct gateway *g, const struct object *ingress)
{
    struct view list = view_path(object_root(ingress), F_INGRESS_STATUS, F_INGRESS_STATUS_LOAD_BALANCER,
                                 F_INGRESS_LOAD_BALANCER_STATUS_INGRESS);
    AUTO_BUF struct buf patch = BUF_MAX(4 * KIB);

    if (!g->publish_ip || !gateway_is_ours(&g->seen, ingress) ||
        str_is(view_str_at(view_item(list, 0), F_INGRESS_LOAD_BALANCER_INGRESS_IP), g->publish_ip))
        return;
    buf_addf(&patch, "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"%s\"}]}}}", g->publish_ip);
    g->calls_open++;
    api_call(g->api,
             &(struct api_call){ .verb = API_PATCH,
                                 .kind = &kind_ingress,
                                 .namespace_ = object_namespace(ingress),
                                 .name = object_name(ingress),
                                 .subresource = STR("status"),
                                 .patch = buf_str(&patch),
                                 .patch_type = API_PATCH_MERGE,
                                 .grace_seconds = -1 },
             on_published, g);
}

/* --- starting ------------------------------------------------------------------------------------------------------------------------------- */

static void on_change(void *arg, struct cache *c, const struct object *old, const struct object *now)
{
    struct gateway *g = arg;

    (void)old;
    if (now && cache_kind(c) == &kind_ingress)
        publish(g, now);
    wake(g);
}

static void on_progress(void *arg, struct cache *c)
{
    struct gateway *g = arg;

    if (c == g->seen.slices || !g->revision)
        wake(g);
}

static struct cache *open_cache(struct gateway *g, const struct kind *kind, struct str field_selector)
{
    struct cache *c =
        cache_new(g->loop, g->api, &(struct api_watch_request){ .kind = kind, .field_selector = field_selector });

    cache_listen(c, on_change, on_progress, g);
    return c;
}

struct gateway *gateway_start(struct loop *loop, struct env *env, struct api *api, const struct gateway_config *config,
                              struct error *err)
{
    struct gateway *g = xnew(struct gateway);

    *g = (struct gateway){ .loop = loop, .env = env, .api = api, .folder = xstrdup(config->folder) };
    g->listen_ip = config->listen_ip ? xstrdup(config->listen_ip) : NULL;
    g->publish_ip = config->publish_ip ? xstrdup(config->publish_ip) : NULL;
    g->zone = config->zone ? xstrdup(config->zone) : NULL;
    g->paths = (struct config_paths){ .zoned = g->zone,
                                      .folder = g->folder,
                                      .listen_ip = g->listen_ip,
                                      .http_port = config->http_port ? config->http_port : 80,
                                      .https_port = config->https_port ? config->https_port : 443 };
    g->task = (struct loop_task){ .fn = run, .arg = g };
    loop_timer_init(&g->retry, loop, on_retry, g);
    loop_timer_init(&g->drain, loop, on_drain, g);
    if (file_mkdirs(g->folder, 0700, err) < 0 || config_default_certificate(&g->paths, env_wall_ms(env), err) < 0) {
        free(g->folder);
        free(g->listen_ip);
        free(g->publish_ip);
        free(g->zone);
        free(g);
        return NULL;
    }
    g->events = event_recorder_new(loop, api, "klein-gateway", NULL);
    g->haproxy = haproxy_new(loop, g->folder);
    haproxy_on_ended(g->haproxy, on_ended, g);
    g->seen = (struct gateway_seen){
        .ingresses = open_cache(g, &kind_ingress, STR_NONE),
        .classes = open_cache(g, &kind_ingressclass, STR_NONE),
        .services = open_cache(g, &kind_service, STR_NONE),
        .slices = open_cache(g, &kind_endpointslice, STR_NONE),
        .secrets = open_cache(g, &kind_secret, STR("type=kubernetes.io/tls")),
        .zone = g->zone ? str_of(g->zone) : STR_NONE,
    };
    return g;
}

void gateway_stop(struct gateway *g)
{
    if (!g)
        return;
    g->stopped = true;
    loop_defer_cancel(&g->task);
    loop_timer_stop(&g->retry);
    loop_timer_stop(&g->drain);
    cache_free(g->seen.ingresses);
    cache_free(g->seen.classes);
    cache_free(g->seen.services);
    cache_free(g->seen.slices);
    cache_free(g->seen.secrets);
    haproxy_free(g->haproxy);
    slots_done(&g->slots);
    gateway_plan_done(&g->applied);
    gateway_plan_done(&g->next);
    free(g->folder);
    free(g->listen_ip);
    free(g->publish_ip);
    free(g->zone);
    map_done(&g->told);
    event_recorder_free(g->events);
    if (!g->calls_open)
        free(g);
}

void gateway_remove_all(struct gateway *g)
{
    haproxy_kill(g->haproxy);
    file_remove_tree(g->folder, NULL);
}

uint64_t gateway_applied_revision(const struct gateway *g)
{
    return g->revision;
}

void gateway_on_applied(struct gateway *g, void (*applied)(void *arg, uint64_t revision), void *arg)
{
    g->on_applied = applied;
    g->on_applied_arg = arg;
}
