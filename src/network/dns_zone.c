/* Names of Services and pods, and the answers to questions about them. */
#include "network/dns_zone.h"

#include "base/map.h"
#include "kinds/fields.h"
#include "network/ip.h"
#include "network/service_plan.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define ENDPOINTS_MAX 1000 /* of one headless Service; more do not fit into an answer anyway */
#define LABEL_SIZE    64

struct zone_port {
    char name[LABEL_SIZE]; /* "_web" */
    const char *protocol;  /* "_tcp" */
    uint16_t port;         /* of the Service */
    uint16_t target;       /* of the endpoints */
};

struct zone_endpoint {
    uint32_t ip;
    char host[LABEL_SIZE]; /* its hostname, or the address with dashes */
};

struct zone_service {
    char *name;  /* "web.default.svc.cluster.local" */
    uint32_t ip; /* 0: headless or external */
    char *external;
    struct zone_port *ports;
    struct zone_endpoint *endpoints; /* of headless ones */
    size_t ports_count, endpoints_count;
};

struct dns_zone {
    char *domain, *primary, *mailbox;
    struct map services;   /* "web.default" -> struct zone_service */
    struct map namespaces; /* -> number of Services */
    struct map reverse;    /* address, 4 bytes -> name, heap */
    uint32_t serial, turn;
};

struct asking {
    struct dns_zone *zone;
    const struct dns_query *q;
    struct dns_writer w;
    void *out;
    size_t max;
    bool tcp;
};

struct dns_zone *dns_zone_new(const char *domain)
{
    struct dns_zone *z = xnew(struct dns_zone);

    z->domain = xstrdup(domain);
    z->primary = xasprintf("ns.dns.%s", domain);
    z->mailbox = xasprintf("hostmaster.%s", domain);
    return z;
}

static void service_free(struct zone_service *s)
{
    if (!s)
        return;
    free(s->name);
    free(s->external);
    free(s->ports);
    free(s->endpoints);
    free(s);
}

void dns_zone_free(struct dns_zone *z)
{
    size_t i = 0;
    struct str key;
    void *value;

    if (!z)
        return;
    while (map_next(&z->services, &i, &key, &value))
        service_free(value);
    for (i = 0; map_next(&z->reverse, &i, &key, &value);)
        free(value);
    map_done(&z->services);
    map_done(&z->namespaces);
    map_done(&z->reverse);
    free(z->domain);
    free(z->primary);
    free(z->mailbox);
    free(z);
}

/* --- what is known -------------------------------------------------------------------------------------------------- */

static struct str ip_key(const uint32_t *ip)
{
    return (struct str){ (const char *)ip, sizeof(*ip) };
}

static void change_reverse(struct dns_zone *z, const struct zone_service *s, bool add)
{
    char name[DNS_NAME_MAX + 1];

    for (size_t i = 0; i < s->endpoints_count + 1; i++) {
        bool is_service = i == s->endpoints_count;
        const uint32_t *ip = is_service ? &s->ip : &s->endpoints[i].ip;

        if (!*ip)
            continue;
        if (is_service)
            snprintf(name, sizeof(name), "%s", s->name);
        else
            snprintf(name, sizeof(name), "%s.%s", s->endpoints[i].host, s->name);
        if (add)
            free(map_put(&z->reverse, ip_key(ip), xstrdup(name)));
        else if (map_has(&z->reverse, ip_key(ip)) && str_is(str_of(map_get(&z->reverse, ip_key(ip))), name))
            free(map_del(&z->reverse, ip_key(ip)));
    }
}

static void count_namespace(struct dns_zone *z, struct str namespace_, int by)
{
    intptr_t count = (intptr_t)map_get(&z->namespaces, namespace_) + by;

    if (count > 0)
        map_put(&z->namespaces, namespace_, (void *)count);
    else
        map_del(&z->namespaces, namespace_);
}

static uint16_t slice_port(const struct object *const *slices, size_t count, struct str name, uint16_t otherwise)
{
    for (size_t i = 0; i < count; i++) {
        struct view_iter it = { 0 };
        while (view_next(view_get(object_root(slices[i]), F_ENDPOINT_SLICE_PORTS), &it))
            if (str_eq(view_str_at(it.value, F_ENDPOINT_PORT_NAME), name))
                return (uint16_t)view_int_at(it.value, otherwise, F_ENDPOINT_PORT_PORT);
    }
    return otherwise;
}

