/* The page of `klein status`: a few tables, cut to the terminal's width, and a list of what needs attention. */
#include "base/buf.h"
#include "base/time.h"
#include "cli/run.h"
#include "cli/status.h"
#include "kinds/fields.h"

#include <stdio.h>

#define PROBLEMS_MAX 20

static struct view items(const struct object *list)
{
    return view_get(object_root(list), F_POD_LIST_ITEMS);
}

static struct str name_of(struct view o)
{
    return view_str_at(o, F_POD_METADATA, F_OBJECT_META_NAME);
}

static struct str namespace_of(struct view o)
{
    return view_str_at(o, F_POD_METADATA, F_OBJECT_META_NAMESPACE);
}

static bool condition_is_true(struct view o, const char *type)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(o, F_POD_STATUS, F_POD_STATUS_CONDITIONS), &it))
        if (str_is(view_str_at(it.value, F_POD_CONDITION_TYPE), type))
            return str_is(view_str_at(it.value, F_POD_CONDITION_STATUS), "True");
    return false;
}

bool status_node_is_ready(const struct status *s, const char *node)
{
    struct view_iter it = { 0 };

    while (view_next(items(s->nodes), &it))
        if (str_is(name_of(it.value), node))
            return condition_is_true(it.value, "Ready");
    return false;
}

struct view status_server(const struct status *s, const char *name)
{
    struct view_iter it = { 0 };

    while (s->servers && view_next(view_get_str(object_root(s->servers), STR("items")), &it))
        if (str_is(view_str(view_get_str(it.value, STR("name"))), name))
            return it.value;
    return (struct view){ 0 };
}

const char *status_server_name(const struct status *s, const struct machine *m)
{
    return m == &s->cluster->edge ? "server" : m->name;
}

/* --- one line, cut to the width ------------------------------------------------------------------------------------------------ */

static void print_cut(int width, const char *format, ...) PRINTF(2, 3);
static void print_cut(int width, const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    printf("%.*s\n", width, line);
}

/* --- what needs attention ------------------------------------------------------------------------------------------------------- */

struct problems {
    struct buf text;
    int count;
};

static void problem(struct problems *p, const char *format, ...) PRINTF(2, 3);
static void problem(struct problems *p, const char *format, ...)
{
    char line[512];
    va_list args;

    if (++p->count > PROBLEMS_MAX)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    buf_addf(&p->text, "  %s\n", line);
}

static struct str waiting_reason(struct view pod)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(pod, F_POD_STATUS, F_POD_STATUS_CONTAINER_STATUSES), &it)) {
        struct str reason = view_str_at(it.value, F_CONTAINER_STATUS_STATE, F_CONTAINER_STATE_WAITING,
                                        F_CONTAINER_STATE_WAITING_REASON);
        if (reason.n)
            return reason;
    }
    return STR_NONE;
}

static void pod_problems(const struct status *s, struct problems *p)
{
    struct view_iter it = { 0 };

    while (view_next(items(s->pods), &it)) {
        struct str phase = view_str_at(it.value, F_POD_STATUS, F_POD_STATUS_PHASE), why = waiting_reason(it.value);
        if (str_is(phase, "Succeeded") || condition_is_true(it.value, "Ready"))
            continue;
        problem(p, "pod %.*s/%.*s is not Ready: %.*s%s%.*s", STR_ARG(namespace_of(it.value)),
                STR_ARG(name_of(it.value)), STR_ARG(phase), why.n ? ", " : "", STR_ARG(why));
    }
}

static void deployment_problems(const struct status *s, struct problems *p)
{
    struct view_iter it = { 0 };

    while (view_next(items(s->deployments), &it)) {
        int64_t wanted = view_int_at(it.value, 1, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_REPLICAS);
        int64_t available = view_int_at(it.value, 0, F_DEPLOYMENT_STATUS, F_DEPLOYMENT_STATUS_AVAILABLE_REPLICAS);
        if (available < wanted)
            problem(p, "deployment %.*s/%.*s has %lld of %lld pods available", STR_ARG(namespace_of(it.value)),
                    STR_ARG(name_of(it.value)), (long long)available, (long long)wanted);
    }
}

static struct str backup_note(const struct status *s, const char *name)
{
    return view_str(view_get_str(view_get_str(object_root(s->backup), STR("data")), str_of(name)));
}

