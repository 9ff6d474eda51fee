/* One fault of `klein prove`: choose whom, do, look until it is repaired, undo, look until all is well again. */
#include "cli/prove.h"

#include "base/time.h"
#include "chaos/chaos.h"
#include "cli/up_servers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_LIMIT_MS     10000
#define SETTLE_MS         1500  /* after all is well: failures that come late are still charged to the fault */
#define REPAIR_LIMIT_MS   60000 /* until all is well after the undoing */
#define ACCEPTED_LIMIT_MS 15000 /* until writes are accepted again: servers tell each other of their disks */

struct running { /* one fault */
    struct prove *p;
    const struct catalogue_row *row;
    struct fault_result *r;
    struct fault_request request;
    struct sample_seen *seen;
    struct sample_pod victim; /* PICK_POD, PICK_WRITER_NODE */
    char node[64], zone[16];  /* what is lost */
};

static bool is(const char *a, const char *b)
{
    return str_is(str_of(a), b);
}

static void skip(struct running *f, const char *why)
{
    f->r->skipped = true;
    snprintf(f->r->note, sizeof(f->r->note), "%s", why);
}

static int look(struct running *f)
{
    return prove_look(f->p, f->seen, NULL);
}

/* A busy API may miss the short time of one call: that is no reason to leave a fault out. */
static bool look_first(struct running *f)
{
    int64_t until_ms = time_monotonic_ms() + LOOK_LIMIT_MS;

    while (look(f) < 0) {
        if (time_monotonic_ms() > until_ms || prove_interrupted())
            return false;
        prove_nap(PROVE_STEP_MS);
    }
    return true;
}

/* --- whom ------------------------------------------------------------------------------------------------------------------------- */

static bool pick_pod(struct running *f, int nth)
{
    int seen = 0, count = 0;

    for (int i = 0; i < f->seen->pods_count; i++)
        count += f->seen->pods[i].ready;
    for (int i = 0; i < f->seen->pods_count && count; i++)
        if (f->seen->pods[i].ready && seen++ == nth % count) {
            f->victim = f->seen->pods[i];
            f->request.target = f->victim.uid;
            f->request.said = f->victim.name;
            return true;
        }
    return false;
}

/*
 * The zone where most of the sample service runs now: an empty one would prove nothing. The node the load on the ClusterIP comes from is
 * spared, and its zone with it.
 */
static bool pick_zone(struct running *f)
{
    const struct cluster_record *c = &f->p->cluster;
    int most = -1;

    for (int i = 0; i < c->nodes_count; i++) {
        int pods = 0;
        for (int k = 0; k < f->seen->pods_count; k++)
            pods += f->seen->pods[k].ready && is(f->seen->pods[k].zone, c->nodes[i].zone);
        if (is(c->nodes[i].zone, f->p->prober_node->zone) || pods <= most)
            continue;
        most = pods;
        snprintf(f->zone, sizeof(f->zone), "%s", c->nodes[i].zone);
        f->request.target = f->zone;
    }
    return most > 0;
}

static bool pick_node(struct running *f, int nth)
{
    snprintf(f->node, sizeof(f->node), "%s", f->p->cluster.nodes[nth % f->p->cluster.nodes_count].name);
    f->request.target = f->node;
    return true;
}

static bool pick_writer(struct running *f)
{
    f->victim = f->seen->writer;
    snprintf(f->node, sizeof(f->node), "%s", f->victim.node);
    f->request.target = f->node;
    return f->p->has_writer && f->victim.ready;
}

static bool pick(struct running *f, int nth)
{
    switch (f->row->pick) {
    case PICK_POD:
        return pick_pod(f, nth);
    case PICK_NODE:
        return pick_node(f, nth);
    case PICK_ZONE:
        return pick_zone(f);
    case PICK_WRITER_NODE:
        return pick_writer(f);
    default:
        return true;
    }
}

/* --- is it repaired? ------------------------------------------------------------------------------------------------------------------ */

static bool is_lost(const struct running *f, const char *node, const char *zone)
{
    return (f->row->pick == PICK_ZONE && is(zone, f->zone)) || (f->row->pick == PICK_WRITER_NODE && is(node, f->node));
}

static const char *zone_of(const struct prove *p, const char *node)
{
    for (int i = 0; i < p->cluster.nodes_count; i++)
        if (is(p->cluster.nodes[i].name, node))
            return p->cluster.nodes[i].zone;
    return "";
}

