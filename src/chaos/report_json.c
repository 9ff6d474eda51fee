/* The report as JSON, for scripts: fields are only ever added. Times of moments are milliseconds since the run began. */
#include "chaos/report.h"

#include "base/time.h"
#include "object/value.h"

#include <stdlib.h>

static void put(struct arena *a, struct value *o, const char *name, struct value *v)
{
    value_put_str(a, o, str_of(name), v);
}

static void put_int(struct arena *a, struct value *o, const char *name, int64_t n)
{
    put(a, o, name, value_int(a, n));
}

static struct value *copy(struct arena *a, const char *text)
{
    return value_str(a, arena_str(a, str_of(text)));
}

static struct value *milliseconds(struct arena *a, int64_t us)
{
    return value_double(a, (double)(us / 10) / 100);
}

static struct value *checks_value(struct arena *a, const struct check *checks, int count)
{
    struct value *list = value_array(a);

    for (int i = 0; i < count; i++) {
        struct value *o = value_object(a);
        put(a, o, "what", copy(a, checks[i].what));
        put(a, o, "aim", copy(a, checks[i].aim));
        put(a, o, "found", copy(a, checks[i].found));
        put(a, o, "passed", value_bool(a, checks[i].passed));
        value_append(a, list, o);
    }
    return list;
}

static struct value *summary_value(struct arena *a, const struct report *r, int load, int flow,
                                   const struct probe_summary *s)
{
    struct value *o = value_object(a);

    put(a, o, "flow", copy(a, r->logs[load]->flows[flow]));
    put_int(a, o, "sent", s->sent);
    put_int(a, o, "failed", s->failed);
    put(a, o, "nines", value_double(a, (double)(int64_t)(probe_nines(s->sent, s->failed) * 100) / 100));
    put(a, o, "p50Ms", milliseconds(a, s->p50_us));
    put(a, o, "p99Ms", milliseconds(a, s->p99_us));
    put(a, o, "maxMs", milliseconds(a, s->max_us));
    put(a, o, "longestGapMs", milliseconds(a, s->gap_us));
    return o;
}

static struct value *flows_value(struct arena *a, const struct report *r, const struct fault_result *f)
{
    struct value *list = value_array(a);

    for (int load = 0; load < LOADS; load++)
        for (int flow = 0; flow < 2; flow++) {
            struct probe_summary all;
            if (!f)
                probe_summarise(r->logs[load], flow, 0, INT64_MAX, &all);
            value_append(a, list, summary_value(a, r, load, flow, f ? &f->flows[load][flow] : &all));
        }
    return list;
}

static struct value *moment(struct arena *a, const struct report *r, int64_t us)
{
    return us ? milliseconds(a, us - r->began_us) : value_null(a);
}

static struct value *fault_value(struct arena *a, const struct report *r, const struct fault_result *f)
{
    struct value *o = value_object(a);

    put(a, o, "name", copy(a, f->row->name));
    put(a, o, "title", copy(a, f->row->title));
    put(a, o, "target", copy(a, f->target));
    put(a, o, "skipped", value_bool(a, f->skipped));
    put(a, o, "note", copy(a, f->note));
    put(a, o, "passed", value_bool(a, !f->skipped && fault_result_passed(f)));
    if (f->skipped)
        return o;
    put(a, o, "doneMs", moment(a, r, f->done_us));
    put(a, o, "undoneMs", moment(a, r, f->undone_us));
    put(a, o, "endedMs", moment(a, r, f->ended_us));
    put(a, o, "endpointsOutAfterMs", f->out_us ? milliseconds(a, f->out_us - f->done_us) : value_null(a));
    put(a, o, "readyAfterMs", f->ready_us ? milliseconds(a, f->ready_us - f->done_us) : value_null(a));
    put(a, o, "nextWriteAfterMs", f->writes_us >= 0 ? milliseconds(a, f->writes_us) : value_null(a));
    put(a, o, "checks", checks_value(a, f->checks, f->checks_count));
    put(a, o, "flows", flows_value(a, r, f));
    return o;
}

