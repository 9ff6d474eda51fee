/* Questions about a pod's facts, the container's state table, back-off and probe thresholds. */
#include "node/pod_facts.h"

#include "base/time.h"

#include <stdlib.h>

#define TO(state) (1u << (state))

static const struct {
    const char *text;
    unsigned to;
} container_states[] = {
    [CONTAINER_WAITING] = { "Waiting", TO(CONTAINER_STARTING) },
    [CONTAINER_STARTING] = { "Starting", TO(CONTAINER_RUNNING) | TO(CONTAINER_EXITED) | TO(CONTAINER_WAITING) },
    [CONTAINER_RUNNING] = { "Running", TO(CONTAINER_EXITED) },
    [CONTAINER_EXITED] = { "Exited", TO(CONTAINER_STARTING) },
};

void container_enter(struct container_facts *c, enum container_state to)
{
    assert(container_states[c->state].to & TO(to));
    c->state = to;
}

const char *container_state_text(enum container_state s)
{
    return container_states[s].text;
}

void termination_done(struct termination *t)
{
    free(t->reason);
    free(t->message);
    *t = (struct termination){ 0 };
}

bool container_will_restart(const struct pod_facts *p, const struct container_facts *c)
{
    if (c->kind == CONTAINER_SIDECAR)
        return true;
    if (c->state == CONTAINER_EXITED && c->kind == CONTAINER_INIT && c->current.exit_code == 0)
        return false;
    if (p->restart_policy == RESTART_ON_FAILURE || c->kind == CONTAINER_INIT)
        return p->restart_policy != RESTART_NEVER && c->current.exit_code != 0;
    return p->restart_policy == RESTART_ALWAYS;
}

bool pod_is_initialized(const struct pod_facts *p)
{
    for (size_t i = 0; i < p->containers_count; i++) {
        const struct container_facts *c = &p->containers[i];
        if (c->kind == CONTAINER_INIT && !c->succeeded_once)
            return false;
        if (c->kind == CONTAINER_SIDECAR && !c->succeeded_once)
            return false;
    }
    return true;
}

bool pod_is_terminal(const struct pod_facts *p)
{
    if (p->fail_reason)
        return true;
    for (size_t i = 0; i < p->containers_count; i++) {
        const struct container_facts *c = &p->containers[i];
        if (c->kind == CONTAINER_INIT && c->state == CONTAINER_EXITED && c->current.exit_code != 0 &&
            !container_will_restart(p, c))
            return true; /* a failed init container ends the pod */
        if (c->kind == CONTAINER_MAIN && (c->state != CONTAINER_EXITED || container_will_restart(p, c)))
            return false;
    }
    return true;
}

bool pod_has_failed(const struct pod_facts *p)
{
    if (p->fail_reason)
        return true;
    for (size_t i = 0; i < p->containers_count; i++) {
        const struct container_facts *c = &p->containers[i];
        if (c->kind != CONTAINER_SIDECAR && c->state == CONTAINER_EXITED && c->current.exit_code != 0)
            return true;
    }
    return false;
}

void container_backoff_next(struct container_facts *c, int64_t now_ms)
{
    if (c->backoff_ms == 0 || now_ms - c->backoff_updated_ms > BACKOFF_FORGET_MS)
        c->backoff_ms = BACKOFF_FIRST_MS;
    else
        c->backoff_ms = MIN(2 * c->backoff_ms, BACKOFF_MAX_MS);
    c->backoff_updated_ms = now_ms;
}

int64_t container_backoff_until(const struct container_facts *c, int64_t now_ms)
{
    if (c->backoff_ms == 0 || now_ms - c->backoff_updated_ms > BACKOFF_FORGET_MS)
        return 0;
    return c->finished_ms + c->backoff_ms;
}

bool probe_fold(struct probe_facts *p, bool success)
{
    enum probe_result before = p->result;

    if (success) {
        p->successes++;
        p->failures = 0;
        if (p->successes >= p->success_threshold)
            p->result = PROBE_SUCCESS;
    } else {
        p->failures++;
        p->successes = 0;
        if (p->failures >= p->failure_threshold)
            p->result = PROBE_FAILURE;
    }
    return p->result != before;
}
