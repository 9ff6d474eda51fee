/*
 * A server's engine on the model: docs/design/high-availability.md, section 2, as short as it can be said.
 *
 *   one batch in flight; its transaction compares the session and leaves a mark in the watch
 *   no answer in time  -> a new session through the next member, then the watch tells whether the batch happened
 *   reads, barriers    -> wait for the mark of a batch that was sent after they were asked
 */
#include "etcd_model_engine.h"

#include <stdio.h>
#include <stdlib.h>

struct loop *engine_loop(struct engine *e)
{
    return e->base.loop;
}

bool engine_is_gone(const struct engine *e)
{
    return e->gone;
}

int64_t engine_now_ms(struct engine *e)
{
    return env_monotonic_ms(e->model->env);
}

void engine_send(struct engine *e, struct message *x)
{
    x->from = e->place;
    x->to = e->member;
    x->engine = e;
    model_send(e->model, x, model_delay_ms(e->model));
}

struct txn *engine_txn(struct engine *e, enum txn_type type, uint64_t number)
{
    struct txn *t = xnew(struct txn);

    *t = (struct txn){ .count = 1, .type = type, .from = e, .from_place = e->place, .number = number, .via = -1 };
    t->session = e->session;
    return t;
}

/* --- requests ---------------------------------------------------------------------------------------------------------------- */

static void op_done(struct op *o)
{
    free(o->key);
    free(o->value);
    free(o->expect_value);
    free(o->guard_key);
}

void request_free(struct request *r)
{
    list_del(&r->link);
    op_done(&r->op);
    free(r);
}

void op_copy(struct op *to, const struct store_write *w)
{
    to->key = str_dup(w->key);
    to->value = str_dup(w->value);
    to->expect_value = str_dup(w->expect_value);
    to->guard_key = str_dup(w->guard_key);
    to->write = *w;
    to->write.key.p = to->key;
    to->write.value.p = to->value;
    to->write.expect_value.p = to->expect_value;
    to->write.guard_key.p = to->guard_key;
}

void engine_answer(struct engine *e, struct request *r, uint64_t revision, enum error_code code, const char *why)
{
    AUTO_ERROR struct error err = { 0 };

    if (code)
        fail(&err, code, "%s", why);
    e->waiting -= r->type == REQUEST_WRITE;
    list_del(&r->link);
    if (r->done)
        r->done(r->arg, revision, code ? &err : NULL);
    request_free(r);
}

/* Back to the head of the queue, in the same order: sure not to have happened. */
static void requeue(struct engine *e)
{
    while (!list_empty(&e->flight)) {
        struct request *r = container_of(e->flight.prev, struct request, link);
        list_del(&r->link);
        r->sent = MUTANT("ambiguous-told-failed") ? r->sent : false;
        list_add_head(&e->queue, &r->link);
    }
    txn_unref(TAKE(e->batch));
    e->batch_seen = e->batch_answered = false;
}

void engine_finish_close(struct engine *e)
{
    if (!e->closing || e->gone || e->batch || !list_empty(&e->queue) || !list_empty(&e->reading))
        return;
    etcd_model_forget(&e->base);
    if (e->closed)
        e->closed(e->closed_arg);
}

void engine_refuse_waiting(struct engine *e)
{
    if (engine_now_ms(e) - e->heard_ms < UNAVAILABLE_MS)
        return;
    list_each (&e->queue, struct request, link, r)
        if (engine_now_ms(e) - r->asked_ms >= UNAVAILABLE_MS) {
            e->model->stats.unavailable++;
            engine_answer(e, r, 0, ERR_UNAVAILABLE, "the store has no quorum: the change was not made; try again");
        }
    engine_finish_close(e);
}

/* --- batches ------------------------------------------------------------------------------------------------------------------ */

static bool fits(const struct map *keys, const struct request *r, bool listing)
{
    if (r->type == REQUEST_BARRIER)
        return true;
    if (r->type == REQUEST_LIST) /* a list stands at position 0: nothing else of its revision may be in it */
        return keys->count == 0;
    if (listing || keys->count >= BATCH_MAX || r->type != REQUEST_WRITE)
        return false;
    /* etcd compares before it writes: a write of a key, or under a guard, that this batch writes belongs to the next one. */
    return !map_has(keys, r->op.write.key) && (!map_has(keys, r->op.write.guard_key) || MUTANT("guard-in-its-batch"));
}

