/* Keys under /klein/: a map beside the objects, fed by the same list and the same changes. */
#include "server/raw_keys.h"

#include "server/state_internal.h"

#include <stdlib.h>

struct raw_entry {
    uint64_t revision;
    size_t n;
    char value[];
};

struct raw_listener {
    struct list link;
    struct str prefix;
    raw_change_fn *fn;
    void *arg;
};

struct writing {
    char *key, *value;
    store_done_fn *done;
    void *arg;
};

/* --- fed by the state ---------------------------------------------------------------------------------------------------- */

void raw_put(struct state *s, struct str key, struct str value, uint64_t revision)
{
    struct raw_entry *e = xmalloc(sizeof(*e) + value.n);
    e->revision = revision;
    e->n = value.n;
    if (value.n)
        memcpy(e->value, value.p, value.n);
    free(map_put(&s->raw, key, e));
}

void raw_change(struct state *s, const struct store_change *c)
{
    bool gone = c->type == STORE_DELETE;
    struct raw_value now = { c->key, c->value, c->revision };
    if (gone)
        free(map_del(&s->raw, c->key));
    else
        raw_put(s, c->key, c->value, c->revision);
    list_each (&s->raw_listeners, struct raw_listener, link, l)
        if (str_starts(c->key, l->prefix))
            l->fn(l->arg, &now, gone);
}

void raw_done(struct state *s)
{
    struct str key;
    void *e;
    for (size_t at = 0; map_next(&s->raw, &at, &key, &e);)
        free(e);
    map_done(&s->raw);
    list_each (&s->raw_listeners, struct raw_listener, link, l)
        raw_unlisten(l);
}

/* --- reading ------------------------------------------------------------------------------------------------------------ */

bool raw_get(struct state *s, struct str key, struct raw_value *ret_value)
{
    const struct raw_entry *e = map_get(&s->raw, key);
    *ret_value = (struct raw_value){ 0 };
    if (!e)
        return false;
    *ret_value = (struct raw_value){ key, { e->value, e->n }, e->revision };
    return true;
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct raw_value *)a)->key, ((const struct raw_value *)b)->key);
}

void raw_each(struct state *s, struct str prefix, raw_each_fn *fn, void *arg)
{
    struct raw_value *found = NULL;
    size_t count = 0, capacity = 0;
    struct str key;
    void *value;
    for (size_t at = 0; map_next(&s->raw, &at, &key, &value);) {
        const struct raw_entry *e = value;
        if (!str_starts(key, prefix))
            continue;
        GROW(found, count, capacity);
        found[count++] = (struct raw_value){ key, { e->value, e->n }, e->revision };
    }
    if (count)
        qsort(found, count, sizeof(*found), by_key);
    for (size_t i = 0; i < count && fn(arg, &found[i]); i++)
        ;
    free(found);
}

struct raw_listener *raw_listen(struct state *s, struct str prefix, raw_change_fn *fn, void *arg)
{
    struct raw_listener *l = xnew(struct raw_listener);
    *l = (struct raw_listener){ .prefix = { str_dup(prefix), prefix.n }, .fn = fn, .arg = arg };
    list_add_tail(&s->raw_listeners, &l->link);
    return l;
}

void raw_unlisten(struct raw_listener *l)
{
    if (!l)
        return;
    list_del(&l->link);
    free((char *)l->prefix.p);
    free(l);
}

/* --- writing ------------------------------------------------------------------------------------------------------------ */

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    struct writing *w = arg;
    if (w->done)
        w->done(w->arg, revision, err);
    free(w->key);
    free(w->value);
    free(w);
}

void raw_write(struct state *s, const struct raw_write *w, store_done_fn *done, void *arg)
{
    assert(str_starts(w->key, RAW_ROOT));
    struct writing *p = xnew(struct writing);
    *p = (struct writing){ .key = str_dup(w->key), .value = str_dup(w->value), .done = done, .arg = arg };
    struct store_write write = {
        .type = w->type,
        .key = { p->key, w->key.n },
        .value = w->type == STORE_PUT ? (struct str){ p->value, w->value.n } : STR_NONE,
        .expect = w->expect,
        .guard_key = w->epoch ? EPOCH_KEY : STR_NONE,
        .guard_revision = w->epoch,
    };
    store_write(s->store, &write, on_written, p);
}
