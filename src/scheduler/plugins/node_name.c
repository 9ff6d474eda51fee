/* NodeName: a pod that names its node runs there or nowhere. */
#include "kinds/fields.h"
#include "scheduler/framework.h"

static const char *filter(struct cycle *c, const struct node_info *n)
{
    struct str wanted = view_str_at(object_root(c->pod->object), F_POD_SPEC, F_POD_SPEC_NODE_NAME);

    return wanted.n && !str_is(wanted, n->name) ? "node(s) didn't match the requested node name" : NULL;
}

const struct plugin plugin_node_name = { .name = "NodeName", .filter = filter };
