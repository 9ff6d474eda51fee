/* A client of a store in a simulation: docs in actor.h. */
#include "actor.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS         7
#define PAUSE_MAX_MS 40
#define AT_ONCE_MAX  12
#define COMPACT_KEEPS                                                                                                  \
    40 /* revisions' changes a compaction leaves, so that some histories are cut off and others are not */

struct actor {
    struct process *process;
    struct store *store;
    struct history_watch *watch;
    struct map cache; /* key -> struct entry */
    uint64_t seen, listed;
    uint64_t epoch; /* revision of the guard key as far as it knows */
    bool loaded, resting;
    size_t on_the_way;
    unsigned counter;
    struct loop_timer timer;
    uint64_t told[COMPACT_KEEPS]; /* revisions of the last changes, a ring */
    size_t told_count;
    struct store_change *early; /* told before the first list; copies */
    size_t early_count, early_capacity;
};

struct entry {
    char *value;
    size_t n;
    uint64_t revision;
};

struct asked { /* one thing on its way */
    struct actor *actor;
    struct history_op *op;
    struct history_list *list;
    struct history_watch *watch;
    char *key, *value, *expect_value;
    uint64_t revision;
};

static void work(void *arg);

static struct sim *sim_of(struct actor *a)
{
    return a->process->sim;
}

static uint64_t below(struct actor *a, uint64_t n)
{
    return env_random_below(&a->process->env.env, n);
}

struct actor *actor_new(struct process *p, uint64_t last_seen)
{
    struct actor *a = xnew(struct actor);

    a->process = p;
    a->seen = last_seen;
    p->data = a;
    loop_timer_init(&a->timer, p->loop, work, a);
    return a;
}

bool actor_is_idle(const struct actor *a)
{
    return a->on_the_way == 0;
}

bool actor_is_loaded(const struct actor *a)
{
    return a->loaded;
}

uint64_t actor_seen(const struct actor *a)
{
    return a->seen;
}

struct store *actor_store(struct actor *a)
{
    return a->store;
}

void actor_rest(struct actor *a)
{
    a->resting = true;
}

/* --- what it is told ----------------------------------------------------------------------------------------------------------- */

static void take(struct actor *a, const struct store_change *c)
{
    struct entry *e = c->type == STORE_DELETE ? map_del(&a->cache, c->key) : map_get(&a->cache, c->key);

    if (c->type == STORE_PUT && !e)
        map_put(&a->cache, c->key, e = xnew(struct entry));
    if (c->type == STORE_PUT)
        *e = (struct entry){ str_dup(c->value), c->value.n, c->revision };
    if (str_is(c->key, "/epoch"))
        a->epoch = c->type == STORE_PUT ? c->revision : 0;
}

static void watched(struct actor *a, const struct store_change *c)
{
    const char *wrong = history_event(a->watch, c);

    sim_trace(sim_of(a), "%s sees %llu %s %.*s=%.24s", a->process->name, (unsigned long long)c->revision,
              c->type == STORE_PUT ? "put" : "delete", STR_ARG(c->key), c->value.n ? c->value.p : "");
    if (wrong)
        sim_fail(sim_of(a), "%s", wrong);
    a->seen = c->revision;
    a->told[a->told_count++ % COMPACT_KEEPS] = c->revision;
}

void actor_on_change(void *arg, const struct store_change *c)
{
    struct actor *a = arg;

    if (!a->loaded) {
        GROW(a->early, a->early_count, a->early_capacity);
        a->early[a->early_count++] = (struct store_change){
            .revision = c->revision,
            .type = c->type,
            .key = { str_dup(c->key), c->key.n },
            .value = { str_dup(c->value), c->value.n },
            .previous_revision = c->previous_revision,
            .previous_value = { str_dup(c->previous_value), c->previous_value.n },
        };
    } else if (c->revision > a->listed) {
        watched(a, c);
        take(a, c);
    }
}

/* --- writing -------------------------------------------------------------------------------------------------------------------- */

static void asked_free(struct asked *x)
{
    x->actor->on_the_way--;
    free(x->key);
    free(x->value);
    free(x->expect_value);
    free(x);
}

static struct asked *ask(struct actor *a)
{
    struct asked *x = xnew(struct asked);

