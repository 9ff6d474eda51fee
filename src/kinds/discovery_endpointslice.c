/* EndpointSlice: some of the addresses behind a service. Source: pkg/apis/discovery/validation. */
#include "base/map.h"
#include "kinds/cells.h"
#include "kinds/check_format.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "object/validate.h"

#define ENDPOINTS_MAX 1000
#define ADDRESSES_MAX 100
#define PORTS_MAX     20000
#define HINTS_MAX     8
#define SHOWN         3

static const char *const address_types[] = { "FQDN", "IPv4", "IPv6", NULL };
static const char *const protocols[] = { "SCTP", "TCP", "UDP", NULL };

static void default_(struct kind_context *c, struct value *slice)
{
    struct value *port;

    for (size_t i = 0; (port = value_at(value_get(slice, F_ENDPOINT_SLICE_PORTS), i)); i++) {
        if (value_unset(value_get(port, F_DISCOVERY_ENDPOINT_PORT_NAME)))
            value_set_text(c->arena, port, F_DISCOVERY_ENDPOINT_PORT_NAME, "");
        if (value_unset(value_get(port, F_DISCOVERY_ENDPOINT_PORT_PROTOCOL)))
            value_set_text(c->arena, port, F_DISCOVERY_ENDPOINT_PORT_PROTOCOL, "TCP");
    }
}

static void validate_address(struct check *k, const struct at *at, struct str address, struct str type)
{
    struct validate_messages messages = { 0 };

    if (str_is(type, "FQDN")) {
        if (!validate_fully_qualified_name(address, &messages))
            check_invalid_str(k, at, address, messages.list[0]);
        return;
    }
    if (!(str_is(type, "IPv4") ? validate_ipv4 : validate_ipv6)(address, &messages))
        check_invalid_str(k, at, address, messages.list[0]);
    else
        check_not_special_ip(k, at, address);
}

static void validate_hints(struct check *k, const struct at *at, struct view zones)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    if (view_count(zones) > HINTS_MAX) {
        check_too_many(k, at, (int64_t)view_count(zones), HINTS_MAX);
        return;
    }
    for (size_t i = 0; view_next(zones, &it); i++) {
        struct str name = view_str_at(it.value, F_FOR_ZONE_NAME);

        if (seen_before(&seen, name))
            check_duplicate_str(k, AT(AT_INDEX(at, i), "name"), name);
        check_label_value(k, AT(AT_INDEX(at, i), "name"), name);
    }
}

static void validate_endpoint(struct check *k, const struct at *at, struct view endpoint, struct str type)
{
    struct view addresses = view_get(endpoint, F_ENDPOINT_ADDRESSES), node = view_get(endpoint, F_ENDPOINT_NODE_NAME);
    struct view hostname = view_get(endpoint, F_ENDPOINT_HOSTNAME);
    struct view_iter it = { 0 };

    if (!view_count(addresses))
        check_required(k, AT(at, "addresses"), "must contain at least 1 address");
    else if (view_count(addresses) > ADDRESSES_MAX)
        check_too_many(k, AT(at, "addresses"), (int64_t)view_count(addresses), ADDRESSES_MAX);
    for (size_t i = 0; str_in(type, address_types) && view_next(addresses, &it) && !check_full(k); i++)
        validate_address(k, AT_INDEX(AT(at, "addresses"), i), view_str(it.value), type);
    if (view_present(node))
        check_dns_subdomain(k, AT(at, "nodeName"), view_str(node));
    if (view_present(hostname))
        check_dns_label(k, AT(at, "hostname"), view_str(hostname));
    validate_hints(k, AT(AT(at, "hints"), "forZones"),
                   view_path(endpoint, F_ENDPOINT_HINTS, F_ENDPOINT_HINTS_FOR_ZONES));
}

static void validate_ports(struct check *k, const struct at *at, struct view ports)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    if (view_count(ports) > PORTS_MAX) {
        check_too_many(k, at, (int64_t)view_count(ports), PORTS_MAX);
        return;
    }
    for (size_t i = 0; view_next(ports, &it) && !check_full(k); i++) {
        struct str name = view_str_at(it.value, F_DISCOVERY_ENDPOINT_PORT_NAME);
        struct view protocol = view_get(it.value, F_DISCOVERY_ENDPOINT_PORT_APP_PROTOCOL);
        const struct at *port = AT_INDEX(at, i);

        if (name.n)
            check_dns_label(k, AT(port, "name"), name);
        if (seen_before(&seen, name))
            check_duplicate_str(k, AT(port, "name"), name);
        check_one_of_required(k, AT(port, "protocol"), view_str_at(it.value, F_DISCOVERY_ENDPOINT_PORT_PROTOCOL),
                              protocols);
        if (view_present(protocol))
            check_qualified_name(k, AT(port, "appProtocol"), view_str(protocol));
    }
}

