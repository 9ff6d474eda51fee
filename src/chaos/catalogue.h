/*
 * What `klein prove` does to a cluster, what must hold meanwhile, and whether it did. Pure: from logs of requests and moments to
 * checks that passed or failed.
 */
#ifndef CHAOS_CATALOGUE_H
#define CHAOS_CATALOGUE_H

#include "chaos/api_load.h"
#include "chaos/fault.h"
#include "chaos/probe.h"

/* The loads, each with a log of its own; their flows alternate between a kept and a fresh connection. */
enum load_kind { LOAD_GATEWAY, LOAD_SERVICE, LOAD_API, LOADS };
enum { FLOW_KEPT, FLOW_FRESH };

enum pick { PICK_NOTHING, PICK_POD, PICK_NODE, PICK_ZONE, PICK_WRITER_NODE, PICK_LEADER, PICK_ALL };

#define NOT_ASKED (-1)

struct catalogue_row {
    const char *name, *title;
    const char *verb, *what; /* of a fault_request; NULL: something of its own (a rollout, a move) */
    enum pick pick;
    enum drop_way way;
    uint16_t port;
    int32_t hold_ms; /* between doing and undoing */
    int32_t times, times_quick;
    bool quick;         /* in --catalogue quick */
    bool needs_servers; /* makes sense with three servers only */
    /* Aims; NOT_ASKED where nothing is promised. */
    int32_t gateway_failed; /* requests, of either kind of connection */
    int32_t
        service_ms; /* how long after the fault new connections through the ClusterIP may fail; 0: no request at all fails */
    int32_t writes_ms; /* until the API takes the next write */
    int32_t out_ms;    /* until lost pods are out of the endpoints */
    int32_t ready_ms;  /* until as many pods as wanted are Ready where nothing is broken */
};
extern const struct catalogue_row catalogue[]; /* ends with a name of NULL */
const struct catalogue_row *catalogue_named(struct str name);

struct check {
    char what[120], aim[64], found[120];
    bool passed;
};

#define CHECKS_MAX 12
struct fault_result {
    const struct catalogue_row *row;
    char target[120];
    bool skipped;
    char note[240]; /* why it was skipped, or what went wrong */
    int64_t done_us, undone_us,
        ended_us;             /* monotonic; what is due from done_us until before ended_us is charged to it */
    int64_t out_us, ready_us; /* moments; 0: never seen */
    struct probe_summary flows[LOADS][2];
    int64_t writes_us; /* how long until the next write was acknowledged; -1: never */
    struct check checks[CHECKS_MAX];
    int checks_count;
};

/* Fill in summaries, writes_us and checks from the logs. */
void fault_result_judge(struct fault_result *r, struct probe_log *const logs[LOADS]);
bool fault_result_passed(const struct fault_result *r);
void check_add(struct check *checks, int *count, bool passed, const char *what, const char *aim, const char *format,
               ...) PRINTF(6, 7);

/* Lines of the sample writer (samples/writer): was there ever more than one at a time? */
struct writers_found {
    uint64_t lines, broken_lines;
    int writers;
    int overlaps;        /* a writer that wrote between two lines of another one */
    int64_t gap_max_us;  /* between the last line of one writer and the first of the next */
    uint64_t lost_lines; /* numbers missing within one writer's lines */
};
void writers_check(struct str lines, struct writers_found *ret);

#endif
