/* The checks of a whole run, and its report as text. */
#include "chaos/report.h"

#include "base/time.h"

#include <stdio.h>

#define FAILURES_SHOWN 100

const char *const load_names[LOADS] = { "gateway", "ClusterIP", "API" };

void report_judge(struct report *r)
{
    const struct probe_counts *c = &r->counts;
    const struct api_load_findings *a = &r->api;
    int done = 0;
    uint32_t watch_faults = a->watch_disorder + a->watch_repeated + a->watch_missed;
    int64_t lag_us = MAX(r->logs[LOAD_GATEWAY]->lag_max_us, r->logs[LOAD_SERVICE]->lag_max_us);

    r->checks_count = 0;
    check_add(r->checks, &r->checks_count, probe_counts_agree(c), "sent, answered and the service's own count agree",
              "yes", "%llu sent = %llu answered + %llu failed; %llu served = answered + %llu lost + %llu repeated%s",
              (unsigned long long)c->sent, (unsigned long long)c->answered, (unsigned long long)c->failed,
              (unsigned long long)c->served, (unsigned long long)c->lost, (unsigned long long)c->repeated,
              probe_counts_agree(c) ? "" : ": NO");
    check_add(r->checks, &r->checks_count, a->verified && !a->lost, "acknowledged writes that were lost", "none",
              a->verified ? "%u of %u" : "%u of %u, but the last list could not be read", a->lost, a->acknowledged);
    check_add(r->checks, &r->checks_count, a->verified && !watch_faults, "watch: in order, complete, nothing twice",
              "yes", "%u events, %u out of order, %u repeated, %u missed", a->watch_events, a->watch_disorder,
              a->watch_repeated, a->watch_missed);
    if (r->writers.writers)
        check_add(r->checks, &r->checks_count, !r->writers.overlaps, "two writers of one ordinal at a time", "never",
                  "%d of %d writers", r->writers.overlaps, r->writers.writers);
    check_add(r->checks, &r->checks_count, lag_us < 100000, "the prober kept its schedule", "within 100 ms",
              "%lld ms late at worst", (long long)(lag_us / 1000));
    for (int i = 0; i < r->results_count; i++)
        done += !r->results[i].skipped;
    check_add(r->checks, &r->checks_count, done > 0, "faults that were done", "some", "%d of %d", done,
              r->results_count);
    check_add(r->checks, &r->checks_count, !r->stopped[0], "the run went to its end", "yes", "%s",
              r->stopped[0] ? r->stopped : "yes");
}

bool report_passed(const struct report *r)
{
    for (int i = 0; i < r->checks_count; i++)
        if (!r->checks[i].passed)
            return false;
    for (int i = 0; i < r->results_count; i++)
        if (!fault_result_passed(&r->results[i]))
            return false;
    return true;
}

static void add_check(struct buf *to, const struct check *c)
{
    buf_addf(to, "    %-6s %s: %s (aim: %s)\n", c->passed ? "ok" : "MISSED", c->what, c->found, c->aim);
}

static void add_flow(struct buf *to, const struct report *r, int load, int flow)
{
    struct probe_summary s;
    const struct probe_log *log = r->logs[load];

    probe_summarise(log, flow, 0, INT64_MAX, &s);
    buf_addf(to,
             "    %-24s %7u sent %6u failed  %.2f nines  p50 %.1f ms  p99 %.1f ms  max %.1f ms  longest gap %lld ms\n",
             log->flows[flow], s.sent, s.failed, probe_nines(s.sent, s.failed), s.p50_us / 1e3, s.p99_us / 1e3,
             s.max_us / 1e3, (long long)(s.gap_us / 1000));
}

/* Which fault was on when a request was due. */
static const struct fault_result *fault_at(const struct report *r, int64_t us)
{
    for (int i = 0; i < r->results_count; i++)
        if (!r->results[i].skipped && us >= r->results[i].done_us && us < r->results[i].ended_us)
            return &r->results[i];
    return NULL;
}

