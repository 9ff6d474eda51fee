/* NodeResourcesBalancedAllocation: processor and memory are used up evenly. */
#include "scheduler/framework.h"

static int64_t percent(int64_t used, int64_t have)
{
    return have <= 0 ? SCORE_MAX : MIN(used * SCORE_MAX / have, SCORE_MAX);
}

static int64_t score(struct cycle *c, const struct node_info *n)
{
    int64_t cpu = percent(n->requested.milli_cpu + c->pod->requests.milli_cpu, n->allocatable.milli_cpu);
    int64_t memory = percent(n->requested.memory_bytes + c->pod->requests.memory_bytes, n->allocatable.memory_bytes);

    /* For two numbers the standard deviation is half their distance. */
    return SCORE_MAX - (cpu > memory ? cpu - memory : memory - cpu) / 2;
}

const struct plugin plugin_node_resources_balance = { .name = "NodeResourcesBalancedAllocation",
                                                      .weight = 1,
                                                      .score = score };
