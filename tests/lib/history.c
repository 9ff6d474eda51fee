/* The record of what clients saw; history_check.c judges it. */
#include "history_internal.h"

#include <stdlib.h>

static struct str copy(struct str s)
{
    return s.p ? (struct str){ str_dup(s), s.n } : STR_NONE;
}

struct history *history_new(void)
{
    struct history *h = xnew(struct history);

    list_init(&h->ops);
    list_init(&h->watches);
    list_init(&h->lists);
    return h;
}

static void change_free(struct seen *s)
{
    free((char *)s->change.key.p);
    free((char *)s->change.value.p);
    free((char *)s->change.previous_value.p);
}

static void op_free(struct history_op *op)
{
    free(op->client);
    free(op->key);
    free(op->value);
    free(op->expect_value);
    free(op->guard_key);
    free(op);
}

void history_free(struct history *h)
{
    if (!h)
        return;
    list_each (&h->ops, struct history_op, link, op)
        op_free(op);
    list_each (&h->watches, struct history_watch, link, w) {
        for (size_t i = 0; i < w->spans_count; i++)
            free(w->spans[i].revisions);
        free(w->spans);
        free(w->name);
        free(w->prefix);
        free(w);
    }
    list_each (&h->lists, struct history_list, link, l) {
        for (size_t i = 0; i < l->entries_count; i++) {
            free(l->entries[i].key);
            free(l->entries[i].value);
        }
        free(l->entries);
        free(l->client);
        free(l->prefix);
        free(l);
    }
    for (size_t i = 0; i < h->seen_count; i++)
        change_free(&h->seen[i]);
    free(h->seen);
    free(h->wrong);
    free(h);
}

/* --- writes and reads ----------------------------------------------------------------------------------------------------- */

static struct history_op *op_new(struct history *h, enum op_type type, const char *client)
{
    struct history_op *op = xnew(struct history_op);

    op->history = h;
    op->type = type;
    op->client = xstrdup(client);
    op->begin = ++h->clock;
    op->known_at_begin = h->known;
    list_add_tail(&h->ops, &op->link);
    return op;
}

struct history_op *history_write(struct history *h, const char *client, const struct store_write *w)
{
    struct history_op *op = op_new(h, OP_WRITE, client);

    op->key = str_dup(w->key);
    op->value = str_dup(w->value);
    op->expect_value = str_dup(w->expect_value);
    op->guard_key = str_dup(w->guard_key);
    op->write = *w;
    op->write.key.p = op->key;
    op->write.value.p = op->value;
    op->write.expect_value.p = op->expect_value;
    op->write.guard_key.p = op->guard_key;
    return op;
}

/* Somebody knows of this revision now: whatever begins from here on must not be older. */
static void end(struct history_op *op, enum outcome outcome, uint64_t revision)
{
    struct history *h = op->history;

    assert(op->outcome == OUTCOME_UNKNOWN);
    op->outcome = outcome;
    op->revision = revision;
    op->end = ++h->clock;
    h->known = MAX(h->known, revision);
}

void history_written(struct history_op *op, uint64_t revision)
{
    op->history->acknowledged++;
    end(op, OUTCOME_DONE, revision);
}

void history_failed(struct history_op *op, enum error_code code)
{
    op->code = code;
    end(op, OUTCOME_FAILED, 0);
}

struct history_op *history_read(struct history *h, const char *client, struct str key)
{
    struct history_op *op = op_new(h, OP_READ, client);

    op->key = str_dup(key);
    op->write.key = (struct str){ op->key, key.n };
    return op;
}

void history_read_done(struct history_op *op, struct str value, uint64_t revision)
{
    op->present = value.p != NULL;
    op->value = str_dup(value);
    op->write.value = (struct str){ op->value, value.n };
    end(op, OUTCOME_DONE, revision);
}

struct history_op *history_barrier(struct history *h, const char *client)
{
    return op_new(h, OP_BARRIER, client);
}

void history_barrier_done(struct history_op *op, uint64_t revision)
{
    end(op, OUTCOME_DONE, revision);
}

void history_abandon(struct history_op *op)
{
    op->outcome = OUTCOME_ABANDONED;
}

/* --- watches ------------------------------------------------------------------------------------------------------------------ */

static struct span *span_new(struct history_watch *w, uint64_t from)
{
    GROW(w->spans, w->spans_count, w->spans_capacity);
    struct span *s = &w->spans[w->spans_count++];
    *s = (struct span){ .from = from, .to = from };
    return s;
}

