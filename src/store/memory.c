/* The store engine that keeps everything in memory: for tests, scenarios and simulation. Nothing survives the process. */
#include "store/store.h"

#include "base/map.h"

#include <stdlib.h>

struct entry { /* one current value */
    char *key;
    struct str value;
    uint64_t revision;
};

struct past { /* one change of history, with copies of its own */
    struct store_change change;
};

struct memory {
    struct store base;
    struct map entries; /* key -> struct entry */
    struct past *history;
    size_t history_count, history_capacity;
    uint64_t revision, compacted;
    uint64_t writes;
    size_t waiting;
};

struct request {
    struct memory *m;
    void (*run)(struct request *r);
    struct store_write write; /* key, guard_key and value are copies, so that a simulated crash cannot change them */
    char *key, *guard_key;
    uint64_t revision; /* history: from; compact: up to */
    store_done_fn *done;
    store_entry_fn *entry;
    store_change_fn *change;
    void (*closed)(void *arg);
    void *arg;
};

static struct str copy(struct str s)
{
    return (struct str){ str_dup(s), s.n };
}

static void request_run(void *arg)
{
    struct request *r = arg;

    r->run(r);
    free(r->key);
    free(r->guard_key);
    free(r);
}

static struct request *request_new(struct store *s, void (*run)(struct request *r), store_done_fn *done, void *arg)
{
    struct request *r = xnew(struct request);

    r->m = container_of(s, struct memory, base);
    r->run = run;
    r->done = done;
    r->arg = arg;
    return r;
}

static void request_post(struct request *r)
{
    loop_post(r->m->base.loop, request_run, r);
}

static void entry_free(struct entry *e)
{
    if (!e)
        return;
    free((char *)e->value.p);
    free(e->key);
    free(e);
}

static void past_free(struct past *p)
{
    free((char *)p->change.key.p);
    free((char *)p->change.value.p);
    free((char *)p->change.previous_value.p);
}

static int compare_check(const struct memory *m, const struct store_write *w, const struct entry *old,
                         struct error *err)
{
    uint64_t have = old ? old->revision : 0;

    if (w->guard_key.n) {
        const struct entry *guard = map_get(&m->entries, w->guard_key);
        if ((guard ? guard->revision : 0) != w->guard_revision)
            return fail(err, ERR_TERM_OVER, "the writer's term is over: '%.*s' has changed", STR_ARG(w->guard_key));
    }
    if (w->expect == STORE_EXPECT_ABSENT && have)
        return fail(err, ERR_ALREADY_EXISTS, "key '%.*s' exists already", STR_ARG(w->key));
    if (!have && (w->type == STORE_DELETE || (w->expect != STORE_EXPECT_ANY && w->expect != STORE_EXPECT_ABSENT)))
        return fail(err, ERR_NOT_FOUND, "key '%.*s' not found", STR_ARG(w->key));
    if (w->expect == STORE_EXPECT_VALUE ? !str_eq(w->expect_value, old->value)
                                        : w->expect != STORE_EXPECT_ANY && w->expect != have)
        return fail(err, ERR_CONFLICT, "key '%.*s' has changed", STR_ARG(w->key));
    return 0;
}

static void write_run(struct request *r)
{
    struct memory *m = r->m;
    const struct store_write *w = &r->write;
    struct entry *old = map_get(&m->entries, w->key);
    AUTO_ERROR struct error err = { 0 };

    m->waiting--;
    if (compare_check(m, w, old, &err) < 0) {
        r->done(r->arg, old ? old->revision : 0, &err);
        return;
    }
    GROW(m->history, m->history_count, m->history_capacity);
    struct past *p = &m->history[m->history_count++];
    p->change = (struct store_change){
        .revision = ++m->revision,
        .type = w->type,
        .key = copy(w->key),
        .value = copy(w->type == STORE_DELETE ? old->value : w->value),
        .previous_revision = old ? old->revision : 0,
        .previous_value = old ? copy(old->value) : STR_NONE,
    };
    m->writes++;
    struct store_change told = p->change; /* history may move while the call-back runs */
    told.cookie = w->cookie;
    if (w->type == STORE_DELETE) {
        entry_free(map_del(&m->entries, w->key));
    } else {
        struct entry *e = xnew(struct entry);
        *e = (struct entry){ .key = str_dup(w->key), .value = copy(w->value), .revision = m->revision };
        entry_free(map_put(&m->entries, w->key, e));
    }
    uint64_t revision = m->revision;
    if (m->base.on_change)
        m->base.on_change(m->base.on_change_arg, &told);
    r->done(r->arg, revision, NULL);
}

