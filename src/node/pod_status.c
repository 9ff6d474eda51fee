/* A pod's status, from facts: pure. Source: kubelet's generateAPIPodStatus, getPhase, status/generate.go. */
#include "base/time.h"
#include "kinds/fields.h"
#include "node/pod.h"
#include "object/value.h"

struct making {
    const struct pod *pod;
    const struct pod_facts *facts;
    struct arena *a;
    int64_t now_wall_ms, now_ms;
};

static struct value *time_value(struct making *m, int64_t wall_ms)
{
    char text[TIME_TEXT_SIZE];
    return value_str(m->a, arena_str(m->a, str_of(time_format(wall_ms, text))));
}

/* --- containers ----------------------------------------------------------------------------------------------------------- */

static struct value *terminated_state(struct making *m, const struct termination *t)
{
    struct value *state = value_object(m->a), *v = value_make_object(m->a, state, F_CONTAINER_STATE_TERMINATED);

    value_set_int(m->a, v, F_CONTAINER_STATE_TERMINATED_EXIT_CODE, t->exit_code);
    value_set_text(m->a, v, F_CONTAINER_STATE_TERMINATED_REASON, t->reason);
    if (t->message)
        value_set_text(m->a, v, F_CONTAINER_STATE_TERMINATED_MESSAGE, t->message);
    value_put(m->a, v, F_CONTAINER_STATE_TERMINATED_STARTED_AT, time_value(m, t->started_wall_ms));
    value_put(m->a, v, F_CONTAINER_STATE_TERMINATED_FINISHED_AT, time_value(m, t->finished_wall_ms));
    if (t->id[0])
        value_put(m->a, v, F_CONTAINER_STATE_TERMINATED_CONTAINER_ID, value_strf(m->a, "klein://%s", t->id));
    return state;
}

static struct value *waiting_state(struct making *m, const char *reason, const char *message)
{
    struct value *state = value_object(m->a), *v = value_make_object(m->a, state, F_CONTAINER_STATE_WAITING);

    value_set(m->a, v, F_CONTAINER_STATE_WAITING_REASON, arena_str(m->a, str_of(reason)));
    if (message)
        value_set(m->a, v, F_CONTAINER_STATE_WAITING_MESSAGE, arena_str(m->a, str_of(message)));
    return state;
}

static bool is_pod_over(const struct making *m)
{
    return m->facts->deleting || pod_is_terminal(m->facts);
}

static struct value *crash_loop_state(struct making *m, const struct container_facts *c)
{
    const struct pod *p = m->pod;
    struct str text = arena_printf(m->a, "back-off %llds restarting failed container=%s pod=%.*s_%.*s(%.*s)",
                                   (long long)c->backoff_ms / 1000, c->name, STR_ARG(p->name), STR_ARG(p->namespace_),
                                   STR_ARG(p->uid));
    return waiting_state(m, "CrashLoopBackOff", text.p);
}

static bool is_in_backoff(const struct making *m, const struct container_facts *c)
{
    return c->state == CONTAINER_EXITED && !is_pod_over(m) && container_will_restart(m->facts, c) &&
           container_backoff_until(c, m->now_ms) > m->now_ms;
}

static struct value *container_state(struct making *m, const struct container_facts *c, struct view spec)
{
    if (c->state == CONTAINER_RUNNING) {
        struct value *state = value_object(m->a), *v = value_make_object(m->a, state, F_CONTAINER_STATE_RUNNING);
        value_put(m->a, v, F_CONTAINER_STATE_RUNNING_STARTED_AT, time_value(m, c->started_wall_ms));
        return state;
    }
    if (c->waiting_reason && c->state != CONTAINER_EXITED) {
        bool again = strcmp(c->waiting_reason, "ErrImagePull") == 0 && c->image == IMAGE_FAILED &&
                     m->now_ms >= image_backoff_shown_ms(c);
        if (again) {
            struct str image = view_str_at(spec, F_CONTAINER_IMAGE);
            struct str text = arena_printf(m->a, "Back-off pulling image \"%.*s\": ErrImagePull: %s", STR_ARG(image),
                                           c->waiting_message);
            return waiting_state(m, "ImagePullBackOff", text.p);
        }
        return waiting_state(m, c->waiting_reason, c->waiting_message);
    }
    if (is_in_backoff(m, c))
        return crash_loop_state(m, c);
    if (c->state == CONTAINER_EXITED)
        return terminated_state(m, &c->current);
    bool waits = c->kind == CONTAINER_MAIN && !pod_is_initialized(m->facts);
    return waiting_state(m, waits ? "PodInitializing" : "ContainerCreating", NULL);
}

