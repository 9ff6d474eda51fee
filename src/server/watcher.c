/* Watchers: from a snapshot, the history or the ring to events. */
#include "server/watcher.h"

#include <stdlib.h>

#define HISTORY_CHANGES_MAX 50000 /* one replay; more: the client lists again, which is cheaper */
#define EVENTS_PER_ROUND    2000  /* then others get their turn */

enum source { FROM_SNAPSHOT, FROM_HISTORY, FROM_RING, FROM_NOWHERE };

/* Outlives the watcher when that is freed while the store still reads. */
struct replay {
    struct watcher *watcher; /* NULL: freed */
    struct state *state;
    const struct kind *kind;
    struct change **changes;
    size_t count, capacity, at;
    uint64_t end; /* the replay holds everything up to here */
    bool reading;
    struct error err;
};

struct watcher {
    struct state *state;
    struct loop *loop;
    struct filter filter;
    const struct watcher_callbacks *cb;
    void *arg;
    enum source source;
    uint64_t position; /* changes up to here were handed out or did not matter */
    bool caught_up, paused, pumping, dead;
    struct object_set set;
    struct object_cursor cursor;
    struct replay *replay;
    struct state_listener *listener;
    struct loop_task task;
};

static void replay_free(struct replay *p)
{
    for (size_t i = 0; i < p->count; i++)
        change_unref(p->changes[i]);
    free(p->changes);
    error_done(&p->err);
    free(p);
}

static void let_go(struct watcher *w)
{
    state_unlisten(TAKE(w->listener));
    loop_defer_cancel(&w->task);
    object_set_done(&w->set);
    struct replay *p = TAKE(w->replay);
    if (p && p->reading)
        p->watcher = NULL;
    else if (p)
        replay_free(p);
}

static void fail_watch(struct watcher *w, const struct error *err)
{
    w->source = FROM_NOWHERE;
    let_go(w);
    w->cb->failed(w->arg, err);
}

static void fail_too_old(struct watcher *w, uint64_t oldest)
{
    AUTO_ERROR struct error err = { 0 };
    /* Source: apiserver/pkg/storage/cacher/watch_cache.go. */
    fail(&err, ERR_EXPIRED, "too old resource version: %llu (%llu)", (unsigned long long)w->position,
         (unsigned long long)oldest);
    fail_watch(w, &err);
}

/* --- one change ---------------------------------------------------------------------------------------------------------- */

/* What the change means to somebody who sees only what the filter lets through. True: go on. */
static bool offer(struct watcher *w, struct change *c)
{
    bool now = c->type != CHANGE_DELETED && filter_matches(&w->filter, c->object);
    bool before = c->previous && filter_matches(&w->filter, c->previous);
    if (!now && !before)
        return true;
    if (now)
        return w->cb->event(w->arg, before ? WATCH_MODIFIED : WATCH_ADDED, c->object, c);
    if (c->type == CHANGE_DELETED)
        return w->cb->event(w->arg, WATCH_DELETED, c->object, c);
    /* It left the selector: the last state that was seen, with the revision of the change. */
    AUTO_OBJECT struct object *gone = object_with_revision(c->previous, c->revision);
    return w->cb->event(w->arg, WATCH_DELETED, gone, c);
}

/* --- the sources; each returns false to stop pumping ------------------------------------------------------------------------ */

static bool pump_snapshot(struct watcher *w, int *budget)
{
    const struct object *o;
    while ((o = object_cursor_next(&w->cursor))) {
        if (!str_empty(w->filter.namespace_) && str_cmp(object_namespace(o), w->filter.namespace_) > 0)
            break;
        if (!filter_matches(&w->filter, o))
            continue;
        bool more = w->cb->event(w->arg, WATCH_ADDED, o, NULL);
        if (w->dead)
            return false;
        if (!more) {
            w->paused = true;
            return false;
        }
        if (--*budget <= 0) {
            loop_defer(w->loop, &w->task);
            return false;
        }
    }
    object_set_done(&w->set);
    w->source = FROM_RING;
    if (w->cb->synced)
        w->cb->synced(w->arg, w->position);
    return !w->dead;
}

static void replay_change(void *arg, const struct store_change *sc)
{
    struct replay *p = arg;
    if (!p->watcher || p->err.code != ERR_NONE)
        return;
    AUTO_ERROR struct error err = { 0 };
    struct change *c = state_change_of(p->state, sc, &err);
    if (!c || c->kind != p->kind) {
        change_unref(c);
        if (err.code != ERR_NONE)
            error_move(&p->err, &err);
        return;
    }
    if (p->count == HISTORY_CHANGES_MAX) {
        change_unref(c);
        fail(&p->err, ERR_EXPIRED, "too old resource version: %llu (%llu)", (unsigned long long)p->watcher->position,
             (unsigned long long)sc->revision);
        return;
    }
    GROW(p->changes, p->count, p->capacity);
    p->changes[p->count++] = c;
}

