/* How the store's part on this machine is: etcd's own word, its fsyncs, the disk. */
#include "base/file.h"
#include "base/time.h"
#include "server/servers_internal.h"
#include "server/servers_plan.h"

#define LOG_PART "servers"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOOK_EVERY_MS   (1 * SECOND_MS)
#define SCRAPE_EVERY_MS (10 * SECOND_MS)
#define METRICS_MAX     (4 * MIB)
/* etcd asks for 64 MiB at once for its next log file and ends when it does not get them: room for two. */
#define LOW_WATER_BYTES (128 * MIB)
#define RESERVE_BYTES   (64 * MIB) /* given back when the disk is low, so that deletes and compaction still fit */

/* --- the disk ----------------------------------------------------------------------------------------------------------------- */

static char *reserve_path(const struct servers *v)
{
    return xasprintf("%s/etcd.reserve", v->server->config.data_folder);
}

static void make_reserve(void *arg)
{
    AUTO_FREE char *path = arg;
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int sys = fd < 0 ? errno : posix_fallocate(fd, 0, RESERVE_BYTES);

    if (sys) {
        unlink(path);
        log_warn("no reserve on the disk of the data folder", KV("error", "%s", strerror(sys)));
    }
}

static void keep_reserve(struct servers *v)
{
    AUTO_FREE char *path = reserve_path(v);
    bool there = file_exists(path);

    if (v->health.disk_low && there)
        unlink(path);
    else if (!there && v->health.disk_free_bytes > 2 * LOW_WATER_BYTES + RESERVE_BYTES)
        loop_work(v->server->loop, make_reserve, NULL, TAKE(path));
}

struct low {
    size_t servers, low;
    struct servers *v;
};

static bool count_low(void *arg, const struct server_entry *e)
{
    struct low *l = arg;
    AUTO_ARENA struct arena a = { 0 };
    struct raw_value value;

    l->servers++;
    if (e->own) {
        l->low += l->v->health.disk_low;
        return true;
    }
    struct str key = arena_printf(&a, "/klein/servers/%.*s/progress", STR_ARG(e->name));
    if (raw_get(server_state(l->v->server), key, &value))
        l->low += value_to_bool(value_get_str(value_parse(&a, value.value, NULL, NULL), STR("diskLow")), false);
    return true;
}

/* One full disk of three costs a member, which comes back by itself; a majority of full disks would cost the store. */
static void refuse_or_not(struct servers *v)
{
    struct low l = { .v = v };

    servers_each(v->server, count_low, &l);
    bool refuse = l.low > l.servers - servers_quorum(l.servers);
    if (refuse != v->refusing)
        log_warn(refuse ? "the servers' disks are almost full: writes are refused until space is free"
                        : "there is space on the disks again: writes are accepted",
                 KV("low", "%zu", l.low), KV("servers", "%zu", l.servers));
    v->refusing = refuse;
    state_refuse_puts(server_state(v->server),
                      refuse
                          ? "the disk of the data folder is almost full on a majority of the servers: the change was "
                            "not made; free space and try again"
                          : NULL);
}

static void look_at_disk(struct servers *v)
{
    struct servers_health *h = &v->health;
    struct statvfs fs;
    bool was = h->disk_low;

    if (statvfs(v->server->config.data_folder, &fs) < 0)
        return;
    h->disk_free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    h->disk_total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
    h->disk_low = h->disk_free_bytes < (was ? 2 * LOW_WATER_BYTES : LOW_WATER_BYTES);
    keep_reserve(v);
    if (was != h->disk_low)
        servers_progress_now(v);
    refuse_or_not(v);
}

/* --- etcd's word ----------------------------------------------------------------------------------------------------------- */

static void on_status(void *arg, const struct etcd_status *status, const struct error *err)
{
    struct servers *v = arg;
    struct servers_health *h = &v->health;
    struct store_etcd_health engine;

    v->looking = false;
    h->status_known = !err;
    if (err) {
        h->store_leader = h->has_leader = false;
        snprintf(h->error, sizeof(h->error), "%s", error_text(err));
        return;
    }
    h->error[0] = '\0';
    for (size_t i = 0; i < status->errors_count && !h->error[0]; i++)
        snprintf(h->error, sizeof(h->error), "%.*s", STR_ARG(status->errors[i]));
    if (!status->leader)
        snprintf(h->error, sizeof(h->error), "etcd has no leader");
    h->member_id = status->member_id;
    h->has_leader = status->leader != 0;
    h->store_leader = status->leader == status->member_id;
    h->db_bytes = status->db_bytes;
    h->db_in_use_bytes = status->db_in_use_bytes;
    h->etcd_revision = status->revision;
    store_etcd_health(v->server->store, &engine);
    int64_t seen = (int64_t)((state_revision(server_state(v->server)) - engine.base) / STORE_ETCD_POSITIONS);
    h->lag = MAX(status->revision - seen, (int64_t)0);
}

static void look(void *arg)
{
    struct servers *v = arg;

    loop_timer_start(&v->look, LOOK_EVERY_MS);
    look_at_disk(v);
    if (v->looking)
        return;
    v->looking = true;
    etcd_admin_status(v->local->admin, servers_etcd_url(v), on_status, v);
}

