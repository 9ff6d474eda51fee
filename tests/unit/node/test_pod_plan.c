/* The life of a pod as plans: facts in, steps out. Each test tells one rule. */
#include "node/pod_plan.h"

#include "test.h"

#include "base/time.h"

struct fixture {
    struct pod_facts pod;
    struct container_facts containers[4];
    struct pod_plan plan;
    struct arena arena;
};

static struct container_facts *add_container(struct fixture *f, const char *name, enum container_kind kind)
{
    struct container_facts *c = &f->containers[f->pod.containers_count++];
    *c = (struct container_facts){ .name = name, .kind = kind, .attempt = -1, .image = IMAGE_READY };
    f->pod.containers = f->containers;
    return c;
}

static void ready_pod(struct fixture *f)
{
    *f = (struct fixture){ .pod = { .sandbox = PART_READY, .volumes = PART_READY, .grace_ms = 30000 } };
}

static void running(struct container_facts *c, int64_t since_ms)
{
    c->state = CONTAINER_RUNNING;
    c->started_ms = since_ms;
    c->attempt = 0;
    c->started = c->succeeded_once = c->kind != CONTAINER_INIT;
}

static void exited(struct container_facts *c, int code, int64_t at_ms)
{
    c->state = CONTAINER_EXITED;
    c->current = (struct termination){ .present = true, .exit_code = code };
    c->finished_ms = at_ms;
    c->attempt = 0;
    c->succeeded_once = c->kind == CONTAINER_SIDECAR || (c->kind == CONTAINER_INIT && code == 0);
}

/* "start:0 wake:500": the steps and their containers, and when to ask again. */
static struct str plan(struct fixture *f, int64_t now_ms)
{
    AUTO_BUF struct buf text = BUF_MAX(4096);

    pod_plan_make(&f->pod, now_ms, &f->plan);
    for (size_t i = 0; i < f->plan.count; i++)
        buf_addf(&text, "%s%s:%zu", text.n ? " " : "", pod_step_text(f->plan.steps[i].type),
                 f->plan.steps[i].container);
    if (f->plan.wake_ms >= 0)
        buf_addf(&text, "%swake:%lld", text.n ? " " : "", (long long)f->plan.wake_ms);
    struct str result = arena_str(&f->arena, buf_str(&text));
    return result;
}

TEST("a new pod asks for everything it needs at once")
{
    struct fixture f = { 0 };
    add_container(&f, "a", CONTAINER_MAIN)->image = IMAGE_UNKNOWN;
    ASSERT_STR(plan(&f, 0), "sandbox:0 volumes:0 image:0");
    arena_done(&f.arena);
}

TEST("a container starts when sandbox, volumes and image are there")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *c = add_container(&f, "a", CONTAINER_MAIN);
    ASSERT_STR(plan(&f, 0), "start:0");
    c->image = IMAGE_PULLING;
    ASSERT_STR(plan(&f, 0), "");
    c->image = IMAGE_READY;
    f.pod.volumes = PART_WORKING;
    ASSERT_STR(plan(&f, 0), "");
    arena_done(&f.arena);
}

TEST("init containers run one after the other, main ones together after them")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *i1 = add_container(&f, "i1", CONTAINER_INIT);
    struct container_facts *i2 = add_container(&f, "i2", CONTAINER_INIT);
    add_container(&f, "a", CONTAINER_MAIN);
    add_container(&f, "b", CONTAINER_MAIN);
    ASSERT_STR(plan(&f, 0), "start:0");
    running(i1, 0);
    ASSERT_STR(plan(&f, 0), "");
    exited(i1, 0, 10);
    ASSERT_STR(plan(&f, 10), "start:1");
    exited(i2, 0, 20);
    ASSERT_STR(plan(&f, 20), "start:2 start:3");
    arena_done(&f.arena);
}

TEST("a sidecar lets the next container start once it has started, and restarts whatever the policy")
{
    struct fixture f;
    ready_pod(&f);
    f.pod.restart_policy = RESTART_NEVER;
    struct container_facts *s = add_container(&f, "s", CONTAINER_SIDECAR);
    struct container_facts *m = add_container(&f, "m", CONTAINER_MAIN);
    running(s, 0);
    s->succeeded_once = s->started = false;
    ASSERT_STR(plan(&f, 0), "");
    s->succeeded_once = s->started = true;
    ASSERT_STR(plan(&f, 0), "start:1");
    running(m, 0);
    exited(s, 0, 100);
    ASSERT_STR(plan(&f, 100), "start:0");
    arena_done(&f.arena);
}

