/* The faults of `klein prove`, their aims, and the judgement. */
#include "chaos/catalogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_US 1000000

/* clang-format off */
const struct catalogue_row catalogue[] = {
    { "container-killed", "a container killed with -9", "kill", "container", PICK_POD, .times = 3, .times_quick = 1, .quick = true,
      .gateway_failed = 0, .service_ms = 200, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = 2000 },
    { "pod-killed", "a pod killed with -9, its monitor too", "kill", "pod", PICK_POD, .times = 3, .times_quick = 1, .quick = true,
      .gateway_failed = 0, .service_ms = 200, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = 2000 },
    { "agent-killed", "an agent killed with -9", "kill", "agent", PICK_NODE, .times = 3, .times_quick = 1, .quick = true,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "leader-killed", "the leading server killed with -9", "kill", "leader", PICK_LEADER, .times = 20, .times_quick = 1, .quick = true,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = 1000, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "etcd-leader-killed", "etcd's leader killed with -9", "kill", "store-leader", PICK_LEADER, .times = 20, .times_quick = 1,
      .needs_servers = true, .quick = true,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = 1000, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "leader-moved", "the lead moved as planned", NULL, "move", PICK_LEADER, .times = 3, .times_quick = 1, .needs_servers = true,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = 50, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "zone-destroyed", "a zone destroyed", "kill", "zone", PICK_ZONE, .hold_ms = 8000, .times = 1, .times_quick = 1, .quick = true,
      .gateway_failed = 0, .service_ms = 1000, .writes_ms = 1500, .out_ms = 2000, .ready_ms = 5000 },
    { "zone-cut", "a zone cut off", "cut", "zone", PICK_ZONE, .hold_ms = 8000, .times = 1, .times_quick = 1, .quick = true,
      .gateway_failed = 0, .service_ms = 1000, .writes_ms = 1500, .out_ms = 2000, .ready_ms = 5000 },
    { "zone-cut-from", "a zone cut off: what it sends is lost", "cut", "zone", PICK_ZONE, .way = DROP_FROM, .hold_ms = 8000, .times = 1,
      .gateway_failed = 0, .service_ms = 1000, .writes_ms = 1500, .out_ms = 2000, .ready_ms = 5000 },
    { "zone-cut-to", "a zone cut off: what is sent to it is lost", "cut", "zone", PICK_ZONE, .way = DROP_TO, .hold_ms = 8000, .times = 1,
      .gateway_failed = 0, .service_ms = 1000, .writes_ms = 1500, .out_ms = 2000, .ready_ms = 5000 },
    { "zone-cut-api", "a zone cut off from the API only", "cut", "zone", PICK_ZONE, .port = 6443, .hold_ms = 8000, .times = 1,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = 1500, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "writer-node-cut", "the node of a pod that must be one cut off", "cut", "node", PICK_WRITER_NODE, .hold_ms = 15000, .times = 1,
      .gateway_failed = 0, .service_ms = 1000, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = 10000 },
    { "two-servers-lost", "two of three servers lost", NULL, "quorum", PICK_ALL, .hold_ms = 10000, .times = 1, .needs_servers = true,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "rolling-upgrade", "another klein on every machine and a new service, one after another, and back", NULL, "upgrade", PICK_ALL, .times = 1,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "disk-full", "the leader's disk full, then freed", NULL, "disk", PICK_LEADER, .hold_ms = 5000, .times = 1,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "disks-full", "the disks of all servers full, then freed", NULL, "disks", PICK_ALL, .hold_ms = 5000, .times = 1, .needs_servers = true,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { "control-plane-away", "the control plane away for a minute", "stop", "control-plane", PICK_ALL, .hold_ms = 60000, .times = 1,
      .gateway_failed = 0, .service_ms = 0, .writes_ms = NOT_ASKED, .out_ms = NOT_ASKED, .ready_ms = NOT_ASKED },
    { 0 },
};
/* clang-format on */

const struct catalogue_row *catalogue_named(struct str name)
{
    for (const struct catalogue_row *row = catalogue; row->name; row++)
        if (str_is(name, row->name))
            return row;
    return NULL;
}

void check_add(struct check *checks, int *count, bool passed, const char *what, const char *aim, const char *format,
               ...)
{
    struct check *c = &checks[*count];
    va_list args;

    if (*count == CHECKS_MAX)
        return;
    ++*count;
    c->passed = passed;
    snprintf(c->what, sizeof(c->what), "%s", what);
    snprintf(c->aim, sizeof(c->aim), "%s", aim);
    va_start(args, format);
    vsnprintf(c->found, sizeof(c->found), format, args);
    va_end(args);
}

/* "12 ms", "1.5 s" */
static const char *duration(int64_t us, char text[32])
{
    if (us < 10 * (int64_t)SECOND_US)
        snprintf(text, 32, "%lld ms", (long long)(us / 1000));
    else
        snprintf(text, 32, "%.1f s", (double)us / SECOND_US);
    return text;
}

static void check_time(struct fault_result *r, const char *what, int32_t aim_ms, int64_t took_us)
{
    char aim[32], found[32], text[64];

    snprintf(text, sizeof(text), "within %s", duration((int64_t)aim_ms * 1000, aim));
    if (took_us < 0)
        check_add(r->checks, &r->checks_count, false, what, text, "never");
    else
        check_add(r->checks, &r->checks_count, took_us <= (int64_t)aim_ms * 1000, what, text, "%s",
                  duration(took_us, found));
}

static void check_gateway(struct fault_result *r)
{
    const struct probe_summary *kept = &r->flows[LOAD_GATEWAY][FLOW_KEPT], *fresh = &r->flows[LOAD_GATEWAY][FLOW_FRESH];
    uint32_t failed = kept->failed + fresh->failed;

    check_add(r->checks, &r->checks_count, failed <= (uint32_t)r->row->gateway_failed && kept->sent + fresh->sent > 0,
              "failed requests through the gateway", "none", "%u of %u", failed, kept->sent + fresh->sent);
}

static void check_service(struct fault_result *r)
{
    const struct probe_summary *kept = &r->flows[LOAD_SERVICE][FLOW_KEPT], *fresh = &r->flows[LOAD_SERVICE][FLOW_FRESH];

    if (r->row->service_ms == 0) {
        check_add(r->checks, &r->checks_count, kept->failed + fresh->failed == 0 && kept->sent + fresh->sent > 0,
                  "failed requests through the ClusterIP", "none", "%u of %u", kept->failed + fresh->failed,
                  kept->sent + fresh->sent);
        return;
    }
    check_time(r, "new connections through the ClusterIP fail no longer than", r->row->service_ms,
               fresh->failed ? fresh->last_failed_us - r->done_us : 0);
}

/* From the fault until a write that was asked for after it was acknowledged. */
static int64_t next_write_us(const struct probe_log *log, int64_t done_us)
{
    uint32_t sent = atomic_load(&log->sent);
    int64_t first = -1;

    for (uint32_t i = 0; i < sent; i++) {
        const struct probe *p = &log->probes[i];
        int64_t took = p->due_us + p->latency_us - done_us;
        if (p->flow == API_FLOW_WRITE && p->due_us >= done_us && p->cause == PROBE_OK && (first < 0 || took < first))
            first = took;
    }
    return first;
}

void fault_result_judge(struct fault_result *r, struct probe_log *const logs[LOADS])
{
    const struct catalogue_row *row = r->row;

    if (r->skipped)
        return;
    for (int load = 0; load < LOADS; load++)
        for (int flow = 0; flow < 2; flow++)
            probe_summarise(logs[load], flow, r->done_us, r->ended_us, &r->flows[load][flow]);
    r->writes_us = next_write_us(logs[LOAD_API], r->done_us);
    if (row->gateway_failed != NOT_ASKED)
        check_gateway(r);
    if (row->service_ms != NOT_ASKED)
        check_service(r);
    if (row->writes_ms != NOT_ASKED)
        check_time(r, "the API takes the next write", row->writes_ms, r->writes_us);
    if (row->out_ms != NOT_ASKED)
        check_time(r, "lost pods are out of the endpoints", row->out_ms, r->out_us ? r->out_us - r->done_us : -1);
    if (row->ready_ms != NOT_ASKED)
        check_time(r, "all pods Ready again", row->ready_ms, r->ready_us ? r->ready_us - r->done_us : -1);
}

bool fault_result_passed(const struct fault_result *r)
{
    for (int i = 0; i < r->checks_count; i++)
        if (!r->checks[i].passed)
            return false;
    return true;
}

/* --- never two writers ------------------------------------------------------------------------------------------------------------ */

#define WRITERS_MAX 256

struct writer {
    int64_t ordinal, id, first_ns, last_ns, last_sequence;
};

static bool take_number(struct str *line, int64_t *ret)
{
    struct str word;

    return str_next(line, ' ', &word) && str_to_i64(word, ret);
}

static struct writer *writer_of(struct writer *all, int *count, int64_t ordinal, int64_t id)
{
    for (int i = 0; i < *count; i++)
        if (all[i].ordinal == ordinal && all[i].id == id)
            return &all[i];
    if (*count == WRITERS_MAX)
        return NULL;
    all[*count] = (struct writer){ .ordinal = ordinal, .id = id, .first_ns = INT64_MAX, .last_sequence = -1 };
    return &all[(*count)++];
}

static int by_start(const void *a, const void *b)
{
    const struct writer *x = a, *y = b;

    if (x->ordinal != y->ordinal)
        return x->ordinal < y->ordinal ? -1 : 1;
    return (x->first_ns > y->first_ns) - (x->first_ns < y->first_ns);
}

void writers_check(struct str lines, struct writers_found *ret)
{
    struct writer all[WRITERS_MAX];
    struct str line;
    int count = 0;

    *ret = (struct writers_found){ 0 };
    while (str_next(&lines, '\n', &line)) {
        int64_t ordinal, id, sequence, ns;
        struct writer *w;
        ret->lines++;
        if (!take_number(&line, &ordinal) || !take_number(&line, &id) || !take_number(&line, &sequence) ||
            !take_number(&line, &ns) || !(w = writer_of(all, &count, ordinal, id))) {
            ret->broken_lines++;
            continue;
        }
        ret->lost_lines += sequence > w->last_sequence + 1 ? (uint64_t)(sequence - w->last_sequence - 1) : 0;
        w->last_sequence = MAX(w->last_sequence, sequence);
        w->first_ns = MIN(w->first_ns, ns);
        w->last_ns = MAX(w->last_ns, ns);
    }
    if (count)
        qsort(all, (size_t)count, sizeof(*all), by_start);
    ret->writers = count;
    for (int i = 1; i < count; i++)
        for (int k = 0; k < i; k++) {
            if (all[k].ordinal != all[i].ordinal)
                continue;
            if (all[i].first_ns <= all[k].last_ns)
                ret->overlaps++;
            else if (k == i - 1)
                ret->gap_max_us = MAX(ret->gap_max_us, (all[i].first_ns - all[k].last_ns) / 1000);
        }
}