static void add_ports(struct zone_service *s, struct view spec, const struct object *const *slices, size_t count)
{
    struct view ports = view_get(spec, F_SERVICE_SPEC_PORTS);
    struct view_iter it = { 0 };

    s->ports = xcalloc(view_count(ports) + 1, sizeof(*s->ports));
    while (view_next(ports, &it)) {
        struct zone_port *p = &s->ports[s->ports_count++];
        struct str name = view_str_at(it.value, F_SERVICE_PORT_NAME);
        uint8_t protocol = service_protocol(view_str_at(it.value, F_SERVICE_PORT_PROTOCOL));

        snprintf(p->name, sizeof(p->name), "_%.*s", STR_ARG(name));
        p->protocol = protocol == IPPROTO_UDP ? "_udp" : protocol == IPPROTO_SCTP ? "_sctp" : "_tcp";
        p->port = (uint16_t)view_int_at(it.value, 0, F_SERVICE_PORT_PORT);
        p->target = slice_port(slices, count, name, p->port);
    }
}

static void add_slice(struct zone_service *s, struct view slice, size_t *capacity)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(slice, F_ENDPOINT_SLICE_ENDPOINTS), &it)) {
        struct zone_endpoint e = { 0 };
        struct str host = view_str_at(it.value, F_ENDPOINT_HOSTNAME);

        /* Services that publish what is not ready have slices that say ready (EndpointSlice documentation). */
        if (!view_bool_at(it.value, true, F_ENDPOINT_CONDITIONS, F_ENDPOINT_CONDITIONS_READY) ||
            !ip_parse(view_str(view_item(view_get(it.value, F_ENDPOINT_ADDRESSES), 0)), &e.ip) ||
            s->endpoints_count >= ENDPOINTS_MAX)
            continue;
        if (host.n)
            snprintf(e.host, sizeof(e.host), "%.*s", STR_ARG(host));
        else
            ip_format(e.ip, e.host);
        for (char *c = e.host; *c; c++)
            *c = *c == '.' ? '-' : *c;
        GROW(s->endpoints, s->endpoints_count, *capacity);
        s->endpoints[s->endpoints_count++] = e;
    }
}

static struct zone_service *service_new(const struct dns_zone *z, struct str namespace_, struct str name,
                                        const struct object *service, const struct object *const *slices, size_t count)
{
    struct zone_service *s = xnew(struct zone_service);
    struct view spec = view_get(object_root(service), F_SERVICE_SPEC);
    size_t capacity = 0;

    s->name = xasprintf("%.*s.%.*s.svc.%s", STR_ARG(name), STR_ARG(namespace_), z->domain);
    if (str_is(view_str_at(spec, F_SERVICE_SPEC_TYPE), "ExternalName")) {
        s->external = str_dup(view_str_at(spec, F_SERVICE_SPEC_EXTERNAL_NAME));
        return s;
    }
    ip_parse(view_str_at(spec, F_SERVICE_SPEC_CLUSTER_IP), &s->ip);
    add_ports(s, spec, slices, count);
    for (size_t i = 0; i < count && !s->ip; i++)
        add_slice(s, object_root(slices[i]), &capacity);
    return s;
}

void dns_zone_put(struct dns_zone *z, struct str namespace_, struct str name, const struct object *service,
                  const struct object *const *slices, size_t slices_count)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    struct zone_service *old;

    buf_addf(&key, "%.*s.%.*s", STR_ARG(name), STR_ARG(namespace_));
    old = map_get(&z->services, buf_str(&key));
    if (old) {
        change_reverse(z, old, false);
        count_namespace(z, namespace_, -1);
    }
    if (service) {
        struct zone_service *s = service_new(z, namespace_, name, service, slices, slices_count);
        map_put(&z->services, buf_str(&key), s);
        change_reverse(z, s, true);
        count_namespace(z, namespace_, 1);
    } else {
        map_del(&z->services, buf_str(&key));
    }
    service_free(old);
    z->serial++;
}

/* --- answers ---------------------------------------------------------------------------------------------------------- */

static void begin(struct asking *a, int rcode)
{
    dns_begin(&a->w, a->out, a->max, a->q, rcode, DNS_AUTHORITATIVE | DNS_RECURSION_AVAILABLE, a->tcp);
}

