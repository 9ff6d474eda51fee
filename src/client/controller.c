/* Running controllers: triggers become keys, keys become passes, plans are carried out, failures are tried again. */
#define LOG_PART "controllers"
#include "base/log.h"
#include "base/time.h"
#include "client/internal.h"
#include "kinds/fields.h"

#include <stdio.h>
#include <stdlib.h>

#define WORKERS_DEFAULT 16

struct runner { /* one controller */
    struct controllers *all;
    const struct controller *controller;
    struct queue *queue;
    struct event_recorder *events;
    struct list passes;
    struct controller_stats stats;
    bool started;
};

struct controllers {
    struct cluster *cluster;
    struct env *env;
    struct controller_config config;
    struct facts *facts;
    struct runner *runners;
    size_t count;
    struct loop_task task; /* start what is ready, once a round */
};

struct pass {
    struct list link;
    struct runner *runner;
    struct queue_key *key;
    struct execution *execution;
    int64_t wake_after_ms;
};

/* --- from a change to keys ------------------------------------------------------------------------------------------- */

static void emit(void *arg, struct str namespace_, struct str name)
{
    struct runner *r = arg;

    queue_add(r->queue, namespace_, name);
}

static bool is_own_kind(const struct runner *r, struct view reference)
{
    struct str api_version = view_str_at(reference, F_OWNER_REFERENCE_API_VERSION);
    struct str group;

    if (!str_cut(&api_version, '/', &group))
        group = STR_NONE; /* "v1": the core group */
    return str_is(view_str_at(reference, F_OWNER_REFERENCE_KIND), r->controller->kind->kind) &&
           str_is(group, r->controller->kind->group);
}

static void add_owners(struct runner *r, const struct object *o, bool controlling_only)
{
    struct view owners = view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_OWNER_REFERENCES);
    struct view_iter it = { 0 };

    while (view_next(owners, &it)) {
        if (controlling_only && !view_bool_at(it.value, false, F_OWNER_REFERENCE_CONTROLLER))
            continue;
        if (is_own_kind(r, it.value))
            emit(r, r->controller->kind->namespaced ? object_namespace(o) : STR_NONE,
                 view_str_at(it.value, F_OWNER_REFERENCE_NAME));
    }
}

static void add_selecting(struct runner *r, const struct object *o)
{
    struct view labels = view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_LABELS);
    struct objects own =
        cache_by(cluster_cache(r->all->cluster, r->controller->kind), CACHE_BY_NAMESPACE, object_namespace(o));

    for (size_t i = 0; i < own.count; i++)
        if (r->controller->selects(object_root(own.items[i]), labels))
            emit(r, object_namespace(own.items[i]), object_name(own.items[i]));
}

static void add_all(struct runner *r)
{
    struct objects own = cache_all(cluster_cache(r->all->cluster, r->controller->kind));

    for (size_t i = 0; i < own.count; i++)
        emit(r, object_namespace(own.items[i]), object_name(own.items[i]));
}

static void add_keys(struct runner *r, const struct trigger *t, const struct object *o)
{
    if (!o)
        return;
    switch (t->map) {
    case BY_CONTROLLER:
    case BY_OWNER:
        add_owners(r, o, t->map == BY_CONTROLLER);
        break;
    case BY_SELECTOR:
        add_selecting(r, o);
        break;
    case BY_SAME_NAME:
        emit(r, object_namespace(o), object_name(o));
        break;
    case BY_NAMESPACE:
        emit(r, STR_NONE, object_namespace(o));
        break;
    case BY_LABEL: {
        struct view labels = view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_LABELS);
        struct str name = view_str(view_get_str(labels, str_of(t->label)));
        if (name.n)
            emit(r, object_namespace(o), name);
        break;
    }
    case BY_ALL:
        add_all(r);
        break;
    case BY_FUNCTION:
        t->keys(r->all->cluster, o, emit, r);
        break;
    }
}

static void on_change(void *arg, struct cache *c, const struct object *old, const struct object *now)
{
    struct runner *r = arg;
    const struct controller *k = r->controller;
    const struct object *either = now ? now : old;

    if (cache_kind(c) == k->kind && !(old && now && k->ignores && k->ignores(old, now)))
        emit(r, object_namespace(either), object_name(either));
    if (k->all_kinds) {
        k->keys_all(r->all->cluster, either, emit, r);
        return;
    }
    for (const struct trigger *t = k->triggers; t->kind; t++) {
        if (t->kind != cache_kind(c))
            continue;
        add_keys(r, t, old); /* what it left, too: a pod whose label changed has two owners to tell */
        add_keys(r, t, now);
    }
}