static void batch_send(struct engine *e)
{
    AUTO_MAP struct map keys = { 0 };
    struct txn *t = engine_txn(e, TXN_BATCH, ++e->numbers);
    bool listing = false;

    list_each (&e->queue, struct request, link, r) {
        if (!fits(&keys, r, listing))
            break;
        listing |= r->type == REQUEST_LIST;
        list_del(&r->link);
        list_add_tail(&e->flight, &r->link);
        if (r->type != REQUEST_WRITE)
            continue;
        r->sent = true;
        r->nested = t->ops_count;
        map_put(&keys, r->op.write.key, r);
        t->ops = xrealloc(t->ops, (t->ops_count + 1) * sizeof(*t->ops));
        t->ops[t->ops_count] = (struct op){ 0 };
        op_copy(&t->ops[t->ops_count++], &r->op.write);
    }
    e->batch = t;
    e->batch_seen = e->batch_answered = false;
    e->batches++;
    struct message x = { .type = MESSAGE_PROPOSE, .txn = t };
    engine_send(e, &x);
    loop_timer_start(&e->attempt, ATTEMPT_MS);
}

void engine_pump(struct engine *e)
{
    if (e->session_state != SESSION_OPEN || e->batch)
        return;
    for (;;) {
        struct request *r = list_first(&e->queue, struct request, link);
        if (!r || (r->type != REQUEST_HISTORY && r->type != REQUEST_COMPACT))
            break;
        engine_read_begin(e, r);
    }
    if (!list_empty(&e->queue))
        batch_send(e);
    engine_finish_close(e);
}

static const char *why(enum error_code code)
{
    return code == ERR_CONFLICT    ? "the key has changed"
           : code == ERR_TERM_OVER ? "the writer's term is over"
           : code == ERR_NOT_FOUND ? "the key is not there"
                                   : "the key exists already";
}

/* The mark of our batch has come by, everything in it that succeeded has been told: answer all whose fate is known. */
static void batch_tell(struct engine *e)
{
    struct txn *t = txn_ref(e->batch);

    list_each (&e->flight, struct request, link, r) {
        const struct op *o = r->type == REQUEST_WRITE ? &t->ops[r->nested] : NULL;
        if (r->type == REQUEST_LIST) {
            r->revision = t->mod;
            engine_read_begin(e, r);
        } else if (!o) {
            engine_answer(e, r, e->delivered, ERR_NONE, NULL);
        } else if (o->code == ERR_NONE) {
            e->writes++;
            engine_answer(e, r, o->have, ERR_NONE, NULL);
        } else if (e->batch_answered) {
            engine_answer(e, r, o->have, o->code, why(o->code));
        }
    }
    txn_unref(t);
}

/* What is left was refused and its answer lost: it is asked again, which is safe since it did not happen. */
static void batch_finish(struct engine *e)
{
    batch_tell(e);
    requeue(e);
    if (e->session_state == SESSION_OPEN)
        loop_timer_stop(&e->attempt);
    engine_pump(e);
}

/* --- sessions ----------------------------------------------------------------------------------------------------------------- */

static void watch_open(struct engine *e)
{
    uint64_t from = e->delivered_mod + 1;

    if (MUTANT("watch-reopened-one-late"))
        from++;
    if (MUTANT("watch-reopened-in-the-future"))
        from = e->model->mod + 1;
    if (MUTANT("watch-reopened-at-the-last-seen"))
        from--;
    struct message x = { .type = MESSAGE_WATCH, .number = ++e->watch_id, .entry = from };
    engine_send(e, &x);
}

static void next_member(struct engine *e)
{
    e->member = (e->member + 1) % e->model->config.members;
    if (e->begun)
        watch_open(e);
}

void engine_ask_session(struct engine *e)
{
    struct message x = { .type = MESSAGE_PROPOSE };

    if (e->session_state != SESSION_ASKED)
        e->round++;
    e->session_state = SESSION_ASKED;
    e->model->stats.sessions++;
    x.txn = engine_txn(e, TXN_SESSION, e->round);
    engine_send(e, &x);
    txn_unref(x.txn);
    loop_timer_start(&e->attempt, ATTEMPT_MS);
}

/* The new session has come by in the watch: what had happened before it has been seen, and nothing else of ours ever will. */
static void session_settle(struct engine *e)
{
    if (e->session_state != SESSION_ANSWERED || e->delivered_mod < e->session)
        return;
    e->session_state = SESSION_OPEN;
    loop_timer_stop(&e->attempt);
    if (e->batch)
        requeue(e);
    engine_pump(e);
}