static void server_problem(const struct status *s, const struct machine *m, struct problems *p)
{
    const char *name = status_server_name(s, m);
    struct view item = status_server(s, name), store = view_get_str(item, STR("store"));
    struct str error = view_str(view_get_str(store, STR("error")));

    if (!machine_is_alive(m)) {
        problem(p, "server %s is gone (its init ended): `klein up --name %s` starts it again", name, s->cluster->name);
        return;
    }
    if (!s->servers)
        return;
    if (!view_present(item))
        problem(p, "server %s is no member of the cluster (yet)", name);
    else if (!view_bool(view_get_str(item, STR("ready")), false))
        problem(p, "server %s is not ready%s%.*s", name, error.n ? ": " : "", STR_ARG(error));
    else if (!view_bool(view_get_str(store, STR("healthy")), false))
        problem(p, "the store of server %s is not healthy%s%.*s", name, error.n ? ": " : "", STR_ARG(error));
}

static void server_problems(const struct status *s, struct problems *p)
{
    struct view_iter it = { 0 };

    for (int i = 0; i < s->cluster->servers_count; i++)
        server_problem(s, &s->cluster->servers[i], p);
    while (s->servers && view_next(view_get_str(object_root(s->servers), STR("warnings")), &it))
        problem(p, "%.*s", STR_ARG(view_str(it.value)));
}

static void find_problems(const struct status *s, struct problems *p)
{
    if (s->err.code)
        problem(p, "the API server does not answer: %s", error_text(&s->err));
    server_problems(s, p);
    for (int i = 0; i < s->cluster->nodes_count; i++) {
        const struct machine *m = &s->cluster->nodes[i];
        if (!machine_is_alive(m))
            problem(p, "node %s is gone (its init ended): `klein up --name %s` starts it again", m->name,
                    s->cluster->name);
        else if (s->nodes && !status_node_is_ready(s, m->name))
            problem(p, "node %s is not Ready", m->name);
    }
    if (backup_note(s, "failures").n && !str_is(backup_note(s, "failures"), "0"))
        problem(p, "backup: %.*s", STR_ARG(str_part(backup_note(s, "lastError"), 0, 300)));
    deployment_problems(s, p);
    pod_problems(s, p);
}

bool status_is_healthy(const struct status *s)
{
    struct problems p = { .text = BUF_MAX(64 * KIB) };

    find_problems(s, &p);
    buf_done(&p.text);
    return p.count == 0;
}

/* --- tables ------------------------------------------------------------------------------------------------------------------------ */

static int count_pods(const struct status *s, const char *node, bool ready_only)
{
    struct view_iter it = { 0 };
    int n = 0;

    while (view_next(items(s->pods), &it))
        n += str_is(view_str_at(it.value, F_POD_SPEC, F_POD_SPEC_NODE_NAME), node) &&
             (!ready_only || condition_is_true(it.value, "Ready"));
    return n;
}

static void print_nodes(const struct status *s, int width)
{
    print_cut(width, "%-6s%-12s%-10s%-14s%-12s%-9s%s", "ZONE", "NODE", "STATE", "PODS READY", "ADDRESS", "INIT",
              "AGENT");
    for (int i = 0; i < s->cluster->nodes_count; i++) {
        const struct machine *m = &s->cluster->nodes[i];
        bool alive = machine_is_alive(m);
        char pods[32];
        snprintf(pods, sizeof(pods), "%d/%d", count_pods(s, m->name, true), count_pods(s, m->name, false));
        print_cut(width, "%-6s%-12s%-10s%-14s%-12s%-9d%d", m->zone, m->name,
                  !alive                             ? "gone"
                  : !s->nodes                        ? "unknown"
                  : status_node_is_ready(s, m->name) ? "Ready"
                                                     : "NotReady",
                  pods, m->address, alive ? (int)m->pid : 0, alive ? (int)process_child_with(m->pid, "agent") : 0);
    }
}

static const char *gib_text(int64_t bytes, char to[16])
{
    snprintf(to, 16, "%.1f GiB", (double)bytes / (double)(1024 * MIB));
    return to;
}

static const char *fsync_text(struct view store, char to[16])
{
    snprintf(to, 16, "%.0f ms", view_double(view_get_str(store, STR("fsyncP99Ms")), 0));
    return to;
}

static const char *leads(struct view item)
{
    bool leader = view_bool(view_get_str(item, STR("leader")), false);
    bool store = view_bool(view_get_str(item, STR("storeLeader")), false);

    return leader && store ? "klein etcd" : leader ? "klein" : store ? "etcd" : "-";
}

