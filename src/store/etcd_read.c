/*
 * Lists, history and compaction.
 *
 * A list is made at the revision of a barrier of ours that is alone in its transaction: no change has that revision, and every
 * server's watch passes it. The pages are read from any member that has come so far. History is a watch of its own from
 * the revision asked for to the last one told.
 */
#define LOG_PART "store"
#include "store/etcd_internal.h"

#include "base/log.h"
#include "base/time.h"

#include <stdlib.h>

#define PAGE_TIMEOUT_MS    5000
#define TRIES_MAX          20
#define RETRY_MS           100
#define OPENING_MS         20
#define HISTORY_SILENCE_MS 5000
#define COMPACT_TIMEOUT_MS 5000

struct etcd_read {
    struct list link;
    struct etcd_engine *engine;
    store_done_fn *done;
    void *arg;
    struct etcd_call *call;
    struct loop_timer timer;
    size_t endpoint, tries;
    bool waits; /* for its barrier: the engine calls */

    /* list */
    store_entry_fn *entry;
    struct buf next, end;
    int64_t mod;
    uint64_t revision;

    /* history */
    store_change_fn *change;
    struct etcd_stream *stream;
    struct etcd_decoder decoder;
    uint64_t told, target;
};

static struct etcd_read *read_new(struct store *s, loop_fn *start, store_done_fn *done, void *arg)
{
    struct etcd_engine *e = etcd_engine_of(s);
    struct etcd_read *r = xnew(struct etcd_read);

    *r = (struct etcd_read){ .engine = e,
                             .done = done,
                             .arg = arg,
                             .endpoint = e->endpoint,
                             .next = BUF_MAX(4 * KIB),
                             .end = BUF_MAX(4 * KIB) };
    list_add_tail(&e->reads, &r->link);
    loop_timer_init(&r->timer, e->base.loop, start, r);
    return r;
}

static void read_finish(struct etcd_read *r, uint64_t revision, const struct error *err)
{
    store_done_fn *done = r->done;
    void *arg = r->arg;

    etcd_call_cancel(r->call);
    etcd_stream_close(r->stream);
    loop_timer_stop(&r->timer);
    list_del(&r->link);
    buf_done(&r->next);
    buf_done(&r->end);
    free(r);
    done(arg, revision, err);
}

/* One more try on the next member, or the end. */
static void read_retry(struct etcd_read *r, const struct error *err)
{
    AUTO_ERROR struct error failure = { 0 };

    if (err->code != ERR_EXPIRED && ++r->tries < TRIES_MAX) {
        r->endpoint++;
        loop_timer_start(&r->timer, r->tries % etcd_client_count(r->engine->client) ? 0 : RETRY_MS);
        return;
    }
    fail(&failure, err->code == ERR_EXPIRED ? ERR_EXPIRED : ERR_UNAVAILABLE, "%s", error_text(err));
    read_finish(r, 0, &failure);
}

void etcd_reads_end(struct etcd_engine *e, const struct error *err)
{
    for (struct etcd_read *r; (r = list_first(&e->reads, struct etcd_read, link));)
        read_finish(r, 0, err);
}

/* Is the engine open? Else the read has been put off, or ended. */
static bool read_can_start(struct etcd_read *r)
{
    AUTO_ERROR struct error err = { 0 };

    if (r->engine->phase != ETCD_OPENING)
        return true;
    if (etcd_no_quorum(r->engine)) {
        etcd_refusal(r->engine, &err);
        read_finish(r, 0, &err);
    } else {
        loop_timer_start(&r->timer, OPENING_MS);
    }
    return false;
}

/* --- list --------------------------------------------------------------------------------------------------------- */