static bool lost_are_out(const struct running *f)
{
    for (int i = 0; i < f->seen->endpoints_count; i++)
        if (is_lost(f, f->seen->endpoints[i], zone_of(f->p, f->seen->endpoints[i])))
            return false;
    return true;
}

static bool victim_is_back(const struct running *f)
{
    for (int i = 0; i < f->seen->pods_count; i++)
        if (is(f->seen->pods[i].uid, f->victim.uid))
            return f->seen->pods[i].ready && f->seen->pods[i].restarts > f->victim.restarts;
    return true; /* another one takes its place */
}

static bool is_repaired(const struct running *f)
{
    const struct sample_pod *writer = &f->seen->writer;
    int ready = 0;

    if (f->row->pick == PICK_WRITER_NODE)
        return writer->ready && !is(writer->uid, f->victim.uid) && !is_lost(f, writer->node, "");
    if (f->row->pick == PICK_POD && !victim_is_back(f))
        return false;
    for (int i = 0; i < f->seen->pods_count; i++)
        ready += f->seen->pods[i].ready && !is_lost(f, f->seen->pods[i].node, f->seen->pods[i].zone);
    return ready >= f->p->pods_wanted;
}

/* Look once and note what has become true. */
static bool look_and_note(struct running *f)
{
    int64_t now_us = time_monotonic_us();

    if (look(f) < 0)
        return false;
    if (!f->r->out_us && lost_are_out(f))
        f->r->out_us = now_us;
    if (!f->r->ready_us && is_repaired(f))
        f->r->ready_us = now_us;
    return true;
}

static void watch_for(struct running *f, int64_t ms)
{
    int64_t until_ms = time_monotonic_ms() + ms;

    while (time_monotonic_ms() < until_ms && !prove_interrupted()) {
        look_and_note(f);
        prove_nap(MIN(PROVE_STEP_MS, MAX(until_ms - time_monotonic_ms(), 1)));
    }
}

static bool nodes_are_ready(struct prove *p)
{
    AUTO_OBJECT struct object *nodes = NULL;
    struct view_iter it = { 0 };
    int ready = 0;

    if (remote_call(&p->remote, "GET", "/api/v1/nodes", STR_NONE, PROVE_CALL_MS, &nodes, NULL) < 0)
        return false;
    while (view_next(view_get_str(object_root(nodes), STR("items")), &it)) {
        struct view_iter c = { 0 };
        while (view_next(view_get_str(view_get_str(it.value, STR("status")), STR("conditions")), &c))
            ready += str_is(view_str(view_get_str(c.value, STR("type"))), "Ready") &&
                     str_is(view_str(view_get_str(c.value, STR("status"))), "True");
    }
    return ready >= p->cluster.nodes_count;
}

static bool servers_are_ready(struct prove *p)
{
    return !p->cluster.servers_count || up_servers_ready(&p->cluster, &p->remote, NULL) >= p->cluster.servers_count;
}

static bool all_is_well(struct running *f)
{
    bool kept =
        f->row->pick == PICK_WRITER_NODE && f->r->undone_us && f->seen->writer.ready; /* it was never replaced */

    return look_and_note(f) && (f->r->ready_us || kept || f->row->ready_ms == NOT_ASKED) &&
           f->seen->ready >= f->p->pods_wanted && f->seen->endpoints_count >= f->p->pods_wanted &&
           nodes_are_ready(f->p) && servers_are_ready(f->p);
}

static void wait_until_well(struct running *f)
{
    int64_t until_ms = time_monotonic_ms() + REPAIR_LIMIT_MS;

    while (!all_is_well(f) && !prove_interrupted()) {
        if (time_monotonic_ms() > until_ms) {
            check_add(f->r->checks, &f->r->checks_count, false, "all is well again after it is undone", "within 60 s",
                      "%d of %d pods Ready", f->seen->ready, f->p->pods_wanted);
            return;
        }
        prove_nap(PROVE_STEP_MS);
    }
    prove_nap(SETTLE_MS);
}

/* --- another klein, and back ------------------------------------------------------------------------------------------------------------ */