static void validate(struct kind_context *c, struct view slice, struct view old, struct error *causes)
{
    struct view endpoints = view_get(slice, F_ENDPOINT_SLICE_ENDPOINTS);
    struct str type = view_str_at(slice, F_ENDPOINT_SLICE_ADDRESS_TYPE);
    struct check *k = CHECK(c, causes);
    struct view_iter it = { 0 };

    check_one_of_required(k, AT(AT_ROOT, "addressType"), type, address_types);
    if (view_count(endpoints) > ENDPOINTS_MAX)
        check_too_many(k, AT(AT_ROOT, "endpoints"), (int64_t)view_count(endpoints), ENDPOINTS_MAX);
    else
        for (size_t i = 0; view_next(endpoints, &it) && !check_full(k); i++)
            validate_endpoint(k, AT_INDEX(AT(AT_ROOT, "endpoints"), i), it.value, type);
    validate_ports(k, AT(AT_ROOT, "ports"), view_get(slice, F_ENDPOINT_SLICE_PORTS));
    if (!c->create)
        check_immutable(k, AT(AT_ROOT, "addressType"), view_get(slice, F_ENDPOINT_SLICE_ADDRESS_TYPE),
                        view_get(old, F_ENDPOINT_SLICE_ADDRESS_TYPE));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "AddressType", "string", "", "Family of its addresses.", 0 },
    { "Ports", "string", "", "Its ports.", 0 },
    { "Endpoints", "string", "", "The first addresses.", 0 },
    COLUMN_AGE,
    { NULL },
};

static struct str finish(struct arena *a, struct buf *text, size_t count)
{
    if (count > SHOWN)
        buf_addf(text, " + %zu more...", count - SHOWN);
    return text->n ? arena_str(a, buf_str(text)) : STR(CELL_UNSET);
}

static struct str ports_text(struct arena *a, struct view slice)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct view_iter it = { 0 };
    size_t count = 0;

    for (; view_next(view_get(slice, F_ENDPOINT_SLICE_PORTS), &it); count++) {
        struct view port = view_get(it.value, F_DISCOVERY_ENDPOINT_PORT_PORT);

        if (count >= SHOWN)
            continue;
        buf_add_text(&text, count ? "," : "");
        if (view_present(port))
            buf_add_i64(&text, view_int(port, 0));
        else
            buf_add_char(&text, '*');
    }
    return finish(a, &text, count);
}

static struct str addresses_text(struct arena *a, struct view slice)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct view_iter endpoint = { 0 };
    size_t count = 0;

    while (view_next(view_get(slice, F_ENDPOINT_SLICE_ENDPOINTS), &endpoint)) {
        struct view_iter it = { 0 };

        for (; view_next(view_get(endpoint.value, F_ENDPOINT_ADDRESSES), &it); count++) {
            if (count >= SHOWN)
                continue;
            buf_add_text(&text, count ? "," : "");
            buf_add(&text, view_str(it.value));
        }
    }
    return finish(a, &text, count);
}

static void row(struct arena *a, struct view slice, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, slice);
    cell_str(a, cells, view_str_at(slice, F_ENDPOINT_SLICE_ADDRESS_TYPE));
    cell_str(a, cells, ports_text(a, slice));
    cell_str(a, cells, addresses_text(a, slice));
    cell_age(a, cells, slice, now_ms);
}

const struct kind kind_endpointslice = {
    .group = "discovery.k8s.io",
    .version = "v1",
    .kind = "EndpointSlice",
    .list_kind = "EndpointSliceList",
    .plural = "endpointslices",
    .singular = "endpointslice",
    .namespaced = true,
    .verbs = VERBS_ALL,
    .has_generation = true,
    .schema = &schema_discovery_v1_endpoint_slice,
    .columns = columns,
    .row = row,
    .default_ = default_,
    .validate = validate,
};
