/* The face of the model to its servers: struct store, requests, and reads that members answer. */
#include "etcd_model_engine.h"

#include <stdlib.h>

/* --- asking members ----------------------------------------------------------------------------------------------------- */

static void read_send(struct engine *e, struct request *r)
{
    struct message x = { .type = MESSAGE_READ, .number = r->id, .entry = r->revision };

    if (r->type == REQUEST_COMPACT) {
        x = (struct message){ .type = MESSAGE_PROPOSE, .txn = engine_txn(e, TXN_COMPACT, r->id) };
        x.txn->compact = r->revision;
    }
    engine_send(e, &x);
    txn_unref(x.txn);
    if (!loop_timer_running(&e->reread))
        loop_timer_start(&e->reread, ATTEMPT_MS);
}

void engine_reread(void *arg)
{
    struct engine *e = arg;

    list_each (&e->reading, struct request, link, r)
        read_send(e, r);
}

void engine_read_begin(struct engine *e, struct request *r)
{
    list_del(&r->link);
    list_add_tail(&e->reading, &r->link);
    r->id = ++e->numbers;
    read_send(e, r);
}

/* --- reads ------------------------------------------------------------------------------------------------------------------------ */

static struct request *reading_of(struct engine *e, uint64_t id)
{
    list_each (&e->reading, struct request, link, r)
        if (r->id == id)
            return r;
    return NULL;
}

static void history_tell(struct engine *e, struct request *r)
{
    struct etcd_model *m = e->model;

    for (size_t i = 0; i < m->events_count && m->events[i].revision <= e->delivered; i++) {
        const struct event *x = &m->events[i];
        if (MUTANT("compacted-history-not-refused") && x->mod <= m->compacted)
            continue;
        if (x->change.key.n && x->revision > r->op.have)
            r->change(r->arg, &x->change);
    }
    engine_answer(e, r, e->delivered, ERR_NONE, NULL);
}

void engine_read_answered(struct engine *e, const struct message *x)
{
    struct request *r = reading_of(e, x->number);

    if (!r)
        return;
    if (r->type == REQUEST_HISTORY && !x->ok && !MUTANT("compacted-history-not-refused")) {
        engine_answer(e, r, 0, ERR_EXPIRED, "history before that revision is gone");
    } else if (r->type == REQUEST_HISTORY) {
        history_tell(e, r);
    } else if (!x->ok) { /* compacted while it was made: once more from the start */
        list_del(&r->link);
        list_add_head(&e->queue, &r->link);
        engine_pump(e);
    } else {
        model_range(e->model, str_of(r->op.key), r->revision, r->entry, r->arg);
        engine_answer(e, r, model_revision(e->model, r->revision, 0), ERR_NONE, NULL);
    }
    engine_finish_close(e);
}

void engine_compact_answered(struct engine *e, const struct txn *t)
{
    struct request *r = reading_of(e, t->number);

    if (r)
        engine_answer(e, r, model_revision(e->model, t->compact, 0), ERR_NONE, NULL);
    engine_finish_close(e);
}

/* --- the store -------------------------------------------------------------------------------------------------------------------- */

static struct engine *engine_of(struct store *s)
{
    return container_of(s, struct engine, base);
}

static struct request *request_new(struct store *s, enum request_type type, store_done_fn *done, void *arg)
{
    struct engine *e = engine_of(s);
    struct request *r = xnew(struct request);

    *r = (struct request){ .type = type, .asked_ms = engine_now_ms(e), .done = done, .arg = arg };
    list_add_tail(&e->queue, &r->link);
    loop_defer(s->loop, &e->pump);
    return r;
}

static void model_write(struct store *s, const struct store_write *w, store_done_fn *done, void *arg)
{
    op_copy(&request_new(s, REQUEST_WRITE, done, arg)->op, w);
    engine_of(s)->waiting++;
}

static void model_list(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg)
{
    struct request *r = request_new(s, REQUEST_LIST, done, arg);

    r->op.key = str_dup(prefix);
    r->entry = entry;
}

static void model_history(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done, void *arg)
{
    struct request *r = request_new(s, REQUEST_HISTORY, done, arg);
    struct etcd_model *m = engine_of(s)->model;

    r->op.have = from;
    /* Everything up to here must be whole in etcd: a transaction of which `from` is not the last change counts. */
    r->revision = model_mod(m, from);
    for (size_t i = m->events_count; i-- > 0 && m->events[i].mod >= r->revision;)
        if (m->events[i].mod == r->revision && m->events[i].revision > from)
            r->revision--;
    r->change = change;
}