static int rollout(struct running *f)
{
    int64_t until_ms = time_monotonic_ms() + REPAIR_LIMIT_MS;
    AUTO_FREE char *body = xasprintf("{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"prove\":\"%lld\"}}}}}",
                                     (long long)time_wall_ms());
    struct sample_seen *before = xnew(struct sample_seen);
    int old = 1, result = prove_look(f->p, before, NULL);

    if (result == 0)
        result = remote_call(&f->p->remote, "PATCH", "/apis/apps/v1/namespaces/" PROVE_SPACE "/deployments/web",
                             str_of(body), 5000, NULL, NULL);
    while (result == 0 && old > 0 && !prove_interrupted()) {
        if (time_monotonic_ms() > until_ms)
            result = -1;
        prove_nap(100);
        if (look(f) < 0)
            continue;
        old = f->p->pods_wanted - f->seen->ready;
        for (int i = 0; i < before->pods_count; i++)
            for (int k = 0; k < f->seen->pods_count; k++)
                old += is(before->pods[i].uid, f->seen->pods[k].uid);
    }
    free(before);
    return result;
}

/* The service goes to a new version while every machine runs the other klein. */
static void run_upgrade(struct running *f)
{
    AUTO_ERROR struct error err = { 0 };
    char *other = NULL, *before = NULL;
    int result;

    if (prove_other_program(f->p, &other, &before, &err) < 0) {
        skip(f, error_text(&err));
        return;
    }
    f->r->done_us = time_monotonic_us();
    result = prove_upgrade_to(f->p, other, &err);
    if (result == 0 && (result = rollout(f)) < 0)
        fail(&err, ERR_TIMEOUT, "the service did not get new pods within %d s", REPAIR_LIMIT_MS / 1000);
    if (prove_upgrade_to(f->p, before, result == 0 ? &err : NULL) < 0)
        result = -1;
    check_add(f->r->checks, &f->r->checks_count, result == 0, "every machine went to another klein and back", "yes",
              "%.110s", result == 0 ? "yes" : error_text(&err));
    f->r->undone_us = time_monotonic_us();
    prove_program_forget(other);
    free(other);
    free(before);
    wait_until_well(f);
    f->r->ended_us = time_monotonic_us();
}

/* --- full disks -------------------------------------------------------------------------------------------------------------------------- */

static int post_map(struct running *f, const char *prefix, int bytes, struct error *err)
{
    AUTO_FREE char *body = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"generateName\":\"%"
                                     "s\"},\"data\":{\"x\":\"%0*d\"}}",
                                     prefix, bytes, 0);

    return remote_call(&f->p->remote, "POST", "/api/v1/namespaces/" PROVE_SPACE "/configmaps", str_of(body), 2000, NULL,
                       err);
}

/* While the disks are full a write is refused, and says why; deleting makes room and goes on, also in several steps. */
static void check_refusal(struct running *f)
{
    static const char *const map = "/api/v1/namespaces/" PROVE_SPACE "/configmaps/in-the-way";
    AUTO_ERROR struct error err = { 0 };
    AUTO_ERROR struct error delete_err = { 0 };
    int result = 0;

    for (int i = 0; result == 0 && i < 200 && !prove_interrupted(); i++)
        result = post_map(f, "full-", 100000, &err);
    check_add(f->r->checks, &f->r->checks_count,
              result < 0 && err.message && (strstr(err.message, "disk") || strstr(err.message, "space")),
              "writes are refused with a clear reason", "yes", "%.100s", result < 0 ? error_text(&err) : "accepted");
    result = remote_call(&f->p->remote, "DELETE", map, STR_NONE, 5000, NULL, &delete_err);
    check_add(f->r->checks, &f->r->checks_count, result == 0, "something is deleted while writes are refused", "yes",
              "%.100s", result == 0 ? "yes" : error_text(&delete_err));
}

/* One full disk of three: the majority goes on. */
static void check_majority(struct running *f)
{
    AUTO_ERROR struct error err = { 0 };
    int taken = 0;

    while (taken < 20 && !prove_interrupted() && post_map(f, "majority-", 100000, &err) == 0)
        taken++;
    check_add(f->r->checks, &f->r->checks_count, taken == 20, "the other servers take writes", "yes", "%.100s",
              taken == 20 ? "yes" : error_text(&err));
}

