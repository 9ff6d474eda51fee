/*
 * From Ingress resources to routes, backends and certificates.
 *
 * A request is looked up as host + path among exact keys, then host + path + "/" by longest prefix; first with the host itself, then
 * with "*.rest" for wildcard rules, then without a host. So a Prefix rule for /a has the key "host/a/", which matches /a and /a/b but
 * not /ab: element by element, as the API wants it. Source: networking/v1 HTTPIngressPath.
 */
#include "gateway/plan.h"

#include "base/codec.h"
#include "gateway/certificate.h"
#include "gateway/gateway.h"
#include "kinds/fields.h"

#include <stdlib.h>

#define ROUTES_MAX  20000
#define SERVERS_MAX 2000 /* of one backend */

/* --- harmless characters --------------------------------------------------------------------------------------------------------- */

/* A name of Kubernetes, or a host, whose first label may be '*'. Empty is fine: any host. */
static bool is_host(struct str s)
{
    if (s.n && s.p[0] == '*' && (s.n < 3 || s.p[1] != '.'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || (c == '*' && i == 0)))
            return false;
    }
    return s.n <= 253;
}

/* What RFC 3986 allows in a path, without the characters that HAProxy's command line or maps give a meaning to. */
static bool is_path(struct str s)
{
    static const char also[] = "/-._~!$&()+,=:@%*";

    if (!s.n || s.p[0] != '/' || s.n > 1024)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(also, c)))
            return false;
    }
    return true;
}

static bool is_ipv4(struct str s)
{
    size_t dots = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.')
            dots++;
        else if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return dots == 3 && s.n >= 7 && s.n <= 15;
}

static void refuse(struct gateway_plan *p, const struct object *ingress, const char *what, struct str value)
{
    GROW(p->refused, p->refused_count, p->refused_capacity);
    p->refused[p->refused_count++] =
        (struct gateway_refusal){ ingress, arena_printf(&p->arena, "%s '%.*s' is left out", what,
                                                        STR_ARG(str_part(value, 0, 200))) };
}

/* --- backends ------------------------------------------------------------------------------------------------------------------------ */

static int64_t slice_port(struct view slice, struct str port_name)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(slice, F_ENDPOINT_SLICE_PORTS), &it))
        if (str_eq(view_str_at(it.value, F_ENDPOINT_PORT_NAME), port_name))
            return view_int_at(it.value, 0, F_ENDPOINT_PORT_PORT);
    return 0;
}

/*
 * Endpoints by what is known of them. Only ready ones are used while there are any; else those that end gracefully but serve still
 * (KEP-1669), and those whose node is unheard, which may be this side's fault: trying beats refusing.
 */
enum endpoint_class { READY, ENDING, LOST, NOT_SERVING };

static enum endpoint_class class_of(struct view endpoint)
{
    struct view c = view_get(endpoint, F_ENDPOINT_CONDITIONS);
    bool ready = view_bool_at(c, true, F_ENDPOINT_CONDITIONS_READY);

    if (ready)
        return READY;
    if (!view_bool_at(c, false, F_ENDPOINT_CONDITIONS_SERVING))
        return NOT_SERVING;
    return view_bool_at(c, false, F_ENDPOINT_CONDITIONS_TERMINATING) ? ENDING : LOST;
}

static bool has_server(const struct gateway_server *list, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(list[i].name, name))
            return true;
    return false;
}

/* The name says which pod, not only where: an address given to another pod is another server, with connections of its own. */
static struct gateway_server server_of(struct gateway_plan *p, struct str own_zone, struct view endpoint, struct str ip,
                                       int64_t port)
{
    struct str zone = view_str_at(endpoint, F_ENDPOINT_ZONE);
    struct str uid = view_str_at(endpoint, F_ENDPOINT_TARGET_REF, F_OBJECT_REFERENCE_UID);
    struct str name = uid.n ? arena_printf(&p->arena, "%.*s-%lld-%08x", STR_ARG(ip), (long long)port, crc32c(0, uid))
                            : arena_printf(&p->arena, "%.*s-%lld", STR_ARG(ip), (long long)port);

    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == '.')
            ((char *)(uintptr_t)name.p)[i] = '-';
    return (struct gateway_server){ name, arena_printf(&p->arena, "%.*s:%lld", STR_ARG(ip), (long long)port),
                                    own_zone.n && zone.n && !str_eq(zone, own_zone) };
}