/* The name exists without this type (NOERROR), or does not exist: RFC 2308. */
static size_t nothing(struct asking *a, int rcode)
{
    begin(a, rcode);
    dns_add_soa(&a->w, DNS_AUTHORITY, str_of(a->zone->domain), DNS_TTL_S, str_of(a->zone->primary),
                str_of(a->zone->mailbox), a->zone->serial + 1, DNS_TTL_S);
    return dns_finish(&a->w);
}

static bool wants(const struct asking *a, enum dns_type type)
{
    return a->q->type == type || a->q->type == DNS_ANY;
}

static size_t one_address(struct asking *a, uint32_t ip)
{
    if (!wants(a, DNS_A))
        return nothing(a, DNS_NOERROR);
    begin(a, DNS_NOERROR);
    dns_add_a(&a->w, DNS_ANSWER, dns_query_name(a->q), DNS_TTL_S, (const uint8_t *)&ip);
    return dns_finish(&a->w);
}

/* All addresses, beginning with another one each time: clients tend to take the first. */
static size_t all_addresses(struct asking *a, const struct zone_service *s)
{
    uint32_t first = a->zone->turn++;

    if (!wants(a, DNS_A) || !s->endpoints_count)
        return nothing(a, s->endpoints_count ? DNS_NOERROR : DNS_NXDOMAIN);
    begin(a, DNS_NOERROR);
    for (size_t i = 0; i < s->endpoints_count; i++)
        if (!dns_add_a(&a->w, DNS_ANSWER, dns_query_name(a->q), DNS_TTL_S,
                       (const uint8_t *)&s->endpoints[(first + i) % s->endpoints_count].ip))
            break;
    return dns_finish(&a->w);
}

static struct str endpoint_name(const struct zone_service *s, const struct zone_endpoint *e,
                                char text[DNS_NAME_MAX + 1])
{
    int n = snprintf(text, DNS_NAME_MAX + 1, "%s.%s", e->host, s->name);

    return (struct str){ text, (size_t)MIN(n, DNS_NAME_MAX) };
}

static bool add_server(struct asking *a, const struct zone_service *s, const struct zone_port *p)
{
    char target[DNS_NAME_MAX + 1];

    if (s->ip)
        return dns_add_srv(&a->w, DNS_ANSWER, dns_query_name(a->q), DNS_TTL_S, 0, 100, p->port, str_of(s->name));
    for (size_t i = 0; i < s->endpoints_count; i++)
        if (!dns_add_srv(&a->w, DNS_ANSWER, dns_query_name(a->q), DNS_TTL_S, 0, 100, p->target,
                         endpoint_name(s, &s->endpoints[i], target)))
            return false;
    return true;
}

static void add_server_addresses(struct asking *a, const struct zone_service *s)
{
    char target[DNS_NAME_MAX + 1];

    if (s->ip)
        dns_add_a(&a->w, DNS_ADDITIONAL, str_of(s->name), DNS_TTL_S, (const uint8_t *)&s->ip);
    for (size_t i = 0; i < s->endpoints_count; i++)
        if (!dns_add_a(&a->w, DNS_ADDITIONAL, endpoint_name(s, &s->endpoints[i], target), DNS_TTL_S,
                       (const uint8_t *)&s->endpoints[i].ip))
            break;
}

/* wanted NULL: all ports. */
static size_t servers(struct asking *a, const struct zone_service *s, const struct zone_port *wanted)
{
    if (!wants(a, DNS_SRV) || (!s->ip && !s->endpoints_count))
        return nothing(a, DNS_NOERROR);
    begin(a, DNS_NOERROR);
    for (size_t i = 0; i < s->ports_count; i++)
        if ((!wanted || &s->ports[i] == wanted) && s->ports[i].name[1] && !add_server(a, s, &s->ports[i]))
            return dns_finish(&a->w);
    if (!a->w.truncated)
        add_server_addresses(a, s);
    return dns_finish(&a->w);
}

static size_t below_service(struct asking *a, const struct zone_service *s, struct str prefix)
{
    struct str rest = prefix, label;

    if (prefix.p[0] == '_') {
        if (!str_cut(&rest, '.', &label))
            return nothing(a, DNS_NXDOMAIN);
        for (size_t i = 0; i < s->ports_count; i++)
            if (str_is(label, s->ports[i].name) && str_is(rest, s->ports[i].protocol))
                return servers(a, s, &s->ports[i]);
        return nothing(a, DNS_NXDOMAIN);
    }
    for (size_t i = 0; i < s->endpoints_count; i++)
        if (str_is(prefix, s->endpoints[i].host))
            return one_address(a, s->endpoints[i].ip);
    return nothing(a, DNS_NXDOMAIN);
}