TEST("the first restart is immediate, later ones wait 10 s, 20 s, up to 300 s")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *c = add_container(&f, "a", CONTAINER_MAIN);
    exited(c, 1, 1000);
    ASSERT_STR(plan(&f, 1000), "start:0");
    container_backoff_next(c, 1000);
    exited(c, 1, 2000);
    ASSERT_STR(plan(&f, 2000), "wake:12000");
    ASSERT_STR(plan(&f, 12000), "start:0");
    container_backoff_next(c, 12000);
    exited(c, 1, 13000);
    ASSERT_STR(plan(&f, 13000), "wake:33000");
    for (int i = 0; i < 10; i++)
        container_backoff_next(c, 33000);
    ASSERT_INT(c->backoff_ms, 300000);
    arena_done(&f.arena);
}

TEST("back-off is forgotten after ten minutes")
{
    struct container_facts c = { 0 };
    container_backoff_next(&c, 0);
    container_backoff_next(&c, 1000);
    ASSERT_INT(c.backoff_ms, 20000);
    container_backoff_next(&c, 1000 + 600001);
    ASSERT_INT(c.backoff_ms, 10000);
}

TEST("the restart policy decides what happens after an exit")
{
    static const struct {
        enum restart_policy policy;
        int code;
        const char *plan;
        bool terminal, failed;
    } cases[] = {
        { RESTART_ALWAYS, 0, "start:0", false, false },    { RESTART_ALWAYS, 1, "start:0", false, false },
        { RESTART_ON_FAILURE, 0, "clean:0", true, false }, { RESTART_ON_FAILURE, 1, "start:0", false, false },
        { RESTART_NEVER, 0, "clean:0", true, false },      { RESTART_NEVER, 1, "clean:0", true, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f;
        ready_pod(&f);
        f.pod.restart_policy = cases[i].policy;
        exited(add_container(&f, "a", CONTAINER_MAIN), cases[i].code, 5);
        ASSERT_STR(plan(&f, 5), cases[i].plan);
        ASSERT_INT(pod_is_terminal(&f.pod), cases[i].terminal);
        if (cases[i].terminal)
            ASSERT_INT(pod_has_failed(&f.pod), cases[i].failed);
        arena_done(&f.arena);
    }
}

TEST("a failed init container ends a pod that never restarts")
{
    struct fixture f;
    ready_pod(&f);
    f.pod.restart_policy = RESTART_NEVER;
    exited(add_container(&f, "i", CONTAINER_INIT), 3, 5);
    add_container(&f, "m", CONTAINER_MAIN);
    ASSERT_STR(plan(&f, 5), "clean:0");
    ASSERT(pod_has_failed(&f.pod));
    arena_done(&f.arena);
}

TEST("probes are asked when due; liveness and readiness only after startup passed")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *c = add_container(&f, "a", CONTAINER_MAIN);
    running(c, 0);
    c->probes[PROBE_STARTUP] =
        (struct probe_facts){ .present = true, .next_ms = 100, .failure_threshold = 3, .success_threshold = 1 };
    c->probes[PROBE_LIVENESS] =
        (struct probe_facts){ .present = true, .next_ms = 0, .failure_threshold = 3, .success_threshold = 1 };
    ASSERT_STR(plan(&f, 50), "wake:100");
    ASSERT_STR(plan(&f, 100), "probe:0");
    ASSERT_INT(f.plan.steps[0].probe, PROBE_STARTUP);
    probe_fold(&c->probes[PROBE_STARTUP], true);
    ASSERT_STR(plan(&f, 100), "probe:0");
    ASSERT_INT(f.plan.steps[0].probe, PROBE_LIVENESS);
    arena_done(&f.arena);
}

TEST("a failed liveness probe stops the container: signal, then SIGKILL at the deadline")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *c = add_container(&f, "a", CONTAINER_MAIN);
    running(c, 0);
    c->probes[PROBE_LIVENESS] =
        (struct probe_facts){ .present = true, .failure_threshold = 2, .grace_ms = 5000, .success_threshold = 1 };
    probe_fold(&c->probes[PROBE_LIVENESS], false);
    ASSERT_STR(plan(&f, 10), "probe:0");
    probe_fold(&c->probes[PROBE_LIVENESS], false);
    ASSERT_STR(plan(&f, 10), "stop:0");
    ASSERT_INT(f.plan.steps[0].grace_ms, 5000);
    c->stop = (struct stop_facts){ .reason = STOP_LIVENESS, .deadline_ms = 5010 };
    ASSERT_STR(plan(&f, 10), "term:0 wake:5010");
    c->stop.term_sent = true;
    ASSERT_STR(plan(&f, 11), "wake:5010");
    ASSERT_STR(plan(&f, 5010), "kill:0");
    arena_done(&f.arena);
}

