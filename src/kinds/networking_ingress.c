/* Ingress: hosts and paths from outside, to services. Source: pkg/apis/networking/validation. */
#include "kinds/cells.h"
#include "kinds/check_format.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "object/validate.h"

#define CLASS_ANNOTATION "kubernetes.io/ingress.class"
#define HOSTS_SHOWN      3

static const char *const path_types[] = { "Exact", "ImplementationSpecific", "Prefix", NULL };

static void validate_host(struct check *k, const struct at *at, struct str host)
{
    struct validate_messages messages = { 0 };

    if (validate_ip(host, NULL))
        check_invalid_str(k, at, host, "must be a DNS name, not an IP address");
    if (str_find(host, '*') < 0)
        check_dns_subdomain(k, at, host);
    else if (!validate_wildcard_subdomain(host, &messages))
        check_invalid_str(k, at, host, messages.list[0]);
}

static void validate_resource(struct check *k, const struct at *at, struct view resource)
{
    struct view group = view_get(resource, F_TYPED_LOCAL_OBJECT_REFERENCE_API_GROUP);
    struct str kind = view_str_at(resource, F_TYPED_LOCAL_OBJECT_REFERENCE_KIND);
    struct str name = view_str_at(resource, F_TYPED_LOCAL_OBJECT_REFERENCE_NAME);

    if (view_present(group) && view_str(group).n)
        check_dns_subdomain(k, AT(at, "apiGroup"), view_str(group));
    if (!kind.n)
        check_required(k, AT(at, "kind"), "");
    if (!name.n)
        check_required(k, AT(at, "name"), "");
}

static void validate_service(struct check *k, const struct at *backend_at, struct view service)
{
    struct str name = view_str_at(service, F_INGRESS_SERVICE_BACKEND_NAME);
    struct view port = view_get(service, F_INGRESS_SERVICE_BACKEND_PORT);
    struct str port_name = view_str_at(port, F_SERVICE_BACKEND_PORT_NAME);
    int64_t number = view_int_at(port, 0, F_SERVICE_BACKEND_PORT_NUMBER);
    const struct at *at = AT(backend_at, "service");
    const char *problem;

    if (!name.n)
        check_required(k, AT(at, "name"), "");
    else if ((problem = name_is_dns_1035_label(name, false)))
        check_invalid_str(k, AT(at, "name"), name, problem);
    if (port_name.n && number)
        check_invalid_str(k, backend_at, STR(""), "cannot set both port name & port number");
    else if (port_name.n)
        check_port_name(k, AT(AT(at, "port"), "name"), port_name);
    else if (number)
        check_port(k, AT(AT(at, "port"), "number"), number);
    else
        check_required(k, backend_at, "port name or number is required");
}

static void validate_backend(struct check *k, const struct at *at, struct view backend)
{
    struct view resource = view_get(backend, F_INGRESS_BACKEND_RESOURCE);
    struct view service = view_get(backend, F_INGRESS_BACKEND_SERVICE);

    if (view_present(resource) && view_present(service))
        check_invalid_str(k, at, STR(""), "cannot set both resource and service backends");
    else if (view_present(resource))
        validate_resource(k, AT(at, "resource"), resource);
    else if (view_present(service))
        validate_service(k, at, service);
    else
        check_invalid_str(k, at, STR(""), "resource or service backend is required");
}

/* A path that a proxy and a server could read differently is refused. */
static void validate_exact_path(struct check *k, const struct at *at, struct str path)
{
    static const char *const inside[] = { "//", "/./", "/../", "%2f", "%2F", NULL };
    static const char *const at_end[] = { "/..", "/.", NULL };

    if (!str_starts(path, STR("/")))
        check_invalid_str(k, at, path, "must be an absolute path");
    for (size_t i = 0; path.n && inside[i]; i++)
        if (str_contains(path, str_of(inside[i])))
            check_invalid_str(k, at, path, arena_printf(k->arena, "must not contain '%s'", inside[i]).p);
    for (size_t i = 0; path.n && at_end[i]; i++)
        if (str_ends(path, str_of(at_end[i])))
            check_invalid_str(k, at, path, arena_printf(k->arena, "cannot end with '%s'", at_end[i]).p);
}

