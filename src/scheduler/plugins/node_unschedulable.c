/* NodeUnschedulable: cordoned nodes take only pods that tolerate it. */
#include "kinds/fields.h"
#include "scheduler/framework.h"
#include "scheduler/tolerate.h"

static const char *filter(struct cycle *c, const struct node_info *n)
{
    if (!view_bool_at(object_root(n->object), false, F_NODE_SPEC, F_NODE_SPEC_UNSCHEDULABLE) ||
        tolerates_taint(c->pod, STR("node.kubernetes.io/unschedulable"), STR_NONE, STR("NoSchedule")))
        return NULL;
    return "node(s) were unschedulable";
}

const struct plugin plugin_node_unschedulable = { .name = "NodeUnschedulable", .filter = filter };