static void print_servers(const struct status *s, int width)
{
    const struct cluster_record *c = s->cluster;

    print_cut(width, "%-6s%-12s%-10s%-12s%-13s%-5s%-10s%-8s%-8s%s", "ZONE", "SERVER", "STATE", "LEADS", "REVISION",
              "LAG", "DISK FREE", "FSYNC", "PID", "ETCD");
    for (int i = 0; i < c->servers_count; i++) {
        const struct machine *m = &c->servers[i];
        struct view item = status_server(s, m->name), store = view_get_str(item, STR("store"));
        int64_t free_bytes = view_int(view_get_str(store, STR("diskFreeBytes")), 0);
        print_cut(width, "%-6s%-12s%-10s%-12s%-13lld%-5lld%-10s%-8s%-8d%d", m->zone, m->name,
                  !machine_is_alive(m)                                 ? "gone"
                  : !s->servers                                        ? "unknown"
                  : view_bool(view_get_str(item, STR("ready")), false) ? "Ready"
                                                                       : "NotReady",
                  leads(item), (long long)view_int(view_get_str(item, STR("revision")), 0),
                  (long long)view_int(view_get_str(item, STR("lag")), 0), gib_text(free_bytes, (char[16]){ 0 }),
                  fsync_text(store, (char[16]){ 0 }), (int)cluster_server_pid(c, m), (int)cluster_etcd_pid(c, m));
    }
}

static void count_endpoints(const struct status *s, struct view service, int *ret_ready, int *ret_all)
{
    struct view_iter slice = { 0 };

    while (view_next(items(s->slices), &slice)) {
        struct view labels = view_path(slice.value, F_POD_METADATA, F_OBJECT_META_LABELS);
        struct view_iter it = { 0 };
        if (!str_eq(namespace_of(slice.value), namespace_of(service)) ||
            !str_eq(view_str(view_get_str(labels, STR("kubernetes.io/service-name"))), name_of(service)))
            continue;
        while (view_next(view_get(slice.value, F_ENDPOINT_SLICE_ENDPOINTS), &it)) {
            ++*ret_all;
            *ret_ready += view_bool_at(it.value, true, F_ENDPOINT_CONDITIONS, F_ENDPOINT_CONDITIONS_READY);
        }
    }
}

static void print_services(const struct status *s, int width)
{
    struct view_iter it = { 0 };

    print_cut(width, "%-34s%-14s%-17s%s", "SERVICE", "TYPE", "CLUSTER-IP", "ENDPOINTS READY");
    while (view_next(items(s->services), &it)) {
        char name[200];
        int ready = 0, all = 0;
        count_endpoints(s, it.value, &ready, &all);
        snprintf(name, sizeof(name), "%.*s/%.*s", STR_ARG(namespace_of(it.value)), STR_ARG(name_of(it.value)));
        print_cut(width, "%-34s%-14.*s%-17.*s%d/%d", name,
                  STR_ARG(view_str_at(it.value, F_SERVICE_SPEC, F_SERVICE_SPEC_TYPE)),
                  STR_ARG(view_str_at(it.value, F_SERVICE_SPEC, F_SERVICE_SPEC_CLUSTER_IP)), ready, all);
    }
}

static const char *age_of(struct str time, char text[TIME_TEXT_SIZE])
{
    int64_t at_ms;

    return time_parse(time, &at_ms) ? time_format_age(time_wall_ms() - at_ms, text) : "never";
}

static void print_backup(const struct status *s, int width)
{
    char made[TIME_TEXT_SIZE], proved[TIME_TEXT_SIZE];

    if (s->err.code)
        return;
    if (!backup_note(s, "lastGood").n)
        print_cut(width, "Backup: none; `klein backup --name %s` makes one", s->cluster->name);
    else
        print_cut(width, "Backup %s old, in %.*s; last proved by a restore %s ago, in %.*s s",
                  age_of(backup_note(s, "lastGood"), made), STR_ARG(backup_note(s, "target")),
                  age_of(backup_note(s, "lastProof"), proved), STR_ARG(backup_note(s, "lastProofSeconds")));
}

void status_print(const struct status *s, int width)
{
    struct problems p = { .text = BUF_MAX(64 * KIB) };
    char edge[16];

    cluster_edge_address(s->cluster, edge);
    find_problems(s, &p);
    print_cut(width, "Cluster %s: %s", s->cluster->name, p.count ? "needs attention" : "healthy");
    print_cut(width, "API https://%s:%d   gateway http://%s/   registry %s:%d", edge, CLUSTER_API_PORT, edge, edge,
              CLUSTER_REGISTRY_PORT);
    print_backup(s, width);
    printf("\n");
    if (s->cluster->servers_count) {
        print_servers(s, width);
        printf("\n");
    }
    print_nodes(s, width);
    if (s->services) {
        printf("\n");
        print_services(s, width);
    }
    if (p.count) {
        printf("\nNeeds attention:\n%.*s", STR_ARG(buf_str(&p.text)));
        if (p.count > PROBLEMS_MAX)
            printf("  and %d more\n", p.count - PROBLEMS_MAX);
    }
    buf_done(&p.text);
}