/* --- passes ------------------------------------------------------------------------------------------------------------ */

static void wake(void *arg)
{
    struct controllers *c = arg;

    loop_defer(cluster_loop(c->cluster), &c->task);
}

/* As upstream's "FailedCreate": whoever looks at the owner sees why nothing comes. */
static void tell_refused(struct runner *r, const struct queue_key *key, const struct error *why)
{
    const struct kind *kind = r->controller->kind;
    const struct object *o = kind ? cache_get(cluster_cache(r->all->cluster, kind), key->namespace_, key->name) : NULL;
    AUTO_FREE char *message = o ? xasprintf("Error creating: %s", error_text(why)) : NULL;

    if (o)
        event_record(r->events, kind, o, NULL, "Warning", "FailedCreate", str_of(message));
}

static void pass_done(void *arg, const struct execute_done *how)
{
    struct pass *p = arg;
    struct runner *r = p->runner;

    r->stats.writes += how->writes;
    if (how->failed) {
        r->stats.failures++;
        if (how->create_refused)
            tell_refused(r, p->key, &how->err);
        if (!how->conflicted) /* somebody else was faster: ordinary, the next pass sees it */
            log_warn("a change could not be made; trying again", KV("controller", "%s", r->controller->name),
                     KV("object", "%s", p->key->text), KV_ERR(&how->err));
    }
    list_del(&p->link);
    queue_done(r->queue, p->key, how->failed, p->wake_after_ms);
    free(p);
    wake(r->all);
}

static bool has_live_read(const struct plan *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->steps[i].type == STEP_LIVE_READ)
            return true;
    return false;
}

static void pass_run(struct runner *r, struct queue_key *key)
{
    struct controllers *c = r->all;
    struct arena arena = { 0 };
    struct plan plan;
    AUTO_ERROR struct error err = { 0 };

    plan_init(&plan, &arena);
    plan.live = &key->live;
    c->facts->now_ms = env_monotonic_ms(c->env);
    struct reconcile reconcile = {
        .arena = &arena,
        .controller = r->controller,
        .config = &c->config,
        .cluster = c->cluster,
        .facts = c->facts,
        .namespace_ = key->namespace_,
        .name = key->name,
        .object = r->controller->kind
                      ? cache_get(cluster_cache(c->cluster, r->controller->kind), key->namespace_, key->name)
                      : NULL,
        .now_ms = env_wall_ms(c->env),
        .random = env_random_u64(c->env),
        .plan = &plan,
    };
    r->stats.passes++;
    if (r->controller->reconcile(&reconcile, &err) < 0) {
        log_warn("a pass failed; trying again", KV("controller", "%s", r->controller->name),
                 KV("object", "%s", key->text), KV_ERR(&err));
        r->stats.failures++;
        plan_done(&plan);
        arena_done(&arena);
        queue_done(r->queue, key, true, -1);
        return;
    }
    live_answers_done(&key->live);
    struct pass *p = xnew(struct pass);
    p->runner = r;
    p->key = key;
    p->wake_after_ms = has_live_read(&plan) ? 0 : plan.wake_after_ms;
    list_add_tail(&r->passes, &p->link);
    p->execution = execute_plan(c->cluster, r->events, arena, plan, &key->live, pass_done, p);
}

static bool runner_is_synced(const struct runner *r)
{
    const struct controller *k = r->controller;
    struct cluster *cluster = r->all->cluster;

    if (k->all_kinds)
        return cluster_is_synced(cluster);
    if (k->kind && !cache_is_synced(cluster_cache(cluster, k->kind)))
        return false;
    for (const struct trigger *t = k->triggers; t->kind; t++)
        if (!cache_is_synced(cluster_cache(cluster, t->kind)))
            return false;
    for (const struct kind *const *kind = k->reads; *kind; kind++)
        if (!cache_is_synced(cluster_cache(cluster, *kind)))
            return false;
    return true;
}

static void run_ready(void *arg)
{
    struct controllers *c = arg;

    for (size_t i = 0; i < c->count; i++) {
        struct runner *r = &c->runners[i];
        size_t workers = r->controller->workers ? (size_t)r->controller->workers : WORKERS_DEFAULT;

        if (!r->started && !(r->started = runner_is_synced(r)))
            continue;
        while (queue_ready_count(r->queue) && queue_working_count(r->queue) < workers)
            pass_run(r, queue_take(r->queue));
    }
}

