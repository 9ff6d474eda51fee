/* Rows of `kubectl get pods`. Source: pkg/printers/internalversion/printers.go, printPod. */
#include "base/time.h"
#include "kinds/cells.h"
#include "kinds/pod.h"

const struct kind_column pod_columns[] = {
    COLUMN_NAME,
    { "Ready", "string", "", "Containers that are ready, of those that should be.", 0 },
    { "Status", "string", "", "What the pod is doing, or why it is not.", 0 },
    { "Restarts", "string", "", "How often containers of the pod were restarted, and when last.", 0 },
    COLUMN_AGE,
    { "IP", "string", "", "First address of the pod.", 1 },
    { "Node", "string", "", "Node the pod is bound to.", 1 },
    { "Nominated Node", "string", "", "Node where room is being made for the pod.", 1 },
    { "Readiness Gates", "string", "", "Readiness gates that are true, of all.", 1 },
    { NULL },
};

/* What is gathered while looking at one pod after the other of its container statuses. */
struct summary {
    struct arena *a;
    struct str reason;
    int64_t ready, total, restarts, sidecar_restarts;
    struct view last_restart, last_sidecar_restart; /* times */
    bool initializing;
};

static bool has_condition(struct view pod, const char *type)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(pod, F_POD_STATUS, F_POD_STATUS_CONDITIONS), &it))
        if (str_is(view_str_at(it.value, F_POD_CONDITION_TYPE), type))
            return str_is(view_str_at(it.value, F_POD_CONDITION_STATUS), "True");
    return false;
}

static bool is_sidecar(struct view pod, struct str name)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(pod, F_POD_SPEC, F_POD_SPEC_INIT_CONTAINERS), &it))
        if (str_eq(view_str_at(it.value, F_CONTAINER_NAME), name))
            return str_is(view_str_at(it.value, F_CONTAINER_RESTART_POLICY), "Always");
    return false;
}

static void later(struct view *last, struct view status)
{
    struct view at = view_path(status, F_CONTAINER_STATUS_LAST_STATE, F_CONTAINER_STATE_TERMINATED,
                               F_CONTAINER_STATE_TERMINATED_FINISHED_AT);
    int64_t then = INT64_MIN, now;

    if (!time_parse(view_str(at), &now))
        return;
    time_parse(view_str(*last), &then);
    if (now > then)
        *last = at;
}

/* "Error" of a container that ended, else its signal or exit code. */
static struct str ended_text(struct arena *a, const char *prefix, struct view ended)
{
    struct str reason = view_str_at(ended, F_CONTAINER_STATE_TERMINATED_REASON);
    int64_t signal = view_int_at(ended, 0, F_CONTAINER_STATE_TERMINATED_SIGNAL);

    if (reason.n)
        return arena_printf(a, "%s%.*s", prefix, STR_ARG(reason));
    if (signal)
        return arena_printf(a, "%sSignal:%lld", prefix, (long long)signal);
    return arena_printf(a, "%sExitCode:%lld", prefix,
                        (long long)view_int_at(ended, 0, F_CONTAINER_STATE_TERMINATED_EXIT_CODE));
}

/* True when this init container is done (or a running sidecar) and the next one is to be looked at. */
static bool add_init_status(struct summary *s, struct view pod, struct view status, size_t i)
{
    struct view ended = view_path(status, F_CONTAINER_STATUS_STATE, F_CONTAINER_STATE_TERMINATED);
    struct str waiting =
        view_str_at(status, F_CONTAINER_STATUS_STATE, F_CONTAINER_STATE_WAITING, F_CONTAINER_STATE_WAITING_REASON);
    int64_t restarts = view_int_at(status, 0, F_CONTAINER_STATUS_RESTART_COUNT);
    bool sidecar = is_sidecar(pod, view_str_at(status, F_CONTAINER_STATUS_NAME));

    s->restarts += restarts;
    later(&s->last_restart, status);
    if (sidecar) {
        s->sidecar_restarts += restarts;
        later(&s->last_sidecar_restart, status);
    }
    if (view_present(ended) && view_int_at(ended, 0, F_CONTAINER_STATE_TERMINATED_EXIT_CODE) == 0)
        return true;
    if (sidecar && view_bool_at(status, false, F_CONTAINER_STATUS_STARTED)) {
        s->ready += view_bool_at(status, false, F_CONTAINER_STATUS_READY);
        return true;
    }
    if (view_present(ended))
        s->reason = ended_text(s->a, "Init:", ended);
    else if (waiting.n && !str_is(waiting, "PodInitializing"))
        s->reason = arena_printf(s->a, "Init:%.*s", STR_ARG(waiting));
    else
        s->reason =
            arena_printf(s->a, "Init:%zu/%zu", i, view_count(view_path(pod, F_POD_SPEC, F_POD_SPEC_INIT_CONTAINERS)));
    s->initializing = true;
    return false;
}