/* The last label of *name, taken off with its dot. */
static struct str last_label(struct str *name)
{
    ptrdiff_t dot = str_find_last(*name, '.');
    struct str label = dot < 0 ? *name : str_from(*name, (size_t)dot + 1);

    *name = str_part(*name, 0, dot < 0 ? 0 : (size_t)dot);
    return label;
}

/* rest: what stands before ".svc.DOMAIN". */
static size_t service_answer(struct asking *a, struct str rest, struct str *ret_alias)
{
    struct str whole = rest, namespace_ = last_label(&rest), key = namespace_;
    const struct zone_service *s;

    if (!rest.n)
        return nothing(a, !whole.n || map_has(&a->zone->namespaces, namespace_) ? DNS_NOERROR : DNS_NXDOMAIN);
    key.p = last_label(&rest).p; /* "web.default" stands in the question as it does in the index */
    key.n = (size_t)(whole.p + whole.n - key.p);
    s = map_get(&a->zone->services, key);
    if (!s)
        return nothing(a, DNS_NXDOMAIN);
    if (s->external) {
        *ret_alias = rest.n ? STR_NONE : str_of(s->external);
        return rest.n ? nothing(a, DNS_NXDOMAIN) : 0;
    }
    if (rest.n)
        return below_service(a, s, rest);
    if (a->q->type == DNS_SRV)
        return servers(a, s, NULL);
    return s->ip ? one_address(a, s->ip) : all_addresses(a, s);
}

/* 1-2-3-4.NAMESPACE: an address as a name; nothing is looked up (CoreDNS' "pods insecure"). */
static size_t pod_answer(struct asking *a, struct str rest)
{
    char text[IP_TEXT_SIZE];
    uint32_t ip;
    struct str label;

    if (!str_cut(&rest, '.', &label) || label.n >= sizeof(text) || str_find(rest, '.') >= 0)
        return nothing(a, DNS_NXDOMAIN);
    for (size_t i = 0; i < label.n; i++)
        text[i] = label.p[i] == '-' ? '.' : label.p[i];
    if (!ip_parse((struct str){ text, label.n }, &ip))
        return nothing(a, DNS_NXDOMAIN);
    return one_address(a, ip);
}

static size_t reverse_answer(struct asking *a)
{
    uint8_t bytes[16];
    const char *name;
    uint32_t ip;

    if (dns_reverse_address(dns_query_name(a->q), bytes) != 4)
        return 0;
    memcpy(&ip, bytes, sizeof(ip));
    name = map_get(&a->zone->reverse, ip_key(&ip));
    if (!name)
        return 0;
    if (!wants(a, DNS_PTR))
        return nothing(a, DNS_NOERROR);
    begin(a, DNS_NOERROR);
    dns_add_name(&a->w, DNS_ANSWER, DNS_PTR, dns_query_name(a->q), DNS_TTL_S, str_of(name));
    return dns_finish(&a->w);
}

size_t dns_zone_answer(struct dns_zone *z, const struct dns_query *q, bool tcp, void *out, size_t max,
                       struct str *ret_alias)
{
    struct asking a = { .zone = z, .q = q, .out = out, .max = max, .tcp = tcp };
    struct str name = dns_query_name(q), domain = str_of(z->domain), kind;

    *ret_alias = STR_NONE;
    if (str_ends(name, STR(".arpa")))
        return reverse_answer(&a);
    if (!str_ends(name, domain) || (name.n > domain.n && name.p[name.n - domain.n - 1] != '.'))
        return 0;
    if (name.n == domain.n)
        return nothing(&a, DNS_NOERROR);
    name.n -= domain.n + 1;
    kind = last_label(&name);
    if (str_is(kind, "svc"))
        return service_answer(&a, name, ret_alias);
    if (str_is(kind, "pod"))
        return name.n ? pod_answer(&a, name) : nothing(&a, DNS_NOERROR);
    if (str_is(kind, "dns-version") && !name.n && wants(&a, DNS_TXT)) {
        begin(&a, DNS_NOERROR);
        dns_add_txt(&a.w, DNS_ANSWER, dns_query_name(q), DNS_TTL_S, STR("1.1.0"));
        return dns_finish(&a.w);
    }
    return nothing(&a, DNS_NXDOMAIN);
}
