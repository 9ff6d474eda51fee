/*
 * Phase throttle: a bounded number of requests in flight, shared fairly between clients.
 *
 * As upstream, reads and writes have limits of their own (--max-requests-inflight, --max-mutating-requests-inflight) and
 * long-running requests do not count. Within a limit no identity may hold more than half of the places, so that one noisy
 * client cannot shut out the rest; beyond it requests wait in one bounded line and are shed with 429 after a second.
 * The server's own hands (in process, system:masters) never wait: the cluster must be able to repair itself.
 */
#include "server/server_internal.h"

#include "base/map.h"

#include <stdlib.h>

#define WAITING_MAX   1000
#define WAIT_MAX_MS   1000
#define RETRY_AFTER_S 1

struct throttle_client {
    char *user;
    int held[2];
};

struct throttle {
    struct server *server;
    struct map clients;    /* user -> struct throttle_client *, those that hold a place */
    int limit[2], held[2]; /* reads, writes */
    size_t waiting_count;
    struct list waiting; /* of request.core.slot_link, oldest first */
    struct loop_timer timer;
    struct loop_task wake;
};

static struct throttle *throttle_of(const struct request *r)
{
    return server_part(r->server, SERVER_PART_throttle);
}

static bool is_mutating(const struct request *r)
{
    struct str v = r->info.verb;
    return !str_is(v, "get") && !str_is(v, "list") && !str_is(v, "watch") && !str_is(v, "head");
}

static bool is_exempt(const struct request *r)
{
    return r->source == REQUEST_LOCAL || r->system || request_is_long_running(r) ||
           identity_in_group(&r->identity, STR("system:masters"));
}

static bool take(struct throttle *t, struct request *r)
{
    int kind = is_mutating(r);
    struct throttle_client *c = map_get(&t->clients, r->identity.user);
    if (t->held[kind] >= t->limit[kind] || (c && c->held[kind] >= MAX(t->limit[kind] / 2, 1)))
        return false;
    if (!c) {
        c = xnew(struct throttle_client);
        c->user = str_dup(r->identity.user);
        map_put(&t->clients, r->identity.user, c);
    }
    c->held[kind]++;
    t->held[kind]++;
    r->core.slot = true;
    r->core.slot_mutating = kind;
    r->core.slot_client = c;
    return true;
}

static void leave_line(struct throttle *t, struct request *r)
{
    list_del(&r->core.slot_link);
    t->waiting_count--;
}

/* Places came free: whoever may go on does, oldest first. */
static void wake(void *arg)
{
    struct throttle *t = arg;
    struct request *ready[64];
    size_t n = 0;
    list_each (&t->waiting, struct request, core.slot_link, r) {
        if (n < ARRAY_SIZE(ready) && take(t, r)) {
            leave_line(t, r);
            ready[n++] = r;
        }
    }
    for (size_t i = 0; i < n; i++)
        request_resume(ready[i], PHASE_DONE);
    if (n == ARRAY_SIZE(ready))
        loop_defer(t->server->loop, &t->wake);
}

void throttle_release(struct request *r)
{
    struct throttle *t = throttle_of(r);
    if (!r->core.slot || !t)
        return;
    struct throttle_client *c = r->core.slot_client;
    int kind = r->core.slot_mutating;
    r->core.slot = false;
    t->held[kind]--;
    if (--c->held[kind] == 0 && c->held[!kind] == 0) {
        map_del(&t->clients, str_of(c->user));
        free(c->user);
        free(c);
    }
    if (t->waiting_count)
        loop_defer(t->server->loop, &t->wake);
}

static enum phase_result refuse(struct request *r)
{
    request_fail(r, ERR_TOO_MANY_REQUESTS, "too many requests, please try again later");
    r->err.retry_after_s = RETRY_AFTER_S;
    return PHASE_FAILED;
}

static void on_timer(void *arg)
{
    struct throttle *t = arg;
    int64_t now = env_monotonic_ms(t->server->env);
    for (;;) {
        struct list *first = list_empty(&t->waiting) ? NULL : t->waiting.next;
        struct request *r = first ? container_of(first, struct request, core.slot_link) : NULL;
        if (!r || now - r->started_ms < WAIT_MAX_MS)
            break;
        leave_line(t, r);
        request_resume(r, refuse(r));
    }
    if (t->waiting_count)
        loop_timer_start(&t->timer, WAIT_MAX_MS / 10);
}

enum phase_result phase_throttle(struct request *r)
{
    struct throttle *t = throttle_of(r);
    if (!t || is_exempt(r) || take(t, r))
        return PHASE_DONE;
    if (t->waiting_count >= WAITING_MAX)
        return refuse(r);
    list_add_tail(&t->waiting, &r->core.slot_link);
    t->waiting_count++;
    if (!loop_timer_running(&t->timer))
        loop_timer_start(&t->timer, WAIT_MAX_MS / 10);
    return PHASE_WAIT;
}

int throttle_init(struct server *s, struct error *err)
{
    (void)err;
    struct throttle *t = xnew(struct throttle);
    t->server = s;
    t->limit[0] = s->config.requests_max;
    t->limit[1] = s->config.mutating_requests_max;
    list_init(&t->waiting);
    t->wake = (struct loop_task){ .fn = wake, .arg = t };
    loop_timer_init(&t->timer, s->loop, on_timer, t);
    server_part_set(s, SERVER_PART_throttle, t);
    return 0;
}

void throttle_done(struct server *s)
{
    struct throttle *t = server_part(s, SERVER_PART_throttle);
    if (!t)
        return;
    loop_timer_stop(&t->timer);
    loop_defer_cancel(&t->wake);
    map_done(&t->clients);
    free(t);
}
