/* Hooks, probes and signals of one container. */
#include "base/time.h"
#include "kinds/fields.h"
#include "node/pod.h"
#define LOG_PART "node"
#include "base/log.h"

#include <signal.h>
#include <stdlib.h>

#define HOOK_TIMEOUT_MS                                                                                                \
    (10 * MINUTE_MS) /* a post-start hook has no limit of its own upstream; liveness does not run meanwhile */

static struct check_target target_of(const struct pod_container *c, bool hook)
{
    const struct pod *p = c->pod;
    return (struct check_target){ .agent = p->agent,
                                  .container_id = str_of(c->facts->id),
                                  .ip = p->facts.host_network ? p->agent->config->address : p->facts.ip,
                                  .container = pod_container_view(p, c->index),
                                  .hook = hook };
}

/* --- hooks ---------------------------------------------------------------------------------------------------------------- */

static struct view hook_of(const struct pod_container *c, bool pre_stop)
{
    return view_path(pod_container_view(c->pod, c->index), F_CONTAINER_LIFECYCLE,
                     pre_stop ? F_LIFECYCLE_PRE_STOP : F_LIFECYCLE_POST_START);
}

static void on_post_start(void *arg, bool success, struct str message)
{
    struct pod_container *c = arg;

    c->post_start = NULL;
    c->facts->post_start = success ? HOOK_DONE : HOOK_FAILED;
    if (!success)
        pod_event(c->pod, c, "Warning", "FailedPostStartHook", "PostStartHook failed: %.*s", STR_ARG(message));
    pod_touch(c->pod);
}

void container_post_start(struct pod_container *c)
{
    struct check_target t = target_of(c, true);

    c->facts->post_start = HOOK_RUNNING;
    c->post_start = check_start(&t, hook_of(c, false), HOOK_TIMEOUT_MS, on_post_start, c);
}

static void on_pre_stop(void *arg, bool success, struct str message)
{
    struct pod_container *c = arg;
    struct stop_facts *s = &c->facts->stop;

    c->pre_stop = NULL;
    s->pre_stop = success ? HOOK_DONE : HOOK_FAILED;
    s->deadline_ms = MAX(s->deadline_ms, loop_now_ms(c->pod->agent->loop) + PRE_STOP_MIN_MS);
    if (!success)
        pod_event(c->pod, c, "Warning", "FailedPreStopHook", "PreStopHook failed: %.*s", STR_ARG(message));
    pod_touch(c->pod);
}

void container_pre_stop(struct pod_container *c)
{
    struct check_target t = target_of(c, true);
    struct stop_facts *s = &c->facts->stop;

    s->pre_stop = HOOK_RUNNING;
    c->pre_stop =
        check_start(&t, hook_of(c, true), MAX(s->deadline_ms - loop_now_ms(c->pod->agent->loop), 1), on_pre_stop, c);
}

/* --- stopping --------------------------------------------------------------------------------------------------------------- */

void container_begin_stop(struct pod_container *c, enum stop_reason reason, int64_t grace_ms)
{
    struct stop_facts *s = &c->facts->stop;
    bool again = s->reason != STOP_NONE;
    int64_t deadline = loop_now_ms(c->pod->agent->loop) + grace_ms;

    if (again) {
        s->reason = reason;
        s->deadline_ms = MIN(s->deadline_ms, deadline);
        return;
    }
    *s = (struct stop_facts){ .reason = reason, .deadline_ms = deadline };
    AUTO_FREE char *message =
        reason == STOP_POD        ? xasprintf("Stopping container %s", c->facts->name)
        : reason == STOP_LIVENESS ? xasprintf("Container %s failed liveness probe, will be restarted", c->facts->name)
        : reason == STOP_STARTUP  ? xasprintf("Container %s failed startup probe, will be restarted", c->facts->name)
                                  : xasprintf("FailedPostStartHook");
    pod_event(c->pod, c, "Normal", "Killing", "%s", message);
    for (size_t i = 0; i < PROBE_KINDS; i++) {
        check_cancel(c->probes[i]);
        c->probes[i] = NULL;
        c->facts->probes[i].running = false;
    }
    if (reason != STOP_POD)
        c->facts->ready = false;
}

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3" as images write it. */
static int signal_number(struct str name)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {
        { "HUP", SIGHUP },   { "INT", SIGINT },   { "QUIT", SIGQUIT },   { "ABRT", SIGABRT }, { "KILL", SIGKILL },
        { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "PIPE", SIGPIPE },   { "ALRM", SIGALRM }, { "TERM", SIGTERM },
        { "CONT", SIGCONT }, { "STOP", SIGSTOP }, { "WINCH", SIGWINCH }, { "IO", SIGIO },     { "PWR", SIGPWR },
    };
    int64_t n;

    if (str_to_i64(name, &n))
        return n > 0 && n <= SIGRTMAX ? (int)n : SIGTERM;
    if (str_starts(name, STR("SIG")))
        name = str_from(name, 3);
    if (str_starts(name, STR("RTMIN+")) && str_to_i64(str_from(name, 6), &n) && n >= 0 && SIGRTMIN + n <= SIGRTMAX)
        return SIGRTMIN + (int)n;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        if (str_is(name, signals[i].name))
            return signals[i].number;
    }
    return SIGTERM;
}

