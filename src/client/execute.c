/*
 * Carrying out one plan: send its writes, wait for the answers, then wait until the caches have seen them.
 *
 * Writes of a plan go out together, at most WRITES_AT_ONCE at a time and in order. After the first failure no further
 * write is sent: the next pass sees the truth and decides again. An Event is recorded when the write before it in the plan has
 * succeeded, so that no Event tells of what did not happen.
 */
#define LOG_PART "controllers"
#include "base/log.h"
#include "base/time.h"
#include "client/internal.h"
#include "kinds/fields.h"

#include <stdlib.h>

#define WRITES_AT_ONCE 32
#define SEEN_LIMIT_MS                                                                                                  \
    (10 * SECOND_MS) /* a cache that does not catch up (its watch is down) must not hold a key for ever */

struct wait { /* the cache must reach `revision`, or have lost or marked the deleted object */
    struct cache *cache;
    uint64_t revision;
};

struct execution {
    struct cluster *cluster;
    struct event_recorder *events;
    struct arena arena;
    struct plan plan;
    struct map *live;
    execute_done_fn *done;
    void *arg;
    size_t next, open;
    uint64_t epoch; /* of the term the plan was made in */
    struct execute_done how;
    struct error err;
    struct wait *waits;
    size_t waits_count, waits_capacity;
    struct loop_timer limit;
    struct loop_timer finish; /* done is never called from inside execute_plan() */
    bool cancelled;
};

struct sent {
    struct execution *x;
    struct plan_step *step;
};

static void advance(struct execution *x);

static void drop_waits(struct execution *x)
{
    for (size_t i = 0; i < x->waits_count; i++)
        cache_unlisten(x->waits[i].cache, x);
    x->waits_count = 0;
}

static void execution_free(struct execution *x)
{
    drop_waits(x);
    loop_timer_stop(&x->limit);
    loop_timer_stop(&x->finish);
    plan_done(&x->plan);
    arena_done(&x->arena);
    error_done(&x->err);
    free(x->waits);
    free(x);
}

static void finish(void *arg)
{
    struct execution *x = arg;
    execute_done_fn *done = x->done;
    struct execute_done how = x->how;
    struct error err = x->err;
    void *done_arg = x->arg;

    x->err = (struct error){ 0 };
    execution_free(x);
    how.err = err;
    done(done_arg, &how);
    error_done(&err);
}

static bool all_seen(const struct execution *x)
{
    for (size_t i = 0; i < x->waits_count; i++)
        if (cache_revision(x->waits[i].cache) < x->waits[i].revision)
            return false;
    return true;
}

static void check_finished(struct execution *x)
{
    if (x->open || (x->next < x->plan.count && !x->how.failed))
        return;
    if (x->cancelled) {
        execution_free(x);
        return;
    }
    if (!all_seen(x)) {
        if (!loop_timer_running(&x->limit))
            loop_timer_start(&x->limit, SEEN_LIMIT_MS);
        return;
    }
    loop_timer_start(&x->finish, 0);
}

static void on_progress(void *arg, struct cache *c)
{
    (void)c;
    check_finished(arg);
}

static void on_limit(void *arg)
{
    struct execution *x = arg;

    log_warn("a cache has not seen a write for 10 s: its watch is down; going on with what is known");
    loop_timer_start(&x->finish, 0);
}

/* The caches must see this result before the key's next pass. */
static void wait_seen(struct execution *x, const struct kind *kind, uint64_t revision)
{
    struct cache *cache = cluster_cache_if_open(x->cluster, kind);

    if (!cache || revision == 0)
        return;
    for (size_t i = 0; i < x->waits_count; i++)
        if (x->waits[i].cache == cache) {
            x->waits[i].revision = MAX(x->waits[i].revision, revision);
            return;
        }
    GROW(x->waits, x->waits_count, x->waits_capacity);
    x->waits[x->waits_count++] = (struct wait){ cache, revision };
    cache_listen(cache, NULL, on_progress, x);
}

static void note_live(struct execution *x, const struct plan_step *step, const struct object *result,
                      const struct error *err)
{
    AUTO_BUF struct buf buf = BUF_MAX(KIB);
    struct live_answer *answer, *old;

    if (x->cancelled || (err && err->code != ERR_NOT_FOUND))
        return;
    answer = xnew(struct live_answer);
    answer->live = result ? LIVE_PRESENT : LIVE_ABSENT;
    answer->uid = result ? str_dup(object_uid(result)) : NULL;
    old = map_put(x->live, live_key(&buf, step->kind, step->namespace_, step->name), answer);
    if (old)
        free(old->uid);
    free(old);
}

