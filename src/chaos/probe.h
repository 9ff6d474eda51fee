/*
 * What became of each request of a load: a log in memory that is shared with the process that sends, and what can be counted in it.
 *
 * Always true: request n was due at due_us whatever became of those before it (an open loop); its latency counts from then, so that
 * a service that stands still is charged for every request it kept waiting. The sender is the only one who writes.
 */
#ifndef CHAOS_PROBE_H
#define CHAOS_PROBE_H

#include "base/str.h"

#include <stdatomic.h>

#define PROBE_LIMIT_US  2000000 /* no answer for so long is a failure */
#define PROBE_FLOWS_MAX 8
#define PROBE_PODS_MAX  250
#define PROBE_NO_POD    255

enum probe_cause {
    PROBE_OPEN, /* not answered yet */
    PROBE_OK,
    PROBE_TIMEOUT,
    PROBE_REFUSED,
    PROBE_RESET,
    PROBE_UNREACHABLE,
    PROBE_CLOSED, /* the connection ended before the answer was whole */
    PROBE_STATUS, /* another status than 200; 201 for writes */
    PROBE_WRONG,  /* the answer to something else, or no HTTP */
    PROBE_CAUSES
};
const char *probe_cause_text(enum probe_cause cause);

struct probe {
    int64_t due_us; /* monotonic */
    int32_t latency_us;
    uint16_t status;
    uint8_t cause, flow, pod;
};

struct probe_log {
    _Atomic uint32_t sent; /* probes[0 .. sent-1] are begun */
    _Atomic bool stop;     /* asks the sender to finish what is open and end */
    _Atomic bool done;     /* the sender has ended */
    uint32_t capacity, first_id;
    int64_t lag_max_us; /* how late the sender itself was at worst */
    uint32_t unasked;   /* bytes came on a connection that had asked for nothing */
    int flows_count;
    char flows[PROBE_FLOWS_MAX][32];
    int pods_count;
    char pods[PROBE_PODS_MAX][64];
    struct probe probes[];
};

/* Shared with children; request i has the id first_id + i. */
struct probe_log *probe_log_new(uint32_t capacity, uint32_t first_id);
void probe_log_free(struct probe_log *log);
int probe_log_pod(struct probe_log *log, struct str pod); /* its index; PROBE_NO_POD when there is no room */
void probe_finish(struct probe *p, enum probe_cause cause, int status, int64_t now_us);

struct probe_summary {
    uint32_t sent, ok, failed;
    uint32_t by_cause[PROBE_CAUSES];
    int32_t p50_us, p99_us, max_us; /* of good answers */
    int64_t gap_us, gap_at_us;      /* the longest time between two good ones, by when they were due */
    int64_t first_failed_us, last_failed_us;
};
/* Of the requests of one flow (-1: all) that were due from `from_us` until before `to_us`. */
void probe_summarise(const struct probe_log *log, int flow, int64_t from_us, int64_t to_us, struct probe_summary *ret);
/* One's share of good answers as a number of nines: 999 of 1000 are 3.0; all of them: the most that so many can show. */
double probe_nines(uint32_t sent, uint32_t failed);

/* What the service says it answered: served[id] answers to request `id`, of ids below `count`. */
struct probe_counts {
    uint64_t sent, answered, failed, served;
    uint64_t lost;     /* the service answered, nobody heard it in time */
    uint64_t repeated; /* answered more than once: a proxy tried again */
    uint64_t invented; /* we heard an answer the service did not give: something is wrong with the measurement */
    uint64_t unknown;  /* the service answered what was never sent: the same */
};
void probe_compare(const struct probe_log *const *logs, int logs_count, const uint8_t *served, size_t count,
                   struct probe_counts *ret);
/* Every request is accounted for: answers heard = answers given, but for those lost and repeated. */
bool probe_counts_agree(const struct probe_counts *c);

#endif