static void on_page(void *arg, const ProtobufCMessage *answer, int status, const struct error *err)
{
    struct etcd_read *r = arg;
    struct etcd_engine *e = r->engine;
    const Etcdpb__RangeResponse *m = (const Etcdpb__RangeResponse *)answer;

    (void)status;
    r->call = NULL;
    if (!m) {
        read_retry(r, err);
        return;
    }
    r->tries = 0;
    for (size_t i = 0; i < m->n_kvs; i++) {
        AUTO_ERROR struct error damage = { 0 };
        struct str key, value, server;
        uint64_t revision;

        if (etcd_decode_kv(e->first_revision, e->o.prefix, m->kvs[i], &key, &value, &revision, &damage) < 0)
            etcd_damaged(&damage);
        if (etcd_key_type(key, &server) == ETCD_KEY_OBJECT)
            r->entry(r->arg, key, value, revision);
    }
    if (!m->more || !m->n_kvs) {
        read_finish(r, r->revision, NULL);
        return;
    }
    buf_clear(&r->next);
    buf_add(&r->next, etcd_str(m->kvs[m->n_kvs - 1]->key));
    buf_add_char(&r->next, '\0');
    loop_timer_start(&r->timer, 0);
}

static void list_page(void *arg)
{
    struct etcd_read *r = arg;
    struct etcd_engine *e = r->engine;
    Etcdpb__RangeRequest range = ETCDPB__RANGE_REQUEST__INIT;

    range.key = etcd_bytes(buf_str(&r->next));
    range.range_end = etcd_bytes(buf_str(&r->end));
    range.limit = (int64_t)e->o.list_page;
    range.revision = r->mod;
    range.serializable = true; /* what stands at a revision is the same on every member */
    r->call = etcd_client_call(e->client, r->endpoint, &etcd_range, &range.base, PAGE_TIMEOUT_MS, on_page, r);
}

static void on_list_barrier(void *arg, uint64_t revision, const struct error *err)
{
    struct etcd_read *r = arg;
    struct etcd_engine *e = r->engine;
    uint32_t position;

    r->waits = false;
    if (err) {
        read_finish(r, 0, err);
        return;
    }
    list_add_tail(&e->reads, &r->link);
    r->revision = revision;
    r->endpoint = e->endpoint;
    etcd_revision_split(e->first_revision, revision, &r->mod, &position);
    list_page(r);
}

void etcd_list(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg)
{
    struct etcd_engine *e = etcd_engine_of(s);
    struct etcd_read *r = read_new(s, list_page, done, arg);

    r->entry = entry;
    buf_addf(&r->next, "%s%.*s", e->prefix, STR_ARG(prefix));
    etcd_prefix_end(&r->end, buf_str(&r->next));
    list_del(&r->link); /* until the barrier is passed it is the barrier's */
    r->waits = true;
    etcd_barrier_wait(e, true, on_list_barrier, r);
}

/* --- history ------------------------------------------------------------------------------------------------------ */

static void on_history_event(void *arg, const Etcdpb__Event *raw)
{
    struct etcd_read *r = arg;
    AUTO_ERROR struct error err = { 0 };
    struct etcd_event ev;

    if (r->told >= r->target)
        return;
    loop_timer_start(&r->timer, HISTORY_SILENCE_MS);
    if (etcd_decode(&r->decoder, raw, &ev, &err) < 0) {
        if (err.code == ERR_INTERNAL)
            etcd_damaged(&err);
        return; /* the silence ends it, and it goes on from where it was */
    }
    uint64_t revision = etcd_revision(r->engine->first_revision, ev.mod, ev.position);
    if (revision <= r->told || r->decoder.mod < 0)
        return;
    if (revision > r->target) { /* cannot be: the target was told, so it comes before */
        r->told = r->target;
        return;
    }
    if (ev.type == ETCD_KEY_OBJECT && ev.previous_gone) {
        r->decoder.mod = INT64_MAX; /* nothing more is in order now */
        r->revision = 1;
        return;
    }
    r->told = revision;
    if (ev.type == ETCD_KEY_OBJECT)
        r->change(r->arg, &ev.change);
}

static void history_end(void *arg)
{
    struct etcd_read *r = arg;
    AUTO_ERROR struct error err = { 0 };

    if (r->revision) {
        fail(&err, ERR_EXPIRED, "history after revision %llu was compacted while it was read",
             (unsigned long long)r->told);
        read_finish(r, 0, &err);
        return;
    }
    read_finish(r, r->target, NULL);
}

static void on_history_pause(void *arg)
{
    struct etcd_read *r = arg;

    if (r->told < r->target && !r->revision)
        return;
    r->timer.fn = history_end; /* not inside the stream's own call */
    loop_timer_start(&r->timer, 0);
}

