/* Judgement and report of `klein prove`. The golden files are in tests/golden/prove; KLEIN_GOLDEN=write writes them anew. */
#include "base/file.h"
#include "chaos/report.h"
#include "object/object.h"
#include "test.h"

#include <stdio.h>

static struct probe_log *log_of(const char *kept, const char *fresh)
{
    struct probe_log *log = probe_log_new(1000, 0);

    log->flows_count = 2;
    snprintf(log->flows[0], sizeof(log->flows[0]), "%s", kept);
    snprintf(log->flows[1], sizeof(log->flows[1]), "%s", fresh);
    return log;
}

/* Request i of 100 a second; those from `from` to `until` (indices) fail. */
static void fill(struct probe_log *log, int count, int from, int until, enum probe_cause cause)
{
    for (int i = 0; i < count; i++) {
        struct probe *p = &log->probes[i];
        *p = (struct probe){ .due_us = 5000000 + i * 10000, .flow = i % 2, .pod = PROBE_NO_POD };
        probe_finish(p, i >= from && i <= until ? cause : PROBE_OK, 200, p->due_us + 800 + i % 7 * 300);
        atomic_store(&log->sent, (uint32_t)i + 1);
    }
}

static struct fault_result results[3];

/* A zone is lost at request 200 for two seconds; new connections through the ClusterIP fail for 0.6 s. */
static struct report example(void)
{
    struct report r = { .cluster = "test",
                        .version = "0.1.0",
                        .zones = 3,
                        .nodes = 3,
                        .servers = 1,
                        .rate = 100,
                        .pods = 6,
                        .began_wall_ms = 1795248000000,
                        .began_us = 5000000,
                        .ended_us = 13000000,
                        .results = results,
                        .results_count = 3 };

    r.logs[LOAD_GATEWAY] = log_of("gateway, kept", "gateway, fresh");
    r.logs[LOAD_SERVICE] = log_of("ClusterIP, kept", "ClusterIP, fresh");
    r.logs[LOAD_API] = log_of("API writes", "API reads");
    fill(r.logs[LOAD_GATEWAY], 800, 1000, 1000, PROBE_OK);
    fill(r.logs[LOAD_SERVICE], 800, 201, 261, PROBE_TIMEOUT);
    fill(r.logs[LOAD_API], 800, 200, 280, PROBE_RESET);
    memset(results, 0, sizeof(results));
    results[0] = (struct fault_result){ .row = catalogue_named(STR("zone-destroyed")),
                                        .target = "a <zone>",
                                        .done_us = 7000000,
                                        .undone_us = 9000000,
                                        .ended_us = 10000000,
                                        .out_us = 8500000,
                                        .ready_us = 9200000 };
    results[1] = (struct fault_result){ .row = catalogue_named(STR("zone-destroyed")),
                                        .target = "b",
                                        .done_us = 10500000,
                                        .undone_us = 12500000,
                                        .ended_us = 12900000,
                                        .out_us = 13000000 };
    results[2] = (struct fault_result){ .row = catalogue_named(STR("two-servers-lost")),
                                        .skipped = true,
                                        .note = "it needs three servers" };
    for (int i = 0; i < 3; i++)
        fault_result_judge(&results[i], r.logs);
    r.counts = (struct probe_counts){ .sent = 1600, .answered = 1539, .failed = 61, .served = 1540, .lost = 1 };
    r.api =
        (struct api_load_findings){ .acknowledged = 359, .watch_events = 359, .watch_reconnects = 1, .verified = true };
    report_judge(&r);
    return r;
}

static void drop(struct report *r)
{
    for (int i = 0; i < LOADS; i++)
        probe_log_free(r->logs[i]);
}

static const struct check *check_of(const struct fault_result *f, const char *what)
{
    for (int i = 0; i < f->checks_count; i++)
        if (str_contains(str_of(f->checks[i].what), str_of(what)))
            return &f->checks[i];
    FAIL("no check '%s'", what);
}

TEST("each aim of a fault is judged by what was due while it was charged")
{
    struct report r = example();

    ASSERT(fault_result_passed(&results[0]));
    ASSERT_STR(check_of(&results[0], "gateway")->found, "0 of 300");
    ASSERT_STR(check_of(&results[0], "ClusterIP")->found, "610 ms");
    ASSERT_STR(check_of(&results[0], "next write")->found, "821 ms");
    ASSERT_STR(check_of(&results[0], "endpoints")->found, "1500 ms");
    ASSERT_STR(check_of(&results[0], "Ready again")->found, "2200 ms");
    ASSERT(!fault_result_passed(&results[1]));
    ASSERT(!check_of(&results[1], "endpoints")->passed); /* 2.5 s */
    ASSERT_STR(check_of(&results[1], "Ready again")->found, "never");
    ASSERT_INT(results[2].checks_count, 0);
    ASSERT(!report_passed(&r));
    drop(&r);
}