void container_send_stop_signal(struct pod_container *c)
{
    struct str wanted =
        view_str_at(pod_container_view(c->pod, c->index), F_CONTAINER_LIFECYCLE, F_LIFECYCLE_STOP_SIGNAL);

    if (!wanted.n && c->image)
        wanted = view_str(view_get_str(view_get_str(object_root(c->image->config), STR("config")), STR("StopSignal")));
    if (c->pre_stop) { /* the hook's time is over */
        check_cancel(c->pre_stop);
        c->pre_stop = NULL;
        c->facts->stop.pre_stop = HOOK_FAILED;
    }
    c->facts->stop.term_sent = true;
    runtime_signal(c->pod->agent->runtime, str_of(c->facts->id), wanted.n ? signal_number(wanted) : SIGTERM);
}

void container_kill(struct pod_container *c)
{
    c->facts->stop.kill_sent = true;
    c->facts->stop.killed_ms = loop_now_ms(c->pod->agent->loop);
    if (!runtime_signal(c->pod->agent->runtime, str_of(c->facts->id), SIGKILL))
        log_debug("container to be killed is not running", KV("container", "%s", c->facts->id));
}

/* --- probes ------------------------------------------------------------------------------------------------------------------- */

static const char *const probe_names[PROBE_KINDS] = { "Startup", "Liveness", "Readiness" };

/* started and ready follow from hooks and probes. */
void container_update_readiness(struct pod_container *c)
{
    struct container_facts *f = c->facts;
    bool hook_passed = !f->has_post_start || f->post_start == HOOK_DONE;

    f->started = f->state == CONTAINER_RUNNING && hook_passed &&
                 (!f->probes[PROBE_STARTUP].present || f->probes[PROBE_STARTUP].result == PROBE_SUCCESS);
    f->ready =
        f->started && (!f->probes[PROBE_READINESS].present || f->probes[PROBE_READINESS].result == PROBE_SUCCESS);
    if (f->kind == CONTAINER_SIDECAR && f->started)
        f->succeeded_once = true;
}

static void on_probe(struct pod_container *c, enum probe_kind kind, bool success, struct str message)
{
    struct probe_facts *f = &c->facts->probes[kind];
    int64_t now = loop_now_ms(c->pod->agent->loop);
    /* While a container comes up, a cheap readiness probe is asked again soon: readiness is seen when it is there, not up to a period later.
     * These early questions are not counted and not told. */
    bool early = kind == PROBE_READINESS && f->cheap && !success && f->result == PROBE_UNKNOWN && f->failures == 0 &&
                 now - c->facts->started_ms < f->initial_delay_ms + f->period_ms;

    c->probes[kind] = NULL;
    f->running = false;
    if (early) {
        f->next_ms = now + MIN((int64_t)PROBE_EARLY_MS << MIN(f->early_tries, 6), f->period_ms);
        f->early_tries++;
        pod_touch(c->pod);
        return;
    }
    f->next_ms = now + f->period_ms;
    if (!success)
        pod_event(c->pod, c, "Warning", "Unhealthy", "%s probe failed: %.*s", probe_names[kind], STR_ARG(message));
    probe_fold(f, success);
    if (kind == PROBE_STARTUP && f->result == PROBE_SUCCESS) {
        c->facts->probes[PROBE_LIVENESS].next_ms = MAX(c->facts->probes[PROBE_LIVENESS].next_ms, now);
        c->facts->probes[PROBE_READINESS].next_ms = now;
    }
    pod_touch(c->pod);
}

static void on_startup(void *arg, bool success, struct str message)
{
    on_probe(arg, PROBE_STARTUP, success, message);
}

static void on_liveness(void *arg, bool success, struct str message)
{
    on_probe(arg, PROBE_LIVENESS, success, message);
}

static void on_readiness(void *arg, bool success, struct str message)
{
    on_probe(arg, PROBE_READINESS, success, message);
}

void container_ask_probe(struct pod_container *c, enum probe_kind kind)
{
    static const name_id fields[PROBE_KINDS] = { F_CONTAINER_STARTUP_PROBE, F_CONTAINER_LIVENESS_PROBE,
                                                 F_CONTAINER_READINESS_PROBE };
    static check_done *const done[PROBE_KINDS] = { on_startup, on_liveness, on_readiness };
    struct probe_facts *f = &c->facts->probes[kind];
    struct check_target t = target_of(c, false);

    f->running = true;
    c->probes[kind] =
        check_start(&t, view_get(pod_container_view(c->pod, c->index), fields[kind]), f->timeout_ms, done[kind], c);
}

void container_reset_probes(struct pod_container *c, bool adopted)
{
    for (size_t i = 0; i < PROBE_KINDS; i++) {
        struct probe_facts *f = &c->facts->probes[i];
        f->running = false;
        f->successes = f->failures = f->early_tries = 0;
        f->result = PROBE_UNKNOWN;
        f->next_ms = MAX(c->facts->started_ms + f->initial_delay_ms, loop_now_ms(c->pod->agent->loop));
    }
    if (adopted) { /* it was up before the agent restarted: it stays so until a probe says otherwise */
        if (c->facts->started)
            c->facts->probes[PROBE_STARTUP].result = PROBE_SUCCESS;
        if (c->facts->ready)
            c->facts->probes[PROBE_READINESS].result = PROBE_SUCCESS;
    }
    container_update_readiness(c);
}

void container_cancel_checks(struct pod_container *c)
{
    for (size_t i = 0; i < PROBE_KINDS; i++) {
        check_cancel(c->probes[i]);
        c->probes[i] = NULL;
        c->facts->probes[i].running = false;
    }
    check_cancel(c->post_start);
    check_cancel(c->pre_stop);
    c->post_start = c->pre_stop = NULL;
}