static void memory_write(struct store *s, const struct store_write *w, store_done_fn *done, void *arg)
{
    struct request *r = request_new(s, write_run, done, arg);

    r->write = *w;
    r->write.key = copy(w->key);
    r->key = (char *)r->write.key.p;
    r->write.guard_key = copy(w->guard_key);
    r->guard_key = (char *)r->write.guard_key.p;
    r->m->waiting++;
    request_post(r);
}

static int entry_order(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;

    return str_cmp(str_of(x->key), str_of(y->key));
}

static void list_run(struct request *r)
{
    struct memory *m = r->m;
    struct entry **found = xcalloc(m->entries.count + 1, sizeof(*found));
    size_t count = 0, i = 0;
    struct str key;
    void *value;

    while (map_next(&m->entries, &i, &key, &value))
        if (str_starts(key, r->write.key))
            found[count++] = value;
    qsort(found, count, sizeof(*found), entry_order);
    uint64_t revision = m->revision;
    for (size_t k = 0; k < count; k++)
        r->entry(r->arg, str_of(found[k]->key), found[k]->value, found[k]->revision);
    free(found);
    r->done(r->arg, revision, NULL);
}

static void memory_list(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg)
{
    struct request *r = request_new(s, list_run, done, arg);

    r->write.key = copy(prefix);
    r->key = (char *)r->write.key.p;
    r->entry = entry;
    request_post(r);
}

static void history_run(struct request *r)
{
    struct memory *m = r->m;
    AUTO_ERROR struct error err = { 0 };

    if (r->revision < m->compacted) {
        fail(&err, ERR_EXPIRED, "history before revision %llu is gone", (unsigned long long)m->compacted);
        r->done(r->arg, 0, &err);
        return;
    }
    for (size_t i = 0; i < m->history_count; i++)
        if (m->history[i].change.revision > r->revision)
            r->change(r->arg, &m->history[i].change);
    r->done(r->arg, m->revision, NULL);
}

static void memory_history(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done, void *arg)
{
    struct request *r = request_new(s, history_run, done, arg);

    r->revision = from;
    r->change = change;
    request_post(r);
}

static void barrier_run(struct request *r)
{
    r->done(r->arg, r->m->revision, NULL);
}

static void memory_barrier(struct store *s, store_done_fn *done, void *arg)
{
    request_post(request_new(s, barrier_run, done, arg));
}

static void compact_run(struct request *r)
{
    struct memory *m = r->m;
    size_t keep = 0;

    m->compacted = MAX(m->compacted, MIN(r->revision, m->revision));
    for (size_t i = 0; i < m->history_count; i++) {
        if (m->history[i].change.revision > m->compacted)
            m->history[keep++] = m->history[i];
        else
            past_free(&m->history[i]);
    }
    m->history_count = keep;
    r->done(r->arg, m->compacted, NULL);
}

static void memory_compact(struct store *s, uint64_t revision, store_done_fn *done, void *arg)
{
    struct request *r = request_new(s, compact_run, done, arg);

    r->revision = revision;
    request_post(r);
}

static void memory_stats(struct store *s, struct store_stats *ret)
{
    const struct memory *m = container_of(s, struct memory, base);

    *ret = (struct store_stats){
        .revision = m->revision,
        .compacted_revision = m->compacted,
        .commits = m->writes,
        .writes = m->writes,
    };
}

static void close_run(struct request *r)
{
    struct memory *m = r->m;
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(&m->entries, &i, &key, &value))
        entry_free(value);
    map_done(&m->entries);
    for (size_t k = 0; k < m->history_count; k++)
        past_free(&m->history[k]);
    free(m->history);
    free(m);
    if (r->closed)
        r->closed(r->arg);
}

static void memory_close(struct store *s, void (*closed)(void *arg), void *arg)
{
    struct request *r = request_new(s, close_run, NULL, arg);

    r->closed = closed;
    request_post(r);
}

static const struct store_ops memory_ops = {
    .write = memory_write,
    .list = memory_list,
    .history = memory_history,
    .barrier = memory_barrier,
    .compact = memory_compact,
    .stats = memory_stats,
    .close = memory_close,
};

struct store *store_open_memory(struct loop *loop, struct env *env, store_change_fn *on_change, void *arg)
{
    struct memory *m = xnew(struct memory);

    (void)env;
    m->base = (struct store){ .ops = &memory_ops, .loop = loop, .on_change = on_change, .on_change_arg = arg };
    return &m->base;
}