TEST("a lost write, a watch out of order, counts that differ and two writers are each a missed aim")
{
    struct report r = example();

    for (int i = 0; i < r.checks_count; i++)
        ASSERT(r.checks[i].passed);
    r.api.lost = 1;
    r.api.watch_repeated = 1;
    r.counts.invented = 1;
    r.writers = (struct writers_found){ .writers = 2, .overlaps = 1 };
    snprintf(r.stopped, sizeof(r.stopped), "interrupted");
    report_judge(&r);
    int missed = 0;
    for (int i = 0; i < r.checks_count; i++)
        missed += !r.checks[i].passed;
    ASSERT_INT(missed, 5);
    drop(&r);
}

static void compare(const char *name, void (*fn)(struct buf *, const struct report *), const struct report *r)
{
    AUTO_BUF struct buf text = BUF_MAX(REPORT_MAX);
    AUTO_BUF struct buf golden = BUF_MAX(REPORT_MAX);
    AUTO_FREE char *path = xasprintf("%s/%s", test_source("tests/golden/prove"), name);
    AUTO_ERROR struct error err = { 0 };

    fn(&text, r);
    if (getenv("KLEIN_GOLDEN"))
        ASSERT_OK(file_write(path, buf_str(&text), 0644, &err), &err);
    ASSERT_OK(file_read(path, &golden, &err), &err);
    ASSERT_STR(text, golden);
}

TEST("the report is as it was, as text, JSON and HTML")
{
    struct report r = example();

    compare("report.txt", report_text, &r);
    compare("report.json", report_json, &r);
    compare("report.html", report_html, &r);
    drop(&r);
}

TEST("the HTML needs nothing from elsewhere, runs nothing, and quotes what is not its own")
{
    struct report r = example();
    AUTO_BUF struct buf text = BUF_MAX(REPORT_MAX);

    report_html(&text, &r);
    ASSERT(!str_contains(buf_str(&text), STR("http://")) && !str_contains(buf_str(&text), STR("https://")));
    ASSERT(!str_contains(buf_str(&text), STR("<script")) && !str_contains(buf_str(&text), STR("src=")));
    ASSERT_CONTAINS(text, "a &lt;zone&gt;");
    ASSERT_CONTAINS(text, "prefers-color-scheme:dark");
    ASSERT_CONTAINS(text, "width=device-width");
    ASSERT(!str_contains(buf_str(&text), STR("nan")) && !str_contains(buf_str(&text), STR("inf ")));
    drop(&r);
}

TEST("writers of one ordinal may follow each other but never overlap")
{
    struct writers_found w;

    writers_check(STR("0 7 0 1000000\n0 7 1 2000000\n0 8 0 5000000\n0 8 1 6000000\n1 9 0 1500000\n"), &w);
    ASSERT_INT(w.writers, 3);
    ASSERT_INT(w.overlaps, 0);
    ASSERT_INT(w.gap_max_us, 3000);
    writers_check(STR("0 7 0 1000000\n0 8 0 1500000\n0 7 1 2000000\n"), &w);
    ASSERT_INT(w.overlaps, 1);
    writers_check(STR("0 7 0 1000000\n0 7 5 1500000\nrubbish\n"), &w);
    ASSERT_INT(w.lost_lines, 4);
    ASSERT_INT(w.broken_lines, 1);
}

TEST("every row of the catalogue has a name of its own and can be planned")
{
    for (const struct catalogue_row *row = catalogue; row->name; row++) {
        ASSERT(catalogue_named(str_of(row->name)) == row);
        ASSERT(row->times > 0 && (!row->quick || row->times_quick > 0));
        bool known = row->verb == NULL;
        for (const struct fault_verb *v = fault_verbs; v->name; v++)
            known |=
                row->verb && str_is(str_of(row->verb), v->name) && str_contains(str_of(v->whats), str_of(row->what));
        ASSERT(known);
    }
    ASSERT(!catalogue_named(STR("nothing")));
}
