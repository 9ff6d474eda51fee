/*
 * What goes away by itself: objects of kinds with a time to live (events, one hour after their last write), and history
 * older than one compaction period.
 *
 * Objects expire by ordinary deletes, so every watcher and every other server sees it. After a restart the last write's
 * time is not known: the object's own times stand in for it.
 */
#include "server/leader.h"
#include "server/raw_keys.h"
#include "server/server_internal.h"

#include "base/map.h"
#include "base/time.h"
#include "kinds/fields.h"

#define LOG_PART "expire"
#include "base/log.h"

#include <malloc.h>
#include <stdlib.h>

#define CHECK_EVERY_MS     (10 * SECOND_MS)
#define DELETES_MAX        500 /* in one check; the rest waits for the next, which follows at once */
#define RING_KEEP          1000
#define SHARED_MARGIN      ((uint64_t)1000 * 1024) /* 1,000 transactions: each may count 1,024 revisions on such a store */
#define PROGRESS_COUNTS_MS (5 * MINUTE_MS)

struct due {
    struct list link;
    int64_t at_wall_ms;
    uint64_t revision;
    const struct kind *kind;
    char *namespace_, *name;
};

struct progress { /* of one server's watch */
    uint64_t revision;
    int64_t seen_ms;
};

struct expire {
    struct server *server;
    struct list due; /* by time: every kind with a ttl has the same hour, so new ones go to the end */
    struct state_listener *listener;
    struct loop_timer check, compact;
    uint64_t compact_next; /* revision of one period ago */
    struct map progress;   /* key -> struct progress */
    struct raw_listener *progress_listener;
};

static void due_free(struct due *d)
{
    list_del(&d->link);
    free(d->namespace_);
    free(d->name);
    free(d);
}

static void due_add(struct expire *x, const struct kind *k, const struct object *o, int64_t at)
{
    struct due *d = xnew(struct due);
    *d = (struct due){ .at_wall_ms = at,
                       .revision = object_revision(o),
                       .kind = k,
                       .namespace_ = str_dup(object_namespace(o)),
                       .name = str_dup(object_name(o)) };
    struct list *before = x->due.prev;
    while (before != &x->due && container_of(before, struct due, link)->at_wall_ms > at)
        before = before->prev;
    list_add_head(before, &d->link);
}

static void on_change(void *arg, const struct change *c)
{
    struct expire *x = arg;
    if (c->kind->ttl_ms && c->type != CHANGE_DELETED)
        due_add(x, c->kind, c->object, env_wall_ms(x->server->env) + c->kind->ttl_ms);
}

static void on_deleted(void *arg, const struct object *written, const struct error *err)
{
    (void)arg;
    (void)written;
    if (err && err->code != ERR_CONFLICT && err->code != ERR_NOT_FOUND)
        log_warn("an expired object could not be deleted, it is tried again after a restart", KV_ERR(err));
}

/* One server of several cleans up: the leader. */
static bool is_mine(const struct expire *x)
{
    return !x->server->store->shared || leader_is_me(server_leader(x->server));
}

static void on_check(void *arg)
{
    struct expire *x = arg;
    struct server *s = x->server;
    bool mine = is_mine(x);
    int64_t now = env_wall_ms(s->env);
    size_t n = 0;
    list_each (&x->due, struct due, link, d) {
        if (d->at_wall_ms > now || n == DELETES_MAX)
            break;
        const struct object *o = state_get(s->state, d->kind, str_of(d->namespace_), str_of(d->name));
        /* Written again since: that write has an entry of its own. */
        if (o && object_revision(o) == d->revision && !mine)
            continue; /* until it is gone, or this server leads */
        if (o && object_revision(o) == d->revision) {
            struct state_write w = { .kind = d->kind,
                                     .type = STORE_DELETE,
                                     .namespace_ = str_of(d->namespace_),
                                     .name = str_of(d->name),
                                     .expect = d->revision };
            state_write(s->state, &w, on_deleted, x);
            n++;
        }
        due_free(d);
    }
    loop_timer_start(&x->check, n == DELETES_MAX ? 100 : CHECK_EVERY_MS);
}

static void on_compacted(void *arg, uint64_t revision, const struct error *err)
{
    (void)arg;
    if (err)
        log_warn("history was not compacted, it is tried again at the next period", KV_ERR(err));
    else
        log_debug("history compacted", KV("revision", "%llu", (unsigned long long)revision));
}

/* --- how far the servers' watches are: /klein/servers/NAME/progress ------------------------------------------------------ */

