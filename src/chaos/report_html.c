/* The report as one HTML file: no script, nothing from elsewhere, light and dark, readable on a phone. */
#include "chaos/report.h"

#include "base/time.h"

#include <math.h>
#include <stdlib.h>

/* A chart: time to the right, latency upwards in steps of ten, one column of 1.5 units for all requests due in it. */
#define CHART_W    960
#define CHART_H    220
#define LEFT       44
#define TOP        34
#define BOTTOM     22
#define COLUMNS    600
#define FLOOR_US   100.0     /* the bottom of the scale */
#define CEILING_US 2000000.0 /* its top: the limit */

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1c2024;--dim:#60646c;--line:#d9d9e0;--card:#f9f9fb;--ok:#18794e;--okbg:#ddf3e4;--bad:#"
    "c62a2f;--badbg:#ffe5e5;"
    "--a:#0b68cb;--b:#8db8ef;--span:#f5a62330;--edge:#b86e00}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#111214;--fg:#edeef0;--dim:#a0a4ad;--line:#33363c;--card:#1a1b1e;--"
    "ok:#4cc38a;"
    "--okbg:#12301f;--bad:#ff8589;--badbg:#3b191d;--a:#70b8ff;--b:#2d5688;--span:#f5a62333;--edge:#f1a10d}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--bg);color:var(--fg);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.4rem 0}"
    ".dim{color:var(--dim)}\n"
    ".badge{display:inline-block;padding:.05rem "
    ".55rem;border-radius:1rem;font-weight:600;font-size:.85rem;white-space:nowrap}"
    ".ok{color:var(--ok);background:var(--okbg)}.bad{color:var(--bad);background:var(--badbg)}.skip{color:var(--dim);"
    "background:var(--card)}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;padding:."
    "35rem .6rem "
    ".35rem 0;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--dim);font-weight:600}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    ".chart{overflow-x:auto}svg{display:block;width:100%;min-width:38rem;height:auto;margin:.25rem 0 1rem}svg "
    "text{fill:var(--dim);font:11px "
    "system-ui,sans-serif}"
    ".fault{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem;margin:.6rem 0}"
    ".fault h3{font-size:1rem;margin:0 0 "
    ".2rem;display:flex;gap:.6rem;justify-content:space-between;align-items:baseline}\n"
    "@media(max-width:40rem){.aims thead{display:none}.aims tr{display:block;padding:.3rem 0;border-bottom:1px solid "
    "var(--line)}"
    ".aims td{display:inline;border:0;padding:0 .35rem 0 0}.aims td.aim::before{content:'aim: '}}\n";

static void add_text(struct buf *to, const char *text)
{
    for (const char *c = text; *c; c++)
        switch (*c) {
        case '<':
            buf_add_text(to, "&lt;");
            break;
        case '>':
            buf_add_text(to, "&gt;");
            break;
        case '&':
            buf_add_text(to, "&amp;");
            break;
        case '"':
            buf_add_text(to, "&quot;");
            break;
        default:
            buf_add_char(to, *c);
        }
}

static void add_badge(struct buf *to, bool passed)
{
    buf_add_text(to, passed ? "<span class=\"badge ok\">met</span>" : "<span class=\"badge bad\">missed</span>");
}

static void add_checks(struct buf *to, const struct check *checks, int count)
{
    buf_add_text(
        to, "<table class=\"aims\"><thead><tr><th>What</th><th>Found</th><th>Aim</th><th></th></tr></thead><tbody>\n");
    for (int i = 0; i < count; i++) {
        buf_add_text(to, "<tr><td>");
        add_text(to, checks[i].what);
        buf_add_text(to, "</td><td><b>");
        add_text(to, checks[i].found);
        buf_add_text(to, "</b></td><td class=\"aim\">");
        add_text(to, checks[i].aim);
        buf_add_text(to, "</td><td>");
        add_badge(to, checks[i].passed);
        buf_add_text(to, "</td></tr>\n");
    }
    buf_add_text(to, "</tbody></table>\n");
}

