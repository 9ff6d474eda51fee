/* Carrying plans out: facts -> plan -> steps -> facts, until nothing is left to do now. */
#include "node/pod.h"

#include "base/time.h"
#define LOG_PART "node"
#include "base/log.h"

#include <stdlib.h>

#define ROUNDS_MAX 16 /* a plan that never settles is a mistake of ours; the next event continues */

static void fail_pod(struct pod *p, const struct pod_step *s)
{
    p->facts.fail_reason = xstrdup(s->reason);
    p->facts.fail_message = xstrdup(s->message);
    pod_event(p, NULL, "Normal", s->reason, "%s", s->message);
    pod_save(p);
}

static void act(struct pod *p, const struct pod_step *s)
{
    struct pod_container *c = p->facts.containers_count ? &p->containers[s->container] : NULL;

    log_debug("step", KV_STR("pod", p->name), KV("step", "%s", pod_step_text(s->type)),
              KV("container", "%zu", s->container));
    switch (s->type) {
    case POD_STEP_SANDBOX:
        pod_make_sandbox(p);
        break;
    case POD_STEP_VOLUMES:
        pod_make_volumes(p);
        break;
    case POD_STEP_IMAGE:
        container_want_image(c);
        break;
    case POD_STEP_START:
        container_start(c);
        break;
    case POD_STEP_POST_START:
        container_post_start(c);
        break;
    case POD_STEP_PROBE:
        container_ask_probe(c, s->probe);
        break;
    case POD_STEP_STOP:
        container_begin_stop(c, s->stop_reason, s->grace_ms);
        break;
    case POD_STEP_PRE_STOP:
        container_pre_stop(c);
        break;
    case POD_STEP_TERM:
        container_send_stop_signal(c);
        break;
    case POD_STEP_KILL:
        container_kill(c);
        break;
    case POD_STEP_FAIL:
        fail_pod(p, s);
        break;
    case POD_STEP_ASK_REMOVAL:
        pod_ask_removal(p);
        break;
    case POD_STEP_CLEAN:
        pod_clean(p);
        break;
    case POD_STEP_DELETE:
        pod_delete_object(p);
        break;
    case POD_STEP_FORGET:
        p->dead = true;
        break;
    }
}

static void sync(void *arg)
{
    struct pod *p = arg;
    struct pod_plan plan = { .wake_ms = -1 };
    int64_t now = loop_now_ms(p->agent->loop);

    for (int round = 0; round < ROUNDS_MAX && !p->dead; round++) {
        for (size_t i = 0; i < p->facts.containers_count; i++)
            container_update_readiness(&p->containers[i]);
        pod_plan_make(&p->facts, now, &plan);
        if (plan.count == 0)
            break;
        for (size_t i = 0; i < plan.count; i++)
            act(p, &plan.steps[i]);
    }
    if (p->dead) {
        agent_forget_pod(p->agent, p);
        return;
    }
    if (plan.wake_ms >= 0)
        loop_timer_start(&p->wake, MAX(plan.wake_ms - now, 0));
    else
        loop_timer_stop(&p->wake);
    pod_report(p);
}

void pod_touch(struct pod *p)
{
    if (p->dead)
        return;
    p->task.fn = sync;
    p->task.arg = p;
    loop_defer(p->agent->loop, &p->task);
}
