/* The cluster as the scheduler sees it, kept current object by object. */
#include "kinds/fields.h"
#include "scheduler/resources.h"

#include <stdlib.h>

#define DEFAULT_MILLI_CPU 100
#define DEFAULT_MEMORY_BYTES                                                                                           \
    (200 * 1024 * 1024) /* for scores only, as upstream: pods that ask for nothing still weigh something */

/* --- pods --------------------------------------------------------------------------------------------------------------------------- */

static void read_host_ports(struct pod_info *p, struct view containers, bool host_network)
{
    struct view_iter container = { 0 };

    while (view_next(containers, &container)) {
        struct view_iter it = { 0 };
        while (view_next(view_get(container.value, F_CONTAINER_PORTS), &it)) {
            struct str protocol = view_str_at(it.value, F_CONTAINER_PORT_PROTOCOL);
            int64_t port = view_int_at(it.value, 0, F_CONTAINER_PORT_HOST_PORT);
            if (!port && host_network)
                port = view_int_at(it.value, 0, F_CONTAINER_PORT_CONTAINER_PORT);
            if (port && p->host_ports_count < HOST_PORTS_MAX)
                p->host_ports[p->host_ports_count++] = (struct host_port){
                    .protocol = protocol.n ? protocol : STR("TCP"),
                    .ip = view_str_at(it.value, F_CONTAINER_PORT_HOST_IP),
                    .port = port,
                };
        }
    }
}

static struct str controller_uid(struct view root)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(root, F_POD_METADATA, F_OBJECT_META_OWNER_REFERENCES), &it))
        if (view_bool_at(it.value, false, F_OWNER_REFERENCE_CONTROLLER))
            return view_str_at(it.value, F_OWNER_REFERENCE_UID);
    return STR_NONE;
}

struct pod_info *pod_info_new(const struct object *pod)
{
    struct view root = object_root(pod), spec = view_get(root, F_POD_SPEC);
    struct pod_info *p = xnew(struct pod_info);
    struct view_iter it = { 0 };

    p->object = object_ref(pod);
    p->requests = resources_of_pod(spec);
    p->priority = view_int_at(spec, 0, F_POD_SPEC_PRIORITY);
    p->group = controller_uid(root);
    p->repels = view_count(view_path(spec, F_POD_SPEC_AFFINITY, F_AFFINITY_POD_ANTI_AFFINITY,
                                     F_POD_ANTI_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION)) > 0;
    while (view_next(view_get(spec, F_POD_SPEC_CONTAINERS), &it)) {
        struct resources r =
            resources_of_list(view_path(it.value, F_CONTAINER_RESOURCES, F_RESOURCE_REQUIREMENTS_REQUESTS));
        p->nonzero_milli_cpu += r.milli_cpu ? r.milli_cpu : DEFAULT_MILLI_CPU;
        p->nonzero_memory_bytes += r.memory_bytes ? r.memory_bytes : DEFAULT_MEMORY_BYTES;
    }
    read_host_ports(p, view_get(spec, F_POD_SPEC_CONTAINERS), view_bool_at(spec, false, F_POD_SPEC_HOST_NETWORK));
    return p;
}

void pod_info_free(struct pod_info *p)
{
    if (!p)
        return;
    object_unref(p->object);
    free(p);
}

/* --- nodes -------------------------------------------------------------------------------------------------------------------------- */

static struct node_info *node_of(struct scheduler_view *v, struct str name)
{
    struct node_info *n = map_get(&v->by_name, name);

    if (!n) {
        n = xnew(struct node_info);
        n->name = str_dup(name);
        map_put(&v->by_name, name, n);
    }
    return n;
}

static void node_free(struct node_info *n)
{
    object_unref(n->object);
    free(n->pods);
    free(n->name);
    free(n);
}

static void drop_if_unused(struct scheduler_view *v, struct node_info *n)
{
    if (n->object || n->pods_count)
        return;
    map_del(&v->by_name, str_of(n->name));
    node_free(n);
}

void scheduler_view_set_node(struct scheduler_view *v, const struct object *node)
{
    struct node_info *n = node_of(v, object_name(node));
    struct view root = object_root(node);

    if (!n->object) {
        GROW(v->nodes, v->nodes_count, v->nodes_capacity);
        n->place = v->nodes_count;
        v->nodes[v->nodes_count++] = n;
    }
    object_ref(node);
    object_unref(n->object);
    n->object = node;
    n->allocatable = resources_of_list(view_path(root, F_NODE_STATUS, F_NODE_STATUS_ALLOCATABLE));
    n->zone = view_str(
        view_get_str(view_path(root, F_POD_METADATA, F_OBJECT_META_LABELS), STR("topology.kubernetes.io/zone")));
}

void scheduler_view_remove_node(struct scheduler_view *v, struct str name)
{
    struct node_info *n = map_get(&v->by_name, name);

    if (!n || !n->object)
        return;
    v->nodes[n->place] = v->nodes[--v->nodes_count];
    v->nodes[n->place]->place = n->place;
    object_unref(n->object);
    n->object = NULL;
    n->zone = STR_NONE;
    drop_if_unused(v, n);
}

/* --- pods on nodes -------------------------------------------------------------------------------------------------------------------- */

static void take_off(struct scheduler_view *v, struct pod_info *p)
{
    struct node_info *n = p->node;

    for (size_t i = 0; i < n->pods_count; i++)
        if (n->pods[i] == p) {
            n->pods[i] = n->pods[--n->pods_count];
            break;
        }
    resources_sub(&n->requested, &p->requests);
    n->repelling -= p->repels;
    n->nonzero_milli_cpu -= p->nonzero_milli_cpu;
    n->nonzero_memory_bytes -= p->nonzero_memory_bytes;
    p->node = NULL;
    drop_if_unused(v, n);
}

void scheduler_view_set_pod(struct scheduler_view *v, const struct object *pod, struct str node_name)
{
    struct pod_info *p = pod_info_new(pod);
    struct node_info *n = node_of(v, node_name);

    p->node = n;
    GROW(n->pods, n->pods_count, n->pods_capacity);
    n->pods[n->pods_count++] = p;
    resources_add(&n->requested, &p->requests);
    n->repelling += p->repels;
    n->nonzero_milli_cpu += p->nonzero_milli_cpu;
    n->nonzero_memory_bytes += p->nonzero_memory_bytes;
    struct pod_info *old = map_put(&v->pods, object_uid(pod), p);
    if (old)
        take_off(v, old);
    pod_info_free(old);
}

void scheduler_view_remove_pod(struct scheduler_view *v, struct str uid)
{
    struct pod_info *p = map_del(&v->pods, uid);

    if (p)
        take_off(v, p);
    pod_info_free(p);
}

void scheduler_view_done(struct scheduler_view *v)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(&v->pods, &i, &key, &value))
        pod_info_free(value);
    for (i = 0; map_next(&v->by_name, &i, &key, &value);)
        node_free(value);
    map_done(&v->pods);
    map_done(&v->by_name);
    free(v->nodes);
    *v = (struct scheduler_view){ 0 };
}