/* Failures in a row of one flow with one cause are one line; report.json has each. */
struct failures {
    const struct probe *first, *last;
    uint32_t count;
};

static int end_failures(struct buf *to, const struct report *r, const struct probe_log *log, struct failures *now,
                        int shown)
{
    const struct fault_result *f;

    if (!now->count)
        return shown;
    if (shown < FAILURES_SHOWN) {
        f = fault_at(r, now->first->due_us);
        buf_addf(to, "    %9.3f s to %9.3f s  %-18s %5u  %s", (double)(now->first->due_us - r->began_us) / 1e6,
                 (double)(now->last->due_us - r->began_us) / 1e6, log->flows[now->first->flow], now->count,
                 probe_cause_text((enum probe_cause)now->first->cause));
        if (now->first->cause == PROBE_STATUS)
            buf_addf(to, " %u", (unsigned)now->first->status);
        buf_addf(to, "%s%s\n", f ? ", during " : "", f ? f->row->name : "");
    }
    *now = (struct failures){ 0 };
    return shown + 1;
}

static int add_failures(struct buf *to, const struct report *r, int load, int flow, int shown)
{
    const struct probe_log *log = r->logs[load];
    uint32_t sent = atomic_load(&log->sent);
    struct failures now = { 0 };

    for (uint32_t i = 0; i < sent; i++) {
        const struct probe *p = &log->probes[i];
        if (p->flow != flow || p->cause == PROBE_OPEN)
            continue;
        if (now.count && p->cause != now.first->cause)
            shown = end_failures(to, r, log, &now, shown);
        if (p->cause == PROBE_OK)
            continue;
        now.first = now.count++ ? now.first : p;
        now.last = p;
    }
    return end_failures(to, r, log, &now, shown);
}

static void add_result(struct buf *to, const struct report *r, const struct fault_result *f)
{
    if (f->skipped) {
        buf_addf(to, "\n  -      %s: skipped: %s\n", f->row->title, f->note);
        return;
    }
    buf_addf(to, "\n  %-6s %s%s%s, at %.1f s for %.1f s%s%s\n", fault_result_passed(f) ? "ok" : "MISSED", f->row->title,
             f->target[0] ? ": " : "", f->target, (double)(f->done_us - r->began_us) / 1e6,
             (double)(f->undone_us - f->done_us) / 1e6, f->note[0] ? "; " : "", f->note);
    for (int i = 0; i < f->checks_count; i++)
        add_check(to, &f->checks[i]);
}

void report_text(struct buf *to, const struct report *r)
{
    char began[TIME_TEXT_SIZE];
    int failures = 0;

    buf_addf(to, "klein prove: %s\n\n", report_passed(r) ? "every aim was met" : "AIMS WERE MISSED");
    buf_addf(to,
             "Cluster %s: %d nodes in %d zones, %d server%s, klein %s; %d pods of the sample service, %d requests a "
             "second.\n",
             r->cluster, r->nodes, r->zones, r->servers, r->servers == 1 ? "" : "s", r->version, r->pods, r->rate);
    buf_addf(to, "Begun %s, %.1f s.\n\nAvailability\n", time_format(r->began_wall_ms, began),
             (double)(r->ended_us - r->began_us) / 1e6);
    for (int load = 0; load < LOADS; load++)
        for (int flow = 0; flow < 2; flow++)
            add_flow(to, r, load, flow);
    buf_addf(to, "\nThe whole run\n");
    for (int i = 0; i < r->checks_count; i++)
        add_check(to, &r->checks[i]);
    buf_addf(to, "\nFaults\n");
    for (int i = 0; i < r->results_count; i++)
        add_result(to, r, &r->results[i]);
    buf_addf(to, "\nFailed requests\n");
    for (int load = 0; load < LOADS; load++)
        for (int flow = 0; flow < 2; flow++)
            failures = add_failures(to, r, load, flow, failures);
    if (failures > FAILURES_SHOWN)
        buf_addf(to, "    and %d more: report.json has them all\n", failures - FAILURES_SHOWN);
    if (!failures)
        buf_addf(to, "    none\n");
}
