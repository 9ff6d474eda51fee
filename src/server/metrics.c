/* Metrics: a counter and a histogram for each sort of request, gauges from the table metrics.def. */
#include "server/metrics.h"

#include "base/file.h"
#include "base/map.h"
#include "server/discovery.h"
#include "server/fresh.h"
#include "server/leader.h"
#include "server/backup.h"
#include "server/server_internal.h"
#include "server/servers.h"

#include <stdlib.h>
#include <unistd.h>

#define SERIES_MAX 4096 /* sorts of requests remembered; further ones are counted as "other" */

static const double bounds_s[] = { 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1,  1.25, 1.5, 2,
                                   3,     4,     5,    6,   8,   10,  15,  20,  30, 45,   60 };

struct series {
    uint64_t count, buckets[ARRAY_SIZE(bounds_s)];
    double sum_s;
};

struct metrics {
    struct map requests;  /* labels with the code -> uint64_t * */
    struct map durations; /* labels without -> struct series * */
};

int metrics_init(struct server *s, struct error *err)
{
    (void)err;
    server_part_set(s, SERVER_PART_metrics, xnew(struct metrics));
    return 0;
}

static void free_values(struct map *m)
{
    void *value;
    for (size_t i = 0; map_next(m, &i, NULL, &value);)
        free(value);
    map_done(m);
}

void metrics_done(struct server *s)
{
    struct metrics *m = server_part(s, SERVER_PART_metrics);
    if (!m)
        return;
    free_values(&m->requests);
    free_values(&m->durations);
    free(m);
}

static const char *scope_text(const struct request *r)
{
    if (!r->info.is_resource)
        return "";
    if (!str_empty(r->info.name))
        return "resource";
    return str_empty(r->info.namespace_) ? "cluster" : "namespace";
}

static void *value_of(struct map *m, struct str key, size_t size)
{
    void *v = map_get(m, key);
    if (v)
        return v;
    if (m->count >= SERIES_MAX)
        key = STR("verb=\"other\"");
    v = map_get(m, key);
    if (!v) {
        v = xcalloc(1, size);
        map_put(m, key, v);
    }
    return v;
}

