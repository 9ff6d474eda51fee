/*
 * The judgement of a history. The changes seen, in the order of their revisions, are replayed key by key; everything else is
 * held against that.
 *
 * Cost: n log n in the number of changes and operations.
 */
#include "history_internal.h"

#include <stdlib.h>

struct version { /* a key between two changes */
    uint64_t from;
    const struct store_change *change; /* NULL: before the first */
};

struct line { /* all versions of one key */
    struct version *versions;
    size_t count, capacity;
};

struct judge {
    struct history *h;
    struct map lines;   /* key -> struct line */
    struct map authors; /* value -> struct history_op of a put */
};

static struct line *line_of(struct judge *j, struct str key)
{
    return map_get(&j->lines, key);
}

/* The key's state just after `revision`. */
static const struct store_change *state_at(struct judge *j, struct str key, uint64_t revision)
{
    const struct line *l = line_of(j, key);
    size_t low = 0, high = l ? l->count : 0;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (l->versions[middle].from <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    const struct store_change *c = low ? l->versions[low - 1].change : NULL;
    return c && c->type == STORE_PUT ? c : NULL;
}

/* --- the changes themselves ------------------------------------------------------------------------------------------------- */

static const char *check_change(struct judge *j, const struct store_change *c)
{
    struct line *l = line_of(j, c->key);
    const struct store_change *last = l && l->count ? l->versions[l->count - 1].change : NULL;
    const struct store_change *old = last && last->type == STORE_PUT ? last : NULL;
    unsigned long long at = c->revision;

    if (!l) {
        l = xnew(struct line);
        map_put(&j->lines, c->key, l);
    }
    /* Keys that were there before the record began have no first version. */
    if (last && c->previous_revision != HISTORY_PREVIOUS_UNKNOWN && c->previous_revision != (old ? old->revision : 0))
        return history_wrong(j->h, "revision %llu of %.*s follows %llu, but replaces %llu", at, STR_ARG(c->key),
                             (unsigned long long)(old ? old->revision : 0), (unsigned long long)c->previous_revision);
    if (c->type == STORE_DELETE && last && !old)
        return history_wrong(j->h, "revision %llu deletes %.*s, which was not there", at, STR_ARG(c->key));
    if (c->type == STORE_DELETE && old && !str_eq(c->value, old->value))
        return history_wrong(j->h, "revision %llu deletes %.*s with another value than it had", at, STR_ARG(c->key));
    if (old && c->previous_value.p && !str_eq(c->previous_value, old->value))
        return history_wrong(j->h, "revision %llu of %.*s tells another previous value", at, STR_ARG(c->key));
    GROW(l->versions, l->count, l->capacity);
    l->versions[l->count++] = (struct version){ c->revision, c };
    return NULL;
}

static const char *check_author(struct judge *j, const struct store_change *c)
{
    struct history_op *op = c->type == STORE_PUT ? map_get(&j->authors, c->value) : NULL;
    unsigned long long at = c->revision;

    if (c->type == STORE_DELETE || !op)
        return NULL; /* written before the record began, or by somebody who keeps none */
    if (!str_eq(op->write.key, c->key))
        return history_wrong(j->h, "revision %llu has the value of %.*s under the key %.*s", at, STR_ARG(op->write.key),
                             STR_ARG(c->key));
    if (++op->times > 1)
        return history_wrong(j->h, "%s: its write of %.*s happened twice, again at %llu", op->client, STR_ARG(c->key),
                             at);
    if (op->outcome == OUTCOME_FAILED)
        return history_wrong(j->h, "%s: its write of %.*s was told as failed (%s) and happened at %llu", op->client,
                             STR_ARG(c->key), error_reason(op->code), at);
    if (op->outcome == OUTCOME_DONE && op->revision != c->revision)
        return history_wrong(j->h, "%s: its write of %.*s was acknowledged at %llu and happened at %llu", op->client,
                             STR_ARG(c->key), (unsigned long long)op->revision, at);
    if (c->revision <= op->known_at_begin)
        return history_wrong(j->h, "%s: its write of %.*s happened at %llu, though %llu was known before it began",
                             op->client, STR_ARG(c->key), at, (unsigned long long)op->known_at_begin);
    return NULL;
}

/* --- writes ------------------------------------------------------------------------------------------------------------------- */

/* Would the write go through on this state of its key? */
static bool holds(const struct store_write *w, const struct store_change *now)
{
    uint64_t have = now ? now->revision : 0;

    if (w->expect == STORE_EXPECT_ABSENT)
        return !have;
    if (!have)
        return w->type == STORE_PUT && w->expect == STORE_EXPECT_ANY;
    if (w->expect == STORE_EXPECT_VALUE)
        return str_eq(w->expect_value, now->value);
    return w->expect == STORE_EXPECT_ANY || w->expect == have;
}

static const char *check_done(struct judge *j, const struct history_op *op)
{
    const struct seen *s = history_at(j->h, op->revision);
    const struct store_write *w = &op->write;
    unsigned long long at = op->revision;

    if (op->revision <= op->known_at_begin)
        return history_wrong(j->h, "%s: its write of %.*s was acknowledged at %llu, though %llu was known before it",
                             op->client, STR_ARG(w->key), at, (unsigned long long)op->known_at_begin);
    if (!s)
        return history_wrong(j->h, "%s: its acknowledged write of %.*s at %llu was told to nobody: lost", op->client,
                             STR_ARG(w->key), at);
    if (!str_eq(s->change.key, w->key) || s->change.type != w->type ||
        (w->type == STORE_PUT && !str_eq(s->change.value, w->value)))
        return history_wrong(j->h, "%s: its write of %.*s was acknowledged at %llu, which is another change",
                             op->client, STR_ARG(w->key), at);
    if (s->change.previous_revision == 0 || state_at(j, w->key, op->revision - 1)) {
        if (!holds(w, state_at(j, w->key, op->revision - 1)))
            return history_wrong(j->h, "%s: its write of %.*s at %llu went through against its condition", op->client,
                                 STR_ARG(w->key), at);
    }
    const struct store_change *guard = w->guard_key.n ? state_at(j, w->guard_key, op->revision - 1) : NULL;
    if (guard && guard->revision != w->guard_revision)
        return history_wrong(j->h, "%s: its write of %.*s at %llu went through after its term was over", op->client,
                             STR_ARG(w->key), at);
    return NULL;
}

/* A refusal must have been true at some moment between its start and its end. */
static const char *check_refused(struct judge *j, const struct history_op *op)
{
    const struct line *l = line_of(j, op->write.key);

    if (op->write.guard_key.n ||
        (op->code != ERR_CONFLICT && op->code != ERR_NOT_FOUND && op->code != ERR_ALREADY_EXISTS))
        return NULL;
    if (!holds(&op->write, state_at(j, op->write.key, op->known_at_begin)))
        return NULL;
    for (size_t i = 0; l && i < l->count; i++) {
        const struct store_change *c = l->versions[i].change;
        if (c->revision > op->known_at_begin && !holds(&op->write, c->type == STORE_PUT ? c : NULL))
            return NULL;
    }
    return history_wrong(j->h, "%s: its write of %.*s was refused (%s) for a reason that never was", op->client,
                         STR_ARG(op->write.key), error_reason(op->code));
}

/* --- reads -------------------------------------------------------------------------------------------------------------------- */

static bool shows(const struct history_op *op, const struct store_change *c)
{
    return op->present ? c && str_eq(c->value, op->write.value) : !c;
}

static const char *check_read(struct judge *j, const struct history_op *op)
{
    const struct line *l = line_of(j, op->write.key);

    if (op->revision && op->revision < op->known_at_begin)
        return history_wrong(j->h, "%s: read %.*s at %llu, though %llu was known before it began: stale", op->client,
                             STR_ARG(op->write.key), (unsigned long long)op->revision,
                             (unsigned long long)op->known_at_begin);
    if (op->revision)
        return shows(op, state_at(j, op->write.key, op->revision))
                   ? NULL
                   : history_wrong(j->h, "%s: read %.*s at %llu as '%.*s', which it was not", op->client,
                                   STR_ARG(op->write.key), (unsigned long long)op->revision, STR_ARG(op->write.value));
    if (shows(op, state_at(j, op->write.key, op->known_at_begin)))
        return NULL;
    for (size_t i = 0; l && i < l->count; i++) {
        const struct store_change *c = l->versions[i].change;
        if (c->revision > op->known_at_begin && shows(op, c->type == STORE_PUT ? c : NULL))
            return NULL;
    }
    return history_wrong(j->h, "%s: read %.*s as '%.*s', which was never true after it began", op->client,
                         STR_ARG(op->write.key), STR_ARG(op->write.value));
}

static const char *check_op(struct judge *j, const struct history_op *op)
{
    if (op->outcome == OUTCOME_UNKNOWN || op->outcome == OUTCOME_ABANDONED)
        return NULL;
    if (op->type == OP_WRITE)
        return op->outcome == OUTCOME_DONE ? check_done(j, op) : check_refused(j, op);
    if (op->type == OP_READ)
        return check_read(j, op);
    if (op->revision < op->known_at_begin)
        return history_wrong(j->h, "%s: a barrier was passed at %llu, though %llu was known before it began",
                             op->client, (unsigned long long)op->revision, (unsigned long long)op->known_at_begin);
    return NULL;
}

static const char *check_list(struct judge *j, const struct history_list *l)
{
    AUTO_MAP struct map listed = { 0 };
    size_t i = 0;
    struct str key;

    if (!l->done)
        return NULL;
    if (l->revision < l->known_at_begin)
        return history_wrong(j->h, "%s: listed '%s' at %llu, though %llu was known before: stale", l->client, l->prefix,
                             (unsigned long long)l->revision, (unsigned long long)l->known_at_begin);
    for (size_t k = 0; k < l->entries_count; k++) {
        struct listed *e = &l->entries[k];
        const struct store_change *c = state_at(j, str_of(e->key), l->revision);
        map_put(&listed, str_of(e->key), e);
        if (line_of(j, str_of(e->key)) &&
            (!c || c->revision != e->revision || !str_eq(c->value, (struct str){ e->value, e->value_n })))
            return history_wrong(j->h, "%s: listed %s@%llu at %llu, where it is @%llu", l->client, e->key,
                                 (unsigned long long)e->revision, (unsigned long long)l->revision,
                                 (unsigned long long)(c ? c->revision : 0));
    }
    while (map_next(&j->lines, &i, &key, NULL))
        if (str_starts(key, str_of(l->prefix)) && state_at(j, key, l->revision) && !map_has(&listed, key))
            return history_wrong(j->h, "%s: listed '%s' at %llu without %.*s", l->client, l->prefix,
                                 (unsigned long long)l->revision, STR_ARG(key));
    return NULL;
}

/* --- watches -------------------------------------------------------------------------------------------------------------------- */

static const char *check_span(struct judge *j, const struct history_watch *w, const struct span *s)
{
    size_t told = 0;

    for (size_t i = 0; i < j->h->seen_count; i++) {
        const struct store_change *c = &j->h->seen[i].change;
        if (c->revision <= s->from || c->revision > s->to || !str_starts(c->key, str_of(w->prefix)))
            continue;
        if (told == s->count || s->revisions[told] != c->revision)
            return history_wrong(j->h,
                                 "%s since %llu: was not told of revision %llu (%s %.*s), though of all up to %llu",
                                 w->name, (unsigned long long)s->from, (unsigned long long)c->revision,
                                 c->type == STORE_PUT ? "put" : "delete", STR_ARG(c->key), (unsigned long long)s->to);
        told++;
    }
    return NULL;
}

static const char *judge(struct judge *j)
{
    struct history *h = j->h;
    const char *wrong = h->wrong;

    list_each (&h->ops, struct history_op, link, op) {
        op->times = 0;
        if (op->type == OP_WRITE && op->write.type == STORE_PUT)
            map_put(&j->authors, op->write.value, op);
    }
    for (size_t i = 0; i < h->seen_count && !wrong; i++) {
        wrong = check_change(j, &h->seen[i].change);
        if (!wrong)
            wrong = check_author(j, &h->seen[i].change);
    }
    list_each (&h->ops, struct history_op, link, op)
        wrong = wrong ? wrong : check_op(j, op);
    list_each (&h->lists, struct history_list, link, l)
        wrong = wrong ? wrong : check_list(j, l);
    list_each (&h->watches, struct history_watch, link, w)
        for (size_t i = 0; i < w->spans_count && !wrong; i++)
            wrong = check_span(j, w, &w->spans[i]);
    return wrong;
}

const char *history_check(struct history *h, struct arena *arena)
{
    struct judge j = { .h = h };
    const char *wrong = judge(&j);
    void *line;

    for (size_t i = 0; map_next(&j.lines, &i, NULL, &line);) {
        free(((struct line *)line)->versions);
        free(line);
    }
    map_done(&j.lines);
    map_done(&j.authors);
    return wrong ? arena_strdup(arena, str_of(wrong)) : NULL;
}