static void on_progress(void *arg, struct cache *c)
{
    struct runner *r = arg;

    (void)c;
    if (!r->started)
        wake(r->all);
}

static void on_fact(void *arg, struct str node)
{
    struct controllers *c = arg;

    for (size_t i = 0; i < c->count; i++) {
        struct runner *r = &c->runners[i];
        if (!r->controller->node_facts)
            continue;
        if (node.n)
            emit(r, STR_NONE, node);
        else
            add_all(r);
    }
}

/* --- starting ---------------------------------------------------------------------------------------------------------- */

static void listen_once(struct runner *r, const struct kind *kind)
{
    struct cache *cache = cluster_cache(r->all->cluster, kind);

    cache_unlisten(cache, r);
    cache_listen(cache, on_change, on_progress, r);
    /* What the cache knows already triggers like what it learns later. */
    struct objects known = cache_all(cache);
    for (size_t i = 0; i < known.count; i++)
        on_change(r, cache, NULL, known.items[i]);
}

static void runner_start(struct controllers *c, struct runner *r, const struct controller *controller)
{
    char component[64];

    *r = (struct runner){ .all = c, .controller = controller, .stats = { .name = controller->name } };
    list_init(&r->passes);
    r->queue = queue_new(cluster_loop(c->cluster), wake, c);
    snprintf(component, sizeof(component), "%s-controller", controller->name);
    r->events = event_recorder_new(cluster_loop(c->cluster), cluster_api(c->cluster), component, NULL);
    if (controller->kind)
        listen_once(r, controller->kind);
    for (const struct trigger *t = controller->triggers; t->kind; t++)
        listen_once(r, t->kind);
    for (const struct kind *const *kind = controller->reads; *kind; kind++)
        cache_listen(cluster_cache(c->cluster, *kind), NULL, on_progress, r);
    for (size_t i = 0; controller->all_kinds && i < kinds_count; i++)
        if (kinds[i]->verbs & VERB_WATCH)
            listen_once(r, kinds[i]);
}

void controllers_warm(struct cluster *cluster, const struct controller *const *list)
{
    for (; *list; list++) {
        if ((*list)->kind)
            cluster_cache(cluster, (*list)->kind);
        for (const struct trigger *t = (*list)->triggers; t->kind; t++)
            cluster_cache(cluster, t->kind);
        for (const struct kind *const *kind = (*list)->reads; *kind; kind++)
            cluster_cache(cluster, *kind);
        for (size_t i = 0; (*list)->all_kinds && i < kinds_count; i++)
            if (kinds[i]->verbs & VERB_WATCH)
                cluster_cache(cluster, kinds[i]);
    }
}

struct controllers *controllers_start(struct cluster *cluster, struct env *env, const struct controller *const *list,
                                      const struct controller_config *config, struct facts *facts)
{
    struct controllers *c = xnew(struct controllers);

    c->cluster = cluster;
    c->env = env;
    c->config = *config;
    c->facts = facts;
    c->task = (struct loop_task){ .fn = run_ready, .arg = c };
    while (list[c->count])
        c->count++;
    c->runners = xcalloc(c->count, sizeof(*c->runners));
    for (size_t i = 0; i < c->count; i++)
        runner_start(c, &c->runners[i], list[i]);
    facts->changed = on_fact;
    facts->changed_arg = c;
    return c;
}

void controllers_stop(struct controllers *c)
{
    if (!c)
        return;
    loop_defer_cancel(&c->task);
    c->facts->changed = NULL;
    for (size_t i = 0; i < c->count; i++) {
        struct runner *r = &c->runners[i];
        for (size_t k = 0; k < kinds_count; k++) {
            struct cache *cache = cluster_cache_if_open(c->cluster, kinds[k]);
            if (cache)
                cache_unlisten(cache, r);
        }
        list_each (&r->passes, struct pass, link, p) {
            execute_cancel(p->execution);
            free(p);
        }
        queue_free(r->queue);
        event_recorder_free(r->events);
    }
    free(c->runners);
    free(c);
}

bool controllers_are_idle(const struct controllers *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (!c->runners[i].started || queue_ready_count(c->runners[i].queue) ||
            queue_working_count(c->runners[i].queue))
            return false;
    return true;
}

size_t controllers_stats(const struct controllers *c, struct controller_stats *ret, size_t max)
{
    size_t n = MIN(max, c->count);

    for (size_t i = 0; i < n; i++) {
        ret[i] = c->runners[i].stats;
        ret[i].queued = queue_ready_count(c->runners[i].queue);
        ret[i].working = queue_working_count(c->runners[i].queue);
    }
    return n;
}