static void model_barrier(struct store *s, store_done_fn *done, void *arg)
{
    if (MUTANT("barrier-is-free"))
        done(arg, engine_of(s)->delivered, NULL);
    else
        request_new(s, REQUEST_BARRIER, done, arg);
}

static void model_compact(struct store *s, uint64_t revision, store_done_fn *done, void *arg)
{
    struct request *r = request_new(s, REQUEST_COMPACT, done, arg);
    struct etcd_model *m = engine_of(s)->model;

    r->revision = model_mod(m, MIN(revision, engine_of(s)->delivered));
    for (size_t i = m->events_count; i-- > 0 && m->events[i].mod >= r->revision;)
        if (m->events[i].mod == r->revision && m->events[i].revision > revision) {
            r->revision--;
            break;
        }
}

static void model_stats(struct store *s, struct store_stats *ret)
{
    const struct engine *e = engine_of(s);

    *ret = (struct store_stats){ .revision = e->delivered,
                                 .compacted_revision = model_revision(e->model, e->model->compacted, 0),
                                 .commits = e->batches,
                                 .writes = e->writes };
}

static void model_close(struct store *s, void (*closed)(void *arg), void *arg)
{
    struct engine *e = engine_of(s);

    e->closing = true;
    e->closed = closed;
    e->closed_arg = arg;
    loop_defer(s->loop, &e->pump);
}

static void on_pump(void *arg)
{
    engine_pump(arg);
}

/* Every now and then: fail what waits for a quorum in vain, and look whether a watch that is silent is still alive. */
static void on_check(void *arg)
{
    struct engine *e = arg;

    engine_refuse_waiting(e);
    if (!e->gone && e->session_state == SESSION_OPEN && !e->batch && engine_now_ms(e) - e->seen_ms >= UNAVAILABLE_MS)
        request_new(&e->base, REQUEST_BARRIER, NULL, NULL);
    if (!e->gone)
        loop_timer_start(&e->check, ATTEMPT_MS);
}

struct store *etcd_model_open(struct etcd_model *m, struct loop *loop, const char *server, int member,
                              store_change_fn *on_change, void *arg)
{
    static const struct store_ops ops = {
        .write = model_write,
        .list = model_list,
        .history = model_history,
        .barrier = model_barrier,
        .compact = model_compact,
        .stats = model_stats,
        .close = model_close,
    };
    struct engine *e = xnew(struct engine);

    e->base = (struct store){ .ops = &ops, .loop = loop, .on_change = on_change, .on_change_arg = arg, .shared = true };
    e->model = m;
    e->place = model_place(m, server);
    e->member = member % m->config.members;
    list_init(&e->queue);
    list_init(&e->flight);
    list_init(&e->reading);
    list_add_tail(&m->engines, &e->link);
    e->heard_ms = e->seen_ms = engine_now_ms(e);
    e->pump = (struct loop_task){ .fn = on_pump, .arg = e };
    loop_timer_init(&e->attempt, loop, engine_attempt_over, e);
    loop_timer_init(&e->check, loop, on_check, e);
    loop_timer_init(&e->reread, loop, engine_reread, e);
    loop_timer_start(&e->check, ATTEMPT_MS);
    engine_ask_session(e);
    return &e->base;
}

void etcd_model_on_lost(struct store *s, loop_fn *fn, void *arg)
{
    engine_of(s)->lost = fn;
    engine_of(s)->lost_arg = arg;
}

void etcd_model_forget(struct store *s)
{
    struct engine *e = engine_of(s);

    if (e->gone)
        return;
    e->gone = true;
    model_watch_end(e->model, e);
    loop_timer_stop(&e->attempt);
    loop_timer_stop(&e->check);
    loop_timer_stop(&e->reread);
    loop_defer_cancel(&e->pump);
}

void engine_free(struct list *link)
{
    struct engine *e = container_of(link, struct engine, link);
    struct list *const all[] = { &e->queue, &e->flight, &e->reading };

    list_del(&e->link);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        list_each (all[i], struct request, link, r)
            request_free(r);
    txn_unref(e->batch);
    free(e);
}
