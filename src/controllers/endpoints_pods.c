/* The pods behind a Service. */
#include "controllers/endpoints.h"
#include "controllers/pod.h"
#include "kinds/fields.h"

#include <stdlib.h>

bool service_has_selector(const struct object *service)
{
    struct view spec = view_get(object_root(service), F_SERVICE_SPEC);

    return view_count(view_get(spec, F_SERVICE_SPEC_SELECTOR)) > 0 &&
           !str_is(view_str_at(spec, F_SERVICE_SPEC_TYPE), "ExternalName");
}

bool service_is_headless(const struct object *service)
{
    return str_is(view_str_at(object_root(service), F_SERVICE_SPEC, F_SERVICE_SPEC_CLUSTER_IP), "None");
}

bool service_selects(struct view service, struct view labels)
{
    struct view selector = view_path(service, F_SERVICE_SPEC, F_SERVICE_SPEC_SELECTOR);
    struct view_iter it = { 0 };

    if (view_count(selector) == 0)
        return false;
    while (view_next(selector, &it))
        if (!str_eq(view_str(view_get_str(labels, it.key)), view_str(it.value)))
            return false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct endpoint_pod *x = a, *y = b;

    return str_cmp(object_name(x->pod), object_name(y->pod));
}

struct endpoint_pods endpoint_pods_of(struct reconcile *r, const struct object *service)
{
    struct objects all = reconcile_by(r, &kind_pod, CACHE_BY_NAMESPACE, object_namespace(service));
    struct endpoint_pods found = { .items = arena_alloc_array(r->arena, all.count + 1, sizeof(struct endpoint_pod)) };
    bool publish =
        view_bool_at(object_root(service), false, F_SERVICE_SPEC, F_SERVICE_SPEC_PUBLISH_NOT_READY_ADDRESSES);

    for (size_t i = 0; i < all.count; i++) {
        const struct object *pod = all.items[i];
        struct view root = object_root(pod);
        struct str ip = view_str_at(root, F_POD_STATUS, F_POD_STATUS_POD_IP);
        struct endpoint_pod p = { .pod = pod, .ip = ip, .serving = publish || pod_is_ready(pod) };
        if (!ip.n || pod_is_finished(pod) ||
            !service_selects(object_root(service), view_path(root, F_POD_METADATA, F_OBJECT_META_LABELS)))
            continue;
        p.in_service = p.serving && (publish || !pod_is_terminating(pod)) && pod_is_heard(r, pod);
        found.items[found.count++] = p;
    }
    qsort(found.items, found.count, sizeof(*found.items), by_name);
    return found;
}

static int64_t named_port(struct view containers, struct str name, struct str protocol)
{
    struct view_iter container = { 0 };

    while (view_next(containers, &container)) {
        struct view_iter it = { 0 };
        while (view_next(view_get(container.value, F_CONTAINER_PORTS), &it)) {
            struct str its_protocol = view_str_at(it.value, F_CONTAINER_PORT_PROTOCOL);
            if (str_eq(view_str_at(it.value, F_CONTAINER_PORT_NAME), name) &&
                str_eq(its_protocol.n ? its_protocol : STR("TCP"), protocol.n ? protocol : STR("TCP")))
                return view_int_at(it.value, 0, F_CONTAINER_PORT_CONTAINER_PORT);
        }
    }
    return 0;
}

int64_t endpoint_target_port(struct view service_port, const struct object *pod)
{
    struct view target = view_get(service_port, F_SERVICE_PORT_TARGET_PORT);
    struct view spec = view_get(object_root(pod), F_POD_SPEC);
    struct str protocol = view_str_at(service_port, F_SERVICE_PORT_PROTOCOL);
    int64_t found;

    if (view_type(target) != VALUE_STRING) {
        int64_t number = view_int(target, 0);
        return number ? number : view_int_at(service_port, 0, F_SERVICE_PORT_PORT);
    }
    found = named_port(view_get(spec, F_POD_SPEC_CONTAINERS), view_str(target), protocol);
    return found ? found : named_port(view_get(spec, F_POD_SPEC_INIT_CONTAINERS), view_str(target), protocol);
}

void endpoint_services_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg)
{
    struct objects pods = cache_by(cluster_cache(cluster, &kind_pod), CACHE_BY_NODE, object_name(node));
    struct cache *services = cluster_cache(cluster, &kind_service);

    for (size_t i = 0; i < pods.count; i++) {
        struct view labels = view_path(object_root(pods.items[i]), F_POD_METADATA, F_OBJECT_META_LABELS);
        struct objects near = cache_by(services, CACHE_BY_NAMESPACE, object_namespace(pods.items[i]));
        for (size_t k = 0; k < near.count; k++)
            if (service_selects(object_root(near.items[k]), labels))
                emit(arg, object_namespace(near.items[k]), object_name(near.items[k]));
    }
}
