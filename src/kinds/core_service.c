/* Service: one name and address for many pods. Its rules are in the files that kinds/service.h lists. */
#include "kinds/service.h"

#include "kinds/cells.h"
#include "kinds/schemas.h"

#define AFFINITY_SECONDS_DEFAULT 10800

static void default_port(struct arena *a, struct value *port)
{
    struct value *target = value_get(port, F_SERVICE_PORT_TARGET_PORT);

    if (value_empty(target))
        value_set_int(a, port, F_SERVICE_PORT_TARGET_PORT, value_to_int(value_get(port, F_SERVICE_PORT_PORT), 0));
}

static void default_affinity(struct arena *a, struct value *spec)
{
    struct value *config, *client;

    default_text(a, spec, F_SERVICE_SPEC_SESSION_AFFINITY, "None");
    if (str_is(value_to_str(value_get(spec, F_SERVICE_SPEC_SESSION_AFFINITY)), "None")) {
        value_del(spec, F_SERVICE_SPEC_SESSION_AFFINITY_CONFIG);
    } else if (str_is(value_to_str(value_get(spec, F_SERVICE_SPEC_SESSION_AFFINITY)), "ClientIP")) {
        config = value_make_object(a, spec, F_SERVICE_SPEC_SESSION_AFFINITY_CONFIG);
        client = value_make_object(a, config, F_SESSION_AFFINITY_CONFIG_CLIENT_IP);
        default_int(a, client, F_CLIENT_IP_CONFIG_TIMEOUT_SECONDS, AFFINITY_SECONDS_DEFAULT);
    }
}

static void default_ingress_mode(struct arena *a, struct value *service)
{
    struct value *ingress =
        value_path(service, F_SERVICE_STATUS, F_SERVICE_STATUS_LOAD_BALANCER, F_LOAD_BALANCER_STATUS_INGRESS);
    struct value *item;

    for (size_t i = 0; (item = value_at(ingress, i)); i++)
        if (!value_empty(value_get(item, F_LOAD_BALANCER_INGRESS_IP)))
            default_text(a, item, F_LOAD_BALANCER_INGRESS_IP_MODE, "VIP");
}

static void default_(struct kind_context *c, struct value *service)
{
    struct value *spec = value_make_object(c->arena, service, F_SERVICE_SPEC), *port;
    struct arena *a = c->arena;
    struct str type;
    bool load_balancer;

    default_affinity(a, spec);
    default_text(a, spec, F_SERVICE_SPEC_TYPE, "ClusterIP");
    for (size_t i = 0; (port = value_at(value_get(spec, F_SERVICE_SPEC_PORTS), i)); i++)
        default_port(a, port);
    type = value_to_str(value_get(spec, F_SERVICE_SPEC_TYPE));
    load_balancer = str_is(type, "LoadBalancer");
    if (load_balancer || str_is(type, "NodePort") ||
        (str_is(type, "ClusterIP") && !value_empty(value_get(spec, F_SERVICE_SPEC_EXTERNAL_IPS))))
        default_text(a, spec, F_SERVICE_SPEC_EXTERNAL_TRAFFIC_POLICY, "Cluster");
    if (load_balancer || str_is(type, "NodePort") || str_is(type, "ClusterIP"))
        default_text(a, spec, F_SERVICE_SPEC_INTERNAL_TRAFFIC_POLICY, "Cluster");
    if (load_balancer) {
        default_bool(a, spec, F_SERVICE_SPEC_ALLOCATE_LOAD_BALANCER_NODE_PORTS, true);
        default_ingress_mode(a, service);
    }
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Type", "string", "", "How far the service can be reached.", 0 },
    { "Cluster-IP", "string", "", "Its address inside the cluster.", 0 },
    { "External-IP", "string", "", "Its addresses outside the cluster.", 0 },
    { "Port(s)", "string", "", "Its ports, and those on the nodes.", 0 },
    COLUMN_AGE,
    { "Selector", "string", "", "Labels of the pods behind it.", 1 },
    { NULL },
};