static struct value *container_status(struct making *m, size_t i)
{
    const struct container_facts *c = &m->facts->containers[i];
    struct view spec = pod_container_view(m->pod, i);
    struct value *v = value_object(m->a);
    bool done = c->kind == CONTAINER_INIT && c->succeeded_once;

    value_set_text(m->a, v, F_CONTAINER_STATUS_NAME, c->name);
    value_put(m->a, v, F_CONTAINER_STATUS_STATE, container_state(m, c, spec));
    /* In back-off the state tells of waiting, so the last state tells of the end. */
    const struct termination *last = is_in_backoff(m, c) ? &c->current : &c->last;
    value_put(m->a, v, F_CONTAINER_STATUS_LAST_STATE, last->present ? terminated_state(m, last) : value_object(m->a));
    value_set_bool(m->a, v, F_CONTAINER_STATUS_READY, c->kind == CONTAINER_INIT ? done : c->ready);
    value_set_int(m->a, v, F_CONTAINER_STATUS_RESTART_COUNT, c->restart_count);
    value_set(m->a, v, F_CONTAINER_STATUS_IMAGE, view_str_at(spec, F_CONTAINER_IMAGE));
    value_set(m->a, v, F_CONTAINER_STATUS_IMAGE_ID, str_of(c->image_digest));
    if (c->id[0] && c->state != CONTAINER_WAITING && c->state != CONTAINER_STARTING)
        value_put(m->a, v, F_CONTAINER_STATUS_CONTAINER_ID, value_strf(m->a, "klein://%s", c->id));
    value_set_bool(m->a, v, F_CONTAINER_STATUS_STARTED, c->started);
    return v;
}

/* --- conditions ------------------------------------------------------------------------------------------------------------- */

static struct view old_condition(const struct making *m, const char *type)
{
    struct view list = view_path(object_root(m->pod->object), F_POD_STATUS, F_POD_STATUS_CONDITIONS);
    struct view sent =
        m->pod->status_sent ? view_get(object_root(m->pod->status_sent), F_POD_STATUS_CONDITIONS) : VIEW_ABSENT;
    struct view lists[] = { sent, list };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (struct view_iter it = { 0 }; view_next(lists[i], &it);) {
            if (str_is(view_str_at(it.value, F_POD_CONDITION_TYPE), type))
                return it.value;
        }
    }
    return VIEW_ABSENT;
}

/* lastTransitionTime moves only when the status does. */
static void add_condition(struct making *m, struct value *list, const char *type, bool status, const char *reason,
                          struct str message)
{
    struct view old = old_condition(m, type);
    struct value *v = value_object(m->a);
    struct str text = status ? STR("True") : STR("False");
    int64_t generation = view_int_at(object_root(m->pod->object), 0, F_POD_METADATA, F_OBJECT_META_GENERATION);

    value_set_text(m->a, v, F_POD_CONDITION_TYPE, type);
    if (generation)
        value_set_int(m->a, v, F_POD_CONDITION_OBSERVED_GENERATION, generation);
    value_set(m->a, v, F_POD_CONDITION_STATUS, text);
    value_put(m->a, v, F_POD_CONDITION_LAST_PROBE_TIME, value_null(m->a));
    struct str since = str_eq(view_str_at(old, F_POD_CONDITION_STATUS), text)
                           ? view_str_at(old, F_POD_CONDITION_LAST_TRANSITION_TIME)
                           : STR_NONE;
    value_put(m->a, v, F_POD_CONDITION_LAST_TRANSITION_TIME,
              since.n ? value_str(m->a, since) : time_value(m, m->now_wall_ms));
    /* null, not nothing: the report is a patch, and what was true before would stay. */
    value_put(m->a, v, F_POD_CONDITION_REASON, reason ? value_text(m->a, reason) : value_null(m->a));
    value_put(m->a, v, F_POD_CONDITION_MESSAGE, message.n ? value_str(m->a, message) : value_null(m->a));
    value_append(m->a, list, v);
}

