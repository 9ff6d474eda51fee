/* A local cluster as chaos sees it. */
#include "cli/chaos.h"

#include "chaos/chaos.h"
#include "cli/remote.h"

#include <stdio.h>
#include <stdlib.h>

#define CALL_LIMIT_MS 3000

static struct seen_machine *add(struct seen *s, enum machine_kind kind, const struct machine *m, const char *data)
{
    struct seen_machine *to = &s->machines[s->machines_count++];
    bool alive = machine_is_alive(m);

    *to = (struct seen_machine){ .kind = kind, .init = alive ? m->pid : 0, .start_time = alive ? m->start_time : 0 };
    snprintf(to->name, sizeof(to->name), "%s", m->name);
    snprintf(to->zone, sizeof(to->zone), "%s", m->zone);
    snprintf(to->address, sizeof(to->address), "%s", m->address);
    if (kind != MACHINE_EDGE)
        snprintf(to->link, sizeof(to->link), "%.15s", m->name);
    snprintf(to->data, sizeof(to->data), "%s", data);
    return to;
}

/* Who leads, as any server that answers tells; nobody when none does. */
static void see_leaders(const struct cluster_record *c, struct seen *s)
{
    AUTO_OBJECT struct object *answer = NULL;
    struct remote remote = { 0 };
    struct view_iter it = { 0 };

    if (remote_open_cluster(&remote, c, NULL) == 0)
        remote_call(&remote, "GET", "/klein/v1/servers", STR_NONE, CALL_LIMIT_MS, &answer, NULL);
    remote_close(&remote);
    while (view_next(view_get_str(object_root(answer), STR("items")), &it))
        for (int i = 0; i < s->machines_count; i++)
            if (str_is(view_str(view_get_str(it.value, STR("name"))), s->machines[i].name)) {
                s->machines[i].leader = view_bool(view_get_str(it.value, STR("leader")), false);
                s->machines[i].store_leader = view_bool(view_get_str(it.value, STR("storeLeader")), false);
            }
}

struct seen *cluster_see(const struct cluster_record *c, struct error *err)
{
    struct seen *s = xnew(struct seen);
    AUTO_FREE char *server = cluster_data_path(c, "server");

    snprintf(s->name, sizeof(s->name), "%s", c->name);
    struct seen_machine *edge = add(s, MACHINE_EDGE, &c->edge, server);
    edge->leader = edge->store_leader = c->servers_count == 0; /* the one server there is */
    for (int i = 0; i < c->servers_count; i++) {
        AUTO_FREE char *folder = xasprintf("servers/%s", c->servers[i].name);
        AUTO_FREE char *data = cluster_data_path(c, folder);
        add(s, MACHINE_SERVER, &c->servers[i], data);
    }
    for (int i = 0; i < c->nodes_count; i++) {
        AUTO_FREE char *folder = xasprintf("nodes/%s", c->nodes[i].name);
        AUTO_FREE char *data = cluster_data_path(c, folder);
        add(s, MACHINE_NODE, &c->nodes[i], data);
    }
    if (c->servers_count)
        see_leaders(c, s);
    if (seen_read_processes(s, err) == 0)
        return s;
    free(s);
    return NULL;
}

int cluster_undo_orphans(const struct cluster_record *c, struct error *err)
{
    AUTO_FREE char *folder = cluster_run_path(c, "chaos");
    bool needs_up;
    int count;

    return chaos_undo_all(folder, true, &count, &needs_up, err);
}

int cluster_undo(const char *name, bool orphans_only, int *ret_count, struct error *err)
{
    struct cluster_record c = { 0 };
    bool needs_up = false;

    snprintf(c.name, sizeof(c.name), "%s", name);
    AUTO_FREE char *folder = cluster_run_path(&c, "chaos");
    if (chaos_undo_all(folder, orphans_only, ret_count, &needs_up, err) < 0)
        return -1;
    return needs_up ? cluster_repair(name, err) : 0;
}

char *cluster_pod_uid(const struct cluster_record *c, const char *pod, struct error *err)
{
    AUTO_OBJECT struct object *o = NULL;
    struct remote remote = { 0 };
    struct str name = str_of(pod), space;
    char *uid = NULL;

    if (!str_cut(&name, '/', &space)) {
        name = str_of(pod);
        space = STR("default");
    }
    AUTO_FREE char *target = xasprintf("/api/v1/namespaces/%.*s/pods/%.*s", STR_ARG(space), STR_ARG(name));
    if (remote_open_cluster(&remote, c, err) == 0 &&
        remote_call(&remote, "GET", target, STR_NONE, CALL_LIMIT_MS, &o, err) == 0)
        uid = str_dup(object_uid(o));
    remote_close(&remote);
    return uid;
}