/* Some failures are what the plan wanted: what is to be deleted is gone already. */
static bool is_fine(const struct plan_step *step, const struct error *err)
{
    return (step->type == STEP_DELETE && err->code == ERR_NOT_FOUND) ||
           (step->type == STEP_LIVE_READ && err->code == ERR_NOT_FOUND);
}

static void record(struct execution *x, const struct plan_step *event)
{
    if (x->events)
        event_record(x->events, event->kind, event->about, NULL, event->event_type, event->event_reason,
                     event->event_message);
}

/* The Events that stand right after a write. */
static void record_after(struct execution *x, const struct plan_step *write)
{
    const struct plan_step *end = x->plan.steps + x->plan.count;

    for (const struct plan_step *p = write + 1; p < end && p->type == STEP_EVENT; p++)
        record(x, p);
}

/* Refused for what it is: trying again alone will not help, somebody must be told. */
static bool is_refused(enum error_code code)
{
    return code == ERR_FORBIDDEN || code == ERR_INVALID || code == ERR_BAD_REQUEST;
}

static void on_answer(void *arg, const struct object *result, const struct error *err)
{
    struct sent *sent = arg;
    struct execution *x = sent->x;
    struct plan_step *step = sent->step;

    free(sent);
    x->open--;
    if (step->type == STEP_LIVE_READ)
        note_live(x, step, result, err);
    else if (result && !x->cancelled)
        wait_seen(x, step->kind, object_revision(result));
    if ((!err || is_fine(step, err)) && !x->cancelled && step->type != STEP_LIVE_READ)
        record_after(x, step);
    if (err && !is_fine(step, err) && !x->how.failed) {
        x->how.failed = true;
        x->how.create_refused = step->type == STEP_CREATE && is_refused(err->code);
        x->how.conflicted = err->code == ERR_CONFLICT || err->code == ERR_ALREADY_EXISTS;
        fail(&x->err, err->code, "%s", error_text(err));
    }
    if (x->cancelled)
        check_finished(x);
    else
        advance(x);
}

static struct api_call call_of(const struct plan_step *step)
{
    struct api_call call = {
        .kind = step->kind,
        .namespace_ = step->namespace_,
        .name = step->name,
        .subresource = step->subresource,
        .body = step->body,
        .grace_seconds = step->grace_seconds,
    };

    switch (step->type) {
    case STEP_CREATE:
        call.verb = API_CREATE;
        call.name = STR_NONE;
        break;
    case STEP_POST:
        call.verb = API_CREATE;
        break;
    case STEP_UPDATE:
        call.verb = API_UPDATE;
        break;
    case STEP_PATCH:
        call.verb = API_PATCH;
        call.patch_type = API_PATCH_MERGE;
        call.patch = object_json(step->body);
        call.body = NULL;
        break;
    case STEP_DELETE:
        call.verb = API_DELETE;
        call.uid_precondition = step->uid;
        call.revision_precondition = step->revision;
        call.propagation = step->propagation;
        break;
    case STEP_LIVE_READ:
    case STEP_EVENT:
        call.verb = API_GET;
        break;
    }
    return call;
}

static void send(struct execution *x, struct plan_step *step)
{
    struct sent *sent;
    struct api_call call;

    if (step->type == STEP_EVENT) {
        if (!x->how.writes)
            record(x, step);
        return;
    }
    sent = xnew(struct sent);
    *sent = (struct sent){ x, step };
    call = call_of(step);
    call.epoch = x->epoch;
    x->open++;
    x->how.writes += step->type != STEP_LIVE_READ;
    api_call(cluster_api(x->cluster), &call, on_answer, sent);
}

static void advance(struct execution *x)
{
    while (x->next < x->plan.count && x->open < WRITES_AT_ONCE && !x->how.failed)
        send(x, &x->plan.steps[x->next++]);
    check_finished(x);
}

struct execution *execute_plan(struct cluster *cluster, struct event_recorder *events, struct arena arena,
                               struct plan plan, struct map *live, execute_done_fn *done, void *arg)
{
    struct execution *x = xnew(struct execution);

    x->cluster = cluster;
    x->epoch = cluster_epoch(cluster);
    x->events = events;
    x->arena = arena;
    x->plan = plan;
    x->plan.arena = &x->arena;
    x->live = live;
    x->done = done;
    x->arg = arg;
    loop_timer_init(&x->limit, cluster_loop(cluster), on_limit, x);
    loop_timer_init(&x->finish, cluster_loop(cluster), finish, x);
    advance(x);
    return x;
}

void execute_cancel(struct execution *x)
{
    x->cancelled = true;
    x->next = x->plan.count;
    drop_waits(x); /* the caches may be gone before the last answer comes */
    loop_timer_stop(&x->finish);
    loop_timer_stop(&x->limit);
    check_finished(x);
}
