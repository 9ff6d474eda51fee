/* The store engine on etcd: open, close, the clock, and what is known of the cluster. */
#define LOG_PART "store"
#include "store/etcd_internal.h"

#include "base/log.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>

#define ATTEMPT_MS        250
#define ATTEMPT_MAX_MS    2000
#define NO_QUORUM_MS      2000
#define IDLE_CHECK_MS     1000
#define BATCH_BYTES       (512 * KIB)
#define BATCHES           2 /* more gave no more writes a second on one machine, and longer transactions */
#define LIST_PAGE         500
#define CLOSE_DEADLINE_MS 3000
#define NAME_MAX_BYTES    63
#define SILENT_CALLS_MAX  3

int64_t etcd_now_ms(struct etcd_engine *e)
{
    return loop_now_ms(e->base.loop);
}

/* A disk that takes longer than usual must not turn every commit into a doubt. */
int64_t etcd_attempt_ms(const struct etcd_engine *e)
{
    return MAX(e->o.attempt_ms, MIN(ATTEMPT_MAX_MS, 4 * e->latency_average_us / 1000));
}

void etcd_later(struct etcd_engine *e)
{
    loop_defer(e->base.loop, &e->flush);
}

static void run_flush(void *arg)
{
    etcd_batches_send(arg);
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

void etcd_accepted(struct etcd_engine *e, const Etcdpb__ResponseHeader *h)
{
    if (e->no_quorum_told)
        log_info("the store has a quorum again", KV("server", "%s", e->server));
    e->accepted_ms = MAX(etcd_now_ms(e), (int64_t)1);
    e->failing_since_ms = 0;
    e->no_quorum_told = false;
    e->not_sent = 0;
    error_done(&e->error);
    if (h) {
        e->member_id = h->member_id;
        e->raft_term = h->raft_term;
    }
}

void etcd_failed(struct etcd_engine *e, const struct error *err)
{
    fail(&e->error, err->code, "%s", error_text(err));
    if (!e->failing_since_ms)
        e->failing_since_ms = MAX(etcd_now_ms(e), (int64_t)1);
    if (e->no_quorum_told || !etcd_no_quorum(e))
        return;
    e->no_quorum_told = true;
    log_warn("the store has no quorum: writes are refused until a majority of etcd's members answers", KV_ERR(err));
}

bool etcd_no_quorum(struct etcd_engine *e)
{
    return e->failing_since_ms && etcd_now_ms(e) - e->failing_since_ms >= e->o.no_quorum_ms;
}

int etcd_refusal(struct etcd_engine *e, struct error *err)
{
    const char *last = error_text(&e->error);

    if (e->error.message && strstr(last, "database space exceeded"))
        return fail(err, ERR_UNAVAILABLE,
                    "the database of etcd is full: the change was not made; it is accepted again when there is room");
    return fail(err, ERR_UNAVAILABLE,
                "the store has no quorum: no majority of etcd's members has answered for %lld ms (%s); the change was "
                "not made, try again later",
                (long long)(e->failing_since_ms ? etcd_now_ms(e) - e->failing_since_ms : 0), last);
}

void etcd_damaged(const struct error *err)
{
    log_error("what etcd tells is not what was written; the process ends rather than serve it", KV_ERR(err));
    abort();
}

static void on_tick(void *arg);

static void run_lost(void *arg)
{
    struct etcd_engine *e = arg;

    e->tick.fn = on_tick; /* for the close that is to come */
    loop_timer_start(&e->tick, TICK_MS);
    etcd_stream_close(TAKE(e->stream));
    e->stream_open = false;
    if (e->base.on_lost) {
        e->base.on_lost(e->base.on_lost_arg, &e->error);
        return;
    }
    log_error("the order of changes is lost; the process ends, the next one loads everything", KV_ERR(&e->error));
    abort();
}

void etcd_lost(struct etcd_engine *e, enum error_code code, const char *format, ...)
{
    va_list args;
    char line[900];

    if (e->phase == ETCD_LOST)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    e->phase = ETCD_LOST;
    fail(&e->error, code, "%s", line);
    etcd_session_stop(e);
    loop_timer_stop(&e->stream_timer);
    e->tick.fn = run_lost;
    loop_timer_start(&e->tick, 0);
}

bool etcd_went_back(struct etcd_engine *e, int64_t passed, const Etcdpb__ResponseHeader *h)
{
    if (h->revision >= passed)
        return false;
    etcd_lost(e, ERR_EXPIRED,
              "etcd is at its revision %lld, though it has told changes up to %lld: a disk or a backup took it back",
              (long long)h->revision, (long long)passed);
    return true;
}

static int compare_latency(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

void store_etcd_health(struct store *s, struct store_etcd_health *ret)
{
    struct etcd_engine *e = etcd_engine_of(s);
    int64_t now_ms = etcd_now_ms(e), sorted[LATENCIES];
    size_t n = MIN(e->latency_count, (size_t)LATENCIES);

    memcpy(sorted, e->latency_us, n * sizeof(sorted[0]));
    qsort(sorted, n, sizeof(sorted[0]), compare_latency);
    *ret = (struct store_etcd_health){
        .ready = e->phase == ETCD_RUNNING && e->stream_open,
        .quorum = e->accepted_ms && !e->failing_since_ms,
        .answered_ms = e->accepted_ms ? now_ms - e->accepted_ms : -1,
        .no_quorum_ms = e->failing_since_ms ? now_ms - e->failing_since_ms : 0,
        .endpoint = etcd_client_url(e->client, e->endpoint),
        .watch_endpoint = e->stream_open ? etcd_client_url(e->client, e->stream_endpoint) : STR_NONE,
        .error = e->error.code ? str_of(error_text(&e->error)) : STR_NONE,
        .base = e->first_revision,
        .member_id = e->member_id,
        .raft_term = e->raft_term,
        .settlements = e->settlements,
        .watch_reopened = e->reopened,
        .commit_p50_us = n ? sorted[n / 2] : 0,
        .commit_p99_us = n ? sorted[n * 99 / 100] : 0,
        .waiting = e->waiting,
    };
    list_each (&e->batches, struct etcd_batch, link, b)
        ret->in_doubt += b->answered || b->seen || b->call ? 0 : b->left;
}

static void etcd_stats(struct store *s, struct store_stats *ret)
{
    struct etcd_engine *e = etcd_engine_of(s);

    *ret = (struct store_stats){
        .revision = e->delivered,
        .compacted_revision = e->compacted,
        .commits = e->commits,
        .writes = e->writes,
        .read_only = etcd_no_quorum(e),
    };
}

/* --- close -------------------------------------------------------------------------------------------------------- */

static void run_freed(void *arg)
{
    struct etcd_engine *e = arg;
    void (*closed)(void *arg) = e->closed;
    void *closed_arg = e->closed_arg;

    free(e->prefix);
    free(e->server);
    free(e->key_session);
    free(e->key_barrier);
    free(e->key_base);
    error_done(&e->error);
    free(e);
    if (closed)
        closed(closed_arg);
}

static bool is_idle(const struct etcd_engine *e)
{
    return list_empty(&e->queue) && list_empty(&e->batches) && list_empty(&e->waiters) && list_empty(&e->reads);
}

static void close_check(struct etcd_engine *e)
{
    AUTO_ERROR struct error err = { 0 };

    if (!is_idle(e) && e->phase != ETCD_LOST && etcd_now_ms(e) - e->closing_since_ms < CLOSE_DEADLINE_MS)
        return;
    fail(&err, ERR_UNAVAILABLE, "the store was closed: the change was not made");
    etcd_batches_drop(e, &err);
    etcd_queue_refuse(e, &err);
    etcd_reads_end(e, &err);
    etcd_session_stop(e);
    etcd_stream_close(e->stream);
    loop_timer_stop(&e->stream_timer);
    loop_timer_stop(&e->tick);
    loop_defer_cancel(&e->flush);
    map_done(&e->busy);
    map_done(&e->guards);
    etcd_client_free_then(e->client, run_freed, e);
}

static void etcd_close(struct store *s, void (*closed)(void *arg), void *arg)
{
    struct etcd_engine *e = etcd_engine_of(s);

    e->closing = true;
    e->closing_since_ms = etcd_now_ms(e);
    e->closed = closed;
    e->closed_arg = arg;
    loop_timer_start(&e->tick, 0);
}

/* --- the clock ---------------------------------------------------------------------------------------------------- */

static void on_tick(void *arg)
{
    struct etcd_engine *e = arg;

    loop_timer_start(&e->tick, TICK_MS);
    if (e->phase != ETCD_LOST) {
        etcd_watch_check(e);
        etcd_queue_expire(e);
        if (e->failing_since_ms && !e->calls_open)
            etcd_settle(e); /* asks until somebody answers */
        etcd_later(e);
    }
    if (e->closing)
        close_check(e);
}

/* --- open --------------------------------------------------------------------------------------------------------- */

static const struct store_ops etcd_ops = {
    .write = etcd_write,
    .list = etcd_list,
    .history = etcd_history,
    .barrier = etcd_barrier,
    .compact = etcd_compact_store,
    .stats = etcd_stats,
    .close = etcd_close,
};

static bool is_label(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i && i + 1 < s.n)))
            return false;
    }
    return s.n && s.n <= NAME_MAX_BYTES;
}

