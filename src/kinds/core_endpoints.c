/* Endpoints: the addresses behind a service, all in one object (EndpointSlice replaces it). Source: pkg/apis/core/validation. */
#include "kinds/cells.h"
#include "kinds/check_format.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"

#define ADDRESSES_SHOWN 3

static const char *const protocols[] = { "SCTP", "TCP", "UDP", NULL };

static void default_(struct kind_context *c, struct value *endpoints)
{
    struct value *subset, *port;

    for (size_t i = 0; (subset = value_at(value_get(endpoints, F_ENDPOINTS_SUBSETS), i)); i++)
        for (size_t j = 0; (port = value_at(value_get(subset, F_ENDPOINT_SUBSET_PORTS), j)); j++)
            default_text(c->arena, port, F_ENDPOINT_PORT_PROTOCOL, "TCP");
}

static void validate_address(struct check *k, const struct at *at, struct view address)
{
    struct str ip = view_str_at(address, F_ENDPOINT_ADDRESS_IP);
    struct str hostname = view_str_at(address, F_ENDPOINT_ADDRESS_HOSTNAME);
    struct view node = view_get(address, F_ENDPOINT_ADDRESS_NODE_NAME);

    check_ip(k, AT(at, "ip"), ip);
    if (hostname.n)
        check_dns_label(k, AT(at, "hostname"), hostname);
    if (view_present(node))
        check_dns_subdomain(k, AT(at, "nodeName"), view_str(node));
    check_not_special_ip(k, AT(at, "ip"), ip);
}

static void validate_port(struct check *k, const struct at *at, struct view port, bool name_required)
{
    struct str name = view_str_at(port, F_ENDPOINT_PORT_NAME);
    struct view protocol = view_get(port, F_ENDPOINT_PORT_APP_PROTOCOL);

    if (name.n)
        check_dns_label(k, AT(at, "name"), name);
    else if (name_required)
        check_required(k, AT(at, "name"), "");
    check_port(k, AT(at, "port"), view_int_at(port, 0, F_ENDPOINT_PORT_PORT));
    check_one_of_required(k, AT(at, "protocol"), view_str_at(port, F_ENDPOINT_PORT_PROTOCOL), protocols);
    if (view_present(protocol))
        check_qualified_name(k, AT(at, "appProtocol"), view_str(protocol));
}

static void validate_subset(struct check *k, const struct at *at, struct view subset)
{
    struct view ready = view_get(subset, F_ENDPOINT_SUBSET_ADDRESSES);
    struct view not_ready = view_get(subset, F_ENDPOINT_SUBSET_NOT_READY_ADDRESSES);
    struct view ports = view_get(subset, F_ENDPOINT_SUBSET_PORTS);
    struct view_iter it = { 0 };

    if (!view_count(ready) && !view_count(not_ready))
        check_required(k, at, "must specify `addresses` or `notReadyAddresses`");
    for (size_t i = 0; view_next(ready, &it) && !check_full(k); i++)
        validate_address(k, AT_INDEX(AT(at, "addresses"), i), it.value);
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(not_ready, &it) && !check_full(k); i++)
        validate_address(k, AT_INDEX(AT(at, "notReadyAddresses"), i), it.value);
    it = (struct view_iter){ 0 };
    for (size_t i = 0; view_next(ports, &it) && !check_full(k); i++)
        validate_port(k, AT_INDEX(AT(at, "ports"), i), it.value, view_count(ports) > 1);
}

static void validate(struct kind_context *c, struct view endpoints, struct view old, struct error *causes)
{
    struct check *k = CHECK(c, causes);
    struct view_iter it = { 0 };

    (void)old;
    for (size_t i = 0; view_next(view_get(endpoints, F_ENDPOINTS_SUBSETS), &it) && !check_full(k); i++)
        validate_subset(k, AT_INDEX(AT(AT_ROOT, "subsets"), i), it.value);
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Endpoints", "string", "", "The first addresses and ports.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void add_address(struct buf *text, size_t *count, struct str ip, int64_t port)
{
    bool v6 = str_is_ipv6(ip);

    if ((*count)++ >= ADDRESSES_SHOWN)
        return;
    buf_add_text(text, text->n ? "," : "");
    if (port)
        buf_addf(text, "%s%.*s%s:%lld", v6 ? "[" : "", STR_ARG(ip), v6 ? "]" : "", (long long)port);
    else
        buf_add(text, ip);
}

static struct str addresses_text(struct arena *a, struct view endpoints)
{
    AUTO_BUF struct buf text = BUF_MAX(16 * KIB);
    struct view_iter subset = { 0 };
    size_t count = 0;

    while (view_next(view_get(endpoints, F_ENDPOINTS_SUBSETS), &subset)) {
        struct view ports = view_get(subset.value, F_ENDPOINT_SUBSET_PORTS);
        struct view addresses = view_get(subset.value, F_ENDPOINT_SUBSET_ADDRESSES);
        struct view_iter port = { 0 }, address = { 0 };

        while (!view_count(ports) && view_next(addresses, &address))
            add_address(&text, &count, view_str_at(address.value, F_ENDPOINT_ADDRESS_IP), 0);
        while (view_next(ports, &port)) {
            address = (struct view_iter){ 0 };
            while (view_next(addresses, &address))
                add_address(&text, &count, view_str_at(address.value, F_ENDPOINT_ADDRESS_IP),
                            view_int_at(port.value, 0, F_ENDPOINT_PORT_PORT));
        }
    }
    if (count > ADDRESSES_SHOWN)
        buf_addf(&text, " + %zu more...", count - ADDRESSES_SHOWN);
    return text.n ? arena_str(a, buf_str(&text)) : STR(CELL_NONE);
}

static void row(struct arena *a, struct view endpoints, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, endpoints);
    cell_str(a, cells, addresses_text(a, endpoints));
    cell_age(a, cells, endpoints, now_ms);
}

const struct kind kind_endpoints = {
    .group = "",
    .version = "v1",
    .kind = "Endpoints",
    .list_kind = "EndpointsList",
    .plural = "endpoints",
    .singular = "endpoints",
    .short_names = (const char *const[]){ "ep", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_core_v1_endpoints,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .validate = validate,
};