struct str servers_etcd_url(const struct servers *v)
{
    const struct servers_local *l = v->local;

    return l->client_url ? str_of(l->client_url) : str_of(l->record.endpoints[0]);
}

/* --- fsyncs: etcd tells a histogram since its start; two of them tell the time between --------------------------------------------- */

static void read_bucket(struct servers_metrics *m, struct str line)
{
    struct str prefix = STR("etcd_disk_wal_fsync_duration_seconds_bucket{le=\""), bound;
    uint64_t count;

    if (!str_starts(line, prefix) || m->n == ARRAY_SIZE(m->counts))
        return;
    line = str_from(line, prefix.n);
    if (!str_cut(&line, '"', &bound) || !str_to_u64(str_trim(str_from(line, 1)), &count))
        return;
    AUTO_FREE char *text = str_dup(bound);
    m->bounds_s[m->n] = str_is(bound, "+Inf") ? 60 : strtod(text, NULL);
    m->counts[m->n++] = count;
}

double servers_fsync_p99_ms(const struct servers_metrics *was, const struct servers_metrics *now)
{
    uint64_t all = now->n ? now->counts[now->n - 1] : 0;
    /* Another process has begun to count: its first numbers are all there is. */
    bool same = was->n == now->n && now->n && was->counts[was->n - 1] <= all;

    all -= same ? was->counts[was->n - 1] : 0;
    for (size_t i = 0; i < now->n && all; i++)
        if ((double)(now->counts[i] - (same ? was->counts[i] : 0)) >= 0.99 * (double)all)
            return now->bounds_s[i] * 1000;
    return 0;
}

void servers_read_metrics(struct servers_metrics *m, struct str text)
{
    struct str line;

    *m = (struct servers_metrics){ 0 };
    while (str_next(&text, '\n', &line))
        read_bucket(m, line);
}

static void on_metrics(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct servers *v = arg;
    struct servers_metrics now;

    v->scraping = NULL;
    if (err || head->status != 200)
        return;
    servers_read_metrics(&now, body);
    v->health.fsync_p99_ms = servers_fsync_p99_ms(&v->fsyncs, &now);
    v->fsyncs = now;
}

static void scrape(void *arg)
{
    struct servers *v = arg;
    struct str url = servers_etcd_url(v);
    struct http_client_options o = {
        .servers = &url, .servers_count = 1, .tls = v->local->tls, .http1_only = true, .connect_timeout_ms = SECOND_MS
    };
    struct http_call_request r = {
        .method = STR("GET"), .target = STR("/metrics"), .timeout_ms = 2 * SECOND_MS, .total_timeout_ms = 2 * SECOND_MS
    };

    loop_timer_start(&v->scrape, SCRAPE_EVERY_MS);
    if (!v->own_etcd)
        v->own_etcd = http_client_new(v->server->loop, &o, NULL);
    if (v->own_etcd && !v->scraping)
        v->scraping = http_client_fetch(v->own_etcd, &r, METRICS_MAX, on_metrics, v);
}

/* --- answers ------------------------------------------------------------------------------------------------------------------ */

bool servers_store_answers(struct server *s)
{
    const struct servers_local *l = servers_local(s);
    struct store_etcd_health h;

    if (!l || !l->is_etcd)
        return true;
    store_etcd_health(s->store, &h);
    return h.no_quorum_ms < NO_QUORUM_READY_MS;
}

bool servers_refuse_writes(struct server *s)
{
    const struct servers *v = servers_of(s);

    return v && v->refusing;
}

void servers_health_start(struct servers *v)
{
    loop_timer_init(&v->look, v->server->loop, look, v);
    loop_timer_init(&v->scrape, v->server->loop, scrape, v);
    if (!v->local || !v->local->is_etcd)
        return;
    loop_timer_start(&v->look, 0);
    loop_timer_start(&v->scrape, SECOND_MS);
}

void servers_health_stop(struct servers *v)
{
    loop_timer_stop(&v->look);
    loop_timer_stop(&v->scrape);
    if (v->scraping)
        http_call_cancel(v->scraping);
    http_client_free(v->own_etcd);
}

/* --- metrics ----------------------------------------------------------------------------------------------------------------- */

static const struct servers_health *health_of(struct server *s)
{
    static const struct servers_health nothing;
    const struct servers *v = servers_of(s);

    return v ? &v->health : &nothing;
}

double metric_store_members(struct server *s)
{
    return (double)servers_known(s);
}

double metric_store_answers(struct server *s)
{
    return servers_store_answers(s);
}

double metric_store_has_leader(struct server *s)
{
    return health_of(s)->has_leader;
}

double metric_store_db_bytes(struct server *s)
{
    return (double)health_of(s)->db_bytes;
}

double metric_store_db_in_use_bytes(struct server *s)
{
    return (double)health_of(s)->db_in_use_bytes;
}

double metric_store_disk_free_bytes(struct server *s)
{
    return (double)health_of(s)->disk_free_bytes;
}

double metric_store_fsync_p99(struct server *s)
{
    return health_of(s)->fsync_p99_ms / 1000;
}

double metric_store_lag(struct server *s)
{
    return (double)health_of(s)->lag;
}
