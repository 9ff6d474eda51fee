/* Facts about the agents' connections, as servers tell them. */
#include "client/facts.h"

#include <stdlib.h>

void facts_init(struct facts *f)
{
    *f = (struct facts){ 0 };
}

void facts_done(struct facts *f)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(&f->nodes, &i, &key, &value))
        free(value);
    map_done(&f->nodes);
}

const struct fact_node *facts_node(const struct facts *f, struct str name)
{
    return map_get(&f->nodes, name);
}

static void changed(struct facts *f, struct str node)
{
    if (f->changed)
        f->changed(f->changed_arg, node);
}

void facts_set_node(struct facts *f, struct str name, const struct fact_node *node)
{
    struct fact_node *known = map_get(&f->nodes, name);

    if (!known) {
        known = xnew(struct fact_node);
        map_put(&f->nodes, name, known);
    }
    *known = *node;
    changed(f, name);
}

void facts_set_settled(struct facts *f, bool settled, int64_t now_ms)
{
    if (settled && !f->settled)
        f->settled_since_ms = now_ms;
    f->settled = settled;
    changed(f, STR_NONE);
}

int64_t facts_silent_ms(const struct facts *f, struct str name)
{
    const struct fact_node *node = facts_node(f, name);

    if (!f->settled)
        return 0;
    if (!node)
        return MAX(f->now_ms - f->settled_since_ms, 1);
    /* Not connected alone is not silent: an agent that restarts is back before the server calls it so. */
    return node->silent ? MAX(f->now_ms - node->last_seen_ms, 1) : 0;
}

bool facts_confirmed(const struct facts *f, struct str name)
{
    const struct fact_node *node = facts_node(f, name);

    return f->settled && node && node->silent && node->confirmed;
}

bool facts_fenced(const struct facts *f, struct str name)
{
    return facts_confirmed(f, name) && facts_node(f, name)->fenced;
}
