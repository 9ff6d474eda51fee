/* Logs of requests, and what can be counted in them. */
#include "chaos/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

const char *probe_cause_text(enum probe_cause cause)
{
    static const char *const texts[PROBE_CAUSES] = {
        [PROBE_OPEN] = "not finished",
        [PROBE_OK] = "answered",
        [PROBE_TIMEOUT] = "no answer within 2 s",
        [PROBE_REFUSED] = "connection refused",
        [PROBE_RESET] = "connection reset",
        [PROBE_UNREACHABLE] = "unreachable",
        [PROBE_CLOSED] = "closed without an answer",
        [PROBE_STATUS] = "answered with an error",
        [PROBE_WRONG] = "wrong answer",
    };

    return cause < PROBE_CAUSES ? texts[cause] : "?";
}

struct probe_log *probe_log_new(uint32_t capacity, uint32_t first_id)
{
    size_t bytes = sizeof(struct probe_log) + capacity * sizeof(struct probe);
    struct probe_log *log = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert(log != MAP_FAILED);
    log->capacity = capacity;
    log->first_id = first_id;
    return log;
}

void probe_log_free(struct probe_log *log)
{
    if (log)
        munmap(log, sizeof(*log) + log->capacity * sizeof(struct probe));
}

int probe_log_pod(struct probe_log *log, struct str pod)
{
    for (int i = 0; i < log->pods_count; i++)
        if (str_is(pod, log->pods[i]))
            return i;
    if (!pod.n || pod.n >= sizeof(log->pods[0]) || log->pods_count == PROBE_PODS_MAX)
        return PROBE_NO_POD;
    snprintf(log->pods[log->pods_count], sizeof(log->pods[0]), "%.*s", STR_ARG(pod));
    return log->pods_count++;
}

void probe_finish(struct probe *p, enum probe_cause cause, int status, int64_t now_us)
{
    int64_t latency_us = now_us - p->due_us;

    p->latency_us = (int32_t)MIN(MAX(latency_us, 0), (int64_t)INT32_MAX);
    p->status = (uint16_t)status;
    p->cause = (uint8_t)(cause == PROBE_OK && latency_us > PROBE_LIMIT_US ? PROBE_TIMEOUT : cause);
}

static int compare_latency(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static void add_failed(struct probe_summary *s, const struct probe *p)
{
    s->failed++;
    if (!s->first_failed_us)
        s->first_failed_us = p->due_us;
    s->last_failed_us = p->due_us;
}

void probe_summarise(const struct probe_log *log, int flow, int64_t from_us, int64_t to_us, struct probe_summary *ret)
{
    uint32_t sent = atomic_load(&log->sent);
    int32_t *latencies = xcalloc(sent + 1, sizeof(*latencies));
    int64_t last_ok_us = 0;

    *ret = (struct probe_summary){ 0 };
    for (uint32_t i = 0; i < sent; i++) {
        const struct probe *p = &log->probes[i];
        if (p->due_us < from_us || p->due_us >= to_us || (flow >= 0 && p->flow != flow))
            continue;
        ret->sent++;
        ret->by_cause[p->cause]++;
        if (p->cause == PROBE_OPEN)
            continue;
        if (p->cause != PROBE_OK) {
            add_failed(ret, p);
            continue;
        }
        latencies[ret->ok++] = p->latency_us;
        if (last_ok_us && p->due_us - last_ok_us > ret->gap_us) {
            ret->gap_us = p->due_us - last_ok_us;
            ret->gap_at_us = last_ok_us;
        }
        last_ok_us = p->due_us;
    }
    /* Failures up to the end: the gap was not over yet. */
    if (ret->failed && ret->last_failed_us > last_ok_us &&
        ret->last_failed_us - MAX(last_ok_us, ret->first_failed_us) > ret->gap_us) {
        ret->gap_at_us = last_ok_us ? last_ok_us : ret->first_failed_us;
        ret->gap_us = ret->last_failed_us - ret->gap_at_us;
    }
    if (ret->ok) {
        qsort(latencies, ret->ok, sizeof(*latencies), compare_latency);
        ret->p50_us = latencies[ret->ok / 2];
        ret->p99_us = latencies[(uint64_t)ret->ok * 99 / 100];
        ret->max_us = latencies[ret->ok - 1];
    }
    free(latencies);
}

double probe_nines(uint32_t sent, uint32_t failed)
{
    if (!sent)
        return 0;
    return -log10(failed ? (double)failed / sent : 1.0 / (sent + 1.0));
}

static void compare_log(const struct probe_log *log, const uint8_t *served, size_t count, struct probe_counts *c)
{
    uint32_t sent = atomic_load(&log->sent);

    for (uint32_t i = 0; i < sent; i++) {
        size_t id = (size_t)log->first_id + i;
        uint8_t times = id < count ? served[id] : 0;
        bool ok = log->probes[i].cause == PROBE_OK;
        c->sent++;
        c->answered += ok;
        c->failed += !ok;
        c->lost += !ok && times;
        c->invented += ok && !times;
        c->repeated += times > 1 ? (uint64_t)times - 1 : 0;
        c->unknown -= times;
    }
}

void probe_compare(const struct probe_log *const *logs, int logs_count, const uint8_t *served, size_t count,
                   struct probe_counts *ret)
{
    *ret = (struct probe_counts){ 0 };
    for (size_t id = 0; id < count; id++)
        ret->served += served[id];
    ret->unknown = ret->served; /* less what is known, below */
    for (int i = 0; i < logs_count; i++)
        compare_log(logs[i], served, count, ret);
}

bool probe_counts_agree(const struct probe_counts *c)
{
    return c->invented == 0 && c->unknown == 0 && c->served == c->answered + c->lost + c->repeated &&
           c->sent == c->answered + c->failed;
}
