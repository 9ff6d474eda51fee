/* NodeResourcesFit: what the pod requests is free; of the nodes that have room the emptier ones score more. */
#include "scheduler/framework.h"

/* Everything that is short is told, not only the first: who reads it wants to know all that must change. */
static const char *add(struct cycle *c, const char *so_far, bool lacks, const char *reason)
{
    if (!lacks)
        return so_far;
    return so_far ? arena_printf(c->arena, "%s\n%s", so_far, reason).p : reason;
}

static bool lacks(int64_t want, int64_t have, int64_t used)
{
    return want && want > have - used;
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    const struct resources *want = &c->pod->requests, *have = &n->allocatable, *used = &n->requested;
    const char *why = NULL;

    why = add(c, why, used->pods + 1 > have->pods, "Too many pods");
    why = add(c, why, lacks(want->milli_cpu, have->milli_cpu, used->milli_cpu), "Insufficient cpu");
    why = add(c, why, lacks(want->memory_bytes, have->memory_bytes, used->memory_bytes), "Insufficient memory");
    why = add(c, why, lacks(want->ephemeral_bytes, have->ephemeral_bytes, used->ephemeral_bytes),
              "Insufficient ephemeral-storage");
    for (int i = 0; i < want->extended_count; i++) {
        const char *name = want->extended[i].name;
        if (lacks(want->extended[i].amount, resources_extended(have, name), resources_extended(used, name)))
            why = add(c, why, true, arena_printf(c->arena, "Insufficient %s", name).p);
    }
    return why;
}

static int64_t free_share(int64_t have, int64_t used)
{
    return have <= 0 || used > have ? 0 : (have - used) * SCORE_MAX / have;
}

/* Source: leastResourceScorer. */
static int64_t score(struct cycle *c, const struct node_info *n)
{
    int64_t cpu = free_share(n->allocatable.milli_cpu, n->nonzero_milli_cpu + c->pod->nonzero_milli_cpu);
    int64_t memory = free_share(n->allocatable.memory_bytes, n->nonzero_memory_bytes + c->pod->nonzero_memory_bytes);

    return (cpu + memory) / 2;
}

const struct plugin plugin_node_resources_fit = {
    .name = "NodeResourcesFit", .weight = 1, .filter = filter, .score = score
};