static void add_endpoints(struct gateway_plan *p, struct str zone, struct gateway_backend *b, struct view slice,
                          int64_t port, bool ready_only)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(slice, F_ENDPOINT_SLICE_ENDPOINTS), &it)) {
        struct str ip = view_str(view_item(view_get(it.value, F_ENDPOINT_ADDRESSES), 0));
        enum endpoint_class class = class_of(it.value);
        struct gateway_server server;
        if (class == NOT_SERVING || !is_ipv4(ip))
            continue;
        server = server_of(p, zone, it.value, ip, port);
        if (class == READY || !ready_only) {
            if (b->count == SERVERS_MAX || has_server(b->servers, b->count, server.name))
                continue;
            GROW(b->servers, b->count, b->capacity);
            b->servers[b->count++] = server;
        } else if (class == LOST) {
            GROW(b->lost, b->lost_count, b->lost_capacity);
            b->lost[b->lost_count++] = server;
        }
    }
}

static void add_servers(struct gateway_plan *p, const struct gateway_seen *seen, struct gateway_backend *b,
                        const struct object *service, struct str port_name)
{
    struct objects slices = cache_by(seen->slices, CACHE_BY_NAMESPACE, object_namespace(service));

    for (int ready_only = 1; ready_only >= 0 && !b->count; ready_only--) {
        b->lost_count = 0;
        for (size_t i = 0; i < slices.count; i++) {
            struct view slice = object_root(slices.items[i]);
            struct view labels = view_path(slice, F_POD_METADATA, F_OBJECT_META_LABELS);
            int64_t port = slice_port(slice, port_name);
            if (port > 0 && port <= 65535 &&
                str_eq(view_str(view_get_str(labels, STR("kubernetes.io/service-name"))), object_name(service)))
                add_endpoints(p, seen->zone, b, slice, port, ready_only);
        }
    }
}

static int by_server_name(const void *a, const void *b)
{
    return str_cmp(((const struct gateway_server *)a)->name, ((const struct gateway_server *)b)->name);
}

/* The Service's port that the Ingress means, by name or number. */
static struct view service_port(const struct object *service, struct view wanted)
{
    struct str name = view_str_at(wanted, F_SERVICE_BACKEND_PORT_NAME);
    int64_t number = view_int_at(wanted, 0, F_SERVICE_BACKEND_PORT_NUMBER);
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(service), F_SERVICE_SPEC, F_SERVICE_SPEC_PORTS), &it))
        if (name.n ? str_eq(view_str_at(it.value, F_SERVICE_PORT_NAME), name)
                   : view_int_at(it.value, 0, F_SERVICE_PORT_PORT) == number)
            return it.value;
    return VIEW_ABSENT;
}

/* The name of the backend for an IngressBackend, made when new; "be_none" when there is no such Service port. */
static struct str backend_of(struct gateway_plan *p, const struct gateway_seen *seen, const struct object *ingress,
                             struct view backend)
{
    struct view wanted = view_get(backend, F_INGRESS_BACKEND_SERVICE);
    struct str name = view_str_at(wanted, F_INGRESS_SERVICE_BACKEND_NAME), full;
    const struct object *service = cache_get(seen->services, object_namespace(ingress), name);
    struct view port = service_port(service, view_get(wanted, F_INGRESS_SERVICE_BACKEND_PORT));
    struct gateway_backend *b;

    if (view_present(view_get(backend, F_INGRESS_BACKEND_RESOURCE)))
        refuse(p, ingress, "resource backend",
               view_str_at(backend, F_INGRESS_BACKEND_RESOURCE, F_TYPED_LOCAL_OBJECT_REFERENCE_NAME));
    if (!view_present(port) || !is_host(name))
        return STR("be_none"); /* answers 503 instead of falling through to a wider route */
    full = arena_printf(&p->arena, "be_%.*s_%.*s_%lld", STR_ARG(object_namespace(ingress)), STR_ARG(name),
                        (long long)view_int_at(port, 0, F_SERVICE_PORT_PORT));
    if ((b = map_get(&p->by_name, full)))
        return b->name;
    b = arena_new(&p->arena, struct gateway_backend);
    b->name = full;
    map_put(&p->by_name, full, b);
    add_servers(p, seen, b, service, view_str_at(port, F_SERVICE_PORT_NAME));
    if (b->count)
        qsort(b->servers, b->count, sizeof(*b->servers), by_server_name);
    GROW(p->backends, p->backends_count, p->backends_capacity);
    p->backends[p->backends_count++] = b;
    return full;
}

