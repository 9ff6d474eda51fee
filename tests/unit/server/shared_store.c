/* See shared_store.h. */
#include "shared_store.h"

#include "base/list.h"

#include <stdlib.h>

struct shared_store {
    struct loop *loop;
    struct store *core;
    struct opener *openers[SHARED_OPENERS_MAX];
    size_t count;
    uint64_t revision, writes, created;
    struct str counted;     /* prefix of the keys in `created` */
    struct opener *writing; /* whose write the core carries out */
};

struct opener {
    struct store base;
    struct shared_store *all;
    struct list changes; /* of struct told, not delivered yet */
    struct list waiting; /* of struct call: answered when what was delivered reaches it */
    struct list unsent;  /* of struct call, while it is cut off */
    uint64_t delivered;
    int64_t lag_ms, send_ms;
    bool cut, closed;
    size_t sent; /* to the core, not answered by it */
    struct loop_timer timer;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

struct told {
    struct list link;
    int64_t at_ms;
    struct store_change change;
};

struct call {
    struct list link;
    struct opener *opener;
    bool is_write;
    struct store_write write;
    store_done_fn *done;
    void *arg;
    uint64_t revision; /* answer when so much was delivered */
    int64_t since_ms, at_ms;
    bool failed;
    struct error err;
};

static int64_t now_ms(const struct shared_store *c)
{
    return env_monotonic_ms(loop_env(c->loop));
}

static struct str copy(struct str s)
{
    return (struct str){ str_dup(s), s.n };
}

static void look(struct opener *o)
{
    if (!o->closed)
        loop_timer_start(&o->timer, 0);
}

/* --- what the core tells -------------------------------------------------------------------------------------------------- */

static void on_core_change(void *arg, const struct store_change *change)
{
    struct shared_store *c = arg;
    c->revision = change->revision;
    c->writes++;
    c->created +=
        c->counted.n && change->type == STORE_PUT && !change->previous_revision && str_starts(change->key, c->counted);
    for (size_t i = 0; i < c->count; i++) {
        struct opener *o = c->openers[i];
        struct told *t = xnew(struct told);
        t->change = *change;
        t->change.key = copy(change->key);
        t->change.value = copy(change->value);
        t->change.previous_value = copy(change->previous_value);
        t->change.cookie = o == c->writing ? change->cookie : NULL;
        t->at_ms = now_ms(c) + o->lag_ms;
        list_add_tail(&o->changes, &t->link);
        look(o);
    }
}

static void deliver(struct opener *o)
{
    list_each (&o->changes, struct told, link, t) {
        if (t->at_ms > now_ms(o->all) || o->cut)
            return;
        list_del(&t->link);
        o->delivered = t->change.revision;
        if (!o->closed)
            o->base.on_change(o->base.on_change_arg, &t->change);
        free((char *)t->change.key.p);
        free((char *)t->change.value.p);
        free((char *)t->change.previous_value.p);
        free(t);
    }
}

static void call_end(struct call *k, const struct error *err)
{
    list_del(&k->link);
    k->done(k->arg, k->revision, err);
    free((char *)k->write.key.p);
    free((char *)k->write.value.p);
    free((char *)k->write.expect_value.p);
    free((char *)k->write.guard_key.p);
    error_done(&k->err);
    free(k);
}

static void on_core_written(void *arg, uint64_t revision, const struct error *err)
{
    struct call *k = arg;
    k->opener->sent--;
    k->revision = revision;
    k->at_ms = now_ms(k->opener->all) + k->opener->lag_ms;
    if (err) {
        k->failed = true;
        fail(&k->err, err->code, "%s", error_text(err));
    }
    list_add_tail(&k->opener->waiting, &k->link);
    look(k->opener);
}

static void on_core_write_begins(void *arg)
{
    struct call *k = arg;
    k->opener->all->writing = k->opener;
}

static void call_send(struct call *k)
{
    struct shared_store *c = k->opener->all;
    if (k->is_write) {
        k->opener->sent++;
        loop_post(c->loop, on_core_write_begins, k);
        store_write(c->core, &k->write, on_core_written, k);
    } else {
        k->revision = c->revision;
        k->at_ms = now_ms(c) + k->opener->lag_ms;
        list_add_tail(&k->opener->waiting, &k->link);
        look(k->opener);
    }
}

static void on_timer(void *arg)
{
    struct opener *o = arg;
    int64_t now = now_ms(o->all), next = -1;
    deliver(o);
    list_each (&o->waiting, struct call, link, k) {
        if (o->cut || k->at_ms > now || (!k->failed && o->delivered < k->revision))
            continue;
        if (!k->is_write && o->base.on_progress)
            o->base.on_progress(o->base.on_progress_arg, k->revision);
        call_end(k, k->failed ? &k->err : NULL);
    }
    list_each (&o->unsent, struct call, link, k) {
        AUTO_ERROR struct error err = { 0 };
        if (!o->cut && now >= k->since_ms + o->send_ms) {
            list_del(&k->link);
            call_send(k);
        } else if (o->cut && now - k->since_ms >= SHARED_REFUSE_MS) {
            fail(&err, ERR_UNAVAILABLE, "the store has no quorum");
            k->revision = 0;
            call_end(k, &err);
        }
    }
    list_each (&o->changes, struct told, link, t)
        next = next < 0 || t->at_ms < next ? t->at_ms : next;
    list_each (&o->waiting, struct call, link, k)
        next = next < 0 || k->at_ms < next ? k->at_ms : next;
    list_each (&o->unsent, struct call, link, k)
        next = next < 0 || k->since_ms + o->send_ms < next ? k->since_ms + o->send_ms : next;
    if (o->on_closed && !o->sent && list_empty(&o->waiting) && list_empty(&o->unsent)) {
        o->closed = true;
        void (*closed)(void *arg) = o->on_closed;
        o->on_closed = NULL;
        closed(o->closed_arg);
    } else if (next >= 0) {
        loop_timer_start(&o->timer, MAX(next - now, o->cut ? 50 : 1));
    }
}

/* --- the engine's side ------------------------------------------------------------------------------------------------------ */

static struct call *call_new(struct store *s, store_done_fn *done, void *arg)
{
    struct opener *o = container_of(s, struct opener, base);
    struct call *k = xnew(struct call);
    k->opener = o;
    k->done = done;
    k->arg = arg;
    k->since_ms = now_ms(o->all);
    return k;
}

static void call_begin(struct call *k)
{
    if (!k->opener->cut && !k->opener->send_ms) {
        call_send(k);
        return;
    }
    list_add_tail(&k->opener->unsent, &k->link);
    look(k->opener);
}

static void shared_write(struct store *s, const struct store_write *w, store_done_fn *done, void *arg)
{
    struct call *k = call_new(s, done, arg);
    k->is_write = true;
    k->write = *w;
    k->write.key = copy(w->key);
    k->write.value = copy(w->value);
    k->write.expect_value = copy(w->expect_value);
    k->write.guard_key = copy(w->guard_key);
    call_begin(k);
}

static void shared_barrier(struct store *s, store_done_fn *done, void *arg)
{
    call_begin(call_new(s, done, arg));
}

static void shared_list(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg)
{
    store_list(container_of(s, struct opener, base)->all->core, prefix, entry, done, arg);
}

static void shared_history(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done, void *arg)
{
    store_history(container_of(s, struct opener, base)->all->core, from, change, done, arg);
}

static void shared_compact(struct store *s, uint64_t revision, store_done_fn *done, void *arg)
{
    store_compact(container_of(s, struct opener, base)->all->core, revision, done, arg);
}

static void shared_stats(struct store *s, struct store_stats *ret)
{
    store_stats(container_of(s, struct opener, base)->all->core, ret);
}

static void shared_close(struct store *s, void (*closed)(void *arg), void *arg)
{
    struct opener *o = container_of(s, struct opener, base);
    o->on_closed = closed;
    o->closed_arg = arg;
    loop_timer_start(&o->timer, 0);
}

static const struct store_ops ops = { .write = shared_write,
                                      .list = shared_list,
                                      .history = shared_history,
                                      .barrier = shared_barrier,
                                      .compact = shared_compact,
                                      .stats = shared_stats,
                                      .close = shared_close };

struct store *shared_store_open(void *shared, struct loop *loop, struct env *env, store_change_fn *on_change, void *arg,
                                struct error *err)
{
    struct shared_store *c = shared;
    struct opener *o = xnew(struct opener);
    (void)env;
    (void)err;
    assert(c->count < SHARED_OPENERS_MAX);
    o->base = (struct store){ .ops = &ops, .loop = loop, .on_change = on_change, .on_change_arg = arg, .shared = true };
    o->all = c;
    o->delivered = c->revision;
    list_init(&o->changes);
    list_init(&o->waiting);
    list_init(&o->unsent);
    loop_timer_init(&o->timer, loop, on_timer, o);
    c->openers[c->count++] = o;
    return &o->base;
}

void shared_store_lag(struct shared_store *c, size_t opener, int64_t ms)
{
    c->openers[opener]->lag_ms = ms;
}

void shared_store_send_lag(struct shared_store *c, size_t opener, int64_t ms)
{
    c->openers[opener]->send_ms = ms;
}

void shared_store_cut(struct shared_store *c, size_t opener, bool cut)
{
    c->openers[opener]->cut = cut;
    look(c->openers[opener]);
}

uint64_t shared_store_created(struct shared_store *c, const char *prefix)
{
    c->counted = str_of(prefix);
    return c->created;
}

uint64_t shared_store_writes(const struct shared_store *c)
{
    return c->writes;
}

struct shared_store *shared_store_new(struct loop *loop, struct env *env)
{
    struct shared_store *c = xnew(struct shared_store);
    c->loop = loop;
    c->core = store_open_memory(loop, env, on_core_change, c);
    return c;
}

static void on_core_closed(void *arg)
{
    *(bool *)arg = true;
}

void shared_store_free(struct shared_store *c, bool *ret_closed)
{
    for (size_t i = 0; i < c->count; i++) {
        struct opener *o = c->openers[i];
        loop_timer_stop(&o->timer);
        o->cut = false;
        o->lag_ms = 0;
        o->closed = true;
        list_each (&o->changes, struct told, link, t)
            t->at_ms = 0;
        deliver(o);
        free(o);
    }
    store_close(c->core, on_core_closed, ret_closed);
    free(c);
}