static void replay_done(void *arg, uint64_t revision, const struct error *err)
{
    struct replay *p = arg;
    struct watcher *w = p->watcher;
    p->reading = false;
    p->end = revision;
    if (!w) {
        replay_free(p);
        return;
    }
    if (err && err->code == ERR_EXPIRED) {
        struct store_stats stats = { 0 };
        store_stats(state_store(w->state), &stats);
        fail_too_old(w, stats.compacted_revision);
        return;
    }
    if (err || p->err.code != ERR_NONE) {
        AUTO_ERROR struct error copy = { 0 };
        const struct error *why = err ? err : &p->err;
        fail(&copy, why->code, "%s", error_text(why));
        fail_watch(w, &copy);
        return;
    }
    loop_defer(w->loop, &w->task);
}

static void start_replay(struct watcher *w)
{
    struct replay *p = xnew(struct replay);
    p->watcher = w;
    p->state = w->state;
    p->kind = state_storage_kind(w->filter.kind);
    p->reading = true;
    w->replay = p;
    w->source = FROM_HISTORY;
    store_history(state_store(w->state), w->position, replay_change, replay_done, p);
}

static bool pump_history(struct watcher *w, int *budget)
{
    struct replay *p = w->replay;
    if (p->reading)
        return false;
    while (p->at < p->count) {
        struct change *c = p->changes[p->at++];
        bool more = offer(w, c);
        if (w->dead)
            return false;
        w->position = c->revision;
        if (!more) {
            w->paused = true;
            return false;
        }
        if (--*budget <= 0) {
            loop_defer(w->loop, &w->task);
            return false;
        }
    }
    w->position = MAX(w->position, w->replay->end);
    replay_free(TAKE(w->replay));
    w->source = FROM_RING;
    return true;
}

static bool pump_ring(struct watcher *w, int *budget)
{
    const struct change_ring *ring = state_ring(w->state, w->filter.kind);
    ptrdiff_t at = change_ring_find(ring, w->position);
    if (at < 0) {
        fail_too_old(w, ring->since);
        return false;
    }
    for (struct change *c; (c = change_ring_at(ring, (size_t)at)); at++) {
        change_ref(c);
        bool more = offer(w, c);
        if (!w->dead)
            w->position = c->revision;
        change_unref(c);
        if (w->dead)
            return false;
        if (!more) {
            w->paused = true;
            return false;
        }
        if (--*budget <= 0) {
            loop_defer(w->loop, &w->task);
            return false;
        }
    }
    w->caught_up = true;
    w->position = MAX(w->position, state_revision(w->state));
    return false;
}

static void pump(void *arg)
{
    struct watcher *w = arg;
    int budget = EVENTS_PER_ROUND;
    bool more = true;
    if (w->paused || w->dead)
        return;
    w->caught_up = false;
    w->pumping = true;
    while (more) {
        switch (w->source) {
        case FROM_SNAPSHOT:
            more = pump_snapshot(w, &budget);
            break;
        case FROM_HISTORY:
            more = pump_history(w, &budget);
            break;
        case FROM_RING:
            more = pump_ring(w, &budget);
            break;
        case FROM_NOWHERE:
            more = false;
        }
    }
    w->pumping = false;
    if (w->dead)
        free(w);
}

static void on_change(void *arg, const struct change *c)
{
    (void)c;
    struct watcher *w = arg;
    w->caught_up = false;
    if (!w->paused)
        loop_defer(w->loop, &w->task);
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

struct watcher *watcher_new(struct state *s, struct loop *loop, struct filter *filter, bool initial, uint64_t from,
                            const struct watcher_callbacks *cb, void *arg)
{
    struct watcher *w = xnew(struct watcher);
    *w = (struct watcher){ .state = s, .loop = loop, .filter = *filter, .cb = cb, .arg = arg };
    *filter = (struct filter){ 0 }; /* it is ours now */
    w->task = (struct loop_task){ .fn = pump, .arg = w };
    w->source = FROM_RING;
    if (initial) {
        w->source = FROM_SNAPSHOT;
        w->set = state_snapshot(s, w->filter.kind);
        object_set_seek(&w->set, w->filter.namespace_, filter_only_name(&w->filter), &w->cursor);
        from = WATCHER_FROM_PRESENT;
    }
    w->position = from == WATCHER_FROM_PRESENT ? state_revision(s) : from;
    w->listener = state_listen(s, w->filter.kind, on_change, w);
    if (!initial && change_ring_find(state_ring(s, w->filter.kind), w->position) < 0)
        start_replay(w);
    else
        loop_defer(loop, &w->task);
    return w;
}

void watcher_resume(struct watcher *w)
{
    if (!w->paused)
        return;
    w->paused = false;
    loop_defer(w->loop, &w->task);
}

uint64_t watcher_revision(const struct watcher *w)
{
    return w->caught_up ? MAX(w->position, state_revision(w->state)) : 0;
}

void watcher_free(struct watcher *w)
{
    if (!w)
        return;
    let_go(w);
    filter_done(&w->filter);
    w->dead = true;
    if (!w->pumping)
        free(w);
}