static void on_progress(void *arg, const struct raw_value *now, bool gone)
{
    struct expire *x = arg;
    AUTO_ARENA struct arena a = { 0 };
    if (!str_ends(now->key, STR("/progress")))
        return;
    struct progress *p = map_get(&x->progress, now->key);
    if (gone) {
        free(map_del(&x->progress, now->key));
        return;
    }
    if (!p) {
        p = xnew(struct progress);
        map_put(&x->progress, now->key, p);
    }
    int64_t revision = value_to_int(value_get_str(value_parse(&a, now->value, NULL, NULL), STR("revision")), 0);
    *p = (struct progress){ (uint64_t)MAX(revision, 0), env_monotonic_ms(x->server->env) };
}

/* A server that is gone holds nothing up: when it comes back it loads everything anew. */
static uint64_t slowest_watch(const struct expire *x, uint64_t now)
{
    void *value;
    for (size_t at = 0; map_next(&x->progress, &at, NULL, &value);) {
        const struct progress *p = value;
        if (env_monotonic_ms(x->server->env) - p->seen_ms < PROGRESS_COUNTS_MS)
            now = MIN(now, p->revision);
    }
    return now;
}

/* Revisions that are kept at least, for watches that come back late. */
static uint64_t compact_margin(const struct server *s)
{
    return s->store->shared ? SHARED_MARGIN : s->config.history_min_revisions;
}

static void on_compact(void *arg)
{
    struct expire *x = arg;
    struct server *s = x->server;
    uint64_t now = state_revision(s->state), upto = x->compact_next;
    uint64_t slowest = slowest_watch(x, now), keep = compact_margin(s);
    upto = MIN(upto, slowest > keep ? slowest - keep : 0);
    if (upto > 0 && is_mine(x))
        store_compact(s->store, upto, on_compacted, x);
    /* The disk keeps the minimum for late watchers; memory keeps the last period, and at least RING_KEEP of each kind. */
    if (x->compact_next > 0) {
        state_forget(s->state, x->compact_next, RING_KEEP);
        /* What a burst of writes took goes back to the system, not only to the allocator. */
        malloc_trim(0);
    }
    x->compact_next = now;
    loop_timer_start(&x->compact, s->config.compact_every_ms);
}

struct loading {
    struct expire *expire;
    const struct kind *kind;
};

/* After a restart: the newest time its managers wrote it stands in for the last write. */
static bool add_loaded(void *arg, const struct object *o)
{
    struct loading *l = arg;
    struct view meta = view_get(object_root(o), F_POD_METADATA);
    struct view_iter it = { 0 };
    int64_t latest = 0, at;
    if (time_parse(view_str_at(meta, F_OBJECT_META_CREATION_TIMESTAMP), &at))
        latest = at;
    while (view_next(view_get(meta, F_OBJECT_META_MANAGED_FIELDS), &it))
        if (time_parse(view_str_at(it.value, F_MANAGED_FIELDS_ENTRY_TIME), &at) && at > latest)
            latest = at;
    latest = MIN(latest, env_wall_ms(l->expire->server->env));
    due_add(l->expire, l->kind, o, latest + l->kind->ttl_ms);
    return true;
}

int expire_init(struct server *s, struct error *err)
{
    (void)err;
    if (s->config.no_control)
        return 0;
    struct expire *x = xnew(struct expire);
    x->server = s;
    list_init(&x->due);
    x->compact_next = state_revision(s->state);
    for (size_t i = 0; i < kinds_count; i++)
        if (kinds[i]->ttl_ms && !alias_is(kinds[i]))
            state_each(s->state, kinds[i], STR_NONE, add_loaded, &(struct loading){ x, kinds[i] });
    x->listener = state_listen(s->state, NULL, on_change, x);
    x->progress_listener = raw_listen(s->state, STR("/klein/servers/"), on_progress, x);
    loop_timer_init(&x->check, s->loop, on_check, x);
    loop_timer_init(&x->compact, s->loop, on_compact, x);
    loop_timer_start(&x->check, CHECK_EVERY_MS);
    loop_timer_start(&x->compact, s->config.compact_every_ms);
    server_part_set(s, SERVER_PART_expire, x);
    return 0;
}

void expire_done(struct server *s)
{
    struct expire *x = server_part(s, SERVER_PART_expire);
    if (!x)
        return;
    loop_timer_stop(&x->check);
    loop_timer_stop(&x->compact);
    void *p;
    state_unlisten(x->listener);
    raw_unlisten(x->progress_listener);
    for (size_t at = 0; map_next(&x->progress, &at, NULL, &p);)
        free(p);
    map_done(&x->progress);
    list_each (&x->due, struct due, link, d)
        due_free(d);
    free(x);
}
