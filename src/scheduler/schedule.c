/* One decision: filters, scores, and the sentence that says why nothing fits. */
#include "scheduler/framework.h"

#include <stdlib.h>

#define PLUGIN(id) extern const struct plugin plugin_##id;
#include "scheduler/plugins.def"
#undef PLUGIN

const struct plugin *const plugins[] = {
#define PLUGIN(id) &plugin_##id,
#include "scheduler/plugins.def"
#undef PLUGIN
    NULL,
};
static_assert(ARRAY_SIZE(plugins) <= PLUGINS_MAX, "cycle.state has room for every plugin");

void normalize_by_max(int64_t *scores, size_t count, bool reverse)
{
    int64_t most = 0;

    for (size_t i = 0; i < count; i++)
        most = MAX(most, scores[i]);
    for (size_t i = 0; i < count; i++) {
        scores[i] = most ? scores[i] * SCORE_MAX / most : 0;
        if (reverse)
            scores[i] = SCORE_MAX - scores[i];
    }
}

/* --- why not ---------------------------------------------------------------------------------------------------------------------- */

struct reasons {
    struct map counts; /* reason -> how many nodes */
};

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void add_reasons(struct reasons *r, const char *lines)
{
    struct str rest = str_of(lines), line;

    while (str_next(&rest, '\n', &line))
        map_put(&r->counts, line, (void *)((uintptr_t)map_get(&r->counts, line) + 1));
}

static struct str write_reasons(struct reasons *r, size_t nodes, struct arena *arena)
{
    AUTO_BUF struct buf text = BUF_MAX(16 * KIB);
    struct str *lines = arena_alloc_array(arena, r->counts.count + 1, sizeof(*lines));
    size_t count = 0, i = 0;
    struct str reason;
    void *n;

    while (map_next(&r->counts, &i, &reason, &n))
        lines[count++] = arena_printf(arena, "%zu %.*s", (size_t)(uintptr_t)n, STR_ARG(reason));
    qsort(lines, count, sizeof(*lines), by_text);
    if (nodes == 0)
        return STR("no nodes available to schedule pods");
    buf_addf(&text, "0/%zu nodes are available: ", nodes);
    for (i = 0; i < count; i++)
        buf_addf(&text, "%s%.*s", i ? ", " : "", STR_ARG(lines[i]));
    buf_add_char(&text, '.');
    return arena_str(arena, buf_str(&text));
}

/* --- the decision ------------------------------------------------------------------------------------------------------------------- */

static int prefilter(struct cycle *c, struct error *err)
{
    for (c->plugin = 0; plugins[c->plugin]; c->plugin++)
        if (plugins[c->plugin]->prefilter && plugins[c->plugin]->prefilter(c, err) < 0)
            return -1;
    return 0;
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    for (c->plugin = 0; plugins[c->plugin]; c->plugin++) {
        const char *reason = plugins[c->plugin]->filter ? plugins[c->plugin]->filter(c, n) : NULL;
        if (reason)
            return reason;
    }
    return NULL;
}

static void score(struct cycle *c, const struct node_info **nodes, size_t count, int64_t *totals)
{
    int64_t *scores = arena_alloc_array(c->arena, count, sizeof(*scores));

    for (c->plugin = 0; plugins[c->plugin]; c->plugin++) {
        const struct plugin *p = plugins[c->plugin];
        if (!p->score || !p->weight)
            continue;
        for (size_t i = 0; i < count; i++)
            scores[i] = p->score(c, nodes[i]);
        if (p->normalize)
            p->normalize(c, scores, count);
        for (size_t i = 0; i < count; i++)
            totals[i] += scores[i] * p->weight;
    }
}

static const struct node_info *best(struct cycle *c, const struct node_info **nodes, size_t count, uint64_t random)
{
    int64_t *totals = arena_alloc_array(c->arena, count, sizeof(*totals)), most = INT64_MIN;
    size_t equal = 0, chosen;

    if (count == 1)
        return nodes[0];
    score(c, nodes, count, totals);
    for (size_t i = 0; i < count; i++)
        most = MAX(most, totals[i]);
    for (size_t i = 0; i < count; i++)
        equal += totals[i] == most;
    chosen = random % equal;
    for (size_t i = 0; i < count; i++)
        if (totals[i] == most && chosen-- == 0)
            return nodes[i];
    return NULL;
}

struct decision schedule(const struct scheduler_view *v, const struct pod_info *pod, uint64_t random,
                         struct arena *arena)
{
    struct cycle c = { .view = v, .pod = pod, .arena = arena };
    AUTO_ERROR struct error err = { 0 };
    struct reasons reasons = { 0 };
    const struct node_info **fit = arena_alloc_array(arena, v->nodes_count + 1, sizeof(*fit));
    struct decision d = { 0 };
    size_t count = 0;

    if (prefilter(&c, &err) < 0) {
        d.message = arena_printf(arena, "0/%zu nodes are available: %s.", v->nodes_count, error_text(&err));
    } else {
        for (size_t i = 0; i < v->nodes_count; i++) {
            const char *reason = filter(&c, v->nodes[i]);
            if (reason)
                add_reasons(&reasons, reason);
            else
                fit[count++] = v->nodes[i];
        }
        if (count)
            d.node = best(&c, fit, count, random);
        else
            d.message = write_reasons(&reasons, v->nodes_count, arena);
    }
    for (c.plugin = 0; plugins[c.plugin]; c.plugin++)
        if (plugins[c.plugin]->done)
            plugins[c.plugin]->done(&c);
    map_done(&reasons.counts);
    return d;
}