/* --- routes --------------------------------------------------------------------------------------------------------------------------- */

static void add_route(struct gateway_plan *p, bool exact, struct str key, struct str backend)
{
    struct gateway_routes *routes = exact ? &p->exact : &p->prefix;

    if (routes->count >= ROUTES_MAX || map_has(&routes->by_key, key))
        return; /* the older Ingress keeps what both claim */
    GROW(routes->items, routes->count, routes->capacity);
    routes->items[routes->count++] = (struct gateway_route){ key, backend };
    map_put(&routes->by_key, key, (void *)(uintptr_t)backend.p);
}

static void add_path(struct gateway_plan *p, const struct gateway_seen *seen, const struct object *ingress,
                     struct str host, struct view rule)
{
    struct str path = view_str_at(rule, F_HTTP_INGRESS_PATH_PATH),
               type = view_str_at(rule, F_HTTP_INGRESS_PATH_PATH_TYPE);
    struct view target = view_get(rule, F_HTTP_INGRESS_PATH_BACKEND);
    struct str backend = backend_of(p, seen, ingress, target);
    AUTO_BUF struct buf decoded = BUF_MAX(4 * KIB);
    bool exact = str_is(type, "Exact"), fine;

    if (!path.n)
        path = STR("/");
    percent_decode(&decoded, path, false, &fine); /* requests are decoded before they are compared, see config.c */
    if (!fine || !is_path(buf_str(&decoded))) {
        refuse(p, ingress, "path", path);
        return;
    }
    path = arena_str(&p->arena, buf_str(&decoded));
    if (!exact && path.p[path.n - 1] == '/')
        path.n--;
    add_route(p, exact, arena_printf(&p->arena, "%.*s%.*s%s", STR_ARG(host), STR_ARG(path), exact ? "" : "/"), backend);
}

static void add_ingress(struct gateway_plan *p, const struct gateway_seen *seen, const struct object *ingress)
{
    struct view spec = view_get(object_root(ingress), F_INGRESS_SPEC);
    struct view other = view_get(spec, F_INGRESS_SPEC_DEFAULT_BACKEND);
    struct view_iter rule = { 0 };

    while (view_next(view_get(spec, F_INGRESS_SPEC_RULES), &rule)) {
        struct str host = view_str_at(rule.value, F_INGRESS_RULE_HOST);
        struct view_iter path = { 0 };
        if (!is_host(host)) {
            refuse(p, ingress, "host", host);
            continue;
        }
        while (view_next(view_path(rule.value, F_INGRESS_RULE_HTTP, F_HTTP_INGRESS_RULE_VALUE_PATHS), &path))
            add_path(p, seen, ingress, host, path.value);
    }
    if (view_present(other)) {
        struct str backend = backend_of(p, seen, ingress, other);
        add_route(p, false, STR("/"), backend);
    }
}

/* --- certificates --------------------------------------------------------------------------------------------------------------------- */

static bool clean_pem(struct view data, struct buf *to)
{
    AUTO_BUF struct buf chain = BUF_MAX(256 * KIB);
    AUTO_BUF struct buf key = BUF_MAX(64 * KIB);
    bool fine = base64_decode(&chain, view_str(view_get_str(data, STR("tls.crt")))) &&
                base64_decode(&key, view_str(view_get_str(data, STR("tls.key")))) &&
                certificate_clean(buf_str(&chain), buf_str(&key), to);

    if (key.n)
        explicit_bzero(key.p, key.n);
    return fine;
}

static struct gateway_certificate *certificate_of(struct gateway_plan *p, const struct gateway_seen *seen,
                                                  const struct object *ingress, struct str secret_name)
{
    AUTO_BUF struct buf pem = BUF_MAX(512 * KIB);
    const struct object *secret = cache_get(seen->secrets, object_namespace(ingress), secret_name);
    struct view data = view_get(object_root(secret), F_SECRET_DATA);
    struct str name;
    struct gateway_certificate *c;

    if (!secret || !is_host(secret_name))
        return NULL;
    name = arena_printf(&p->arena, "%.*s_%.*s", STR_ARG(object_namespace(ingress)), STR_ARG(secret_name));
    for (size_t i = 0; i < p->certificates_count; i++)
        if (str_eq(p->certificates[i]->name, name))
            return p->certificates[i];
    if (!clean_pem(data, &pem))
        return NULL;
    c = arena_new(&p->arena, struct gateway_certificate);
    c->name = name;
    c->pem = arena_str(&p->arena, buf_str(&pem));
    explicit_bzero(pem.p, pem.n);
    GROW(p->certificates, p->certificates_count, p->certificates_capacity);
    p->certificates[p->certificates_count++] = c;
    return c;
}

