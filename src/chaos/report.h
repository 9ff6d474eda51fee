/* The report of `klein prove`: the same findings as text, JSON, and one HTML file without anything from elsewhere. Pure. */
#ifndef CHAOS_REPORT_H
#define CHAOS_REPORT_H

#include "base/buf.h"
#include "chaos/catalogue.h"

#define RESULTS_MAX 128

struct report {
    char cluster[40], version[32];
    int zones, nodes, servers, rate, pods;
    int64_t began_wall_ms, began_us, ended_us;
    struct probe_log *logs[LOADS];
    struct fault_result *results; /* in the order they were done */
    int results_count;
    struct probe_counts counts; /* sent, heard, and the service's own count */
    struct api_load_findings api;
    struct writers_found writers;
    struct check checks[CHECKS_MAX]; /* of the whole run */
    int checks_count;
    char stopped[200]; /* why the run ended early; "" when it did not */
};

void report_judge(struct report *r); /* the checks of the whole run */
bool report_passed(const struct report *r);
void report_text(struct buf *to, const struct report *r);
void report_json(struct buf *to, const struct report *r);
void report_html(struct buf *to, const struct report *r);

#define REPORT_MAX (32 * MIB)
extern const char *const load_names[LOADS];

#endif
