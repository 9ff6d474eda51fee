/*
 * The engine's watch: one over the whole prefix, always on one member or on its way to the next.
 *
 * It is opened one etcd revision before the last one told, and what was told is skipped: a revision may have been told in part, and
 * when etcd has compacted that far it says so instead of leaving something out (etcd issue 18089).
 */
#define LOG_PART "store"
#include "store/etcd_internal.h"

#include "base/crash_point.h"
#include "base/log.h"

#define OPEN_TIMEOUT_MS 1000
#define RETRY_MS        50
/*
 * A member that has to look through all changes since we were away tells nothing until it has: going on to the next one in the usual
 * time would begin that anew for ever, and while it looks it opens no other watch either (etcd's syncWatchers holds the lock). So each
 * try without an event between gives twice the time, up to half a minute.
 */
#define SILENT_SHIFT_MAX 7
#define OPEN_SHIFT_MAX   5

static void stream_open(void *arg);

/* Every event up to `mod` has been told. */
static void passed(struct etcd_engine *e, int64_t mod)
{
    if (mod <= e->passed)
        return;
    e->passed = mod;
    if (e->owed <= mod)
        e->owed_since_ms = 0;
    list_each (&e->batches, struct etcd_batch, link, b) {
        if (b->seen && !b->passed && b->mod <= mod) {
            etcd_batch_passed(b);
            break; /* a transaction has its own mod_revision, and the list may be another one now */
        }
    }
    etcd_session_passed(e);
}

static void told(struct etcd_engine *e, uint64_t revision)
{
    e->delivered = MAX(e->delivered, revision);
}

/* Which write of the batch being told this is; its count: none. */
static size_t find_write(const struct etcd_batch *b, const struct etcd_event *ev)
{
    size_t i = ev->position - 1;

    if (ev->change.type == STORE_PUT) {
        if (ev->position >= 1 && i < b->count && b->writes[i] && b->writes[i]->w.type == STORE_PUT &&
            str_eq(b->writes[i]->w.key, ev->change.key))
            return i;
        return b->count;
    }
    for (i = 0; i < b->count; i++)
        if (b->writes[i] && b->writes[i]->w.type == STORE_DELETE && str_eq(b->writes[i]->w.key, ev->change.key))
            break;
    return i;
}

static void tell_change(struct etcd_engine *e, struct etcd_event *ev)
{
    struct etcd_batch *b = e->current;
    size_t i = b && b->mod == ev->mod ? find_write(b, ev) : 0;
    bool own = b && b->mod == ev->mod && i < b->count;

    if (own)
        ev->change.cookie = b->writes[i]->w.cookie;
    told(e, ev->change.revision);
    CRASH_POINT("etcd.before-telling");
    if (e->base.on_change)
        e->base.on_change(e->base.on_change_arg, &ev->change);
    if (own)
        etcd_write_succeeded(b, i, ev->change.revision);
}

static void tell_barrier(struct etcd_engine *e, const struct etcd_event *ev)
{
    if (str_is(ev->server, e->server) && ev->change.type == STORE_PUT) {
        e->current = etcd_batch_of(e, ev->change.value);
        if (e->current) {
            e->current->mod = ev->mod;
            e->current->seen = true;
        }
    }
}

static void on_event(void *arg, const Etcdpb__Event *raw)
{
    struct etcd_engine *e = arg;
    AUTO_ERROR struct error err = { 0 };
    struct etcd_event ev;
    int64_t before = e->decoder.mod;

    if (e->phase == ETCD_LOST)
        return;
    e->heard_ms = etcd_now_ms(e);
    e->stream_silent = 0;
    e->stream_tries = 0;
    if (etcd_decode(&e->decoder, raw, &ev, &err) < 0) {
        if (err.code == ERR_INTERNAL)
            etcd_damaged(&err);
        etcd_watch_move(e, error_text(&err));
        return;
    }
    if (before && ev.mod > before)
        passed(e, before);
    if (ev.type == ETCD_KEY_IS_BARRIER)
        tell_barrier(e, &ev);
    else if (ev.type == ETCD_KEY_IS_SESSION)
        etcd_session_seen(e, &ev);
    if (etcd_revision(e->first_revision, ev.mod, ev.position) <= e->delivered || e->phase == ETCD_LOST)
        return;
    if (ev.type == ETCD_KEY_OBJECT && ev.previous_gone) {
        etcd_lost(e, ERR_EXPIRED, "changes of '%.*s' were compacted before they were told", STR_ARG(ev.change.key));
        return;
    }
    if (ev.type == ETCD_KEY_OBJECT) {
        tell_change(e, &ev);
        return;
    }
    told(e, etcd_revision(e->first_revision, ev.mod, ev.position));
    if (e->base.on_progress)
        e->base.on_progress(e->base.on_progress_arg, e->delivered);
}