static void options_fill(struct store_etcd_options *o)
{
    o->endpoints = NULL;
    o->tls = NULL;
    o->attempt_ms = o->attempt_ms ? o->attempt_ms : ATTEMPT_MS;
    o->no_quorum_ms = o->no_quorum_ms ? o->no_quorum_ms : NO_QUORUM_MS;
    o->idle_check_ms = o->idle_check_ms ? o->idle_check_ms : IDLE_CHECK_MS;
    o->batch_writes_max = o->batch_writes_max ? MIN(o->batch_writes_max, (size_t)STORE_ETCD_BATCH_WRITES_MAX)
                                              : STORE_ETCD_BATCH_WRITES_MAX;
    o->batch_bytes_max = o->batch_bytes_max ? o->batch_bytes_max : BATCH_BYTES;
    o->batches_max = o->batches_max ? o->batches_max : BATCHES;
    o->list_page = o->list_page ? o->list_page : LIST_PAGE;
}

struct store *store_open_etcd(struct loop *loop, struct env *env, const struct store_etcd_options *o,
                              store_change_fn *on_change, void *arg, struct error *err)
{
    struct str prefix = o->prefix.n ? o->prefix : STR("klein");
    struct etcd_engine *e;
    struct etcd_client *client;

    if (!is_label(o->server))
        return fail_null(err, ERR_BAD_REQUEST, "'%.*s' is no name of a server: lower case letters, digits and '-'",
                         STR_ARG(o->server));
    if (prefix.p[prefix.n - 1] == '/' || prefix.n > 256)
        return fail_null(err, ERR_BAD_REQUEST, "the prefix '%.*s' in etcd ends in '/' or is too long", STR_ARG(prefix));
    client = etcd_client_new(loop, o->endpoints, o->endpoints_count, o->tls, err);
    if (!client)
        return NULL;
    e = xnew(struct etcd_engine);
    e->base =
        (struct store){ .ops = &etcd_ops, .loop = loop, .on_change = on_change, .on_change_arg = arg, .shared = true };
    e->env = env;
    e->o = *o;
    options_fill(&e->o);
    e->client = client;
    etcd_client_set_patience(client, SILENT_CALLS_MAX);
    e->prefix = str_dup(prefix);
    e->o.prefix = str_of(e->prefix);
    e->server = str_dup(o->server);
    e->o.server = str_of(e->server);
    e->key_base = xasprintf("%s" ETCD_KEY_BASE, e->prefix);
    e->key_session = xasprintf("%s" ETCD_KEY_SESSION "%s", e->prefix, e->server);
    e->key_barrier = xasprintf("%s" ETCD_KEY_BARRIER "%s", e->prefix, e->server);
    snprintf(e->instance, sizeof(e->instance), "%016llx", (unsigned long long)env_random_u64(env));
    list_init(&e->queue);
    list_init(&e->batches);
    list_init(&e->waiters);
    list_init(&e->reads);
    e->flush = (struct loop_task){ .fn = run_flush, .arg = e };
    e->failing_since_ms = MAX(loop_now_ms(loop), (int64_t)1);
    e->heard_ms = loop_now_ms(loop);
    fail(&e->error, ERR_UNAVAILABLE, "no member of etcd has answered yet");
    loop_timer_init(&e->tick, loop, on_tick, e);
    loop_timer_start(&e->tick, TICK_MS);
    etcd_session_open(e);
    return &e->base;
}

void store_etcd_set_endpoints(struct store *s, const struct str *endpoints, size_t count)
{
    struct etcd_engine *e = etcd_engine_of(s);
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *now = str_dup(etcd_client_url(e->client, e->endpoint));
    AUTO_FREE char *watched = str_dup(etcd_client_url(e->client, e->stream_endpoint));
    ptrdiff_t at;

    if (!count)
        return;
    if (etcd_client_set_endpoints(e->client, endpoints, count, &err) < 0) {
        log_warn("the new list of etcd's endpoints is not usable; the old one stays", KV_ERR(&err));
        return;
    }
    at = etcd_client_find(e->client, str_of(now));
    e->endpoint = at < 0 ? 0 : (size_t)at;
    at = etcd_client_find(e->client, str_of(watched));
    e->stream_endpoint = at < 0 ? 0 : (size_t)at;
}

void store_etcd_set_tls(struct store *s, struct tls_context *tls)
{
    etcd_client_set_tls(etcd_engine_of(s)->client, tls);
}