static void history_open(void *arg);

static void on_history_silent(void *arg)
{
    struct etcd_read *r = arg;
    AUTO_ERROR struct error err = { 0 };

    etcd_stream_close(r->stream);
    r->stream = NULL;
    r->timer.fn = history_open;
    fail(&err, ERR_UNAVAILABLE, "the history does not go on");
    read_retry(r, &err);
}

static void on_history_open(void *arg)
{
    (void)arg;
}

static void on_history_end(void *arg, bool compacted, const struct error *err)
{
    struct etcd_read *r = arg;
    AUTO_ERROR struct error expired = { 0 };

    r->stream = NULL;
    r->timer.fn = history_open;
    if (compacted)
        fail(&expired, ERR_EXPIRED, "history after revision %llu is gone", (unsigned long long)r->told);
    read_retry(r, compacted ? &expired : err);
}

static const struct etcd_stream_callbacks history_callbacks = {
    .on_open = on_history_open, .on_event = on_history_event, .on_pause = on_history_pause, .on_end = on_history_end
};

static void history_open(void *arg)
{
    struct etcd_read *r = arg;
    struct etcd_engine *e = r->engine;
    AUTO_ERROR struct error err = { 0 };
    int64_t mod = 1;
    uint32_t position;

    if (!read_can_start(r))
        return;
    if (r->told < e->compacted || r->told < e->first_revision) {
        fail(&err, ERR_EXPIRED, "history before revision %llu is gone",
             (unsigned long long)MAX(e->compacted, e->first_revision));
        read_finish(r, 0, &err);
        return;
    }
    if (!r->target)
        r->target = e->delivered;
    if (r->told >= r->target) {
        read_finish(r, r->target, NULL);
        return;
    }
    if (etcd_revision_split(e->first_revision, r->told, &mod, &position))
        mod = MAX(mod - 1, (int64_t)1);
    r->decoder = (struct etcd_decoder){ .base = e->first_revision, .prefix = e->o.prefix };
    r->timer.fn = on_history_silent;
    loop_timer_start(&r->timer, HISTORY_SILENCE_MS << MIN(r->tries, (size_t)3));
    r->stream = etcd_stream_open(e->client, r->endpoint, e->o.prefix, mod, HISTORY_SILENCE_MS, &history_callbacks, r);
}

void etcd_history(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done, void *arg)
{
    struct etcd_read *r = read_new(s, history_open, done, arg);

    r->change = change;
    r->told = from;
    loop_timer_start(&r->timer, 0);
}

/* --- compaction --------------------------------------------------------------------------------------------------- */

static void on_compacted(void *arg, const ProtobufCMessage *answer, int status, const struct error *err)
{
    struct etcd_read *r = arg;
    struct etcd_engine *e = r->engine;

    (void)status;
    r->call = NULL;
    if (!answer && !strstr(error_text(err), "has been compacted")) {
        read_retry(r, err);
        return;
    }
    e->compacted = MAX(e->compacted, r->revision);
    read_finish(r, e->compacted, NULL);
}

static void compact_start(void *arg)
{
    struct etcd_read *r = arg;
    struct etcd_engine *e = r->engine;
    Etcdpb__CompactionRequest request = ETCDPB__COMPACTION_REQUEST__INIT;
    uint32_t position;

    if (!read_can_start(r))
        return;
    r->revision = MIN(r->revision, e->delivered);
    /* The transaction of `revision` may have later changes: they stay, so compact to the one before. */
    if (!etcd_revision_split(e->first_revision, r->revision, &r->mod, &position) || r->mod < 2) {
        read_finish(r, e->compacted, NULL);
        return;
    }
    request.revision = r->mod - 1;
    r->call =
        etcd_client_call(e->client, r->endpoint, &etcd_compact, &request.base, COMPACT_TIMEOUT_MS, on_compacted, r);
}

void etcd_compact_store(struct store *s, uint64_t revision, store_done_fn *done, void *arg)
{
    struct etcd_read *r = read_new(s, compact_start, done, arg);

    r->revision = revision;
    loop_timer_start(&r->timer, 0);
}