static void add_statuses(struct summary *s, struct view pod)
{
    struct view statuses = view_path(pod, F_POD_STATUS, F_POD_STATUS_CONTAINER_STATUSES);
    struct str reason = STR_NONE;
    struct view_iter it = { 0 };
    bool running = false;

    s->restarts = s->sidecar_restarts;
    s->last_restart = s->last_sidecar_restart;
    while (view_next(statuses, &it)) {
        struct view state = view_get(it.value, F_CONTAINER_STATUS_STATE);
        struct view ended = view_get(state, F_CONTAINER_STATE_TERMINATED);
        struct str waiting = view_str_at(state, F_CONTAINER_STATE_WAITING, F_CONTAINER_STATE_WAITING_REASON);

        s->restarts += view_int_at(it.value, 0, F_CONTAINER_STATUS_RESTART_COUNT);
        later(&s->last_restart, it.value);
        /* Upstream goes from the last container to the first, so the first with something to say is the one heard. */
        if (waiting.n || view_present(ended)) {
            if (!reason.n)
                reason = waiting.n ? waiting : ended_text(s->a, "", ended);
        } else if (view_bool_at(it.value, false, F_CONTAINER_STATUS_READY) &&
                   view_present(view_get(state, F_CONTAINER_STATE_RUNNING))) {
            running = true;
            s->ready++;
        }
    }
    if (reason.n)
        s->reason = reason;
    if (str_is(s->reason, "Completed") && running)
        s->reason = has_condition(pod, "Ready") ? STR("Running") : STR("NotReady");
}

static void summarize(struct summary *s, struct view pod)
{
    struct view status = view_get(pod, F_POD_STATUS);
    struct str phase = view_str_at(status, F_POD_STATUS_PHASE), reason = view_str_at(status, F_POD_STATUS_REASON);
    struct view_iter it = { 0 };

    s->reason = reason.n ? reason : phase;
    while (view_next(view_get(status, F_POD_STATUS_CONDITIONS), &it))
        if (str_is(view_str_at(it.value, F_POD_CONDITION_TYPE), "PodScheduled") &&
            str_is(view_str_at(it.value, F_POD_CONDITION_REASON), "SchedulingGated"))
            s->reason = STR("SchedulingGated");
    s->total = (int64_t)view_count(view_path(pod, F_POD_SPEC, F_POD_SPEC_CONTAINERS));
    it = (struct view_iter){ 0 };
    while (view_next(view_path(pod, F_POD_SPEC, F_POD_SPEC_INIT_CONTAINERS), &it))
        s->total += str_is(view_str_at(it.value, F_CONTAINER_RESTART_POLICY), "Always");
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(view_get(status, F_POD_STATUS_INIT_CONTAINER_STATUSES), &it); i++)
        if (!add_init_status(s, pod, it.value, i))
            break;
    if (!s->initializing || has_condition(pod, "Initialized"))
        add_statuses(s, pod);
    if (!view_str_at(pod, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP).n)
        return;
    if (str_is(reason, "NodeLost"))
        s->reason = STR("Unknown");
    else if (!str_is(phase, "Succeeded") && !str_is(phase, "Failed"))
        s->reason = STR("Terminating");
}

static struct str gates_text(struct arena *a, struct view pod)
{
    struct view gates = view_path(pod, F_POD_SPEC, F_POD_SPEC_READINESS_GATES);
    struct view_iter it = { 0 };
    size_t open = 0;

    while (view_next(gates, &it))
        open += has_condition(pod, arena_strdup(a, view_str_at(it.value, F_POD_READINESS_GATE_CONDITION_TYPE)));
    return view_count(gates) ? arena_printf(a, "%zu/%zu", open, view_count(gates)) : STR(CELL_NONE);
}

void pod_row(struct arena *a, struct view pod, int64_t now_ms, struct value *cells)
{
    struct view status = view_get(pod, F_POD_STATUS);
    struct summary s = { .a = a };

    summarize(&s, pod);
    cell_name(a, cells, pod);
    cell_textf(a, cells, "%lld/%lld", (long long)s.ready, (long long)s.total);
    cell_str(a, cells, s.reason);
    if (s.restarts && view_present(s.last_restart))
        cell_textf(a, cells, "%lld (%.*s ago)", (long long)s.restarts, STR_ARG(text_since(a, s.last_restart, now_ms)));
    else
        cell_textf(a, cells, "%lld", (long long)s.restarts);
    cell_age(a, cells, pod, now_ms);
    cell_or(a, cells, view_str_at(view_item(view_get(status, F_POD_STATUS_POD_IPS), 0), F_POD_IP_IP), CELL_NONE);
    cell_or(a, cells, view_str_at(pod, F_POD_SPEC, F_POD_SPEC_NODE_NAME), CELL_NONE);
    cell_or(a, cells, view_str_at(status, F_POD_STATUS_NOMINATED_NODE_NAME), CELL_NONE);
    cell_str(a, cells, gates_text(a, pod));
}
