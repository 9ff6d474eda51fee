/*
 * externalIPs may not name what the cluster itself answers at: Services' addresses, nodes, the API. Whoever may write a
 * Service could take over their traffic. CVE-2020-8554; upstream offers DenyServiceExternalIPs, which refuses all.
 */
#include "kinds/fields.h"
#include "server/admission.h"
#include "server/admission/service_range.h"
#include "server/server.h"

struct search {
    struct str ip;
    bool found;
};

static bool applies(const struct request *r)
{
    return admission_is_create(r, &kind_service) || admission_is_update(r, &kind_service);
}

static bool look_node(void *arg, const struct object *node)
{
    struct search *s = arg;
    struct view addresses = view_path(object_root(node), F_NODE_STATUS, F_NODE_STATUS_ADDRESSES);
    struct view_iter it = { 0 };

    while (view_next(addresses, &it))
        s->found |= str_eq(view_str_at(it.value, F_NODE_ADDRESS_ADDRESS), s->ip);
    return !s->found;
}

static bool had(struct view old, struct str ip)
{
    struct view_iter it = { 0 };

    while (view_next(old, &it))
        if (str_eq(view_str(it.value), ip))
            return true;
    return false;
}

static bool is_of_cluster(struct request *r, struct str ip)
{
    const char *advertise = server_config(r->server)->advertise;
    struct search s = { .ip = ip };

    if (service_range_has_ip(server_service_range(r->server), ip) || (advertise && str_is(ip, advertise)))
        return true;
    state_each(server_state(r->server), &kind_node, STR_NONE, look_node, &s);
    return s.found;
}

static enum phase_result validate(struct request *r, struct view object, struct view old)
{
    struct view old_ips = view_path(old, F_SERVICE_SPEC, F_SERVICE_SPEC_EXTERNAL_IPS);
    struct view_iter it = { 0 };

    while (view_next(view_path(object, F_SERVICE_SPEC, F_SERVICE_SPEC_EXTERNAL_IPS), &it)) {
        struct str ip = view_str(it.value);
        if (!had(old_ips, ip) && is_of_cluster(r, ip))
            return admission_forbid(r, "spec.externalIPs: %.*s is an address of the cluster itself", STR_ARG(ip));
    }
    return PHASE_DONE;
}

const struct admission_step admission_external_addresses = {
    .name = "ExternalAddresses",
    .applies = applies,
    .validate = validate,
};