/* --- charts -------------------------------------------------------------------------------------------------------------------- */

static double x_of(const struct report *r, int64_t us)
{
    double share = (double)(us - r->began_us) / (double)MAX(r->ended_us - r->began_us, 1);

    return LEFT + (CHART_W - LEFT) * MIN(MAX(share, 0.0), 1.0);
}

static double y_of(double us)
{
    double share = log10(MIN(MAX(us, FLOOR_US), CEILING_US) / FLOOR_US) / log10(CEILING_US / FLOOR_US);

    return TOP + (CHART_H - TOP - BOTTOM) * (1 - share);
}

static void add_axes(struct buf *to, const struct report *r)
{
    static const struct {
        int us;
        const char *name;
    } marks[] = { { 1000, "1 ms" }, { 10000, "10 ms" }, { 100000, "100 ms" }, { 1000000, "1 s" } };
    int64_t seconds = (r->ended_us - r->began_us) / 1000000, step = 1;

    while (seconds / step > 12)
        step *= step == 1 || step == 10 || step == 100 ? 2 : step == 2 || step == 20 || step == 200 ? 5 : 2;
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        buf_addf(
            to,
            "<path d=\"M%d %.1fH%d\" stroke=\"var(--line)\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT, y_of(marks[i].us), CHART_W, LEFT - 5, y_of(marks[i].us) + 4, marks[i].name);
    for (int64_t s = 0; s <= seconds; s += step)
        buf_addf(to, "<text x=\"%.1f\" y=\"%d\">%lld s</text>\n", x_of(r, r->began_us + s * 1000000), CHART_H - 6,
                 (long long)s);
}

static void add_spans(struct buf *to, const struct report *r)
{
    double free_x = 0;

    for (int i = 0; i < r->results_count; i++) {
        const struct fault_result *f = &r->results[i];
        double from, until;
        if (f->skipped)
            continue;
        from = x_of(r, f->done_us);
        until = MAX(x_of(r, f->undone_us), from + 1.5);
        buf_addf(to,
                 "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"var(--span)\"/><path d=\"M%.1f %dV%d\" "
                 "stroke=\"var(--edge)\"/>\n",
                 from, TOP, until - from, CHART_H - TOP - BOTTOM, from, TOP - 4, CHART_H - BOTTOM);
        if (from < free_x && i > 0 && r->results[i - 1].row == f->row)
            continue; /* one name for a row of the same */
        buf_addf(to, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", from, from < free_x ? TOP - 20 : TOP - 8, f->row->name);
        free_x = from + (double)str_of(f->row->name).n * 6.5;
    }
}

struct column {
    uint32_t ok, failed;
    int32_t min_us, max_us;
    int64_t sum_us;
};

static void add_columns(struct buf *to, const struct report *r, const struct probe_log *log)
{
    struct column *columns = xcalloc(COLUMNS, sizeof(*columns));
    uint32_t sent = atomic_load(&log->sent);
    double width = (double)(CHART_W - LEFT) / COLUMNS, y0 = CHART_H - BOTTOM;

    for (uint32_t i = 0; i < sent; i++) {
        const struct probe *p = &log->probes[i];
        int at = (int)((x_of(r, p->due_us) - LEFT) / width);
        struct column *c = &columns[MIN(MAX(at, 0), COLUMNS - 1)];
        if (p->cause != PROBE_OK) {
            c->failed += p->cause != PROBE_OPEN;
            continue;
        }
        c->min_us = c->ok ? MIN(c->min_us, p->latency_us) : p->latency_us;
        c->max_us = MAX(c->max_us, p->latency_us);
        c->sum_us += p->latency_us;
        c->ok++;
    }
    for (int pass = 0; pass < 3; pass++) {
        static const char *const colors[] = { "var(--b)", "var(--a)", "var(--bad)" };
        buf_addf(to, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%.2f\" d=\"", colors[pass],
                 pass == 1 ? 1.2 : width);
        bool line = false;
        for (int i = 0; i < COLUMNS; i++) {
            const struct column *c = &columns[i];
            double x = LEFT + (i + 0.5) * width;
            if (pass == 0 && c->ok)
                buf_addf(to, "M%.1f %.1fV%.1f", x, y_of(c->min_us) + 0.5, y_of(c->max_us) - 0.5);
            if (pass == 1 && c->ok)
                buf_addf(to, "%c%.1f %.1f", line ? 'L' : 'M', x, y_of((double)c->sum_us / c->ok));
            if (pass == 2 && c->failed)
                buf_addf(to, "M%.1f %.1fV%.1f", x, y0, y0 - 8 - 40.0 * c->failed / (c->failed + c->ok));
            line = c->ok > 0;
        }
        buf_add_text(to, "\"/>\n");
    }
    free(columns);
}

static void add_chart(struct buf *to, const struct report *r, int load)
{
    static const char *const titles[LOADS] = { "Through the gateway, from outside",
                                               "Through the ClusterIP, from a node", "The API: writes and reads" };

    buf_addf(to,
             "<h2>%s</h2>\n<div class=\"chart\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Latency over "
             "time, %s\">\n",
             titles[load], CHART_W, CHART_H, titles[load]);
    add_spans(to, r);
    add_axes(to, r);
    add_columns(to, r, r->logs[load]);
    buf_add_text(to, "</svg></div>\n");
}

/* --- tables --------------------------------------------------------------------------------------------------------------------- */

static void add_availability(struct buf *to, const struct report *r)
{
    buf_add_text(
        to, "<h2>Availability</h2>\n<div class=\"scroll\"><table><thead><tr><th>Load</th><th class=\"n\">sent</th><th "
            "class=\"n\">failed</th><th class=\"n\">nines</th><th class=\"n\">p50</th><th class=\"n\">p99</th><th "
            "class=\"n\">longest gap</th></tr></thead><tbody>\n");
    for (int load = 0; load < LOADS; load++)
        for (int flow = 0; flow < 2; flow++) {
            struct probe_summary s;
            probe_summarise(r->logs[load], flow, 0, INT64_MAX, &s);
            buf_add_text(to, "<tr><td>");
            add_text(to, r->logs[load]->flows[flow]);
            buf_addf(to,
                     "</td><td class=\"n\">%u</td><td class=\"n\">%u</td><td class=\"n\">%.2f</td><td class=\"n\">%.1f "
                     "ms</td><td "
                     "class=\"n\">%.1f ms</td><td class=\"n\">%lld ms</td></tr>\n",
                     s.sent, s.failed, probe_nines(s.sent, s.failed), s.p50_us / 1e3, s.p99_us / 1e3,
                     (long long)(s.gap_us / 1000));
        }
    buf_add_text(to, "</tbody></table></div>\n<p class=\"dim\">3 nines: 1 request of 1,000 failed. Without a failure "
                     "it is what so many "
                     "requests can show. Latency counts from when a request was due.</p>\n");
}

static void add_fault(struct buf *to, const struct report *r, const struct fault_result *f)
{
    buf_add_text(to, "<div class=\"fault\"><h3><span>");
    add_text(to, f->row->title);
    if (f->target[0]) {
        buf_add_text(to, ": ");
        add_text(to, f->target);
    }
    buf_add_text(to, "</span>");
    if (f->skipped)
        buf_add_text(to, "<span class=\"badge skip\">skipped</span>");
    else
        add_badge(to, fault_result_passed(f));
    buf_add_text(to, "</h3>\n");
    if (!f->skipped)
        buf_addf(to, "<p class=\"dim\">at %.1f s, for %.1f s</p>\n", (double)(f->done_us - r->began_us) / 1e6,
                 (double)(f->undone_us - f->done_us) / 1e6);
    if (f->note[0]) {
        buf_add_text(to, "<p>");
        add_text(to, f->note);
        buf_add_text(to, "</p>\n");
    }
    if (f->checks_count)
        add_checks(to, f->checks, f->checks_count);
    buf_add_text(to, "</div>\n");
}

/* Failures in a row with one cause are one line: a list of thousands helps nobody, and report.json has it. */
static void add_failures(struct buf *to, const struct report *r)
{
    int lines = 0;

    buf_add_text(
        to,
        "<h2>Failed requests</h2>\n<div class=\"scroll\"><table><thead><tr><th>Load</th><th class=\"n\">from</th><th "
        "class=\"n\">until</th><th class=\"n\">requests</th><th>cause</th></tr></thead><tbody>\n");
    for (int load = 0; load < LOADS; load++)
        for (int flow = 0; flow < 2; flow++) {
            const struct probe_log *log = r->logs[load];
            uint32_t sent = atomic_load(&log->sent), count = 0;
            const struct probe *first = NULL, *last = NULL;
            for (uint32_t i = 0; i <= sent; i++) {
                const struct probe *p = i < sent ? &log->probes[i] : NULL;
                if (p && (p->flow != flow || p->cause == PROBE_OPEN || (!first && p->cause == PROBE_OK)))
                    continue;
                if (first && (!p || p->cause != first->cause)) {
                    buf_addf(to,
                             "<tr><td>%s</td><td class=\"n\">%.3f s</td><td class=\"n\">%.3f s</td><td "
                             "class=\"n\">%u</td><td>%s</td></tr>\n",
                             log->flows[flow], (double)(first->due_us - r->began_us) / 1e6,
                             (double)(last->due_us - r->began_us) / 1e6, count,
                             probe_cause_text((enum probe_cause)first->cause));
                    lines++;
                    first = NULL;
                    count = 0;
                }
                if (p && p->cause != PROBE_OK) {
                    first = first ? first : p;
                    last = p;
                    count++;
                }
            }
        }
    buf_add_text(to,
                 lines ? "</tbody></table></div>\n" : "<tr><td colspan=\"5\">none</td></tr></tbody></table></div>\n");
}

void report_html(struct buf *to, const struct report *r)
{
    char began[TIME_TEXT_SIZE];

    buf_addf(to,
             "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
             "content=\"width=device-width,"
             "initial-scale=1\"><title>klein prove: %s</title><style>\n%s</style></head><body>\n",
             r->cluster, style);
    buf_addf(to, "<h1>%s <span class=\"badge %s\">klein prove</span></h1>\n",
             report_passed(r) ? "Every aim was met" : "Aims were missed", report_passed(r) ? "ok" : "bad");
    buf_addf(to,
             "<p class=\"dim\">Cluster %s: %d nodes in %d zones, %d server%s, klein %s. %d pods of the sample service, "
             "%d requests a "
             "second through the gateway and as many through the ClusterIP. Begun %s, %.0f s.</p>\n",
             r->cluster, r->nodes, r->zones, r->servers, r->servers == 1 ? "" : "s", r->version, r->pods, r->rate,
             time_format(r->began_wall_ms, began), (double)(r->ended_us - r->began_us) / 1e6);
    add_checks(to, r->checks, r->checks_count);
    add_availability(to, r);
    for (int load = 0; load < LOADS; load++)
        add_chart(to, r, load);
    buf_add_text(to, "<p class=\"dim\">Dark line: mean latency; light: least to most; red: failed requests; shaded: a "
                     "fault was on.</p>\n"
                     "<h2>Faults</h2>\n");
    for (int i = 0; i < r->results_count; i++)
        add_fault(to, r, &r->results[i]);
    add_failures(to, r);
    buf_add_text(to, "</body></html>\n");
}