static void check_accepted(struct running *f)
{
    int64_t until_ms = time_monotonic_ms() + REPAIR_LIMIT_MS;
    AUTO_ERROR struct error err = { 0 };
    bool taken = false;

    while (!(taken = post_map(f, "freed-", 1, &err) == 0) && time_monotonic_ms() < until_ms && !prove_interrupted())
        prove_nap(PROVE_STEP_MS);
    check_add(f->r->checks, &f->r->checks_count,
              taken && time_monotonic_us() - f->r->undone_us < ACCEPTED_LIMIT_MS * 1000,
              "writes are accepted again by themselves", "within 15.0 s", "%.2f s",
              (double)(time_monotonic_us() - f->r->undone_us) / 1000000);
}

static void run_disks(struct running *f)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE struct seen *seen = cluster_see(&f->p->cluster, &err);
    AUTO_FREE struct fault *faults = xcalloc(CLUSTER_SERVERS_MAX, sizeof(*faults));
    bool all = is(f->row->what, "disks"), needs_up = false;
    int wanted = all ? f->p->cluster.servers_count : 1, done = 0;
    static const char in_the_way[] =
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"in-the-way\","
        "\"finalizers\":[\"klein.test/prove\"]}}";

    remote_call(&f->p->remote, "POST", "/api/v1/namespaces/" PROVE_SPACE "/configmaps", str_of(in_the_way), 2000, NULL,
                NULL);
    f->r->done_us = time_monotonic_us();
    for (; seen && done < wanted; done++) {
        struct fault_request r = { .verb = "fill",
                                   .what = "server",
                                   .target = all ? f->p->cluster.servers[done].name : NULL };
        if (fault_plan(seen, &r, &faults[done], &err) < 0 || chaos_inject(f->p->chaos_folder, &faults[done], &err) < 0)
            break;
    }
    if (done == wanted && (all || f->p->report.servers == 1))
        check_refusal(f);
    else if (done == wanted)
        check_majority(f);
    if (done == wanted)
        watch_for(f, f->row->hold_ms);
    for (int i = 0; i < done; i++)
        if (chaos_undo(f->p->chaos_folder, &faults[i], &needs_up, &err) < 0)
            check_add(f->r->checks, &f->r->checks_count, false, "the fault is undone", "yes", "%s", error_text(&err));
    f->r->undone_us = time_monotonic_us();
    if (done == wanted)
        check_accepted(f);
    remote_patch(&f->p->remote, "/api/v1/namespaces/" PROVE_SPACE "/configmaps/in-the-way",
                 STR("{\"metadata\":{\"finalizers\":null}}"), 5000, NULL);
    if (done < wanted)
        skip(f, error_text(&err));
    else
        wait_until_well(f);
    f->r->ended_us = time_monotonic_us();
}

/* --- several servers ----------------------------------------------------------------------------------------------------- */

/* The leader is asked to end: it hands over and is started again by its init. */
static void run_move(struct running *f)
{
    AUTO_FREE struct seen *seen = cluster_see(&f->p->cluster, NULL);
    pid_t pid = 0;

    for (int i = 0; seen && i < seen->processes_count; i++)
        if (seen->processes[i].role == ROLE_SERVER && seen->machines[seen->processes[i].machine].leader)
            pid = seen->processes[i].pid;
    if (!pid) {
        skip(f, "no server says that it leads");
        return;
    }
    f->r->done_us = time_monotonic_us();
    kill(pid, SIGTERM);
    watch_for(f, 3000);
    f->r->undone_us = time_monotonic_us();
    wait_until_well(f);
    f->r->ended_us = time_monotonic_us();
}

/* What is left serves reads, and says of a write why it cannot be. */
static void check_minority(struct running *f)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *pki = cluster_pki_path(&f->p->cluster);
    AUTO_FREE char *url = xasprintf("https://%s:%d", f->p->cluster.servers[0].address, CLUSTER_API_PORT);
    struct remote remote = { 0 };
    int reads = -1, writes = 0;

    if (remote_open(&remote, url, pki, &err) == 0) {
        reads = remote_call(&remote, "GET", "/api/v1/namespaces/" PROVE_SPACE "/pods?resourceVersion=0", STR_NONE, 3000,
                            NULL, &err);
        check_add(f->r->checks, &f->r->checks_count, reads == 0, "the last server answers reads", "yes", "%.100s",
                  reads == 0 ? "yes" : error_text(&err));
        writes = remote_call(
            &remote, "POST", "/api/v1/namespaces/" PROVE_SPACE "/configmaps",
            STR("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"generateName\":\"minority-\"}}"), 5000,
            NULL, &err);
        check_add(f->r->checks, &f->r->checks_count,
                  writes < 0 && err.message && (strstr(err.message, "quorum") || strstr(err.message, "majority")),
                  "writes are refused with a clear reason", "yes", "%.100s",
                  writes < 0 ? error_text(&err) : "accepted");
    }
    remote_close(&remote);
}