TEST("deletion: removal is acknowledged, then pre-stop, the signal, cleaning, final status, deletion")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *c = add_container(&f, "a", CONTAINER_MAIN);
    running(c, 0);
    c->has_pre_stop = true;
    f.pod.deleting = true;
    f.pod.deletion_ms = 1000;
    ASSERT_STR(plan(&f, 1000), "ask-removal:0 wake:3000");
    f.pod.removal = HOOK_RUNNING;
    ASSERT_STR(plan(&f, 1100), "wake:3000");
    f.pod.removal = HOOK_DONE;
    ASSERT_STR(plan(&f, 1200), "stop:0");
    ASSERT_INT(f.plan.steps[0].grace_ms, 29800);
    c->stop = (struct stop_facts){ .reason = STOP_POD, .deadline_ms = 31000 };
    ASSERT_STR(plan(&f, 1200), "pre-stop:0");
    c->stop.pre_stop = HOOK_RUNNING;
    ASSERT_STR(plan(&f, 1300), "wake:31000");
    c->stop.pre_stop = HOOK_DONE;
    ASSERT_STR(plan(&f, 1400), "term:0 wake:31000");
    exited(c, 0, 1500);
    ASSERT_STR(plan(&f, 1500), "clean:0");
    f.pod.sandbox = f.pod.volumes = PART_ABSENT;
    ASSERT_STR(plan(&f, 1500), "");
    f.pod.status_current = true;
    ASSERT_STR(plan(&f, 1500), "delete:0");
    f.pod.delete_asked = f.pod.deleted = true;
    ASSERT_STR(plan(&f, 1500), "forget:0");
    arena_done(&f.arena);
}

TEST("nobody waits for an acknowledgement longer than two seconds")
{
    struct fixture f;
    ready_pod(&f);
    running(add_container(&f, "a", CONTAINER_MAIN), 0);
    f.pod.deleting = true;
    f.pod.removal = HOOK_RUNNING;
    ASSERT_STR(plan(&f, 2000), "stop:0");
    arena_done(&f.arena);
}

TEST("a pod that vanished from the API is stopped and forgotten without a word to the server")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *c = add_container(&f, "a", CONTAINER_MAIN);
    running(c, 0);
    f.pod.deleting = f.pod.gone = true;
    ASSERT_STR(plan(&f, 0), "stop:0");
    exited(c, 137, 5);
    f.pod.sandbox = f.pod.volumes = PART_ABSENT;
    ASSERT_STR(plan(&f, 5), "forget:0");
    arena_done(&f.arena);
}

TEST("sidecars stop after the main containers")
{
    struct fixture f;
    ready_pod(&f);
    struct container_facts *s = add_container(&f, "s", CONTAINER_SIDECAR);
    struct container_facts *m = add_container(&f, "m", CONTAINER_MAIN);
    running(s, 0);
    running(m, 0);
    f.pod.deleting = true;
    f.pod.removal = HOOK_DONE;
    ASSERT_STR(plan(&f, 0), "stop:1");
    exited(m, 0, 5);
    ASSERT_STR(plan(&f, 5), "stop:0");
    arena_done(&f.arena);
}

TEST("a pod over its active deadline fails")
{
    struct fixture f;
    ready_pod(&f);
    running(add_container(&f, "a", CONTAINER_MAIN), 0);
    f.pod.active_deadline_ms = 5000;
    ASSERT_STR(plan(&f, 10), "wake:5000");
    ASSERT_STR(plan(&f, 5000), "fail:0");
    ASSERT_STR(f.plan.steps[0].reason, "DeadlineExceeded");
    arena_done(&f.arena);
}

TEST("a plan for equal facts is equal")
{
    struct fixture f;
    ready_pod(&f);
    add_container(&f, "a", CONTAINER_MAIN);
    struct str first = plan(&f, 0);
    ASSERT_STR(plan(&f, 0), first);
    arena_done(&f.arena);
}