static void add_joined(struct buf *text, struct str s)
{
    buf_add_text(text, text->n ? "," : "");
    buf_add(text, s);
}

static struct str external_text(struct arena *a, struct view service)
{
    struct view spec = view_get(service, F_SERVICE_SPEC);
    struct str type = view_str_at(spec, F_SERVICE_SPEC_TYPE);
    AUTO_BUF struct buf text = BUF_MAX(16 * KIB);
    struct view_iter it = { 0 };

    if (str_is(type, "ExternalName"))
        return view_str_at(spec, F_SERVICE_SPEC_EXTERNAL_NAME);
    while (
        str_is(type, "LoadBalancer") &&
        view_next(view_path(service, F_SERVICE_STATUS, F_SERVICE_STATUS_LOAD_BALANCER, F_LOAD_BALANCER_STATUS_INGRESS),
                  &it)) {
        struct str ip = view_str_at(it.value, F_LOAD_BALANCER_INGRESS_IP);

        add_joined(&text, ip.n ? ip : view_str_at(it.value, F_LOAD_BALANCER_INGRESS_HOSTNAME));
    }
    it = (struct view_iter){ 0 };
    while (view_next(view_get(spec, F_SERVICE_SPEC_EXTERNAL_IPS), &it))
        add_joined(&text, view_str(it.value));
    if (!text.n)
        return str_is(type, "LoadBalancer") ? STR("<pending>") : STR(CELL_NONE);
    return arena_str(a, buf_str(&text));
}

static struct str ports_text(struct arena *a, struct view spec)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct view_iter it = { 0 };

    while (view_next(view_get(spec, F_SERVICE_SPEC_PORTS), &it)) {
        int64_t node_port = view_int_at(it.value, 0, F_SERVICE_PORT_NODE_PORT);

        buf_addf(&text, "%s%lld", text.n ? "," : "", (long long)view_int_at(it.value, 0, F_SERVICE_PORT_PORT));
        if (node_port)
            buf_addf(&text, ":%lld", (long long)node_port);
        buf_addf(&text, "/%.*s", STR_ARG(view_str_at(it.value, F_SERVICE_PORT_PROTOCOL)));
    }
    return text.n ? arena_str(a, buf_str(&text)) : STR(CELL_NONE);
}

static void row(struct arena *a, struct view service, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(service, F_SERVICE_SPEC);

    cell_name(a, cells, service);
    cell_str(a, cells, view_str_at(spec, F_SERVICE_SPEC_TYPE));
    cell_or(a, cells, view_str(view_item(view_get(spec, F_SERVICE_SPEC_CLUSTER_IPS), 0)), CELL_NONE);
    cell_str(a, cells, external_text(a, service));
    cell_str(a, cells, ports_text(a, spec));
    cell_age(a, cells, service, now_ms);
    cell_str(a, cells, text_map(a, view_get(spec, F_SERVICE_SPEC_SELECTOR)));
}

static struct str label_type(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_SERVICE_SPEC, F_SERVICE_SPEC_TYPE);
}

static struct str label_cluster_ip(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_SERVICE_SPEC, F_SERVICE_SPEC_CLUSTER_IP);
}

static const struct kind_field_label field_labels[] = {
    { "spec.clusterIP", label_cluster_ip },
    { "spec.type", label_type },
    { NULL },
};

static const struct kind_subresource subresources[] = {
    { "proxy", VERB_CREATE | VERB_DELETE | VERB_GET | VERB_PATCH | VERB_UPDATE, NULL, NULL, "ServiceProxyOptions" },
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_service = {
    .group = "",
    .version = "v1",
    .kind = "Service",
    .list_kind = "ServiceList",
    .plural = "services",
    .singular = "service",
    .short_names = (const char *const[]){ "svc", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_core_v1_service,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .field_labels = field_labels,
    .default_ = default_,
    .prepare = service_prepare,
    .validate = service_validate,
    .name_check = name_is_dns_1035_label,
    .delete_returns_object = true,
};
