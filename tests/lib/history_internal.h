/* What history.c (the record) and history_check.c (the judgement) share. */
#ifndef TESTS_LIB_HISTORY_INTERNAL_H
#define TESTS_LIB_HISTORY_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "history.h"

#include <stdarg.h>
#include <stdio.h>

enum op_type { OP_WRITE, OP_READ, OP_BARRIER };
enum outcome { OUTCOME_UNKNOWN, OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_ABANDONED };

struct history_op {
    struct list link;
    struct history *history;
    enum op_type type;
    char *client;
    struct store_write write; /* strings below; a read: key, and the value found */
    char *key, *value, *expect_value, *guard_key;
    bool present;            /* a read found something */
    uint64_t begin, end;     /* ticks of the history's clock; end 0: never */
    uint64_t known_at_begin; /* the highest revision anybody had been told of */
    enum outcome outcome;
    enum error_code code;
    uint64_t revision;
    size_t times; /* changes with its value: at most one */
};

struct seen { /* one change, by whomever it was told first */
    struct store_change change;
};

struct span { /* from one list of a watch to the next */
    uint64_t from, to;
    uint64_t *revisions;
    size_t count, capacity;
};

struct history_watch {
    struct list link;
    struct history *history;
    char *name, *prefix;
    struct span *spans;
    size_t spans_count, spans_capacity;
};

struct listed {
    char *key, *value;
    size_t value_n;
    uint64_t revision;
};

struct history_list {
    struct list link;
    struct history *history;
    char *client, *prefix;
    struct listed *entries;
    size_t entries_count, entries_capacity;
    uint64_t begin, known_at_begin, revision;
    bool done;
};

struct history {
    struct list ops, watches, lists;
    struct seen *seen; /* by revision */
    size_t seen_count, seen_capacity;
    uint64_t clock, known, acknowledged;
    char *wrong; /* noticed while recording; the first counts */
};

const struct seen *history_at(const struct history *h, uint64_t revision);
const char *history_wrong(struct history *h, const char *format, ...) PRINTF(2, 3);

#endif
