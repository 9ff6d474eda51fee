/* When a request has to wait until what this server knows is current. The rules stand in fresh.h. */
#include "server/fresh.h"
#include "server/read.h"
#include "server/server_internal.h"

#define REVISION_LOOK_MS 20

enum need { NEED_NOTHING, NEED_NEWEST, NEED_REVISION };

static bool is_read(const struct request *r)
{
    return str_is(r->info.verb, "get") || str_is(r->info.verb, "list") || str_is(r->info.verb, "watch");
}

static bool is_handled(const struct request *r)
{
    return subresource_find(r->info.group, r->info.resource, r->info.subresource) != NULL;
}

/* The revision a continue token was made at; 0: none, or not readable (the verb will say so). */
static uint64_t revision_of_token(struct request *r)
{
    struct continue_token token = { 0 };
    return continue_decode(&r->arena, r->options.continue_, &token, NULL) < 0 ? 0 : token.revision;
}

static enum need need_of(struct request *r)
{
    const struct request_options *o = &r->options;
    uint64_t wanted = 0;
    if (!r->info.is_resource || !r->kind)
        return NEED_NOTHING;
    if (str_is(r->info.verb, "deletecollection") || o->dry_run)
        return NEED_NEWEST;
    if (!is_read(r) || is_handled(r))
        return NEED_NOTHING;
    if (!str_empty(o->continue_))
        wanted = revision_of_token(r);
    else if (str_empty(o->resource_version))
        return NEED_NEWEST;
    else if (str_is(r->info.verb, "watch") && !o->send_initial_events)
        return NEED_NOTHING; /* a watch waits for a later revision by itself */
    else
        str_to_u64(o->resource_version, &wanted);
    return wanted > state_revision(r->server->state) ? NEED_REVISION : NEED_NOTHING;
}

/* --- waiting ------------------------------------------------------------------------------------------------------------ */

static enum phase_result refuse(struct request *r)
{
    fresh_count(r->server, true);
    error_done(&r->err);
    request_fail(r, ERR_UNAVAILABLE,
                 "this server has reached no majority of the store's members for %lld s, so nothing can be written and "
                 "nothing is certain to be the latest; what it knows is read with resourceVersion=0",
                 (long long)(fresh_silent_ms(r->server) / 1000));
    r->err.retry_after_s = 1;
    return PHASE_FAILED;
}

static void on_newest(void *arg, bool current)
{
    struct request *r = arg;
    r->core.fresh = current;
    if (current) {
        request_resume(r, PHASE_DONE);
    } else if (is_read(r) && r->source == REQUEST_HTTP && !r->server->config.refuse_old_reads) {
        fresh_count(r->server, false);
        request_warn(r, "this answer may be old: this server has reached no majority of the store's members for %lld s",
                     (long long)(fresh_silent_ms(r->server) / 1000));
        request_resume(r, PHASE_DONE);
    } else {
        request_resume(r, refuse(r));
    }
}

/* A revision that another server gave out: it comes, or it never existed. The verb refuses what is still in the future then. */
static void on_look(void *arg)
{
    struct request *r = arg;
    bool late = env_monotonic_ms(r->server->env) - r->core.look_since_ms >= FRESH_REVISION_MS;
    if (late || r->gone || need_of(r) != NEED_REVISION)
        request_resume(r, PHASE_DONE);
    else
        loop_timer_start(&r->core.look, REVISION_LOOK_MS);
}

static void on_revision_barrier(void *arg, bool current)
{
    (void)current;
    on_look(arg);
}

enum phase_result phase_fresh(struct request *r)
{
    if (!fresh_is_needed(r->server))
        return PHASE_DONE;
    r->core.judged_at = state_revision(r->server->state);
    if (r->core.fresh)
        return PHASE_DONE;
    switch (need_of(r)) {
    case NEED_NEWEST:
        fresh_wait(r->server, &r->core.wait, on_newest, r);
        return PHASE_WAIT;
    case NEED_REVISION:
        /* Where nothing is written meanwhile, only a barrier makes the engine tell how far it is. */
        loop_timer_init(&r->core.look, r->server->loop, on_look, r);
        r->core.look_since_ms = env_monotonic_ms(r->server->env);
        fresh_wait(r->server, &r->core.wait, on_revision_barrier, r);
        return PHASE_WAIT;
    case NEED_NOTHING:
        break;
    }
    return PHASE_DONE;
}

/* --- second thoughts ------------------------------------------------------------------------------------------------------ */

/* Refusals that stand on what this server knows, not on the request alone. */
static bool rests_on_state(const struct request *r)
{
    switch (r->err.code) {
    case ERR_NOT_FOUND:
    case ERR_CONFLICT:
    case ERR_FORBIDDEN:
    case ERR_INVALID:
        break;
    default:
        return false;
    }
    if (!r->info.is_resource || !r->kind || r->phase < PHASE_OF_fresh || r->phase > PHASE_OF_perform)
        return false;
    return !is_read(r) || is_handled(r);
}

static void on_second_look(void *arg, bool current)
{
    struct request *r = arg;
    r->core.fresh = current;
    if (!current) {
        request_step(r, refuse(r));
    } else if (state_revision(r->server->state) == r->core.judged_at) {
        request_step(r, PHASE_FAILED);
    } else {
        r->core.afresh = true;
        request_step(r, PHASE_RESTART);
    }
}

static void on_next_attempt(void *arg, bool current)
{
    struct request *r = arg;
    r->core.fresh = current;
    request_step(r, current ? PHASE_RESTART : refuse(r));
}

bool fresh_holds_back(struct request *r, enum phase_result result)
{
    if (!fresh_is_needed(r->server) || r->gone || r->core.answered_late)
        return false;
    if (result == PHASE_RESTART)
        fresh_wait(r->server, &r->core.wait, on_next_attempt, r);
    else if (!r->core.fresh && rests_on_state(r))
        fresh_wait(r->server, &r->core.wait, on_second_look, r);
    else
        return false;
    return true;
}
