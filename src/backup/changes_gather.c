/* Reading change logs: which revisions they cover together, and what every key was last. */
#include "backup/changes.h"

#include "base/time.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

struct span { /* what one block covers */
    uint64_t from, to;
    int64_t time_ms;
};

struct gathering {
    struct change_set *set;
    struct findings *findings;
    char **paths;
    size_t paths_count, paths_capacity;
    struct span *spans;
    size_t spans_count, spans_capacity;
    int64_t until_ms; /* second pass: changes seen later are left out */
    uint64_t limit;
    bool damaged;
};

void change_set_done(struct change_set *s)
{
    void *c;

    for (size_t i = 0; map_next(&s->by_key, &i, NULL, &c);) {
        free((void *)(uintptr_t)((struct changed *)c)->value.p);
        free(c);
    }
    map_done(&s->by_key);
    *s = (struct change_set){ 0 };
}

static int list_folder(struct gathering *g, const char *folder, struct error *err)
{
    DIR *d = opendir(folder);
    struct dirent *entry;

    while (d && (entry = readdir(d))) {
        if (!segment_name_is_valid(str_of(entry->d_name)) || !str_ends(str_of(entry->d_name), STR(".seg")))
            continue;
        if (g->paths_count == CHANGES_FILES) {
            closedir(d);
            return fail(err, ERR_TOO_LARGE, "there are more than %d files of the change log", CHANGES_FILES);
        }
        GROW(g->paths, g->paths_count, g->paths_capacity);
        g->paths[g->paths_count++] = xasprintf("%s/%s", folder, entry->d_name);
    }
    if (d)
        closedir(d);
    return 0;
}

/* --- what is covered ----------------------------------------------------------------------------------------------- */

static int add_span(void *arg, const struct block *b, struct error *err)
{
    struct gathering *g = arg;

    (void)err;
    GROW(g->spans, g->spans_count, g->spans_capacity);
    g->spans[g->spans_count++] = (struct span){ b->from, b->to, b->time_ms };
    g->set->highest = MAX(g->set->highest, b->to);
    return 0;
}

static int compare_spans(const void *x, const void *y)
{
    const struct span *a = x, *b = y;

    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->to != b->to ? (a->to < b->to ? -1 : 1) : (a->time_ms > b->time_ms) - (a->time_ms < b->time_ms);
}

/* Walk block by block as long as each begins where the ones before it end. */
static void follow_spans(struct gathering *g, int64_t from_ms)
{
    struct change_set *s = g->set;

    s->to = s->from;
    s->to_ms = from_ms;
    if (g->spans_count)
        qsort(g->spans, g->spans_count, sizeof(*g->spans), compare_spans);
    for (size_t i = 0; i < g->spans_count; i++) {
        const struct span *x = &g->spans[i];
        char time[TIME_TEXT_SIZE];
        if (x->from > s->to) {
            snprintf(s->why, sizeof(s->why),
                     "the change log has a gap: it covers everything up to revision %llu (%s) and goes on only after "
                     "revision %llu",
                     (unsigned long long)s->to, time_format(s->to_ms, time), (unsigned long long)x->from);
            return;
        }
        if (x->to < s->to)
            continue;
        s->to = x->to;
        s->to_ms = MAX(s->to_ms, x->time_ms);
    }
    char time[TIME_TEXT_SIZE];
    snprintf(s->why, sizeof(s->why), "the change log ends at revision %llu (%s)", (unsigned long long)s->to,
             time_format(s->to_ms, time));
}

/* --- the changes --------------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct gathering *g, const struct record *r)
{
    return r->revision > g->set->from && r->revision <= g->limit;
}

/* With a time as target: the last revision seen until then. Everything up to it is taken, whatever the clocks of several servers said. */
static int find_limit(void *arg, const struct record *r, struct error *err)
{
    struct gathering *g = arg;

    (void)err;
    if (r->time_ms <= g->until_ms && r->revision <= g->set->to)
        g->limit = MAX(g->limit, r->revision);
    return 0;
}

static int take_change(void *arg, const struct record *r, struct error *err)
{
    struct gathering *g = arg;

    if (r->type != RECORD_PUT && r->type != RECORD_DELETE)
        return fail(err, ERR_BAD_REQUEST, "it holds something else than changes");
    if (!is_wanted(g, r))
        return 0;
    struct changed *c = map_get(&g->set->by_key, r->key);
    if (c && c->revision >= r->revision)
        return 0;
    if (!c) {
        c = xnew(struct changed);
        map_put(&g->set->by_key, r->key, c);
    }
    free((void *)(uintptr_t)c->value.p);
    bool gone = r->type == RECORD_DELETE;
    *c = (struct changed){ .gone = gone, .revision = r->revision };
    if (!gone)
        c->value = (struct str){ str_dup(r->value), r->value.n };
    g->set->changes++;
    return 0;
}

/* A damaged file counts up to its damage: what is behind is not covered, so the walk ends there unless another log has it. */
static void read_all(struct gathering *g, const struct segment_reader *reader, bool tell)
{
    for (size_t i = 0; i < g->paths_count; i++) {
        AUTO_ERROR struct error err = { 0 };
        if (segment_read(g->paths[i], reader, &err) < 0 && tell)
            finding(g->findings, "change log: %s", error_text(&err));
    }
}

static void gather(struct gathering *g, int64_t from_ms, const struct changes_target *target)
{
    struct change_set *s = g->set;

    read_all(g, &(struct segment_reader){ .block = add_span, .arg = g, .torn_end = true }, true);
    follow_spans(g, from_ms);
    g->limit = s->to;
    s->reached = true;
    if (target->revision) {
        s->reached = s->to >= target->revision;
        g->limit = MIN(s->to, target->revision);
    } else if (target->time_ms) {
        s->reached = s->to_ms >= target->time_ms;
        g->until_ms = target->time_ms;
        g->limit = s->from;
        read_all(g, &(struct segment_reader){ .record = find_limit, .arg = g, .torn_end = true }, false);
    }
    if (!s->reached)
        return;
    read_all(g, &(struct segment_reader){ .record = take_change, .arg = g, .torn_end = true }, false);
    s->to = g->limit;
    if (target->time_ms)
        s->to_ms = MIN(s->to_ms, target->time_ms);
}

int changes_gather(const char *const *folders, size_t folders_count, uint64_t from, int64_t from_ms,
                   const struct changes_target *target, struct change_set *ret, struct findings *f, struct error *err)
{
    struct gathering g = { .set = ret, .findings = f };
    int result = 0;

    *ret = (struct change_set){ .from = from };
    for (size_t i = 0; i < folders_count && result == 0; i++)
        result = list_folder(&g, folders[i], err);
    if (result == 0)
        gather(&g, from_ms, target);
    for (size_t i = 0; i < g.paths_count; i++)
        free(g.paths[i]);
    free(g.paths);
    free(g.spans);
    return result;
}
