/* What Services have taken of the address range and of the node ports. */
#include "server/admission/service_range.h"

#include "base/map.h"
#include "server/admission/service_reserve.h"
#include "kinds/fields.h"
#include "server/server_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* The lowest addresses are for those who choose one themselves. Source: KEP-3070, min(max(16, size / 16), 256). */
#define STATIC_MIN 16
#define STATIC_MAX 256

struct taken {
    unsigned count;        /* Services in the state that have it */
    int64_t held_until_ms; /* monotonic; given out, not seen yet */
};

struct service_range {
    struct server *server;
    struct state_listener *listener;
    struct map ips;      /* text -> struct taken */
    struct taken *ports; /* by port - first_port */
    int64_t first_port, last_port;
    uint32_t network, size; /* host byte order; addresses network + 1 .. network + size - 2 */
    char cidr[64], ports_text[32];
};

static struct taken *ip_entry(struct service_range *r, struct str ip)
{
    struct taken *t = map_get(&r->ips, ip);
    if (!t) {
        t = xnew(struct taken);
        map_put(&r->ips, ip, t);
    }
    return t;
}

static struct taken *port_entry(const struct service_range *r, int64_t port)
{
    return service_range_has_port(r, port) ? &r->ports[port - r->first_port] : NULL;
}

static bool is_free(const struct service_range *r, const struct taken *t, struct str what)
{
    if (reserve_has(server_reserve(r->server), what))
        return false;
    return !t || (t->count == 0 && t->held_until_ms <= loop_now_ms(server_loop(r->server)));
}

/* --- following the state ------------------------------------------------------------------------------------------ */

static void count_port(struct service_range *r, int64_t port, int add)
{
    struct taken *t = port ? port_entry(r, port) : NULL;
    if (!t || (add < 0 && !t->count))
        return;
    t->count += (unsigned)add;
    t->held_until_ms = 0;
}

static void count_service(struct service_range *r, const struct object *service, int add)
{
    struct view spec = view_get(object_root(service), F_SERVICE_SPEC), ports = view_get(spec, F_SERVICE_SPEC_PORTS);
    struct str ip = view_str(view_get(spec, F_SERVICE_SPEC_CLUSTER_IP));
    struct view_iter it = { 0 };
    if (service_range_has_ip(r, ip)) {
        struct taken *t = ip_entry(r, ip);
        t->held_until_ms = 0;
        if (add > 0 || t->count)
            t->count += (unsigned)add;
        if (!t->count)
            free(map_del(&r->ips, ip));
    }
    /* Two ports of one Service may share a node port (TCP and UDP): both are counted, here and when they go. */
    while (view_next(ports, &it))
        count_port(r, view_int_at(it.value, 0, F_SERVICE_PORT_NODE_PORT), add);
    count_port(r, view_int(view_get(spec, F_SERVICE_SPEC_HEALTH_CHECK_NODE_PORT), 0), add);
}

static void changed(void *arg, const struct change *c)
{
    if (c->kind != &kind_service)
        return;
    if (c->type == CHANGE_DELETED)
        count_service(arg, c->previous ? c->previous : c->object, -1);
    else if (c->type == CHANGE_MODIFIED)
        count_service(arg, c->previous, -1);
    if (c->type != CHANGE_DELETED)
        count_service(arg, c->object, 1);
}

static bool count_each(void *arg, const struct object *service)
{
    count_service(arg, service, 1);
    return true;
}

/* --- addresses ---------------------------------------------------------------------------------------------------- */

bool service_range_has_ip(const struct service_range *r, struct str ip)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr at;
    if (ip.n == 0 || ip.n >= sizeof(text))
        return false;
    memcpy(text, ip.p, ip.n);
    text[ip.n] = '\0';
    if (inet_pton(AF_INET, text, &at) != 1)
        return false;
    uint32_t offset = ntohl(at.s_addr) - r->network;
    return offset > 0 && offset < r->size - 1;
}

bool service_range_take_ip(struct service_range *r, struct str ip, bool hold)
{
    if (!is_free(r, map_get(&r->ips, ip), ip))
        return false;
    if (hold)
        ip_entry(r, ip)->held_until_ms = loop_now_ms(server_loop(r->server)) + RANGE_HOLD_MS;
    return true;
}

static bool try_offset(struct service_range *r, uint32_t offset, char text[INET_ADDRSTRLEN], bool hold)
{
    struct in_addr at = { .s_addr = htonl(r->network + offset) };
    inet_ntop(AF_INET, &at, text, INET_ADDRSTRLEN);
    return service_range_take_ip(r, str_of(text), hold);
}

