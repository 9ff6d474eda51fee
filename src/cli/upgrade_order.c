/* In which order the machines of a cluster are moved. */
#include "cli/upgrade.h"

size_t upgrade_order(const struct cluster_record *c, struct remote *r, struct upgrade_unit units[UPGRADE_UNITS_MAX])
{
    size_t n = 0;

    (void)r;
    units[n++] = (struct upgrade_unit){ .machine = &c->edge, .has_server = true, .node = "gateway" };
    for (int i = 0; i < c->nodes_count; i++)
        units[n++] = (struct upgrade_unit){ .machine = &c->nodes[i], .node = c->nodes[i].name, .pods = true };
    return n;
}
