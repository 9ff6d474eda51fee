/*
 * The life of a pod, decided. Order of the questions: is it over, is it going away, what does it need, what may start, what must
 * be asked or stopped. Source for the rules: kubelet's computePodActions, killPod, prober and its documented behaviour.
 */
#include "node/pod_plan.h"

#include "base/time.h"

static const char *const step_texts[] = {
    "sandbox", "volumes", "image", "start",       "post-start", "probe",  "stop",   "pre-stop",
    "term",    "kill",    "fail",  "ask-removal", "clean",      "delete", "forget",
};

const char *pod_step_text(enum pod_step_type type)
{
    return step_texts[type];
}

static struct pod_step *add(struct pod_plan *plan, enum pod_step_type type, size_t container)
{
    static struct pod_step dropped;

    if (plan->count == POD_STEPS_MAX)
        return &dropped;
    struct pod_step *s = &plan->steps[plan->count++];
    *s = (struct pod_step){ .type = type, .container = container };
    return s;
}

static void wake_at(struct pod_plan *plan, int64_t at_ms)
{
    if (plan->wake_ms < 0 || at_ms < plan->wake_ms)
        plan->wake_ms = at_ms;
}

/* True when `at_ms` has come; otherwise asks to be woken then. */
static bool is_due(struct pod_plan *plan, int64_t at_ms, int64_t now_ms)
{
    if (now_ms >= at_ms)
        return true;
    wake_at(plan, at_ms);
    return false;
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

/* Drive one container that is being stopped: hook, signal, at the deadline SIGKILL. */
static void continue_stop(const struct container_facts *c, size_t i, int64_t now_ms, struct pod_plan *plan)
{
    const struct stop_facts *s = &c->stop;

    if (c->state != CONTAINER_RUNNING)
        return;
    if (s->kill_sent) {
        if (is_due(plan, s->killed_ms + KILL_AGAIN_MS, now_ms))
            add(plan, POD_STEP_KILL, i);
        return;
    }
    if (now_ms >= s->deadline_ms && (s->term_sent || s->pre_stop != HOOK_RUNNING)) {
        if (!s->term_sent)
            add(plan, POD_STEP_TERM, i);
        add(plan, POD_STEP_KILL, i);
        return;
    }
    if (c->has_pre_stop && s->pre_stop == HOOK_NONE) {
        add(plan, POD_STEP_PRE_STOP, i);
        return;
    }
    if (s->pre_stop == HOOK_RUNNING) {
        if (now_ms >= s->deadline_ms)
            add(plan, POD_STEP_TERM, i); /* the hook had its time */
        else
            wake_at(plan, s->deadline_ms);
        return;
    }
    if (!s->term_sent)
        add(plan, POD_STEP_TERM, i);
    wake_at(plan, s->deadline_ms);
}

static int64_t pod_grace_left(const struct pod_facts *p, int64_t now_ms)
{
    return p->deleting ? MAX(p->deletion_ms + p->grace_ms - now_ms, 0) : p->grace_ms;
}

/* Sidecars stop after the main containers, the last one first. Source: KEP-753. */
static bool may_stop_sidecar(const struct pod_facts *p, size_t i)
{
    for (size_t k = 0; k < p->containers_count; k++) {
        const struct container_facts *c = &p->containers[k];
        bool before = c->kind == CONTAINER_MAIN || (c->kind == CONTAINER_SIDECAR && k > i);
        if (before && container_is_active(c))
            return false;
    }
    return true;
}

/* Ask every running container to stop; true when none is left. */
static bool stop_all(const struct pod_facts *p, int64_t now_ms, struct pod_plan *plan)
{
    bool none = true;

    for (size_t i = 0; i < p->containers_count; i++) {
        const struct container_facts *c = &p->containers[i];
        if (container_is_active(c))
            none = false;
        if (c->state != CONTAINER_RUNNING)
            continue;
        /* A deletion shortens a stop that was begun with more time, so it is begun again. */
        bool again = c->stop.reason != STOP_NONE && c->stop.reason != STOP_POD;
        if ((c->stop.reason == STOP_NONE || again) && (c->kind != CONTAINER_SIDECAR || may_stop_sidecar(p, i))) {
            struct pod_step *s = add(plan, POD_STEP_STOP, i);
            s->stop_reason = STOP_POD;
            s->grace_ms = pod_grace_left(p, now_ms);
        } else if (c->stop.reason != STOP_NONE) {
            continue_stop(c, i, now_ms, plan);
        }
    }
    return none;
}

static bool is_cleaning(const struct pod_facts *p)
{
    for (size_t i = 0; i < p->containers_count; i++) {
        if (p->containers[i].cleaning)
            return true;
    }
    return false;
}

/* All containers have ended: take sandbox and volumes away. True when that is done. */
static bool clean(const struct pod_facts *p, struct pod_plan *plan)
{
    if (is_cleaning(p) || p->sandbox == PART_WORKING || p->volumes == PART_WORKING || p->sandbox == PART_REMOVING ||
        p->volumes == PART_REMOVING)
        return false;
    if (p->sandbox == PART_ABSENT && p->volumes == PART_ABSENT)
        return true;
    add(plan, POD_STEP_CLEAN, 0);
    return false;
}

static bool any_running(const struct pod_facts *p)
{
    for (size_t i = 0; i < p->containers_count; i++) {
        if (p->containers[i].state == CONTAINER_RUNNING)
            return true;
    }
    return false;
}

static void plan_deletion(const struct pod_facts *p, int64_t now_ms, struct pod_plan *plan)
{
    /* Nothing is lost on the way out: first nobody sends new connections, then the containers hear of it. */
    if (!p->gone && !p->host_network && any_running(p) && p->grace_ms > 0) {
        int64_t until = p->deletion_ms + MIN(REMOVAL_WAIT_MS, p->grace_ms);
        if (p->removal == HOOK_NONE && now_ms < until) {
            add(plan, POD_STEP_ASK_REMOVAL, 0);
            wake_at(plan, until);
            return;
        }
        if (p->removal == HOOK_RUNNING && !is_due(plan, until, now_ms))
            return;
    }
    if (!stop_all(p, now_ms, plan) || !clean(p, plan))
        return;
    if (p->gone || p->deleted)
        add(plan, POD_STEP_FORGET, 0);
    else if (p->status_current && !p->delete_asked)
        add(plan, POD_STEP_DELETE, 0);
}

/* --- probes --------------------------------------------------------------------------------------------------------- */

static void stop_for(const struct pod_facts *p, size_t i, enum stop_reason reason, int64_t probe_grace_ms,
                     struct pod_plan *plan)
{
    struct pod_step *s = add(plan, POD_STEP_STOP, i);
    s->stop_reason = reason;
    s->grace_ms = probe_grace_ms >= 0 ? probe_grace_ms : p->grace_ms;
}

static void plan_probe(const struct container_facts *c, size_t i, enum probe_kind kind, int64_t now_ms,
                       struct pod_plan *plan)
{
    const struct probe_facts *f = &c->probes[kind];

    if (!f->present || f->running)
        return;
    if (is_due(plan, f->next_ms, now_ms))
        add(plan, POD_STEP_PROBE, i)->probe = kind;
}

static void plan_running(const struct pod_facts *p, size_t i, int64_t now_ms, struct pod_plan *plan)
{
    const struct container_facts *c = &p->containers[i];
    const struct probe_facts *startup = &c->probes[PROBE_STARTUP], *liveness = &c->probes[PROBE_LIVENESS];

    if (c->stop.reason != STOP_NONE) {
        continue_stop(c, i, now_ms, plan);
        return;
    }
    if (c->has_post_start && c->post_start != HOOK_DONE) {
        if (c->post_start == HOOK_NONE)
            add(plan, POD_STEP_POST_START, i);
        else if (c->post_start == HOOK_FAILED)
            stop_for(p, i, STOP_POST_START, -1, plan);
        return;
    }
    if (c->kind == CONTAINER_INIT)
        return;
    if (startup->present && startup->result == PROBE_FAILURE) {
        stop_for(p, i, STOP_STARTUP, startup->grace_ms, plan);
    } else if (startup->present && startup->result != PROBE_SUCCESS) {
        plan_probe(c, i, PROBE_STARTUP, now_ms, plan);
    } else if (liveness->present && liveness->result == PROBE_FAILURE) {
        stop_for(p, i, STOP_LIVENESS, liveness->grace_ms, plan);
    } else {
        plan_probe(c, i, PROBE_LIVENESS, now_ms, plan);
        plan_probe(c, i, PROBE_READINESS, now_ms, plan);
    }
}

/* --- starting --------------------------------------------------------------------------------------------------------- */

static void plan_image(const struct container_facts *c, size_t i, int64_t now_ms, struct pod_plan *plan)
{
    if (c->image == IMAGE_UNKNOWN || (c->image == IMAGE_FAILED && is_due(plan, c->image_retry_ms, now_ms)))
        add(plan, POD_STEP_IMAGE, i);
    else if (c->image == IMAGE_FAILED && now_ms < image_backoff_shown_ms(c))
        wake_at(plan, image_backoff_shown_ms(c)); /* the status changes to ImagePullBackOff then */
}

static bool is_pod_ready_to_run(const struct pod_facts *p)
{
    return p->sandbox == PART_READY && p->volumes == PART_READY;
}

/* A container that shall run and does not: start it when everything it needs is here. */
static void plan_start(const struct pod_facts *p, size_t i, int64_t now_ms, struct pod_plan *plan)
{
    const struct container_facts *c = &p->containers[i];

    if (p->held || c->image != IMAGE_READY || !is_pod_ready_to_run(p) || c->cleaning)
        return;
    if (!is_due(plan, c->create_retry_ms, now_ms))
        return;
    if (c->state == CONTAINER_EXITED && !is_due(plan, container_backoff_until(c, now_ms), now_ms))
        return;
    add(plan, POD_STEP_START, i);
}

static bool wants_to_run(const struct pod_facts *p, const struct container_facts *c)
{
    return c->state == CONTAINER_WAITING || (c->state == CONTAINER_EXITED && container_will_restart(p, c));
}

/* Init containers one after the other, sidecars as soon as the one before is started; then the main containers together. */
static void plan_containers(const struct pod_facts *p, int64_t now_ms, struct pod_plan *plan)
{
    bool initialized = pod_is_initialized(p), blocked = false;

    for (size_t i = 0; i < p->containers_count; i++) {
        const struct container_facts *c = &p->containers[i];
        bool done = c->kind == CONTAINER_INIT && c->succeeded_once;
        if (c->state == CONTAINER_RUNNING)
            plan_running(p, i, now_ms, plan);
        if (done)
            continue;
        if (!container_is_active(c) && wants_to_run(p, c))
            plan_image(c, i, now_ms, plan);
        if (c->kind == CONTAINER_MAIN) {
            if (initialized && wants_to_run(p, c))
                plan_start(p, i, now_ms, plan);
            continue;
        }
        if (!blocked && wants_to_run(p, c))
            plan_start(p, i, now_ms, plan);
        /* A sidecar that had started once does not hold up the others when it restarts. */
        if (!c->succeeded_once)
            blocked = true;
    }
}

static void plan_parts(const struct pod_facts *p, int64_t now_ms, struct pod_plan *plan)
{
    if (p->sandbox == PART_ABSENT || (p->sandbox == PART_FAILED && is_due(plan, p->sandbox_retry_ms, now_ms)))
        add(plan, POD_STEP_SANDBOX, 0);
    if (p->volumes == PART_ABSENT || (p->volumes == PART_FAILED && is_due(plan, p->volumes_retry_ms, now_ms)))
        add(plan, POD_STEP_VOLUMES, 0);
}

void pod_plan_make(const struct pod_facts *p, int64_t now_ms, struct pod_plan *ret)
{
    ret->count = 0;
    ret->wake_ms = -1;
    if (p->deleting) {
        plan_deletion(p, now_ms, ret);
        return;
    }
    if (pod_is_terminal(p)) {
        if (stop_all(p, now_ms, ret))
            clean(p, ret);
        return;
    }
    if (p->active_deadline_ms && is_due(ret, p->started_ms + p->active_deadline_ms, now_ms)) {
        struct pod_step *s = add(ret, POD_STEP_FAIL, 0);
        s->reason = "DeadlineExceeded";
        s->message = "Pod was active on the node longer than the specified deadline";
        return;
    }
    plan_parts(p, now_ms, ret);
    plan_containers(p, now_ms, ret);
}