/* "containers with unready status: [a b]"; empty when all are fine. */
static struct str list_containers(struct making *m, bool init, bool (*is_fine)(const struct container_facts *c),
                                  const char *what)
{
    struct buf text = BUF_MAX(4096);

    for (size_t i = 0; i < m->facts->containers_count; i++) {
        const struct container_facts *c = &m->facts->containers[i];
        if ((c->kind != CONTAINER_MAIN) != init || is_fine(c))
            continue;
        buf_addf(&text, "%s%s", text.n ? " " : "", c->name);
    }
    struct str result =
        text.n ? arena_printf(m->a, "containers with %s status: [%.*s]", what, STR_ARG(buf_str(&text))) : STR_NONE;
    buf_done(&text);
    return result;
}

static bool is_ready(const struct container_facts *c)
{
    return c->ready;
}

static bool is_complete(const struct container_facts *c)
{
    return c->succeeded_once;
}

/* The first readiness gate that is not True; empty when all are. */
static struct str failing_gate(struct making *m)
{
    for (struct view_iter it = { 0 }; view_next(view_get(pod_spec(m->pod), F_POD_SPEC_READINESS_GATES), &it);) {
        struct str type = view_str_at(it.value, F_POD_READINESS_GATE_CONDITION_TYPE);
        struct view list = view_path(object_root(m->pod->object), F_POD_STATUS, F_POD_STATUS_CONDITIONS);
        bool found = false, met = false;
        for (struct view_iter c = { 0 }; view_next(list, &c);) {
            if (!str_eq(view_str_at(c.value, F_POD_CONDITION_TYPE), type))
                continue;
            found = true;
            met = str_is(view_str_at(c.value, F_POD_CONDITION_STATUS), "True");
        }
        if (!found)
            return arena_printf(m->a, "corresponding condition of pod readiness gate \"%.*s\" does not exist.",
                                STR_ARG(type));
        if (!met)
            return arena_printf(m->a, "the status of pod readiness gate \"%.*s\" is not \"True\", but False",
                                STR_ARG(type));
    }
    return STR_NONE;
}

static void add_ready_conditions(struct making *m, struct value *list, bool terminal, bool failed)
{
    struct str unready = list_containers(m, false, is_ready, "unready"), gate = failing_gate(m);
    const char *done = failed ? "PodFailed" : "PodCompleted";

    if (terminal) {
        add_condition(m, list, "Ready", false, done, STR_NONE);
        add_condition(m, list, "ContainersReady", false, done, STR_NONE);
        return;
    }
    if (unready.n)
        add_condition(m, list, "Ready", false, "ContainersNotReady", unready);
    else if (gate.n)
        add_condition(m, list, "Ready", false, "ReadinessGatesNotReady", gate);
    else
        add_condition(m, list, "Ready", true, NULL, STR_NONE);
    add_condition(m, list, "ContainersReady", !unready.n, unready.n ? "ContainersNotReady" : NULL, unready);
}

static struct value *make_conditions(struct making *m, bool terminal, bool failed)
{
    struct value *list = value_array(m->a);
    struct str incomplete = list_containers(m, true, is_complete, "incomplete");
    bool initialized = pod_is_initialized(m->facts);

    add_condition(m, list, "PodReadyToStartContainers", m->facts->sandbox == PART_READY, NULL, STR_NONE);
    if (terminal && !failed)
        add_condition(m, list, "Initialized", true, "PodCompleted", STR_NONE);
    else
        add_condition(m, list, "Initialized", initialized, initialized ? NULL : "ContainersNotInitialized", incomplete);
    add_ready_conditions(m, list, terminal, failed);
    add_condition(m, list, "PodScheduled", true, NULL, STR_NONE);
    return list;
}

/* --- the whole --------------------------------------------------------------------------------------------------------------- */