static void add_failures(struct arena *a, struct value *list, const struct report *r, int load)
{
    const struct probe_log *log = r->logs[load];
    uint32_t sent = atomic_load(&log->sent);

    for (uint32_t i = 0; i < sent; i++) {
        const struct probe *p = &log->probes[i];
        struct value *o;
        if (p->cause == PROBE_OK || p->cause == PROBE_OPEN)
            continue;
        o = value_object(a);
        put(a, o, "flow", copy(a, log->flows[p->flow]));
        put(a, o, "dueMs", moment(a, r, p->due_us));
        put(a, o, "afterMs", milliseconds(a, p->latency_us));
        put(a, o, "cause", copy(a, probe_cause_text((enum probe_cause)p->cause)));
        if (p->status)
            put_int(a, o, "status", p->status);
        value_append(a, list, o);
    }
}

static struct value *counts_value(struct arena *a, const struct probe_counts *c)
{
    struct value *o = value_object(a);

    put_int(a, o, "sent", (int64_t)c->sent);
    put_int(a, o, "answered", (int64_t)c->answered);
    put_int(a, o, "failed", (int64_t)c->failed);
    put_int(a, o, "served", (int64_t)c->served);
    put_int(a, o, "servedButLost", (int64_t)c->lost);
    put_int(a, o, "servedAgain", (int64_t)c->repeated);
    put_int(a, o, "heardButNotServed", (int64_t)c->invented);
    put_int(a, o, "servedButNotSent", (int64_t)c->unknown);
    put(a, o, "agree", value_bool(a, probe_counts_agree(c)));
    return o;
}

static struct value *api_value(struct arena *a, const struct api_load_findings *f)
{
    struct value *o = value_object(a);

    put_int(a, o, "acknowledgedWrites", f->acknowledged);
    put_int(a, o, "lostWrites", f->lost);
    put_int(a, o, "failedWritesThatHappened", f->unsure_kept);
    put_int(a, o, "watchEvents", f->watch_events);
    put_int(a, o, "watchReconnects", f->watch_reconnects);
    put_int(a, o, "watchGone", f->watch_gone);
    put_int(a, o, "watchOutOfOrder", f->watch_disorder);
    put_int(a, o, "watchRepeated", f->watch_repeated);
    put_int(a, o, "watchMissed", f->watch_missed);
    put(a, o, "verified", value_bool(a, f->verified));
    return o;
}

void report_json(struct buf *to, const struct report *r)
{
    AUTO_ARENA struct arena arena = { 0 };
    struct arena *a = &arena;
    struct value *root = value_object(a), *faults = value_array(a), *failures = value_array(a);
    char began[TIME_TEXT_SIZE];

    put(a, root, "passed", value_bool(a, report_passed(r)));
    put(a, root, "cluster", copy(a, r->cluster));
    put(a, root, "version", copy(a, r->version));
    put_int(a, root, "zones", r->zones);
    put_int(a, root, "nodes", r->nodes);
    put_int(a, root, "servers", r->servers);
    put_int(a, root, "pods", r->pods);
    put_int(a, root, "requestsPerSecond", r->rate);
    put(a, root, "began", copy(a, time_format(r->began_wall_ms, began)));
    put(a, root, "durationMs", milliseconds(a, r->ended_us - r->began_us));
    put(a, root, "checks", checks_value(a, r->checks, r->checks_count));
    put(a, root, "flows", flows_value(a, r, NULL));
    put(a, root, "counts", counts_value(a, &r->counts));
    put(a, root, "api", api_value(a, &r->api));
    for (int i = 0; i < r->results_count; i++)
        value_append(a, faults, fault_value(a, r, &r->results[i]));
    put(a, root, "faults", faults);
    for (int load = 0; load < LOADS; load++)
        add_failures(a, failures, r, load);
    put(a, root, "failures", failures);
    value_write_pretty(to, root, 1);
    buf_add_char(to, '\n');
}
