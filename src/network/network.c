/* The network of one node put together: watches, the round's changes, the pods' interfaces. */
#include "network/internal.h"

#include "base/file.h"
#include "kinds/fields.h"
#include "network/dns_server.h"
#include "network/firewall.h"
#include "network/pod_link.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdlib.h>

#define LOG_PART "network"
#include "base/log.h"

#define CHECK_EVERY_MS     1000
#define ROUTES_EVERY       10 /* checks */
#define SERVICE_NAME_LABEL "kubernetes.io/service-name"

/* --- changes of the cluster ----------------------------------------------------------------------------------------- */

static void want_apply(struct network *n)
{
    loop_defer(n->loop, &n->apply_task);
}

static void dirty_service(struct network *n, struct str namespace_, struct str name)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);

    buf_addf(&key, "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name));
    map_put(&n->dirty, buf_str(&key), n);
    want_apply(n);
}

static void on_service(void *arg, UNUSED struct cache *c, const struct object *old, const struct object *now)
{
    const struct object *o = now ? now : old;

    dirty_service(arg, object_namespace(o), object_name(o));
    knowledge_changed(((struct network *)arg)->knowledge);
}

static struct str slice_service(const struct object *slice)
{
    return view_str(view_get_str(view_path(object_root(slice), F_ENDPOINT_SLICE_METADATA, F_OBJECT_META_LABELS),
                                 STR(SERVICE_NAME_LABEL)));
}

/* service key -> its slices: EndpointSlices name their Service in a label. */
static void index_slice(struct network *n, const struct object *slice, bool add)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    struct slice_set *set;

    buf_addf(&key, "%.*s/%.*s", STR_ARG(object_namespace(slice)), STR_ARG(slice_service(slice)));
    set = map_get(&n->slices_of, buf_str(&key));
    if (!set && add)
        map_put(&n->slices_of, buf_str(&key), set = xnew(struct slice_set));
    if (!set)
        return;
    if (add) {
        GROW(set->items, set->count, set->capacity);
        set->items[set->count++] = object_ref(slice);
        return;
    }
    for (size_t i = 0; i < set->count; i++)
        if (str_eq(object_name(set->items[i]), object_name(slice))) {
            object_unref(set->items[i]);
            set->items[i] = set->items[--set->count];
            break;
        }
    if (set->count == 0) {
        free(set->items);
        free(map_del(&n->slices_of, buf_str(&key)));
    }
}

static void on_slice(void *arg, UNUSED struct cache *c, const struct object *old, const struct object *now)
{
    struct network *n = arg;

    if (old) {
        index_slice(n, old, false);
        dirty_service(n, object_namespace(old), slice_service(old));
    }
    if (now) {
        index_slice(n, now, true);
        dirty_service(n, object_namespace(now), slice_service(now));
    }
    knowledge_changed(n->knowledge);
}

/* Heartbeats change Nodes all the time; ways to them come from these two. */
static bool same_place(const struct object *a, const struct object *b)
{
    struct view x = object_root(a), y = object_root(b);

    return view_equal(view_path(x, F_NODE_SPEC, F_NODE_SPEC_POD_CIDR),
                      view_path(y, F_NODE_SPEC, F_NODE_SPEC_POD_CIDR)) &&
           view_equal(view_path(x, F_NODE_STATUS, F_NODE_STATUS_ADDRESSES),
                      view_path(y, F_NODE_STATUS, F_NODE_STATUS_ADDRESSES));
}

static void on_node(void *arg, UNUSED struct cache *c, const struct object *old, const struct object *now)
{
    struct network *n = arg;

    if (old && now && same_place(old, now))
        return;
    n->nodes_changed = true;
    knowledge_changed(n->knowledge);
    want_apply(n);
}

static void on_progress(void *arg, UNUSED struct cache *c)
{
    want_apply(arg);
}

/* --- one round's changes into the kernel ----------------------------------------------------------------------------- */

