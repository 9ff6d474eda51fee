/* In which order the machines of a cluster are moved. */
#include "cli/upgrade.h"

#include <stdio.h>

#define CALL_LIMIT_MS 2000

/* The name of the server whose plans count now; "" when nobody says. */
static void find_leader(struct remote *r, char ret[64])
{
    AUTO_OBJECT struct object *list = NULL;
    struct view_iter it = { 0 };

    ret[0] = '\0';
    if (remote_call(r, "GET", "/klein/v1/servers", STR_NONE, CALL_LIMIT_MS, &list, NULL) < 0)
        return;
    while (view_next(view_get_str(object_root(list), STR("items")), &it))
        if (view_bool(view_get_str(it.value, STR("leader")), false))
            snprintf(ret, 64, "%.*s", STR_ARG(view_str(view_get_str(it.value, STR("name")))));
}

static struct upgrade_unit server_unit(const struct machine *m)
{
    return (struct upgrade_unit){ .machine = m, .has_server = true, .server = m->name };
}

size_t upgrade_order(const struct cluster_record *c, struct remote *r, struct upgrade_unit units[UPGRADE_UNITS_MAX])
{
    char leader[64];
    size_t n = 0;

    find_leader(r, leader);
    for (int i = 0; i < c->servers_count; i++)
        if (!str_is(str_of(c->servers[i].name), leader))
            units[n++] = server_unit(&c->servers[i]);
    for (int i = 0; i < c->servers_count; i++)
        if (str_is(str_of(c->servers[i].name), leader))
            units[n++] = server_unit(&c->servers[i]);
    units[n++] =
        (struct upgrade_unit){ .machine = &c->edge, .has_server = cluster_server_pid(c, NULL) > 0, .node = "gateway" };
    for (int i = 0; i < c->nodes_count; i++)
        units[n++] = (struct upgrade_unit){ .machine = &c->nodes[i], .node = c->nodes[i].name, .pods = true };
    return n;
}