static struct str verb_text(struct arena *a, struct str verb)
{
    char *p = arena_strdup(a, verb);
    for (char *c = p; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c &= ~0x20;
    return (struct str){ p, verb.n };
}

void metrics_count(struct request *r)
{
    struct metrics *m = server_part(r->server, SERVER_PART_metrics);
    if (!m)
        return;
    /* Only served resources are labels: what a client invents must not make series. */
    bool served = r->kind != NULL;
    struct str labels = arena_printf(
        &r->arena, "verb=\"%.*s\",group=\"%s\",version=\"%s\",resource=\"%s\",subresource=\"%s\",scope=\"%s\"",
        STR_ARG(served || !r->info.is_resource ? verb_text(&r->arena, r->info.verb) : STR("other")),
        served ? r->kind->group : "", served ? r->kind->version : "", served ? r->kind->plural : "",
        r->sub ? r->sub->name : "", served ? scope_text(r) : "");
    int status = r->core.answered_status;
    if (!status)
        status = r->err.code == ERR_NONE ? 200 : error_http_status(r->err.code);
    struct str with_code = arena_printf(&r->arena, "%.*s,code=\"%d\"", STR_ARG(labels), status);
    ++*(uint64_t *)value_of(&m->requests, with_code, sizeof(uint64_t));
    if (request_is_long_running(r))
        return;
    struct series *series = value_of(&m->durations, labels, sizeof(struct series));
    double s = (double)(env_monotonic_ms(r->server->env) - r->started_ms) / 1000.0;
    series->count++;
    series->sum_s += s;
    for (size_t i = ARRAY_SIZE(bounds_s); i-- > 0 && s <= bounds_s[i];)
        series->buckets[i]++;
}

/* --- values of metrics.def ------------------------------------------------------------------------------------------------ */

static struct store_stats stats_of(struct server *s)
{
    struct store_stats stats = { 0 };
    store_stats(s->store, &stats);
    return stats;
}

static struct http_server_stats http_of(struct server *s)
{
    return s->http ? http_server_stats(s->http) : (struct http_server_stats){ 0 };
}

static double metric_inflight(struct server *s)
{
    return (double)s->requests_count;
}
static double metric_long_running(struct server *s)
{
    size_t n = 0;
    list_each (&s->requests, struct request, core.link, r)
        n += r->phase == PHASE_OF_perform && request_is_long_running(r);
    return (double)n;
}

static double metric_revision(struct server *s)
{
    return (double)state_revision(s->state);
}
static double metric_commits(struct server *s)
{
    return (double)stats_of(s).commits;
}
static double metric_writes(struct server *s)
{
    return (double)stats_of(s).writes;
}
static double metric_fsyncs(struct server *s)
{
    return (double)stats_of(s).fsyncs;
}
static double metric_disk_bytes(struct server *s)
{
    return (double)stats_of(s).disk_bytes;
}
static double metric_read_only(struct server *s)
{
    return stats_of(s).read_only || servers_refuse_writes(s) ? 1 : 0;
}
static double metric_leader(struct server *s)
{
    return leader_is_me(server_leader(s)) ? 1 : 0;
}
static double metric_leader_epoch(struct server *s)
{
    return (double)leader_epoch_seen(server_leader(s));
}
static double metric_leader_elections(struct server *s)
{
    return (double)leader_elections(server_leader(s));
}
static struct fresh_stats fresh_of(struct server *s)
{
    struct fresh_stats stats;
    fresh_stats(s, &stats);
    return stats;
}
static double metric_barriers(struct server *s)
{
    return (double)fresh_of(s).barriers;
}
static double metric_cut_off(struct server *s)
{
    return fresh_is_cut_off(s) ? 1 : 0;
}
static double metric_old_answers(struct server *s)
{
    return (double)fresh_of(s).old_answers;
}
static double metric_cut_off_refusals(struct server *s)
{
    return (double)fresh_of(s).refused;
}
static double metric_connections(struct server *s)
{
    return (double)http_of(s).open_connections;
}
static double metric_bytes_in(struct server *s)
{
    return (double)http_of(s).bytes_in;
}
static double metric_bytes_out(struct server *s)
{
    return (double)http_of(s).bytes_out;
}
static double metric_start_time(struct server *s)
{
    return (double)s->started_wall_ms / 1000.0;
}

static double metric_resident(struct server *s)
{
    (void)s;
    AUTO_BUF struct buf text = BUF_MAX(256);
    if (file_read("/proc/self/statm", &text, NULL) < 0)
        return 0;
    struct str rest = buf_str(&text), size, resident;
    uint64_t pages = 0;
    if (str_next(&rest, ' ', &size) && str_next(&rest, ' ', &resident))
        str_to_u64(resident, &pages);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static const struct {
    const char *name, *type, *help;
    double (*value)(struct server *s);
} metrics[] = {
#define METRIC(name, type, help, value) { name, type, help, value },
#include "server/metrics.def"
#undef METRIC
};

static void write_series(struct buf *to, struct str labels, const struct series *series)
{
    static const char name[] = "apiserver_request_duration_seconds";
    for (size_t i = 0; i < ARRAY_SIZE(bounds_s); i++)
        buf_addf(to, "%s_bucket{%.*s,le=\"%g\"} %llu\n", name, STR_ARG(labels), bounds_s[i],
                 (unsigned long long)series->buckets[i]);
    buf_addf(to, "%s_bucket{%.*s,le=\"+Inf\"} %llu\n", name, STR_ARG(labels), (unsigned long long)series->count);
    buf_addf(to, "%s_sum{%.*s} %g\n", name, STR_ARG(labels), series->sum_s);
    buf_addf(to, "%s_count{%.*s} %llu\n", name, STR_ARG(labels), (unsigned long long)series->count);
}

static void write_objects(struct server *s, struct buf *to)
{
    buf_add_text(to,
                 "# HELP apiserver_storage_objects Objects of each kind.\n# TYPE apiserver_storage_objects gauge\n");
    for (size_t i = 0; i < kinds_count; i++) {
        const struct kind *k = kinds[i];
        if (!(k->verbs & VERB_GET) || alias_is(k))
            continue;
        buf_addf(to, "apiserver_storage_objects{resource=\"%s%s%s\"} %zu\n", k->plural, k->group[0] ? "." : "",
                 k->group, state_count(s->state, k));
    }
}

enum phase_result metrics_path(struct request *r)
{
    struct metrics *m = server_part(r->server, SERVER_PART_metrics);
    AUTO_BUF struct buf to = BUF_MAX(16 * MIB);
    struct str labels;
    void *value;
    for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
        buf_addf(&to, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", metrics[i].name, metrics[i].help, metrics[i].name,
                 metrics[i].type, metrics[i].name, metrics[i].value(r->server));
    write_objects(r->server, &to);
    buf_add_text(&to, "# HELP apiserver_request_total Requests answered.\n# TYPE apiserver_request_total counter\n");
    for (size_t i = 0; m && map_next(&m->requests, &i, &labels, &value);)
        buf_addf(&to, "apiserver_request_total{%.*s} %llu\n", STR_ARG(labels), (unsigned long long)*(uint64_t *)value);
    buf_add_text(&to, "# HELP apiserver_request_duration_seconds Time to the whole answer.\n# TYPE "
                      "apiserver_request_duration_seconds histogram\n");
    for (size_t i = 0; m && map_next(&m->durations, &i, &labels, &value);)
        write_series(&to, labels, value);
    return request_answer(r, 200, STR("text/plain; version=0.0.4; charset=utf-8"), buf_str(&to));
}