struct history_watch *history_watch(struct history *h, const char *name, struct str prefix, uint64_t from)
{
    struct history_watch *w = xnew(struct history_watch);

    w->history = h;
    w->name = xstrdup(name);
    w->prefix = str_dup(prefix);
    span_new(w, from);
    list_add_tail(&h->watches, &w->link);
    return w;
}

/* Where this revision stands, or should stand, among all seen. */
static size_t place_of(const struct history *h, uint64_t revision)
{
    size_t low = 0, high = h->seen_count;

    if (high && h->seen[high - 1].change.revision < revision)
        return high;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (h->seen[middle].change.revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct seen *history_at(const struct history *h, uint64_t revision)
{
    size_t i = place_of(h, revision);

    return i < h->seen_count && h->seen[i].change.revision == revision ? &h->seen[i] : NULL;
}

static bool same(const struct store_change *a, const struct store_change *b)
{
    return a->type == b->type && str_eq(a->key, b->key) && str_eq(a->value, b->value) &&
           (a->previous_revision == b->previous_revision || a->previous_revision == HISTORY_PREVIOUS_UNKNOWN ||
            b->previous_revision == HISTORY_PREVIOUS_UNKNOWN);
}

static void add_seen(struct history *h, const struct store_change *c)
{
    size_t i = place_of(h, c->revision);

    GROW(h->seen, h->seen_count, h->seen_capacity);
    memmove(&h->seen[i + 1], &h->seen[i], (h->seen_count - i) * sizeof(*h->seen));
    h->seen_count++;
    h->seen[i] = (struct seen){ .change = *c };
    h->seen[i].change.key = copy(c->key);
    h->seen[i].change.value = copy(c->value);
    h->seen[i].change.previous_value = copy(c->previous_value);
    h->seen[i].change.cookie = NULL;
}

const char *history_wrong(struct history *h, const char *format, ...)
{
    va_list args;
    char text[512];

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (!h->wrong)
        h->wrong = xstrdup(text);
    return h->wrong;
}

const char *history_event(struct history_watch *w, const struct store_change *c)
{
    struct history *h = w->history;
    struct span *s = &w->spans[w->spans_count - 1];
    const struct seen *before = history_at(h, c->revision);

    if (c->revision <= s->to && (s->count || c->revision <= s->from))
        return history_wrong(h, "%s: was told of revision %llu after %llu", w->name, (unsigned long long)c->revision,
                             (unsigned long long)s->to);
    if (before && !same(&before->change, c))
        return history_wrong(h, "%s: revision %llu is %.*s=%.*s here, and was %.*s=%.*s elsewhere", w->name,
                             (unsigned long long)c->revision, STR_ARG(c->key), STR_ARG(c->value),
                             STR_ARG(before->change.key), STR_ARG(before->change.value));
    if (!before)
        add_seen(h, c);
    GROW(s->revisions, s->count, s->capacity);
    s->revisions[s->count++] = c->revision;
    s->to = c->revision;
    h->known = MAX(h->known, c->revision);
    return NULL;
}

void history_progress(struct history_watch *w, uint64_t revision)
{
    struct span *s = &w->spans[w->spans_count - 1];

    s->to = MAX(s->to, revision);
}

void history_relisted(struct history_watch *w, uint64_t revision)
{
    struct span *s = &w->spans[w->spans_count - 1];

    if (revision < s->to)
        history_wrong(w->history, "%s: went back from revision %llu to %llu", w->name, (unsigned long long)s->to,
                      (unsigned long long)revision);
    span_new(w, revision);
}

/* --- lists -------------------------------------------------------------------------------------------------------------------- */

struct history_list *history_list(struct history *h, const char *client, struct str prefix)
{
    struct history_list *l = xnew(struct history_list);

    l->history = h;
    l->client = xstrdup(client);
    l->prefix = str_dup(prefix);
    l->begin = ++h->clock;
    l->known_at_begin = h->known;
    list_add_tail(&h->lists, &l->link);
    return l;
}

void history_list_entry(struct history_list *l, struct str key, struct str value, uint64_t revision)
{
    GROW(l->entries, l->entries_count, l->entries_capacity);
    l->entries[l->entries_count++] =
        (struct listed){ .key = str_dup(key), .value = str_dup(value), .value_n = value.n, .revision = revision };
}

void history_list_done(struct history_list *l, uint64_t revision)
{
    l->done = true;
    l->revision = revision;
    l->history->known = MAX(l->history->known, revision);
}

size_t history_acknowledged(const struct history *h)
{
    return h->acknowledged;
}

size_t history_events(const struct history *h)
{
    return h->seen_count;
}