static void run_quorum(struct running *f)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE struct seen *seen = cluster_see(&f->p->cluster, &err);
    AUTO_FREE struct fault *faults = xcalloc(2, sizeof(*faults));
    bool needs_up = false;
    int done = 0;

    f->r->done_us = time_monotonic_us();
    for (int i = 1; seen && i <= 2; i++) {
        struct fault_request r = { .verb = "stop", .what = "server", .target = f->p->cluster.servers[i].name };
        if (fault_plan(seen, &r, &faults[done], &err) < 0 || chaos_inject(f->p->chaos_folder, &faults[done], &err) < 0)
            break;
        done++;
    }
    if (done == 2) {
        prove_nap(2000);
        check_minority(f);
        watch_for(f, f->row->hold_ms - 2000);
    }
    for (int i = 0; i < done; i++)
        if (chaos_undo(f->p->chaos_folder, &faults[i], &needs_up, &err) < 0)
            check_add(f->r->checks, &f->r->checks_count, false, "the fault is undone", "yes", "%s", error_text(&err));
    f->r->undone_us = time_monotonic_us();
    if (done < 2)
        skip(f, error_text(&err));
    else
        wait_until_well(f);
    f->r->ended_us = time_monotonic_us();
}

/* --- one fault ---------------------------------------------------------------------------------------------------------------------------- */

static void run_fault(struct running *f)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE struct seen *seen = NULL;
    AUTO_FREE struct fault *fault = xnew(struct fault);
    bool needs_up = false;

    seen = cluster_see(&f->p->cluster, &err);
    if (!seen || fault_plan(seen, &f->request, fault, &err) < 0) {
        skip(f, error_text(&err));
        return;
    }
    f->r->done_us = time_monotonic_us();
    if (chaos_inject(f->p->chaos_folder, fault, &err) < 0) {
        skip(f, error_text(&err));
        return;
    }
    watch_for(f, f->row->hold_ms);
    if (chaos_undo(f->p->chaos_folder, fault, &needs_up, &err) < 0 ||
        (needs_up && cluster_repair(f->p->cluster.name, &err) < 0))
        check_add(f->r->checks, &f->r->checks_count, false, "the fault is undone", "yes", "%s", error_text(&err));
    f->r->undone_us = time_monotonic_us();
    if (needs_up) { /* machines have other pids now */
        struct cluster_record c;
        bool found;
        if (cluster_load(f->p->cluster.name, &c, &found, NULL) == 0 && found)
            f->p->cluster = c;
    }
    wait_until_well(f);
    f->r->ended_us = time_monotonic_us();
}

void prove_fault(struct prove *p, const struct catalogue_row *row, struct fault_result *r)
{
    static int nth; /* another pod, another node each time */
    struct running f = { .p = p, .row = row, .r = r, .seen = xnew(struct sample_seen) };

    *r = (struct fault_result){ .row = row };
    f.request = (struct fault_request){ .verb = row->verb, .what = row->what, .way = row->way, .port = row->port };
    if (row->needs_servers && p->report.servers < 3)
        skip(&f, "it needs three servers");
    else if (row->pick == PICK_ZONE && p->cluster.zones < 2)
        skip(&f, "it needs more than one zone");
    else if (row->pick == PICK_WRITER_NODE && !p->has_writer)
        skip(&f, "the sample writer does not run: this klein has no StatefulSets, or too few nodes");
    else if (!look_first(&f) || !pick(&f, nth++))
        skip(&f, "nothing to break was found");
    else if (!row->verb && is(row->what, "upgrade"))
        run_upgrade(&f);
    else if (!row->verb && is(row->what, "move"))
        run_move(&f);
    else if (!row->verb && is(row->what, "quorum"))
        run_quorum(&f);
    else if (!row->verb && (is(row->what, "disk") || is(row->what, "disks")))
        run_disks(&f);
    else if (!row->verb)
        skip(&f, "this cluster has no way to do it");
    else
        run_fault(&f);
    snprintf(r->target, sizeof(r->target), "%s",
             f.request.said     ? f.request.said
             : f.request.target ? f.request.target
                                : "");
    free(f.seen);
}