static void add_certificates(struct gateway_plan *p, const struct gateway_seen *seen, const struct object *ingress)
{
    struct view_iter tls = { 0 };

    while (view_next(view_path(object_root(ingress), F_INGRESS_SPEC, F_INGRESS_SPEC_TLS), &tls)) {
        struct str secret = view_str_at(tls.value, F_INGRESS_TLS_SECRET_NAME);
        struct gateway_certificate *c = certificate_of(p, seen, ingress, secret);
        struct view_iter host = { 0 };
        if (!c) {
            if (secret.n)
                refuse(p, ingress, "TLS secret (missing, or no certificate with its key)", secret);
            continue;
        }
        while (view_next(view_get(tls.value, F_INGRESS_TLS_HOSTS), &host)) {
            if (!is_host(view_str(host.value)))
                continue;
            GROW(c->hosts, c->count, c->capacity);
            c->hosts[c->count++] = arena_str(&p->arena, view_str(host.value));
        }
    }
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------------- */

bool gateway_is_ours(const struct gateway_seen *seen, const struct object *ingress)
{
    struct view root = object_root(ingress);
    struct str name = view_str_at(root, F_INGRESS_SPEC, F_INGRESS_SPEC_INGRESS_CLASS_NAME);
    const struct object *class = name.n ? cache_get(seen->classes, STR_NONE, name) : NULL;
    struct str controller = view_str_at(object_root(class), F_INGRESS_CLASS_SPEC, F_INGRESS_CLASS_SPEC_CONTROLLER);

    return !class || str_is(controller, GATEWAY_CONTROLLER);
}

/* Older Ingresses first, so that a newer one cannot take a host and path away. */
static int by_age(const void *a, const void *b)
{
    const struct object *x = *(const struct object *const *)a, *y = *(const struct object *const *)b;
    struct view vx = view_get(object_root(x), F_POD_METADATA), vy = view_get(object_root(y), F_POD_METADATA);
    int order =
        str_cmp(view_str_at(vx, F_OBJECT_META_CREATION_TIMESTAMP), view_str_at(vy, F_OBJECT_META_CREATION_TIMESTAMP));

    if (order == 0)
        order = str_cmp(object_namespace(x), object_namespace(y));
    return order ? order : str_cmp(object_name(x), object_name(y));
}

static int by_backend_name(const void *a, const void *b)
{
    return str_cmp((*(struct gateway_backend *const *)a)->name, (*(struct gateway_backend *const *)b)->name);
}

static int by_certificate_name(const void *a, const void *b)
{
    return str_cmp((*(struct gateway_certificate *const *)a)->name, (*(struct gateway_certificate *const *)b)->name);
}

void gateway_plan_make(struct gateway_plan *p, const struct gateway_seen *seen)
{
    struct objects all = cache_all(seen->ingresses);
    const struct object **ordered;

    *p = (struct gateway_plan){ 0 };
    ordered = arena_alloc_array(&p->arena, all.count + 1, sizeof(*ordered));
    for (size_t i = 0; i < all.count; i++)
        ordered[i] = all.items[i];
    if (all.count)
        qsort(ordered, all.count, sizeof(*ordered), by_age);
    for (size_t i = 0; i < all.count; i++)
        if (gateway_is_ours(seen, ordered[i])) {
            add_ingress(p, seen, ordered[i]);
            add_certificates(p, seen, ordered[i]);
        }
    if (p->backends_count)
        qsort(p->backends, p->backends_count, sizeof(struct gateway_backend *), by_backend_name);
    if (p->certificates_count)
        qsort(p->certificates, p->certificates_count, sizeof(struct gateway_certificate *), by_certificate_name);
}

void gateway_plan_done(struct gateway_plan *p)
{
    for (size_t i = 0; i < p->backends_count; i++) {
        free(p->backends[i]->servers);
        free(p->backends[i]->lost);
    }
    for (size_t i = 0; i < p->certificates_count; i++)
        free(p->certificates[i]->hosts);
    free(p->backends);
    free(p->certificates);
    free(p->exact.items);
    free(p->prefix.items);
    map_done(&p->exact.by_key);
    map_done(&p->prefix.by_key);
    map_done(&p->by_name);
    free(p->refused);
    arena_done(&p->arena);
    *p = (struct gateway_plan){ 0 };
}