static void session_answered(struct engine *e, struct txn *t)
{
    if (e->session_state != SESSION_ASKED || t->number != e->round)
        return;
    e->session = t->mod;
    e->session_state = SESSION_ANSWERED;
    loop_timer_start(&e->attempt, ATTEMPT_MS);
    if (!e->begun) {
        e->begun = true;
        e->delivered_mod = t->mod;
        e->delivered = MAX(e->delivered, model_revision(e->model, t->mod, 0));
        watch_open(e);
    }
    session_settle(e);
}

/* What was asked has not come within the attempt's time: the next member is asked. */
void engine_attempt_over(void *arg)
{
    struct engine *e = arg;

    next_member(e);
    if (e->session_state == SESSION_ANSWERED || (e->session_state == SESSION_OPEN && e->batch_answered)) {
        loop_timer_start(&e->attempt, ATTEMPT_MS); /* it happened: only the watch is late */
        return;
    }
    if (MUTANT("ambiguous-repeated-blindly") && e->batch) {
        requeue(e);
        engine_pump(e);
        return;
    }
    if (MUTANT("ambiguous-told-failed") && e->batch)
        list_each (&e->flight, struct request, link, r)
            engine_answer(e, r, 0, ERR_UNAVAILABLE, "no answer");
    if (e->batch_seen)
        batch_finish(e);
    else
        engine_ask_session(e);
}

/* --- what comes back ------------------------------------------------------------------------------------------------------------ */

static void batch_answered(struct engine *e, struct txn *t)
{
    if (t != e->batch || e->session_state != SESSION_OPEN)
        return; /* its fate is settled by the session */
    if (!t->session_ok) {
        requeue(e);
        engine_ask_session(e);
        return;
    }
    e->batch_answered = true;
    if (MUTANT("told-before-the-watch")) {
        e->delivered = MAX(e->delivered, model_revision(e->model, t->mod, 0));
        batch_finish(e);
    } else if (e->batch_seen) {
        batch_finish(e);
    } else {
        loop_timer_start(&e->attempt, ATTEMPT_MS);
    }
}

static void *cookie_of(struct engine *e, struct txn *t, size_t nested)
{
    if (t == e->batch)
        list_each (&e->flight, struct request, link, r)
            if (r->type == REQUEST_WRITE && r->nested == nested)
                return r->op.write.cookie;
    return NULL;
}

static void entry_tell(struct engine *e, struct txn *t)
{
    struct etcd_model *m = e->model;

    e->delivered_mod = t->mod;
    for (size_t i = 0; i < t->events_count && !e->gone; i++) {
        const struct event *x = &m->events[t->events_first + i];
        struct store_change told = x->change;
        e->delivered = MAX(e->delivered, x->revision);
        if (!told.key.n || (told.type == STORE_DELETE && MUTANT("delete-not-told") && model_chance(m, 20)))
            continue;
        told.cookie = cookie_of(e, t, x->op);
        if (e->base.on_change)
            e->base.on_change(e->base.on_change_arg, &told);
    }
}

static void entry_seen(struct engine *e, struct txn *t)
{
    if (!t->mod || (t->mod <= e->delivered_mod && !MUTANT("watch-reopened-at-the-last-seen")))
        return;
    e->seen_ms = engine_now_ms(e);
    entry_tell(e, t);
    if (e->gone)
        return;
    if (t == e->batch) {
        e->batch_seen = true;
        batch_tell(e);
        if (list_empty(&e->flight) || e->batch_answered || e->session_state != SESSION_OPEN)
            batch_finish(e);
    }
    session_settle(e);
}

static void lost(struct engine *e)
{
    loop_fn *fn = e->lost;
    void *arg = e->lost_arg;

    etcd_model_forget(&e->base);
    if (fn)
        fn(arg);
}

void engine_receive(void *message)
{
    struct message *x = message;
    struct engine *e = x->engine;

    if (!e->gone && x->type != MESSAGE_REFUSED)
        e->heard_ms = engine_now_ms(e);
    if (e->gone)
        ;
    else if (x->type == MESSAGE_REFUSED)
        loop_timer_start(&e->attempt, ATTEMPT_MS / 10);
    else if (x->type == MESSAGE_READ_ANSWER)
        engine_read_answered(e, x);
    else if (x->type == MESSAGE_CANCEL && x->number == e->watch_id)
        lost(e);
    else if (x->type == MESSAGE_ENTRY && x->number == e->watch_id)
        entry_seen(e, x->txn);
    else if (x->type == MESSAGE_ANSWER && x->txn->type == TXN_SESSION)
        session_answered(e, x->txn);
    else if (x->type == MESSAGE_ANSWER && x->txn->type == TXN_BATCH)
        batch_answered(e, x->txn);
    else if (x->type == MESSAGE_ANSWER)
        engine_compact_answered(e, x->txn);
    message_free(x);
}