static void apply_service(struct network *n, struct arena *a, struct str key)
{
    const struct service_context context = { .node_name = n->config.node_name,
                                             .zone = n->config.zone,
                                             .dns_ip = n->dns_ip };
    struct str name = key, namespace_;
    const struct object *service;
    const struct slice_set *set = map_get(&n->slices_of, key);
    struct service_plan plan = { 0 };

    str_cut(&name, '/', &namespace_);
    service = cache_get(n->services, namespace_, name);
    if (service)
        service_plan_make(a, &context, object_root(service), set ? set->items : NULL, set ? set->count : 0, &plan);
    firewall_put_service(n->firewall, key, service ? &plan : NULL);
    if (n->dns)
        dns_server_put_service(n->dns, key, service, set ? set->items : NULL, set ? set->count : 0);
}

/* Addresses that are let go come before addresses that are taken: Services that are gone first. */
static void apply_dirty(struct network *n)
{
    AUTO_ARENA struct arena arena = { 0 };

    for (int gone = 1; gone >= 0; gone--) {
        size_t i = 0;
        struct str key;
        void *value;

        while (map_next(&n->dirty, &i, &key, &value)) {
            struct str name = key, namespace_;

            str_cut(&name, '/', &namespace_);
            if ((cache_get(n->services, namespace_, name) == NULL) != gone)
                continue;
            apply_service(n, &arena, key);
            arena_reset(&arena);
        }
    }
    map_clear(&n->dirty);
}

static void apply_nodes(struct network *n)
{
    const uint32_t *ips;
    size_t count;

    if (!n->nodes_changed)
        return;
    n->nodes_changed = false;
    routes_sync(n->routes);
    ips = routes_node_ips(n->routes, &count);
    firewall_set_nodes(n->firewall, ips, count);
}

static void forget_flows(struct network *n)
{
    struct firewall_removed *removed = firewall_removed_targets(n->firewall);

    if (removed->count)
        reaper_add_targets(n->reaper, removed->targets, removed->count);
    removed->count = 0;
}

/*
 * No list yet. What the kernel still has is newer than the file and better than half a list: it is left alone. Made from the
 * file is what is not there: the answers of DNS, which live in this process, and after a reboot everything.
 */
static void apply_remembered(struct network *n)
{
    AUTO_ERROR struct error err = { 0 };

    apply_dirty(n);
    if (n->dns)
        dns_server_set_complete(n->dns);
    if (!n->rebuilt && firewall_is_in_kernel(n->firewall))
        return;
    apply_nodes(n);
    if (!firewall_is_changed(n->firewall))
        return;
    if (firewall_commit(n->firewall, &err) < 0)
        log_error("firewall rules not loaded, tried again by the next check", KV_ERR(&err));
    else if (!n->rebuilt)
        log_info("no rules were loaded: made from what was last known of the cluster, until a server answers");
    n->rebuilt = n->rebuilt || !err.code;
    forget_flows(n);
}

static void apply(void *arg)
{
    struct network *n = arg;
    AUTO_ERROR struct error err = { 0 };
    uint64_t revision;

    if (!cluster_is_synced(n->cluster)) {
        if (cache_is_synced(n->nodes))
            apply_nodes(n); /* routes wait for nobody */
        if (n->remembers)
            apply_remembered(n);
        return; /* half the Services would be worse than what the kernel still has */
    }
    revision = cache_revision(n->slices);
    apply_dirty(n);
    apply_nodes(n);
    if (!n->applied_once || firewall_is_changed(n->firewall)) {
        if (firewall_commit(n->firewall, &err) < 0) {
            log_error("firewall rules not loaded, tried again by the next check", KV_ERR(&err));
            return;
        }
        n->applied_once = true;
        if (n->dns)
            dns_server_set_complete(n->dns);
        forget_flows(n);
    }
    if (revision <= n->applied_revision)
        return;
    n->applied_revision = revision;
    if (n->on_applied)
        n->on_applied(n->on_applied_arg, revision);
}

