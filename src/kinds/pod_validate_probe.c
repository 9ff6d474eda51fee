/* Rules of probes and lifecycle handlers. */
#include "kinds/pod.h"

static const char *const schemes[] = { "HTTP", "HTTPS", NULL };

static void check_http_get(struct check *k, const struct at *at, struct view http)
{
    struct view_iter it = { 0 };

    if (!view_str_at(http, F_HTTP_GET_ACTION_PATH).n)
        check_required(k, AT(at, "path"), "");
    check_port_or_name(k, AT(at, "port"), view_get(http, F_HTTP_GET_ACTION_PORT));
    check_one_of(k, AT(at, "scheme"), view_str_at(http, F_HTTP_GET_ACTION_SCHEME), schemes);
    while (view_next(view_get(http, F_HTTP_GET_ACTION_HTTP_HEADERS), &it) && !check_full(k))
        check_header_name(k, AT(at, "httpHeaders"), view_str_at(it.value, F_HTTP_HEADER_NAME));
}

static void check_exec(struct check *k, const struct at *at, struct view exec)
{
    if (!view_count(view_get(exec, F_EXEC_ACTION_COMMAND)))
        check_required(k, AT(at, "command"), "");
}

static void check_sleep(struct pod_check *p, const struct at *at, struct view sleep)
{
    int64_t grace = view_int_at(p->spec, 0, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS);
    struct view seconds = view_get(sleep, F_SLEEP_ACTION_SECONDS);

    if (view_int(seconds, 0) < 0 || view_int(seconds, 0) > grace)
        check_invalid(p->k, at, seconds,
                      arena_printf(p->k->arena,
                                   "must be non-negative and less than terminationGracePeriodSeconds (%lld)",
                                   (long long)grace)
                          .p);
}

/* Exactly one way to do it. Handlers and probes share the fields; grpc is a probe's, sleep a handler's. */
static void check_handler(struct pod_check *p, const struct at *at, struct view handler)
{
    struct view exec = view_get(handler, F_PROBE_EXEC), http = view_get(handler, F_PROBE_HTTP_GET);
    struct view tcp = view_get(handler, F_PROBE_TCP_SOCKET), grpc = view_get(handler, F_PROBE_GRPC);
    struct view sleep = view_get(handler, F_LIFECYCLE_HANDLER_SLEEP);
    static const char more[] = "may not specify more than 1 handler type";
    int count = 0;

    if (view_present(exec) && ++count)
        check_exec(p->k, AT(at, "exec"), exec);
    if (view_present(http) && count++)
        check_forbidden(p->k, AT(at, "httpGet"), more);
    else if (view_present(http))
        check_http_get(p->k, AT(at, "httpGet"), http);
    if (view_present(tcp) && count++)
        check_forbidden(p->k, AT(at, "tcpSocket"), more);
    else if (view_present(tcp))
        check_port_or_name(p->k, AT(AT(at, "tcpSocket"), "port"), view_get(tcp, F_TCP_SOCKET_ACTION_PORT));
    if (view_present(grpc) && count++)
        check_forbidden(p->k, AT(at, "grpc"), more);
    else if (view_present(grpc))
        check_port(p->k, AT(AT(at, "grpc"), "port"), view_int_at(grpc, 0, F_GRPC_ACTION_PORT));
    if (view_present(sleep) && count++)
        check_forbidden(p->k, AT(at, "sleep"), more);
    else if (view_present(sleep))
        check_sleep(p, AT(at, "sleep"), sleep);
    if (!count)
        check_required(p->k, at, "must specify a handler type");
}

void pod_check_lifecycle(struct pod_check *p, const struct at *at, struct view lifecycle)
{
    struct view post = view_get(lifecycle, F_LIFECYCLE_POST_START), pre = view_get(lifecycle, F_LIFECYCLE_PRE_STOP);

    if (view_present(post))
        check_handler(p, AT(at, "postStart"), post);
    if (view_present(pre))
        check_handler(p, AT(at, "preStop"), pre);
}

void pod_check_probe(struct pod_check *p, const struct at *at, struct view probe, enum probe_role role)
{
    static const struct {
        name_id name;
        struct str text;
    } numbers[] = {
        { F_PROBE_INITIAL_DELAY_SECONDS, STR_INIT("initialDelaySeconds") },
        { F_PROBE_TIMEOUT_SECONDS, STR_INIT("timeoutSeconds") },
        { F_PROBE_PERIOD_SECONDS, STR_INIT("periodSeconds") },
        { F_PROBE_SUCCESS_THRESHOLD, STR_INIT("successThreshold") },
        { F_PROBE_FAILURE_THRESHOLD, STR_INIT("failureThreshold") },
    };
    struct view grace = view_get(probe, F_PROBE_TERMINATION_GRACE_PERIOD_SECONDS);
    int64_t success = view_int_at(probe, 0, F_PROBE_SUCCESS_THRESHOLD);

    if (!view_present(probe))
        return;
    check_handler(p, at, probe);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        check_not_negative(p->k, AT_STR(at, numbers[i].text), view_int_at(probe, 0, numbers[i].name));
    if (view_present(grace) && view_int(grace, 0) <= 0)
        check_invalid(p->k, AT(at, "terminationGracePeriodSeconds"), grace, "must be greater than 0");
    if (role != PROBE_READINESS && success != 1)
        check_invalid_int(p->k, AT(at, "successThreshold"), success, "must be 1");
    if (role == PROBE_READINESS && view_present(grace))
        check_invalid(p->k, AT(at, "terminationGracePeriodSeconds"), grace, "must not be set for readinessProbes");
}
