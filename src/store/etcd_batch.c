/*
 * Writes become transactions, answers become results.
 *
 * What a transaction looks like: etcd_pack.c.
 */
#define LOG_PART "store"
#include "store/etcd_internal.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>

#define SCAN_MAX      1000 /* writes looked at for one batch: bounds the work when many keys are busy */
#define LATENCY_SHARE 16   /* of the newest in the moving average */

static void write_free(struct etcd_write *w)
{
    error_done(&w->error);
    free(w->key);
    free(w->guard_key);
    free(w);
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

static void refuse_run(void *arg)
{
    struct etcd_write *w = arg;

    w->done(w->arg, w->have, &w->error);
    write_free(w);
}

static int check_write(struct etcd_engine *e, const struct store_write *w, struct error *err)
{
    if (e->closing || e->phase == ETCD_LOST)
        return fail(err, ERR_UNAVAILABLE, "the store is closed: the change was not made");
    if (e->waiting >= STORE_QUEUE_MAX)
        return fail(err, ERR_TOO_MANY_REQUESTS, "%zu writes are waiting for the store already", e->waiting);
    if (!w->key.n || w->key.n > STORE_KEY_MAX || w->value.n > STORE_VALUE_MAX)
        return fail(err, ERR_TOO_LARGE, "a key of %zu bytes with a value of %zu bytes cannot be stored", w->key.n,
                    w->value.n);
    if (etcd_no_quorum(e))
        return etcd_refusal(e, err);
    return 0;
}

void etcd_write(struct store *s, const struct store_write *sw, store_done_fn *done, void *arg)
{
    struct etcd_engine *e = etcd_engine_of(s);
    struct etcd_write *w = xnew(struct etcd_write);

    w->w = *sw;
    w->done = done;
    w->arg = arg;
    w->key = str_dup(sw->key);
    w->w.key.p = w->key;
    w->guard_key = sw->guard_key.n ? str_dup(sw->guard_key) : NULL;
    w->w.guard_key.p = w->guard_key;
    w->queued_ms = etcd_now_ms(e);
    if (check_write(e, sw, &w->error) < 0) {
        loop_post(e->base.loop, refuse_run, w);
        return;
    }
    e->waiting++;
    e->value_expects += sw->expect == STORE_EXPECT_VALUE;
    list_add_tail(&e->queue, &w->link);
    etcd_later(e);
}

static void write_finish(struct etcd_engine *e, struct etcd_write *w, uint64_t revision, const struct error *err)
{
    e->waiting--;
    e->value_expects -= w->w.expect == STORE_EXPECT_VALUE;
    w->done(w->arg, revision, err);
    write_free(w);
}

static void waiter_finish(struct etcd_waiter *waiter, uint64_t revision, const struct error *err)
{
    list_del(&waiter->link);
    waiter->done(waiter->arg, revision, err);
    free(waiter);
}

void etcd_barrier_wait(struct etcd_engine *e, bool alone, store_done_fn *done, void *arg)
{
    struct etcd_waiter *waiter = xnew(struct etcd_waiter);

    *waiter = (struct etcd_waiter){ .done = done, .arg = arg, .asked_ms = etcd_now_ms(e) };
    list_add_tail(&e->waiters, &waiter->link);
    e->barrier_alone = e->barrier_alone || alone;
    etcd_later(e);
}

void etcd_barrier(struct store *s, store_done_fn *done, void *arg)
{
    etcd_barrier_wait(etcd_engine_of(s), false, done, arg);
}

void etcd_queue_refuse(struct etcd_engine *e, const struct error *err)
{
    for (struct etcd_write *w; (w = list_first(&e->queue, struct etcd_write, link));) {
        list_del(&w->link);
        write_finish(e, w, 0, err);
    }
    for (struct etcd_waiter *w; (w = list_first(&e->waiters, struct etcd_waiter, link));)
        waiter_finish(w, 0, err);
    e->barrier_alone = false;
}

/* Without a quorum for long enough, nothing that was never sent waits on. */
void etcd_queue_expire(struct etcd_engine *e)
{
    AUTO_ERROR struct error err = { 0 };

    if (!etcd_no_quorum(e) || (list_empty(&e->queue) && list_empty(&e->waiters)))
        return;
    etcd_refusal(e, &err);
    etcd_queue_refuse(e, &err);
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

static size_t guard_count(struct etcd_engine *e, struct str guard)
{
    return (size_t)(uintptr_t)map_get(&e->guards, guard);
}

static void guard_add(struct etcd_engine *e, struct str guard, bool add)
{
    size_t n = guard_count(e, guard);

    n = add ? n + 1 : n - 1;
    if (n)
        map_put(&e->guards, guard, (void *)(uintptr_t)n); /* a count, not a pointer */
    else
        map_del(&e->guards, guard);
}

static void claim(struct etcd_engine *e, struct etcd_write *w)
{
    map_put(&e->busy, w->w.key, w);
    if (w->w.guard_key.n)
        guard_add(e, w->w.guard_key, true);
}

static void release(struct etcd_engine *e, struct etcd_write *w)
{
    if (map_get(&e->busy, w->w.key) != w)
        return;
    map_del(&e->busy, w->w.key);
    if (w->w.guard_key.n)
        guard_add(e, w->w.guard_key, false);
}

static bool can_go(struct etcd_engine *e, const struct map *passed_over, const struct etcd_write *w)
{
    struct str guard = w->w.guard_key;

    if (map_has(&e->busy, w->w.key) || map_has(passed_over, w->w.key) || guard_count(e, w->w.key))
        return false;
    return !guard.n || (!map_has(&e->busy, guard) && !map_has(passed_over, guard));
}

static void batch_free(struct etcd_batch *b)
{
    struct etcd_engine *e = b->engine;

    if (b->call) {
        e->calls_open--;
        etcd_call_cancel(b->call);
    }
    if (e->current == b)
        e->current = NULL;
    list_del(&b->link);
    free(b);
}

static struct etcd_batch *batch_new(struct etcd_engine *e)
{
    struct etcd_batch *b = xnew(struct etcd_batch);

    b->engine = e;
    b->id = ++e->batch_count;
    b->session = e->session;
    list_init(&b->waiters);
    list_add_tail(&e->batches, &b->link);
    return b;
}

/* Take what can go now, in the order of the queue; what cannot holds back later writes of its key. */
static void batch_fill(struct etcd_batch *b)
{
    struct etcd_engine *e = b->engine;
    AUTO_MAP struct map passed_over = { 0 };
    size_t bytes = 0, looked = 0;

    list_each (&e->queue, struct etcd_write, link, w) {
        size_t n = w->w.key.n + w->w.value.n;

        if (++looked > SCAN_MAX || b->count == e->o.batch_writes_max || (b->count && bytes + n > e->o.batch_bytes_max))
            break;
        if (!can_go(e, &passed_over, w) || (w->alone && b->count)) {
            map_put(&passed_over, w->w.key, w);
            continue;
        }
        list_del(&w->link);
        claim(e, w);
        b->writes[b->count++] = w;
        bytes += n;
        if (w->alone)
            break;
    }
    b->left = b->count;
}

struct etcd_batch *etcd_batch_of(struct etcd_engine *e, struct str marker)
{
    struct str instance;
    uint64_t id;

    if (!str_cut(&marker, ' ', &instance) || !str_is(instance, e->instance) || !str_to_u64(marker, &id))
        return NULL;
    list_each (&e->batches, struct etcd_batch, link, b)
        if (b->id == id)
            return b;
    return NULL;
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

static void on_answer(void *arg, const ProtobufCMessage *answer, int status, const struct error *err);

static void batch_send(struct etcd_batch *b)
{
    struct etcd_engine *e = b->engine;
    AUTO_BUF struct buf packed = BUF_MAX(SIZE_MAX / 2);

    etcd_batch_pack(b, &packed);
    b->sent_us = time_monotonic_us();
    b->passed_then = e->passed;
    e->calls_open++;
    CRASH_POINT("etcd.before-send");
    b->call = etcd_client_send(e->client, e->endpoint, &etcd_txn, buf_str(&packed), etcd_attempt_ms(e), on_answer, b);
    CRASH_POINT("etcd.sent");
}

void etcd_batches_send(struct etcd_engine *e)
{
    size_t unfinished = 0;

    if (e->phase != ETCD_RUNNING)
        return;
    list_each (&e->batches, struct etcd_batch, link, b)
        unfinished++;
    while (e->calls_open < e->o.batches_max && unfinished < UNFINISHED_MAX) {
        struct etcd_batch *b;

        if (list_empty(&e->queue) && list_empty(&e->waiters) && !e->self_check)
            return;
        b = batch_new(e);
        if (!e->barrier_alone)
            batch_fill(b);
        if (!b->count && list_empty(&e->waiters) && !e->self_check) {
            batch_free(b);
            return;
        }
        e->barrier_alone = e->self_check = false;
        list_each (&e->waiters, struct etcd_waiter, link, waiter) {
            list_del(&waiter->link);
            list_add_tail(&b->waiters, &waiter->link);
        }
        batch_send(b);
        unfinished++;
    }
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static void requeue(struct etcd_batch *b, struct list *to, size_t i)
{
    struct etcd_write *w = b->writes[i];

    b->writes[i] = NULL;
    b->left--;
    release(b->engine, w);
    list_add_tail(to, &w->link);
}

/* Before everything that waits: writes of one key keep their order. */
static void put_first(struct etcd_engine *e, struct list *again)
{
    for (struct etcd_write *w; !list_empty(again);) {
        w = container_of(again->prev, struct etcd_write, link);
        list_del(&w->link);
        list_add_head(&e->queue, &w->link);
    }
    etcd_later(e);
}

/* A write that waits for this value of the key need not ask for it any more. */
static void tell_successor(struct etcd_engine *e, const struct etcd_write *w, int64_t mod)
{
    size_t looked = 0;

    if (!e->value_expects || w->w.type != STORE_PUT)
        return;
    list_each (&e->queue, struct etcd_write, link, next) {
        if (++looked > SCAN_MAX)
            return;
        if (!str_eq(next->w.key, w->w.key))
            continue;
        if (next->w.expect == STORE_EXPECT_VALUE && str_eq(next->w.expect_value, w->w.value))
            next->mod = mod;
        return;
    }
}

static void batch_maybe_done(struct etcd_batch *b)
{
    if (b->passed && !b->left && list_empty(&b->waiters) && (b->answered || !b->call))
        batch_free(b);
}

/* The watch told write i. */
void etcd_write_succeeded(struct etcd_batch *b, size_t i, uint64_t revision)
{
    struct etcd_engine *e = b->engine;
    struct etcd_write *w = b->writes[i];

    if (!w)
        return;
    if (!b->answered)
        tell_successor(e, w, b->mod);
    release(e, w);
    b->writes[i] = NULL;
    b->left--;
    e->writes++;
    CRASH_POINT("etcd.before-reply");
    write_finish(e, w, revision, NULL);
    CRASH_POINT("etcd.after-reply");
    etcd_later(e);
}

/* Those whose compares failed are told when the watch has come as far: what they conflict with has been told then. */
static void tell_failures(struct etcd_batch *b)
{
    struct list again;

    list_init(&again);
    for (size_t i = 0; i < b->count; i++) {
        struct etcd_write *w = b->writes[i];

        if (!w)
            continue;
        if (b->answered &&
            !w->failed) { /* etcd has done such things (issue 17529): nothing told is worth anything then */
            AUTO_ERROR struct error err = { 0 };

            fail(&err, ERR_INTERNAL, "etcd's watch left out the change of '%.*s' at its revision %lld",
                 STR_ARG(w->w.key), (long long)b->mod);
            etcd_damaged(&err);
        }
        if (w->failed) {
            release(b->engine, w);
            b->writes[i] = NULL;
            b->left--;
            write_finish(b->engine, w, w->have, &w->error);
        } else {
            requeue(b, &again, i); /* it did not happen, and why was lost with the answer */
        }
    }
    put_first(b->engine, &again);
}

void etcd_batch_passed(struct etcd_batch *b)
{
    uint64_t revision = etcd_revision(b->engine->first_revision, b->mod, 0);
    struct list waiters;

    b->passed = true;
    if (b->answered || !b->call)
        tell_failures(b);
    list_init(&waiters);
    list_each (&b->waiters, struct etcd_waiter, link, waiter) {
        list_del(&waiter->link);
        list_add_tail(&waiters, &waiter->link);
    }
    batch_maybe_done(b);
    for (struct etcd_waiter *w; (w = list_first(&waiters, struct etcd_waiter, link));)
        waiter_finish(w, revision, NULL);
}

void etcd_batch_repeat(struct etcd_batch *b)
{
    struct etcd_engine *e = b->engine;
    struct list again;

    CRASH_POINT("etcd.repeat");
    list_init(&again);
    for (size_t i = 0; i < b->count; i++)
        if (b->writes[i])
            requeue(b, &again, i);
    put_first(e, &again);
    for (struct etcd_waiter *w; !list_empty(&b->waiters);) {
        w = container_of(b->waiters.prev, struct etcd_waiter, link);
        list_del(&w->link);
        list_add_head(&e->waiters, &w->link);
    }
    batch_free(b);
}

void etcd_batches_drop(struct etcd_engine *e, const struct error *err)
{
    for (struct etcd_batch *b; (b = list_first(&e->batches, struct etcd_batch, link));) {
        for (size_t i = 0; i < b->count; i++)
            if (b->writes[i])
                write_free(b->writes[i]);
        for (struct etcd_waiter *w; (w = list_first(&b->waiters, struct etcd_waiter, link));)
            waiter_finish(w, 0, err);
        batch_free(b);
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Returns whether write i is to be sent again. */
static bool take_result(struct etcd_batch *b, size_t i, const Etcdpb__ResponseOp *op)
{
    struct etcd_engine *e = b->engine;
    struct etcd_write *w = b->writes[i];
    int64_t mod = 0;

    if (op && (op->response_case != ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN || op->response_txn->succeeded)) {
        tell_successor(e, w, b->mod);
        release(e, w);
        return false;
    }
    if (!op)
        return true;
    if (etcd_judge(e, w, op->response_txn, &mod, &w->error) == 0) {
        w->mod = mod;
        return true;
    }
    w->failed = true;
    release(e, w);
    return false;
}

static void note_latency(struct etcd_engine *e, int64_t us)
{
    e->latency_us[e->latency_count++ % LATENCIES] = us;
    e->latency_average_us += (us - e->latency_average_us) / LATENCY_SHARE;
}

static void take_answer(struct etcd_batch *b, const Etcdpb__TxnResponse *m)
{
    struct etcd_engine *e = b->engine;
    struct list again;

    b->answered = true;
    b->answered_ms = etcd_now_ms(e);
    b->mod = m->header->revision;
    etcd_watch_owes(e, b->mod);
    e->commits++;
    note_latency(e, time_monotonic_us() - b->sent_us);
    list_init(&again);
    for (size_t i = 0; i < b->count; i++)
        if (b->writes[i] && take_result(b, i, i + 1 < m->n_responses ? m->responses[i + 1] : NULL))
            requeue(b, &again, i);
    put_first(e, &again);
    if (b->passed)
        tell_failures(b);
    batch_maybe_done(b);
}

/* The session was another: nothing of it happened. Its own answer tells which one it is. */
static void take_mismatch(struct etcd_batch *b, const Etcdpb__TxnResponse *m)
{
    struct etcd_engine *e = b->engine;
    const Etcdpb__ResponseOp *op = m->n_responses ? m->responses[0] : NULL;
    AUTO_ERROR struct error err = { 0 };
    struct str key, value;
    uint64_t revision;

    if (!op || op->response_case != ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE || !op->response_range->n_kvs) {
        etcd_lost(e, ERR_CONFLICT, "the session of '%s' has been deleted in etcd", e->server);
        return;
    }
    if (etcd_decode_kv(e->first_revision, e->o.prefix, op->response_range->kvs[0], &key, &value, &revision, &err) < 0)
        etcd_damaged(&err);
    if (!str_starts(value, str_of(e->instance))) {
        etcd_lost(e, ERR_CONFLICT, "another process uses the name '%s' of this server in etcd", e->server);
        return;
    }
    etcd_session_adopt(e, op->response_range->kvs[0]->mod_revision);
    etcd_batch_repeat(b);
}

/* etcd will never take this one: too large, or what a future etcd does not know. */
static void take_refusal(struct etcd_batch *b, const struct error *err)
{
    struct etcd_engine *e = b->engine;

    if (!b->count) {
        etcd_failed(e, err);
        etcd_settle(e);
        return;
    }
    if (b->count != 1) {
        for (size_t i = 0; i < b->count; i++)
            if (b->writes[i])
                b->writes[i]->alone = true;
        etcd_batch_repeat(b);
        return;
    }
    struct etcd_write *w = TAKE(b->writes[0]);
    enum error_code code = strstr(error_text(err), "too large") ? ERR_TOO_LARGE : ERR_INTERNAL;
    fail(&w->error, code, "etcd refuses the change: %s", error_text(err));
    release(e, w);
    b->left = 0;
    b->count = 0;
    write_finish(e, w, 0, &w->error);
    etcd_batch_repeat(b);
}

static void on_answer(void *arg, const ProtobufCMessage *answer, int status, const struct error *err)
{
    struct etcd_batch *b = arg;
    struct etcd_engine *e = b->engine;
    const Etcdpb__TxnResponse *m = (const Etcdpb__TxnResponse *)answer;

    b->call = NULL;
    e->calls_open--;
    etcd_later(e);
    if (m && m->header) {
        CRASH_POINT("etcd.answered");
        if (etcd_went_back(e, b->passed_then, m->header))
            return;
        etcd_accepted(e, m->header);
        if (m->succeeded)
            take_answer(b, m);
        else
            take_mismatch(b, m);
        return;
    }
    if (status == GRPC_INVALID_ARGUMENT) {
        take_refusal(b, err);
        return;
    }
    if (b->seen) { /* it happened: the watch told, and what failed in it is sent again */
        if (b->passed)
            tell_failures(b);
        batch_maybe_done(b);
        return;
    }
    etcd_failed(e, err);
    e->endpoint = (e->endpoint + 1) % etcd_client_count(e->client);
    /* Nobody heard of it, so it can go to the next member; when there is none, the session's attempts set the pace. */
    if (status == GRPC_NOT_SENT && ++e->not_sent < etcd_client_count(e->client))
        etcd_batch_repeat(b);
    else
        etcd_settle(e);
}