static void check(void *arg)
{
    struct network *n = arg;
    AUTO_ERROR struct error err = { 0 };
    struct link_info bridge;

    loop_timer_start(&n->check, CHECK_EVERY_MS);
    if (firewall_check(n->firewall) || firewall_is_changed(n->firewall))
        want_apply(n);
    if (++n->checks % ROUTES_EVERY != 0)
        return;
    if (n->bridge && (link_find(&n->rtnl, BRIDGE_NAME, &bridge, NULL) < 0 || bridge.index != n->bridge || !bridge.up)) {
        log_warn("somebody removed the bridge, made again; its pods need new sandboxes");
        if (bridge_put(n, &err) < 0)
            log_error("bridge not made", KV_ERR(&err));
    }
    bridge_put_settings(n);
    n->nodes_changed = true;
    want_apply(n);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */

static void config_copy(struct network *n, const struct network_config *c)
{
    n->config = *c;
    n->config.node_name = xstrdup(c->node_name);
    n->config.zone = c->zone ? xstrdup(c->zone) : NULL;
    n->config.node_address = xstrdup(c->node_address);
    n->config.state_folder = xstrdup(c->state_folder);
    n->config.cluster_domain = xstrdup(c->cluster_domain ? c->cluster_domain : "cluster.local");
    n->config.service_cidr = n->config.cluster_cidr = n->config.dns_service_address = NULL; /* kept as numbers */
    n->config.upstream_dns = c->upstream_dns ? xstrdup(c->upstream_dns) : NULL;
}

static int config_parse(struct network *n, const struct network_config *c, struct error *err)
{
    if (!ip_parse(str_of(c->node_address), &n->node_ip))
        return fail(err, ERR_BAD_REQUEST, "node address '%s' is not an IPv4 address", c->node_address);
    if (!ip_prefix_parse(str_of(c->service_cidr), &n->service_range))
        return fail(err, ERR_BAD_REQUEST, "service CIDR '%s' is not an IPv4 range", c->service_cidr);
    if (!ip_prefix_parse(str_of(c->cluster_cidr), &n->cluster_range))
        return fail(err, ERR_BAD_REQUEST, "cluster CIDR '%s' is not an IPv4 range", c->cluster_cidr);
    if (c->dns_service_address && *c->dns_service_address && !ip_parse(str_of(c->dns_service_address), &n->dns_ip))
        return fail(err, ERR_BAD_REQUEST, "DNS address '%s' is not an IPv4 address", c->dns_service_address);
    return 0;
}

static void adopt_link(void *arg, const struct link_info *link)
{
    struct network *n = arg;
    struct str rest = str_of(link->alias), uid;
    uint32_t ip;

    if (!str_starts(rest, STR(POD_LINK_ALIAS)))
        return;
    rest = str_from(rest, strlen(POD_LINK_ALIAS));
    if (str_cut(&rest, ' ', &uid) && ip_parse(rest, &ip))
        pods_adopt(n->pods, uid, ip);
}

static int open_parts(struct network *n, struct error *err)
{
    AUTO_ERROR struct error damaged = { 0 };
    struct firewall_config firewall = { .node_ip = n->node_ip,
                                        .service_range = n->service_range,
                                        .cluster_range = n->cluster_range,
                                        .bridge = BRIDGE_NAME,
                                        .tunnel = TUNNEL_NAME,
                                        .pods = n->pods };

    if (netlink_open(&n->rtnl, NETLINK_ROUTE, err) < 0)
        return -1;
    if (n->config.pods && file_mkdirs(n->config.state_folder, 0700, err) < 0)
        return -1;
    if (n->config.pods && pods_load(n->pods, &damaged) < 0)
        log_warn("pod addresses come from the links in the kernel", KV_ERR(&damaged));
    n->firewall = firewall_new(&firewall, err);
    return n->firewall && bridge_put(n, err) == 0 ? 0 : -1;
}

static void start_watching(struct network *n)
{
    n->cluster = cluster_new(n->loop, n->api);
    n->nodes = cluster_cache(n->cluster, &kind_node);
    n->services = cluster_cache(n->cluster, &kind_service);
    n->slices = cluster_cache(n->cluster, &kind_endpointslice);
    cache_listen(n->nodes, on_node, on_progress, n);
    cache_listen(n->services, on_service, on_progress, n);
    cache_listen(n->slices, on_slice, on_progress, n);
    n->remembers = knowledge_load(n->knowledge);
    loop_timer_init(&n->check, n->loop, check, n);
    loop_timer_start(&n->check, CHECK_EVERY_MS);
}

/* Our own Node as it was last seen: its pods can be attached again before a server answers. */
static void set_remembered_cidr(struct network *n)
{
    AUTO_ERROR struct error err = { 0 };
    const struct object *node = cache_get(n->nodes, STR_NONE, str_of(n->config.node_name));
    struct str cidr = view_str_at(object_root(node), F_NODE_SPEC, F_NODE_SPEC_POD_CIDR);

    if (n->remembers && cidr.n && network_set_pod_cidr(n, cidr, &err) < 0)
        log_warn("the pod network as last known could not be set up", KV_STR("cidr", cidr), KV_ERR(&err));
}

struct network *network_start(struct loop *loop, struct env *env, struct api *api, const struct network_config *config,
                              struct error *err)
{
    struct network *n = xnew(struct network);

    n->loop = loop;
    n->env = env;
    n->api = api;
    n->apply_task = (struct loop_task){ .fn = apply, .arg = n };
    n->reaper = reaper_new(n);
    config_copy(n, config);
    n->knowledge = knowledge_new(n);
    n->pods = pods_new(loop, config->state_folder);
    n->routes = routes_new(n);
    if (config_parse(n, config, err) < 0 || open_parts(n, err) < 0) {
        network_stop(n);
        error_context(err, "start the node's network");
        return NULL;
    }
    start_watching(n);
    set_remembered_cidr(n);
    return n;
}

static void slices_done(struct network *n)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(&n->slices_of, &i, &key, &value)) {
        struct slice_set *set = value;
        for (size_t j = 0; j < set->count; j++)
            object_unref(set->items[j]);
        free(set->items);
        free(set);
    }
    map_done(&n->slices_of);
}