struct str service_range_any_ip(struct service_range *r, struct arena *a, bool hold)
{
    uint32_t usable = r->size - 2, below = MIN(MAX(usable / 16, (uint32_t)STATIC_MIN), (uint32_t)STATIC_MAX);
    char text[INET_ADDRSTRLEN];
    if (below >= usable)
        below = 0;
    uint32_t upper = usable - below, start = (uint32_t)env_random_below(server_env(r->server), upper);
    for (uint32_t i = 0; i < upper; i++)
        if (try_offset(r, 1 + below + (start + i) % upper, text, hold))
            return arena_str(a, str_of(text));
    for (uint32_t i = 0; i < below; i++)
        if (try_offset(r, 1 + i, text, hold))
            return arena_str(a, str_of(text));
    return STR_NONE;
}

struct str service_range_cidr(const struct service_range *r)
{
    return str_of(r->cidr);
}

/* --- node ports --------------------------------------------------------------------------------------------------- */

bool service_range_has_port(const struct service_range *r, int64_t port)
{
    return port >= r->first_port && port <= r->last_port;
}

bool service_range_take_port(struct service_range *r, int64_t port, bool hold)
{
    struct taken *t = port_entry(r, port);
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)port);
    if (!t || !is_free(r, t, str_of(text)))
        return false;
    if (hold)
        t->held_until_ms = loop_now_ms(server_loop(r->server)) + RANGE_HOLD_MS;
    return true;
}

int64_t service_range_any_port(struct service_range *r, bool hold)
{
    int64_t count = r->last_port - r->first_port + 1;
    int64_t start = (int64_t)env_random_below(server_env(r->server), (uint64_t)count);
    for (int64_t i = 0; i < count; i++)
        if (service_range_take_port(r, r->first_port + (start + i) % count, hold))
            return r->first_port + (start + i) % count;
    return 0;
}

bool service_range_is_used(const struct service_range *r, struct str what)
{
    int64_t port;
    const struct taken *t = str_to_i64(what, &port) ? port_entry(r, port) : map_get(&r->ips, what);
    return t && t->count;
}

struct str service_range_ports(const struct service_range *r)
{
    return str_of(r->ports_text);
}

/* --- the part ----------------------------------------------------------------------------------------------------- */

static int read_cidr(struct service_range *r, const char *cidr, struct error *err)
{
    struct str bits = str_of(cidr), ip;
    char text[INET_ADDRSTRLEN];
    struct in_addr at;
    uint64_t prefix;
    if (!str_cut(&bits, '/', &ip) || ip.n >= sizeof(text) || !str_to_u64(bits, &prefix) || prefix < 8 || prefix > 29)
        return fail(err, ERR_BAD_REQUEST, "service range '%s' is no IPv4 network of 8 to 29 bits", cidr);
    memcpy(text, ip.p, ip.n);
    text[ip.n] = '\0';
    if (inet_pton(AF_INET, text, &at) != 1)
        return fail(err, ERR_BAD_REQUEST, "service range '%s' is no IPv4 network of 8 to 29 bits", cidr);
    r->size = (uint32_t)1 << (32 - prefix);
    r->network = ntohl(at.s_addr) & ~(r->size - 1);
    snprintf(r->cidr, sizeof(r->cidr), "%s", cidr);
    return 0;
}

static int read_ports(struct service_range *r, const char *range, struct error *err)
{
    struct str rest = str_of(range), first;
    if (!str_cut(&rest, '-', &first) || !str_to_i64(first, &r->first_port) || !str_to_i64(rest, &r->last_port) ||
        r->first_port < 1 || r->last_port > 65535 || r->first_port > r->last_port)
        return fail(err, ERR_BAD_REQUEST, "node port range '%s' is not FIRST-LAST within 1-65535", range);
    r->ports = xcalloc((size_t)(r->last_port - r->first_port + 1), sizeof(*r->ports));
    snprintf(r->ports_text, sizeof(r->ports_text), "%s", range);
    return 0;
}

int service_range_init(struct server *s, struct error *err)
{
    struct service_range *r = xnew(struct service_range);
    r->server = s;
    server_part_set(s, SERVER_PART_service_range, r);
    if (read_cidr(r, server_config(s)->service_cidr, err) < 0 ||
        read_ports(r, server_config(s)->node_port_range, err) < 0)
        return -1;
    state_each(server_state(s), &kind_service, STR_NONE, count_each, r);
    r->listener = state_listen(server_state(s), NULL, changed, r);
    return 0;
}

void service_range_done(struct server *s)
{
    struct service_range *r = server_part(s, SERVER_PART_service_range);
    struct str ip;
    void *taken;
    if (!r)
        return;
    state_unlisten(r->listener);
    for (size_t i = 0; map_next(&r->ips, &i, &ip, &taken);)
        free(taken);
    map_done(&r->ips);
    free(r->ports);
    free(r);
    server_part_set(s, SERVER_PART_service_range, NULL);
}

struct service_range *server_service_range(struct server *s)
{
    return server_part(s, SERVER_PART_service_range);
}
