/* NodePorts: host ports are free on the node. */
#include "scheduler/framework.h"

static bool is_any(struct str ip)
{
    return !ip.n || str_is(ip, "0.0.0.0");
}

static bool clash(const struct host_port *a, const struct host_port *b)
{
    return a->port == b->port && str_eq(a->protocol, b->protocol) &&
           (is_any(a->ip) || is_any(b->ip) || str_eq(a->ip, b->ip));
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    if (!c->pod->host_ports_count)
        return NULL;
    for (size_t i = 0; i < n->pods_count; i++)
        for (int k = 0; k < n->pods[i]->host_ports_count; k++)
            for (int m = 0; m < c->pod->host_ports_count; m++)
                if (clash(&n->pods[i]->host_ports[k], &c->pod->host_ports[m]))
                    return "node(s) didn't have free ports for the requested pod ports";
    return NULL;
}

const struct plugin plugin_node_ports = { .name = "NodePorts", .filter = filter };