static void validate_path(struct check *k, const struct at *at, struct view row)
{
    struct view type = view_get(row, F_HTTP_INGRESS_PATH_PATH_TYPE);
    struct str path = view_str_at(row, F_HTTP_INGRESS_PATH_PATH);

    if (view_type(type) != VALUE_STRING) { /* Go writes null for the one that is not there */
        check_required(k, AT(at, "pathType"), "pathType must be specified");
    } else if (str_is(view_str(type), "ImplementationSpecific")) {
        if (path.n && path.p[0] != '/')
            check_invalid_str(k, AT(at, "path"), path, "must be an absolute path");
    } else if (check_one_of(k, AT(at, "pathType"), view_str(type), path_types)) {
        validate_exact_path(k, AT(at, "path"), path);
    }
    validate_backend(k, AT(at, "backend"), view_get(row, F_HTTP_INGRESS_PATH_BACKEND));
}

static void validate_rules(struct check *k, const struct at *at, struct view rules)
{
    struct view_iter rule = { 0 };

    for (size_t i = 0; view_next(rules, &rule) && !check_full(k); i++) {
        struct view http = view_get(rule.value, F_INGRESS_RULE_HTTP);
        struct view paths = view_get(http, F_HTTP_INGRESS_RULE_VALUE_PATHS);
        struct str host = view_str_at(rule.value, F_INGRESS_RULE_HOST);
        struct view_iter it = { 0 };

        if (host.n)
            validate_host(k, AT(AT_INDEX(at, i), "host"), host);
        if (view_present(http) && !view_count(paths))
            check_required(k, AT(AT(AT_INDEX(at, i), "http"), "paths"), "");
        for (size_t j = 0; view_next(paths, &it) && !check_full(k); j++)
            validate_path(k, AT_INDEX(AT(AT(AT_INDEX(at, i), "http"), "paths"), j), it.value);
    }
}

static void validate_tls(struct check *k, const struct at *at, struct view tls)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(tls, &it) && !check_full(k); i++) {
        struct str secret = view_str_at(it.value, F_INGRESS_TLS_SECRET_NAME);
        struct view_iter host = { 0 };

        for (size_t j = 0; view_next(view_get(it.value, F_INGRESS_TLS_HOSTS), &host) && !check_full(k); j++) {
            struct validate_messages messages = { 0 };
            struct str name = view_str(host.value);
            const struct at *host_at = AT_INDEX(AT(AT_INDEX(at, i), "hosts"), j);

            if (str_find(name, '*') < 0)
                check_dns_subdomain(k, host_at, name);
            else if (!validate_wildcard_subdomain(name, &messages))
                check_invalid_str(k, host_at, name, messages.list[0]);
        }
        if (secret.n)
            check_dns_subdomain(k, AT(AT_INDEX(at, i), "secretName"), secret);
    }
}

static void validate_status(struct check *k, struct view ingress)
{
    const struct at *at = AT(AT(AT(AT_ROOT, "status"), "loadBalancer"), "ingress");
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(ingress, &it) && !check_full(k); i++) {
        struct str ip = view_str_at(it.value, F_INGRESS_LOAD_BALANCER_INGRESS_IP);
        struct str hostname = view_str_at(it.value, F_INGRESS_LOAD_BALANCER_INGRESS_HOSTNAME);

        if (ip.n)
            check_ip(k, AT(AT_INDEX(at, i), "ip"), ip);
        if (hostname.n)
            check_dns_subdomain(k, AT(AT_INDEX(at, i), "hostname"), hostname);
        if (hostname.n && validate_ip(hostname, NULL))
            check_invalid_str(k, AT(AT_INDEX(at, i), "hostname"), hostname, "must be a DNS name, not an IP address");
    }
}