static bool any_is_active(const struct pod_facts *f)
{
    for (size_t i = 0; i < f->containers_count; i++) {
        if (container_is_active(&f->containers[i]))
            return true;
    }
    return false;
}

/* Source: getPhase. A pod being deleted reaches its end when its containers have. */
static const char *phase_of(const struct making *m, bool *ret_terminal, bool *ret_failed)
{
    const struct pod_facts *f = m->facts;
    bool all_exited = true, any_started = false;

    for (size_t i = 0; i < f->containers_count; i++) {
        const struct container_facts *c = &f->containers[i];
        if (c->kind == CONTAINER_MAIN) {
            all_exited = all_exited && c->state == CONTAINER_EXITED;
            any_started = any_started || c->attempt >= 0;
        }
    }
    *ret_failed = pod_has_failed(f);
    *ret_terminal = (pod_is_terminal(f) || (f->deleting && all_exited)) && !any_is_active(f);
    if (f->deleting && !any_is_active(f) && !all_exited) {
        *ret_terminal = *ret_failed = true; /* it never got as far */
    }
    if (*ret_terminal)
        return *ret_failed ? "Failed" : "Succeeded";
    if (!pod_is_initialized(f) && !any_started)
        return "Pending";
    for (size_t i = 0; i < f->containers_count; i++) {
        const struct container_facts *c = &f->containers[i];
        if (c->kind == CONTAINER_MAIN && (c->state == CONTAINER_WAITING || c->state == CONTAINER_STARTING) &&
            !c->last.present && !c->current.present)
            return "Pending";
    }
    return "Running";
}

static void add_addresses(struct making *m, struct value *v)
{
    struct arena *a = m->a;
    const char *host = m->pod->agent->config->address;
    const char *ip = m->facts->host_network ? host : m->facts->ip;
    struct value *one;

    value_set_text(a, v, F_POD_STATUS_HOST_IP, host);
    value_append(a, value_make_array(a, v, F_POD_STATUS_HOST_IPS), one = value_object(a));
    value_set_text(a, one, F_HOST_IP_IP, host);
    if (!ip[0])
        return;
    value_set(a, v, F_POD_STATUS_POD_IP, arena_str(a, str_of(ip)));
    value_append(a, value_make_array(a, v, F_POD_STATUS_POD_IPS), one = value_object(a));
    value_set(a, one, F_POD_IP_IP, arena_str(a, str_of(ip)));
}

struct value *pod_status_make(const struct pod *p, struct arena *a, int64_t now_wall_ms, int64_t now_ms)
{
    struct making m = { .pod = p, .facts = &p->facts, .a = a, .now_wall_ms = now_wall_ms, .now_ms = now_ms };
    int64_t generation = view_int_at(object_root(p->object), 0, F_POD_METADATA, F_OBJECT_META_GENERATION);
    struct value *v = value_object(a);
    bool terminal, failed;
    const char *phase = phase_of(&m, &terminal, &failed);

    if (generation)
        value_set_int(a, v, F_POD_STATUS_OBSERVED_GENERATION, generation);
    value_set_text(a, v, F_POD_STATUS_PHASE, phase);
    value_put(a, v, F_POD_STATUS_CONDITIONS, make_conditions(&m, terminal, failed));
    if (p->facts.fail_reason) {
        value_set_text(a, v, F_POD_STATUS_REASON, p->facts.fail_reason);
        value_set_text(a, v, F_POD_STATUS_MESSAGE, p->facts.fail_message ? p->facts.fail_message : "");
    }
    add_addresses(&m, v);
    value_put(a, v, F_POD_STATUS_START_TIME, time_value(&m, p->facts.started_wall_ms));
    for (size_t i = 0; i < p->facts.containers_count; i++) {
        bool init = p->facts.containers[i].kind != CONTAINER_MAIN;
        value_append(
            a, value_make_array(a, v, init ? F_POD_STATUS_INIT_CONTAINER_STATUSES : F_POD_STATUS_CONTAINER_STATUSES),
            container_status(&m, i));
    }
    value_set_text(a, v, F_POD_STATUS_QOS_CLASS, qos_class_text(p->facts.qos));
    return v;
}