    x->actor = a;
    a->on_the_way++;
    return x;
}

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    struct asked *x = arg;
    struct actor *a = x->actor;

    sim_trace(sim_of(a), "%s: write of %s=%.24s -> %llu %s", a->process->name, x->key, x->value,
              (unsigned long long)revision, err ? error_reason(err->code) : "done");
    if (err) {
        history_failed(x->op, err->code);
    } else {
        history_written(x->op, revision);
        if (a->loaded && a->seen < revision)
            sim_fail(sim_of(a), "%s: a write was reported done at %llu before its change was told", a->process->name,
                     (unsigned long long)revision);
    }
    asked_free(x);
}

static void choose_condition(struct actor *a, struct asked *x, struct store_write *w)
{
    const struct entry *e = map_get(&a->cache, w->key);

    switch (below(a, 6)) {
    case 0:
        w->expect = STORE_EXPECT_ABSENT;
        break;
    case 1:
    case 2:
        w->expect = e ? e->revision : STORE_EXPECT_ABSENT;
        break;
    case 3:
        w->expect = e ? STORE_EXPECT_VALUE : STORE_EXPECT_ANY;
        x->expect_value = e ? str_dup((struct str){ e->value, e->n }) : NULL;
        w->expect_value = str_of(x->expect_value);
        break;
    default:
        w->expect = STORE_EXPECT_ANY;
    }
    if (w->type == STORE_DELETE && w->expect == STORE_EXPECT_ABSENT)
        w->expect = STORE_EXPECT_ANY;
    if (below(a, 5) == 0 && a->epoch) {
        w->guard_key = STR("/epoch");
        w->guard_revision = a->epoch;
    }
}

static void write_one(struct actor *a)
{
    struct asked *x = ask(a);
    struct store_write w = { .type = below(a, 4) ? STORE_PUT : STORE_DELETE, .cookie = NULL };

    x->key = xasprintf("/k/%llu", (unsigned long long)below(a, KEYS));
    if (below(a, 12) == 0) {
        free(x->key);
        x->key = xstrdup("/epoch");
        w.type = STORE_PUT;
    }
    /* Some are longer than a page, so that a write is torn in more ways. */
    x->value = xasprintf("%s.%d.%u%*s", a->process->name, a->process->generation, ++a->counter,
                         below(a, 4) ? 0 : (int)below(a, 9000), "");
    w.key = str_of(x->key);
    w.value = w.type == STORE_PUT ? str_of(x->value) : STR_NONE;
    choose_condition(a, x, &w);
    x->op = history_write(sim_of(a)->history, a->process->name, &w);
    sim_trace(sim_of(a), "%s: %s %s=%.24s expecting %lld", a->process->name, w.type == STORE_PUT ? "put" : "delete",
              x->key, x->value, (long long)w.expect);
    store_write(a->store, &w, on_written, x);
}

/* --- reading -------------------------------------------------------------------------------------------------------------------- */

static void on_barrier(void *arg, uint64_t revision, const struct error *err)
{
    struct asked *x = arg;
    struct actor *a = x->actor;
    const struct entry *e = map_get(&a->cache, str_of(x->key));

    sim_trace(sim_of(a), "%s: barrier -> %llu %s", a->process->name, (unsigned long long)revision,
              err ? error_reason(err->code) : "");
    if (err)
        history_abandon(x->op);
    else
        history_read_done(x->op, e ? (struct str){ e->value, e->n } : STR_NONE, 0);
    if (!err && a->loaded)
        history_progress(a->watch, revision);
    asked_free(x);
}

static void read_one(struct actor *a)
{
    struct asked *x = ask(a);

    x->key = xasprintf("/k/%llu", (unsigned long long)below(a, KEYS));
    x->op = history_read(sim_of(a)->history, a->process->name, str_of(x->key));
    store_barrier(a->store, on_barrier, x);
}

static void on_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct asked *x = arg;

    history_list_entry(x->list, key, value, revision);
}

static void on_listed(void *arg, uint64_t revision, const struct error *err)
{
    struct asked *x = arg;

    if (!err)
        history_list_done(x->list, revision);
    asked_free(x);
}

static void list_one(struct actor *a)
{
    struct asked *x = ask(a);

    x->list = history_list(sim_of(a)->history, a->process->name, STR("/"));
    store_list(a->store, STR("/"), on_entry, on_listed, x);
}