void network_stop(struct network *n)
{
    if (!n)
        return;
    loop_timer_stop(&n->check);
    loop_defer_cancel(&n->apply_task);
    dns_server_free(n->dns);
    knowledge_free(n->knowledge);
    cluster_free(n->cluster);
    reaper_free(n->reaper);
    firewall_free(n->firewall);
    routes_free(n->routes);
    pods_free(n->pods);
    slices_done(n);
    map_done(&n->dirty);
    netlink_close(&n->rtnl);
    free((char *)n->config.node_name);
    free((char *)n->config.zone);
    free((char *)n->config.node_address);
    free((char *)n->config.state_folder);
    free((char *)n->config.cluster_domain);
    free((char *)n->config.upstream_dns);
    free(n);
}

void network_remove_all(struct network *n)
{
    struct net_pod *pod;

    loop_timer_stop(&n->check);
    loop_defer_cancel(&n->apply_task);
    knowledge_remove_file(n->knowledge);
    cluster_free(TAKE(n->cluster));
    dns_server_free(TAKE(n->dns));
    for (size_t i = 0; pods_next(n->pods, &i, &pod);) {
        link_delete(&n->rtnl, pod->link, NULL);
        pods_release(n->pods, str_of(pod->uid));
    }
    firewall_remove_tables(n->firewall);
    routes_remove_all(n->routes);
    if (n->config.pods)
        bridge_remove(n);
    pods_remove_file(n->pods);
}

void network_on_applied(struct network *n, void (*applied)(void *arg, uint64_t revision), void *arg)
{
    n->on_applied = applied;
    n->on_applied_arg = arg;
}

struct cache *network_nodes(struct network *n)
{
    return n->nodes;
}

uint64_t network_applied_revision(const struct network *n)
{
    return n->applied_revision;
}

bool network_is_ready(const struct network *n)
{
    return n->applied_once && (!n->config.pods || n->bridge);
}

/* --- pods ---------------------------------------------------------------------------------------------------------------- */

int network_set_pod_cidr(struct network *n, struct str cidr, struct error *err)
{
    AUTO_ERROR struct error dns = { 0 };
    struct ip_prefix range;

    if (!n->config.pods)
        return 0;
    if (!ip_prefix_parse(cidr, &range) || range.length < PODS_PREFIX_SHORTEST || range.length > 30)
        return fail(err, ERR_BAD_REQUEST, "pod CIDR '%.*s' is not an IPv4 range from /16 to /30", STR_ARG(cidr));
    if (n->bridge && pods_range(n->pods)->ip == range.ip && pods_range(n->pods)->length == range.length)
        return 0;
    if (pods_range(n->pods)->length)
        link_delete(&n->rtnl, BRIDGE_NAME, NULL); /* another range: its gateway and MAC go with the old one */
    pods_set_range(n->pods, &range);
    link_each_link(&n->rtnl, adopt_link, n, NULL);
    if (bridge_put(n, err) < 0)
        return error_context(err, "set the pod CIDR");
    firewall_configure(n->firewall, &range, n->dns_ip);
    n->nodes_changed = true;
    want_apply(n);
    if (n->dns_ip && !n->dns) {
        n->dns = dns_server_new(n->loop, n->env, n->config.cluster_domain, n->dns_ip, n->config.upstream_dns, &dns);
        if (!n->dns)
            log_error("cluster DNS not started", KV_ERR(&dns));
        else if (n->applied_once || n->remembers) /* Services are known already: look at them once more */
            for (size_t i = 0; i < cache_all(n->services).count; i++)
                on_service(n, n->services, NULL, cache_all(n->services).items[i]);
    }
    return 0;
}