static void on_pause(void *arg)
{
    struct etcd_engine *e = arg;

    if (e->phase != ETCD_LOST)
        passed(e, e->decoder.mod);
}

static void on_open(void *arg)
{
    struct etcd_engine *e = arg;

    e->stream_open = true;
    e->heard_ms = etcd_now_ms(e);
    etcd_later(e);
}

static void stream_ended(struct etcd_engine *e)
{
    e->stream = NULL;
    e->stream_open = false;
    e->current = NULL;
    e->reopened++;
    e->stream_tries++;
    /* The member that answers is the best one to ask, unless it is the one that has just failed. */
    if (e->stream_tries == 1 && e->stream_endpoint != e->endpoint)
        e->stream_endpoint = e->endpoint;
    else
        e->stream_endpoint = (e->stream_endpoint + 1) % etcd_client_count(e->client);
    loop_timer_start(&e->stream_timer, e->stream_tries % etcd_client_count(e->client) ? 0 : RETRY_MS);
}

static void on_end(void *arg, bool compacted, const struct error *err)
{
    struct etcd_engine *e = arg;

    if (compacted) {
        e->stream = NULL;
        e->stream_open = false;
        etcd_lost(e, ERR_EXPIRED, "%s", error_text(err));
        return;
    }
    if (!e->stream_open && err->code == ERR_TIMEOUT)
        e->stream_silent++;
    if (e->stream_open || !e->stream_tries)
        log_debug("the watch of etcd ended and is opened anew", KV("server", "%s", e->server), KV_ERR(err));
    stream_ended(e);
}

static const struct etcd_stream_callbacks callbacks = {
    .on_open = on_open, .on_event = on_event, .on_pause = on_pause, .on_end = on_end
};

static void stream_open(void *arg)
{
    struct etcd_engine *e = arg;
    int64_t mod = 0;
    uint32_t position;

    if (e->phase == ETCD_LOST || e->stream)
        return;
    etcd_revision_split(e->first_revision, e->delivered, &mod, &position);
    e->decoder = (struct etcd_decoder){ .base = e->first_revision, .prefix = e->o.prefix };
    e->stream_endpoint %= etcd_client_count(e->client);
    e->stream = etcd_stream_open(e->client, e->stream_endpoint, e->o.prefix, MAX(mod - 1, (int64_t)1),
                                 (int64_t)OPEN_TIMEOUT_MS << MIN(e->stream_silent, OPEN_SHIFT_MAX), &callbacks, e);
}

void etcd_watch_start(struct etcd_engine *e)
{
    e->stream_endpoint = e->endpoint;
    loop_timer_init(&e->stream_timer, e->base.loop, stream_open, e);
    stream_open(e);
}

void etcd_watch_move(struct etcd_engine *e, const char *why)
{
    log_info("the watch of etcd goes to another member", KV("server", "%s", e->server), KV("why", "%s", why),
             KV_STR("from", etcd_client_url(e->client, e->stream_endpoint)));
    etcd_stream_close(e->stream);
    stream_ended(e);
}

/* A change with this mod_revision exists: the watch has to tell it soon. */
void etcd_watch_owes(struct etcd_engine *e, int64_t mod)
{
    if (mod <= e->passed || mod <= e->owed)
        return;
    e->owed = mod;
    if (!e->owed_since_ms)
        e->owed_since_ms = etcd_now_ms(e);
}

void etcd_watch_check(struct etcd_engine *e)
{
    int64_t now_ms = etcd_now_ms(e);

    if (e->phase == ETCD_OPENING || !e->stream_open)
        return;
    if (e->owed_since_ms &&
        now_ms - MAX(e->owed_since_ms, e->heard_ms) > etcd_attempt_ms(e) << MIN(e->stream_silent, SILENT_SHIFT_MAX)) {
        e->owed_since_ms = now_ms;
        e->stream_silent++;
        etcd_watch_move(e, "changes that were made do not arrive");
        return;
    }
    if (e->phase == ETCD_RUNNING && now_ms - e->heard_ms > e->o.idle_check_ms && !e->calls_open && !e->owed_since_ms)
        e->self_check = true;
}
