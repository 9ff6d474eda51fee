/* Silence, confirmation, fence: the verdict about each node. */
#include "server/nodes_judge.h"

#include "base/map.h"

#include <stdlib.h>

/* Positions in the array, so that every name is looked up once. */
struct court {
    struct judge_node *nodes;
    size_t count, servers_count;
    struct map by_name; /* -> position + 1 */
    int64_t now_ms, floor_ms;
    size_t *heard_by, *denied_by; /* per node: who hears it, who does not */
    size_t *mark;
    bool anyone_speaks;
};

static struct judge_node *find(const struct court *c, struct str name)
{
    size_t position = (size_t)(uintptr_t)map_get(&c->by_name, name);
    return position ? &c->nodes[position - 1] : NULL;
}

static bool speaks(const struct judge_node *n)
{
    return n->has_report && n->speaks && !n->silent;
}

int64_t judge_kth_latest(int64_t *times, size_t n, size_t k)
{
    if (k == 0 || k > n)
        return INT64_MIN;
    for (size_t i = 0; i < k; i++) {
        size_t latest = i;
        for (size_t j = i + 1; j < n; j++)
            if (times[j] > times[latest])
                latest = j;
        int64_t t = times[i];
        times[i] = times[latest];
        times[latest] = t;
    }
    return times[k - 1];
}

/* --- who hears whom ---------------------------------------------------------------------------------------------------------- */

static void count_witnesses(struct court *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct judge_node *n = &c->nodes[i];
        if (!speaks(n))
            continue;
        c->anyone_speaks = true;
        for (size_t k = 0; k < n->unheard_count; k++) {
            const struct judge_node *other = find(c, n->unheard[k].name);
            if (!other || other == n || c->mark[other - c->nodes] == i + 1)
                continue;
            c->denied_by[other - c->nodes]++;
            c->mark[other - c->nodes] = i + 1;
        }
        for (size_t k = 0; k < n->peers_count; k++) {
            const struct judge_node *other = find(c, n->peers[k]);
            if (other && other != n && c->mark[other - c->nodes] != i + 1)
                c->heard_by[other - c->nodes]++;
        }
    }
}

/* --- contact ------------------------------------------------------------------------------------------------------------------- */

static int64_t unheard_since(const struct court *c, const struct judge_node *witness, struct str name)
{
    if (!witness || !speaks(witness))
        return c->now_ms;
    for (size_t k = 0; k < witness->unheard_count; k++)
        if (str_eq(witness->unheard[k].name, name))
            return MIN(witness->unheard[k].heard_ms, c->now_ms);
    return c->now_ms;
}

static int64_t contact_by_peers(const struct court *c, const struct judge_node *n)
{
    int64_t *times = xcalloc(n->peers_count + 1, sizeof(*times)), contact;

    for (size_t i = 0; i < n->peers_count; i++)
        times[i] = unheard_since(c, find(c, n->peers[i]), n->name);
    contact = judge_kth_latest(times, n->peers_count, judge_peers_needed(n->peers_count));
    free(times);
    return contact;
}

/* Which servers its list names is not known, only how many: the worst of them, and those that nobody follows may be among them. */
static int64_t contact_by_servers(const struct court *c, const struct judge_node *n)
{
    size_t listed = MAX(n->servers_count, (size_t)1), words = n->server_words_count;
    size_t all = MAX(listed, c->servers_count), unknown = all > words ? MIN(all - words, listed) : 0;
    int64_t *times = xcalloc(words + unknown + 1, sizeof(*times)), contact;

    for (size_t i = 0; i < words + unknown; i++)
        times[i] = i < words ? MIN(n->server_words[i], c->now_ms) : c->now_ms;
    contact = judge_kth_latest(times, words + unknown, judge_servers_needed(listed));
    free(times);
    return contact;
}

/* --- the verdict ------------------------------------------------------------------------------------------------------------------ */

static void judge(struct court *c, struct judge_node *n)
{
    size_t at = (size_t)(n - c->nodes);

    n->confirmed = n->fenced = false;
    n->contact_ms = c->now_ms;
    if (!n->silent || c->heard_by[at])
        return;
    /* When nobody can speak (one node; agents that know no peers) the servers' word is enough. */
    n->confirmed = c->denied_by[at] || !c->anyone_speaks;
    if (!n->confirmed)
        return;
    /* Without a guard nobody stops its pods; without peers it keeps them, for nobody else could run them when it said so. */
    if (!n->has_guard || !n->peers_count)
        return;
    n->contact_ms = MAX(contact_by_peers(c, n), contact_by_servers(c, n));
    n->contact_ms = MAX(n->contact_ms, c->floor_ms);
    n->fenced = c->now_ms - n->contact_ms >= JUDGE_FENCE_MS;
}

void judge_nodes(struct judge_node *nodes, size_t count, size_t servers_count, int64_t now_ms, int64_t floor_ms)
{
    struct court c = { .nodes = nodes,
                       .count = count,
                       .servers_count = MAX(servers_count, (size_t)1),
                       .now_ms = now_ms,
                       .floor_ms = floor_ms,
                       .heard_by = xcalloc(count + 1, sizeof(size_t)),
                       .denied_by = xcalloc(count + 1, sizeof(size_t)),
                       .mark = xcalloc(count + 1, sizeof(size_t)) };

    for (size_t i = 0; i < count; i++)
        map_put(&c.by_name, nodes[i].name, (void *)(uintptr_t)(i + 1));
    count_witnesses(&c);
    for (size_t i = 0; i < count; i++)
        judge(&c, &nodes[i]);
    map_done(&c.by_name);
    free(c.heard_by);
    free(c.denied_by);
    free(c.mark);
}