static void validate(struct kind_context *c, struct view ingress, struct view old, struct error *causes)
{
    struct view spec = view_get(ingress, F_INGRESS_SPEC), rules = view_get(spec, F_INGRESS_SPEC_RULES);
    struct view backend = view_get(spec, F_INGRESS_SPEC_DEFAULT_BACKEND);
    struct view class = view_get(spec, F_INGRESS_SPEC_INGRESS_CLASS_NAME);
    struct view annotation =
        view_get_str(view_path(ingress, F_INGRESS_METADATA, F_OBJECT_META_ANNOTATIONS), STR(CLASS_ANNOTATION));
    const struct at *at = AT(AT_ROOT, "spec");
    struct check *k = CHECK(c, causes);

    (void)old;
    if (context_is(c, "status")) {
        validate_status(k, view_path(ingress, F_INGRESS_STATUS, F_INGRESS_STATUS_LOAD_BALANCER,
                                     F_INGRESS_LOAD_BALANCER_STATUS_INGRESS));
        return;
    }
    if (c->create && view_present(annotation) && view_present(class))
        check_invalid(k, AT(AT(AT(AT_ROOT, "metadata"), "annotations"), CLASS_ANNOTATION), annotation,
                      "can not be set when the class field is also set");
    if (!view_count(rules) && !view_present(backend))
        check_invalid(k, at, rules, "either `defaultBackend` or `rules` must be specified");
    if (view_present(backend))
        validate_backend(k, AT(at, "defaultBackend"), backend);
    validate_rules(k, AT(at, "rules"), rules);
    validate_tls(k, AT(at, "tls"), view_get(spec, F_INGRESS_SPEC_TLS));
    if (view_present(class))
        check_dns_subdomain(k, AT(at, "ingressClassName"), view_str(class));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Class", "string", "", "Which controller handles it.", 0 },
    { "Hosts", "string", "", "Its hosts.", 0 },
    { "Address", "string", "", "Where it can be reached.", 0 },
    { "Ports", "string", "", "Ports it listens on.", 0 },
    COLUMN_AGE,
    { NULL },
};

static struct str hosts_text(struct arena *a, struct view rules)
{
    AUTO_BUF struct buf text = BUF_MAX(8 * KIB);
    struct view_iter it = { 0 };
    size_t count = 0;

    while (view_next(rules, &it)) {
        struct str host = view_str_at(it.value, F_INGRESS_RULE_HOST);

        if (!host.n || ++count > HOSTS_SHOWN)
            continue;
        buf_add_text(&text, text.n ? "," : "");
        buf_add(&text, host);
    }
    if (count > HOSTS_SHOWN)
        buf_addf(&text, " + %zu more...", count - HOSTS_SHOWN);
    return text.n ? arena_str(a, buf_str(&text)) : STR("*");
}

static struct str address_text(struct arena *a, struct view ingress)
{
    AUTO_BUF struct buf text = BUF_MAX(8 * KIB);
    struct view_iter it = { 0 };

    while (view_next(
        view_path(ingress, F_INGRESS_STATUS, F_INGRESS_STATUS_LOAD_BALANCER, F_INGRESS_LOAD_BALANCER_STATUS_INGRESS),
        &it)) {
        struct str ip = view_str_at(it.value, F_INGRESS_LOAD_BALANCER_INGRESS_IP);

        buf_add_text(&text, text.n ? "," : "");
        buf_add(&text, ip.n ? ip : view_str_at(it.value, F_INGRESS_LOAD_BALANCER_INGRESS_HOSTNAME));
    }
    return arena_str(a, buf_str(&text));
}

static void row(struct arena *a, struct view ingress, int64_t now_ms, struct value *cells)
{
    struct view spec = view_get(ingress, F_INGRESS_SPEC);

    cell_name(a, cells, ingress);
    cell_or(a, cells, view_str_at(spec, F_INGRESS_SPEC_INGRESS_CLASS_NAME), CELL_NONE);
    cell_str(a, cells, hosts_text(a, view_get(spec, F_INGRESS_SPEC_RULES)));
    cell_str(a, cells, address_text(a, ingress));
    cell_text(a, cells, view_count(view_get(spec, F_INGRESS_SPEC_TLS)) ? "80, 443" : "80");
    cell_age(a, cells, ingress, now_ms);
}

static const struct kind_subresource subresources[] = {
    { "status", VERB_GET | VERB_PATCH | VERB_UPDATE },
    { NULL },
};

const struct kind kind_ingress = {
    .group = "networking.k8s.io",
    .version = "v1",
    .kind = "Ingress",
    .list_kind = "IngressList",
    .plural = "ingresses",
    .singular = "ingress",
    .short_names = (const char *const[]){ "ing", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_networking_v1_ingress,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .prepare = strategy_spec_and_status,
    .validate = validate,
};
