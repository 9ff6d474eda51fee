/* The content of the model: transactions applied at the end of the log, kept as events by revision. */
#include "etcd_model_internal.h"

#include <stdlib.h>

static struct str copy(struct str s)
{
    return (struct str){ str_dup(s), s.n };
}

uint64_t model_revision(const struct etcd_model *m, uint64_t mod, uint64_t position)
{
    return m->config.base + mod * ETCD_MODEL_STEP + position;
}

uint64_t model_mod(const struct etcd_model *m, uint64_t revision)
{
    return revision < m->config.base ? 0 : (revision - m->config.base) / ETCD_MODEL_STEP;
}

/* --- transactions ------------------------------------------------------------------------------------------------------ */

struct txn *txn_ref(struct txn *t)
{
    if (t)
        t->count++;
    return t;
}

void txn_unref(struct txn *t)
{
    if (!t || --t->count)
        return;
    for (size_t i = 0; i < t->ops_count; i++) {
        free(t->ops[i].key);
        free(t->ops[i].value);
        free(t->ops[i].expect_value);
        free(t->ops[i].guard_key);
    }
    free(t->ops);
    free(t);
}

static const struct event *find(const struct etcd_model *m, struct str key)
{
    uintptr_t place = (uintptr_t)map_get(&m->current, key);

    return place ? &m->events[place - 1] : NULL;
}

static enum error_code compare(const struct etcd_model *m, const struct store_write *w, uint64_t *ret_have)
{
    const struct event *e = find(m, w->key);
    uint64_t have = *ret_have = e ? e->revision : 0;

    if (w->guard_key.n) {
        const struct event *guard = find(m, w->guard_key);
        if ((guard ? guard->revision : 0) != w->guard_revision)
            return ERR_TERM_OVER;
    }
    if (w->expect == STORE_EXPECT_ABSENT)
        return have ? ERR_ALREADY_EXISTS : ERR_NONE;
    if (!have && (w->type == STORE_DELETE || w->expect != STORE_EXPECT_ANY))
        return ERR_NOT_FOUND;
    if (w->expect == STORE_EXPECT_VALUE ? !str_eq(w->expect_value, e->change.value)
                                        : w->expect != STORE_EXPECT_ANY && w->expect != have)
        return ERR_CONFLICT;
    return ERR_NONE;
}

static struct event *add_event(struct etcd_model *m, struct txn *t, uint64_t position)
{
    GROW(m->events, m->events_count, m->events_capacity);
    struct event *e = &m->events[m->events_count++];
    *e = (struct event){ .revision = model_revision(m, t->mod, position), .mod = t->mod, .txn = t };
    t->events_count++;
    return e;
}

static void apply_op(struct etcd_model *m, struct txn *t, size_t i)
{
    const struct store_write *w = &t->ops[i].write;
    struct event *e = add_event(m, t, i + 1);
    const struct event *old = find(m, w->key); /* after add_event(): events may have moved */

    e->op = i;
    e->change = (struct store_change){
        .revision = e->revision,
        .type = w->type,
        .key = copy(w->key),
        .value = copy(w->type == STORE_DELETE ? old->change.value : w->value),
        .previous_revision = old ? old->revision : 0,
        .previous_value = old ? copy(old->change.value) : STR_NONE,
    };
    t->ops[i].have = e->revision;
    if (w->type == STORE_DELETE)
        map_del(&m->current, w->key);
    else
        map_put(&m->current, w->key, (void *)(uintptr_t)(e - m->events + 1));
}

static void apply_batch(struct etcd_model *m, struct txn *t)
{
    t->session_ok = m->sessions[t->from_place] == t->session || MUTANT("session-not-compared");
    if (!t->session_ok) {
        m->stats.fenced++;
        return;
    }
    t->mod = ++m->mod;
    add_event(m, t, 0); /* the server's barrier key: tells everybody that they have seen this far */
    /* etcd looks at all compares, also nested ones, before it changes anything. */
    for (size_t i = 0; i < t->ops_count; i++)
        t->ops[i].code = compare(m, &t->ops[i].write, &t->ops[i].have);
    for (size_t i = 0; i < t->ops_count; i++)
        if (t->ops[i].code == ERR_NONE)
            apply_op(m, t, i);
}

void txn_apply(struct etcd_model *m, struct txn *t)
{
    t->applied = true;
    t->events_first = m->events_count;
    switch (t->type) {
    case TXN_SESSION:
        t->session_ok = true;
        t->mod = m->sessions[t->from_place] = ++m->mod;
        add_event(m, t, 0);
        break;
    case TXN_BATCH:
        apply_batch(m, t);
        break;
    case TXN_COMPACT:
        m->compacted = MAX(m->compacted, MIN(t->compact, m->mod));
        m->stats.compactions++;
        break;
    }
    GROW(m->log, m->log_count, m->log_capacity);
    m->log[m->log_count++] = txn_ref(t);
}

/* --- reading --------------------------------------------------------------------------------------------------------------- */

struct found {
    struct str key, value;
    uint64_t revision;
};

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct found *)a)->key, ((const struct found *)b)->key);
}

void model_range(struct etcd_model *m, struct str prefix, uint64_t mod, store_entry_fn *entry, void *arg)
{
    AUTO_MAP struct map newest = { 0 };
    struct found *all = NULL;
    size_t count = 0, capacity = 0, at = 0;
    struct str key;
    void *place;

    for (size_t i = 0; i < m->events_count && m->events[i].mod <= mod; i++) {
        const struct store_change *c = &m->events[i].change;
        if (!c->key.n || !str_starts(c->key, prefix))
            continue;
        if (c->type == STORE_DELETE)
            map_del(&newest, c->key);
        else
            map_put(&newest, c->key, (void *)(uintptr_t)(i + 1));
    }
    while (map_next(&newest, &at, &key, &place)) {
        const struct event *e = &m->events[(uintptr_t)place - 1];
        GROW(all, count, capacity);
        all[count++] = (struct found){ e->change.key, e->change.value, e->revision };
    }
    if (count)
        qsort(all, count, sizeof(*all), by_key);
    for (size_t i = 0; i < count; i++)
        entry(arg, all[i].key, all[i].value, all[i].revision);
    free(all);
}

void model_content_free(struct etcd_model *m)
{
    for (size_t i = 0; i < m->events_count; i++) {
        free((char *)m->events[i].change.key.p);
        free((char *)m->events[i].change.value.p);
        free((char *)m->events[i].change.previous_value.p);
    }
    free(m->events);
    for (size_t i = 0; i < m->log_count; i++)
        txn_unref(m->log[i]);
    free(m->log);
    map_done(&m->current);
}