static void on_compacted(void *arg, uint64_t revision, const struct error *err)
{
    struct asked *x = arg;

    sim_trace(sim_of(x->actor), "%s: compacted %llu %s", x->actor->process->name, (unsigned long long)revision,
              err ? error_reason(err->code) : "");
    asked_free(x);
}

static void compact_one(struct actor *a)
{
    if (a->told_count >= COMPACT_KEEPS)
        store_compact(a->store, a->told[a->told_count % COMPACT_KEEPS], on_compacted, ask(a));
}

/* A watch by history: what happened after a revision it knows, all of it, in order. */
static void on_past(void *arg, const struct store_change *c)
{
    struct asked *x = arg;
    const char *wrong = history_event(x->watch, c);

    sim_trace(sim_of(x->actor), "%s: past %llu", x->actor->process->name, (unsigned long long)c->revision);
    if (wrong)
        sim_fail(sim_of(x->actor), "%s", wrong);
}

static void on_history(void *arg, uint64_t revision, const struct error *err)
{
    struct asked *x = arg;

    sim_trace(sim_of(x->actor), "%s: history since %llu -> %llu %s", x->actor->process->name,
              (unsigned long long)x->revision, (unsigned long long)revision, err ? error_reason(err->code) : "");
    if (!err)
        history_progress(x->watch, revision);
    else if (err->code == ERR_EXPIRED && x->revision > x->actor->seen)
        sim_fail(sim_of(x->actor), "history of the present is called expired");
    asked_free(x);
}

static void history_from(struct actor *a, uint64_t revision)
{
    struct asked *x = ask(a);

    x->revision = revision;
    x->watch = history_watch(sim_of(a)->history, "a history", STR("/"), revision);
    store_history(a->store, revision, on_past, on_history, x);
}

static void history_one(struct actor *a)
{
    if (a->told_count >= COMPACT_KEEPS)
        history_from(a, a->told[below(a, COMPACT_KEEPS)]);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------- */

static void work(void *arg)
{
    struct actor *a = arg;

    if (a->resting)
        return;
    loop_timer_start(&a->timer, 1 + (int64_t)below(a, PAUSE_MAX_MS));
    if (!a->loaded || a->on_the_way >= AT_ONCE_MAX)
        return;
    switch (below(a, 20)) {
    case 0:
        list_one(a);
        break;
    case 1:
        compact_one(a);
        break;
    case 2:
        history_one(a);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        read_one(a);
        break;
    default:
        for (uint64_t n = 1 + below(a, 4); n; n--)
            write_one(a);
    }
}

static void load_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct asked *x = arg;

    history_list_entry(x->list, key, value, revision);
    take(x->actor, &(struct store_change){ .type = STORE_PUT, .key = key, .value = value, .revision = revision });
}

static void load_done(void *arg, uint64_t revision, const struct error *err)
{
    struct asked *x = arg;
    struct actor *a = x->actor;
    uint64_t before = a->seen;

    if (err) { /* as a server: it cannot start without, and tries again */
        store_list(a->store, STR("/"), load_entry, load_done, x);
        return;
    }
    sim_trace(sim_of(a), "%s has loaded at %llu", a->process->name, (unsigned long long)revision);
    history_list_done(x->list, revision);
    a->watch = history_watch(sim_of(a)->history, a->process->name, STR("/"), revision);
    a->loaded = true;
    a->listed = a->seen = revision;
    for (size_t i = 0; i < a->early_count; i++)
        actor_on_change(a, &a->early[i]);
    if (before > revision)
        sim_fail(sim_of(a), "%s had seen %llu and starts anew at %llu", a->process->name, (unsigned long long)before,
                 (unsigned long long)revision);
    if (before) { /* clients go on from where they were; some were far behind, and get all of it or are told that it is gone */
        history_from(a, before);
        history_from(a, before - below(a, before / 4 + 1));
    }
    asked_free(x);
    loop_timer_start(&a->timer, 1);
}

void actor_start(struct actor *a, struct store *store)
{
    struct asked *x = ask(a);

    a->store = store;
    x->list = history_list(sim_of(a)->history, a->process->name, STR("/"));
    store_list(store, STR("/"), load_entry, load_done, x);
}

void actor_conclude(struct actor *a)
{
    struct asked *x = ask(a);

    x->key = xstrdup("/k/0");
    x->op = history_read(sim_of(a)->history, a->process->name, str_of(x->key));
    store_barrier(a->store, on_barrier, x);
    list_one(a);
}