int network_attach(struct network *n, struct str pod_uid, const char *netns_path, char ret_ip[46], struct error *err)
{
    bool is_new = pods_find(n->pods, pod_uid) == NULL;
    struct net_pod *pod;
    struct pod_link link;

    if (!n->bridge)
        return fail(err, ERR_UNAVAILABLE, "this node has no pod CIDR yet");
    if (!pod_uid.n || pod_uid.n > POD_UID_MAX)
        return fail(err, ERR_BAD_REQUEST, "a pod uid has 1 to %d characters", POD_UID_MAX);
    pod = pods_reserve(n->pods, pod_uid, err);
    if (!pod)
        return -1;
    link = (struct pod_link){ .name = pod->link,
                              .uid = pod->uid,
                              .netns_path = netns_path,
                              .ip = pod->ip,
                              .gateway = pods_gateway(n->pods),
                              .bridge = n->bridge,
                              .mtu = n->mtu };
    if (pod_link_put(&n->rtnl, &link, err) < 0 || (!pod->attached && firewall_put_pod(n->firewall, pod, err) < 0)) {
        if (is_new)
            network_detach(n, pod_uid);
        return error_context(err, "attach pod '%.*s' to the network", STR_ARG(pod_uid));
    }
    pod->attached = true;
    ip_format(pod->ip, ret_ip);
    return 0;
}

void network_detach(struct network *n, struct str pod_uid)
{
    struct net_pod *pod = pods_find(n->pods, pod_uid);

    if (!pod)
        return;
    reaper_add_pod(n->reaper, pod->link, pod->ip);
    if (n->bridge)
        link_delete_neighbor(&n->rtnl, n->bridge, pod->ip, NULL);
    firewall_delete_pod(n->firewall, pod);
    pods_release(n->pods, pod_uid);
}

void network_keep_only(struct network *n, const struct str *uids, size_t count)
{
    AUTO_MAP struct map keep = { 0 };
    struct net_pod *pod;

    for (size_t i = 0; i < count; i++)
        map_put(&keep, uids[i], n);
    for (size_t i = 0; pods_next(n->pods, &i, &pod);)
        if (!map_has(&keep, str_of(pod->uid))) {
            AUTO_FREE char *uid = xstrdup(pod->uid);
            network_detach(n, str_of(uid));
        }
}

int network_set_host_ports(struct network *n, struct str pod_uid, UNUSED const char *pod_ip,
                           const struct network_host_port *ports, size_t count, struct error *err)
{
    struct net_pod *pod = pods_find(n->pods, pod_uid);
    struct pod_host_port *list;

    if (!pod)
        return fail(err, ERR_NOT_FOUND, "pod '%.*s' is not attached to the network", STR_ARG(pod_uid));
    if (count > POD_HOST_PORTS_MAX)
        return fail(err, ERR_INVALID, "a pod may have at most %d host ports", POD_HOST_PORTS_MAX);
    list = xcalloc(count + 1, sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        struct str ip = str_of(ports[i].host_ip);

        list[i] = (struct pod_host_port){ .protocol = service_protocol(str_of(ports[i].protocol)),
                                          .host_port = ports[i].host_port,
                                          .container_port = ports[i].container_port };
        if (ip.n && !ip_parse(ip, &list[i].host_ip)) {
            free(list);
            return fail(err, ERR_INVALID, "host IP '%s' is not an IPv4 address", ports[i].host_ip);
        }
    }
    return firewall_set_host_ports(n->firewall, pod, list, count, err);
}
