/* Namespaces, the Service through which pods reach the API, and the token with which nodes join. */
#include "server/rbac_bootstrap.h"
#include "server/servers.h"

#include "base/codec.h"
#include "base/file.h"
#include "base/time.h"
#include "kinds/fields.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static struct value *object_named(struct arena *a, const char *version, const char *kind, const char *namespace_,
                                  const char *name)
{
    struct value *o = value_object(a);
    value_set_text(a, o, F_POD_API_VERSION, version);
    value_set_text(a, o, F_POD_KIND, kind);
    struct value *metadata = value_make_object(a, o, F_POD_METADATA);
    value_set_text(a, metadata, F_OBJECT_META_NAME, name);
    if (namespace_)
        value_set_text(a, metadata, F_OBJECT_META_NAMESPACE, namespace_);
    return o;
}

static void set_label(struct arena *a, struct value *object, const char *key, const char *value)
{
    struct value *labels = value_make_object(a, value_make_object(a, object, F_POD_METADATA), F_OBJECT_META_LABELS);
    value_put_str(a, labels, str_of(key), value_text(a, value));
}

void bootstrap_add_namespaces(struct arena *a, struct bootstrap_items *l)
{
    static const char *const names[] = { "default", "kube-system", "kube-public", "kube-node-lease" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        bootstrap_add(l, &kind_namespace, object_named(a, "v1", "Namespace", NULL, names[i]));
}

/* --- the Service default/kubernetes ------------------------------------------------------------------------------ */

static bool first_outside_address(char ret[ADDRESS_TEXT_SIZE])
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct address at = { .length = sizeof(struct sockaddr_in) };
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) ||
            !(i->ifa_flags & IFF_UP))
            continue;
        memcpy(&at.sa, i->ifa_addr, sizeof(struct sockaddr_in));
        address_format_ip(&at, ret);
        found = true;
    }
    freeifaddrs(all);
    return found;
}

void bootstrap_api_address(struct server *s, char ret_ip[ADDRESS_TEXT_SIZE], uint16_t *ret_port)
{
    const struct server_config *config = server_config(s);
    struct address at = { 0 };
    *ret_port = 6443;
    snprintf(ret_ip, ADDRESS_TEXT_SIZE, "127.0.0.1");
    if (config->listen && address_parse(str_of(config->listen), &at, NULL) == 0 && !address_is_unix(&at)) {
        if (address_port(&at))
            *ret_port = address_port(&at);
        address_format_ip(&at, ret_ip);
    }
    if (config->advertise)
        snprintf(ret_ip, ADDRESS_TEXT_SIZE, "%s", config->advertise);
    else if (!strcmp(ret_ip, "0.0.0.0") || !strcmp(ret_ip, "::"))
        first_outside_address(ret_ip);
}

struct str bootstrap_api_url(struct server *s, struct arena *a)
{
    char ip[ADDRESS_TEXT_SIZE];
    uint16_t port;
    bootstrap_api_address(s, ip, &port);
    return arena_printf(a, strchr(ip, ':') ? "https://[%s]:%u" : "https://%s:%u", ip, port);
}

static struct str first_service_address(struct server *s, struct arena *a)
{
    unsigned ip[4];
    if (sscanf(server_config(s)->service_cidr, "%3u.%3u.%3u.%3u", &ip[0], &ip[1], &ip[2], &ip[3]) != 4)
        return STR("10.96.0.1");
    return arena_printf(a, "%u.%u.%u.%u", ip[0] & 255, ip[1] & 255, ip[2] & 255, (ip[3] & 255) + 1);
}

static struct value *service(struct server *s, struct arena *a, uint16_t port)
{
    struct value *o = object_named(a, "v1", "Service", "default", "kubernetes"), *p = value_object(a);
    struct value *spec = value_make_object(a, o, F_SERVICE_SPEC);
    set_label(a, o, "component", "apiserver");
    set_label(a, o, "provider", "kubernetes");
    value_set(a, spec, F_SERVICE_SPEC_CLUSTER_IP, first_service_address(s, a));
    value_set_text(a, spec, F_SERVICE_SPEC_TYPE, "ClusterIP");
    value_set_text(a, p, F_SERVICE_PORT_NAME, "https");
    value_set_text(a, p, F_SERVICE_PORT_PROTOCOL, "TCP");
    value_set_int(a, p, F_SERVICE_PORT_PORT, 443);
    value_set_int(a, p, F_SERVICE_PORT_TARGET_PORT, port);
    value_append(a, value_make_array(a, spec, F_SERVICE_SPEC_PORTS), p);
    return o;
}

static struct value *https_port(struct arena *a, uint16_t port)
{
    struct value *p = value_object(a);
    value_set_text(a, p, F_ENDPOINT_PORT_NAME, "https");
    value_set_int(a, p, F_ENDPOINT_PORT_PORT, port);
    value_set_text(a, p, F_ENDPOINT_PORT_PROTOCOL, "TCP");
    return p;
}

/* One set of ports for all: the servers listen on the same one. */
static struct value *endpoints(struct arena *a, const struct bootstrap_address *at, size_t count)
{
    struct value *o = object_named(a, "v1", "Endpoints", "default", "kubernetes"), *subset = value_object(a);
    struct value *addresses = value_make_array(a, subset, F_ENDPOINT_SUBSET_ADDRESSES);
    set_label(a, o, "endpointslice.kubernetes.io/skip-mirror", "true");
    for (size_t i = 0; i < count; i++) {
        struct value *one = value_object(a);
        value_set(a, one, F_ENDPOINT_ADDRESS_IP, arena_str(a, str_of(at[i].ip)));
        value_append(a, addresses, one);
    }
    value_append(a, value_make_array(a, subset, F_ENDPOINT_SUBSET_PORTS), https_port(a, at[0].port));
    value_append(a, value_make_array(a, o, F_ENDPOINTS_SUBSETS), subset);
    return o;
}

static struct value *endpoint_slice(struct arena *a, const struct bootstrap_address *at, size_t count)
{
    struct value *o = object_named(a, "discovery.k8s.io/v1", "EndpointSlice", "default", "kubernetes");
    set_label(a, o, "kubernetes.io/service-name", "kubernetes");
    value_set_text(a, o, F_ENDPOINT_SLICE_ADDRESS_TYPE, strchr(at[0].ip, ':') ? "IPv6" : "IPv4");
    for (size_t i = 0; i < count; i++) {
        struct value *e = value_object(a);
        value_append(a, value_make_array(a, e, F_ENDPOINT_ADDRESSES), value_str(a, arena_str(a, str_of(at[i].ip))));
        value_set_bool(a, value_make_object(a, e, F_ENDPOINT_CONDITIONS), F_ENDPOINT_CONDITIONS_READY, true);
        value_append(a, value_make_array(a, o, F_ENDPOINT_SLICE_ENDPOINTS), e);
    }
    value_append(a, value_make_array(a, o, F_ENDPOINT_SLICE_PORTS), https_port(a, at[0].port));
    return o;
}

static int by_ip(const void *a, const void *b)
{
    return strcmp(((const struct bootstrap_address *)a)->ip, ((const struct bootstrap_address *)b)->ip);
}

void bootstrap_add_kubernetes_endpoints(struct arena *a, struct bootstrap_items *l, struct bootstrap_address *at,
                                        size_t count)
{
    size_t kept = 0;
    /* Endpoints may not be loopback addresses (CVE-2021-25737): a server for this machine alone has none. */
    for (size_t i = 0; i < count; i++)
        if (!str_starts(str_of(at[i].ip), STR("127.")) && strcmp(at[i].ip, "::1") != 0)
            at[kept++] = at[i];
    if (!kept)
        return;
    qsort(at, kept, sizeof(*at), by_ip); /* the same servers are the same objects */
    bootstrap_add(l, &kind_endpoints, endpoints(a, at, kept));
    bootstrap_add(l, &kind_endpointslice, endpoint_slice(a, at, kept));
}

void bootstrap_add_kubernetes_service(struct server *s, struct arena *a, struct bootstrap_items *l)
{
    struct bootstrap_address own;
    bootstrap_api_address(s, own.ip, &own.port);
    bootstrap_add(l, &kind_service, service(s, a, own.port));
    if (servers_known(s) < 2) /* else the leader keeps them: api_endpoints.c */
        bootstrap_add_kubernetes_endpoints(a, l, &own, 1);
}

/* --- the join token ---------------------------------------------------------------------------------------------- */

#define TOKEN_ALPHABET "abcdefghijklmnopqrstuvwxyz0123456789"

static void random_text(struct env *env, char *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = TOKEN_ALPHABET[env_random_below(env, sizeof(TOKEN_ALPHABET) - 1)];
    to[n] = '\0';
}

static void put_data(struct arena *a, struct value *secret, const char *key, struct str bytes)
{
    AUTO_BUF struct buf text = BUF_MAX(KIB);
    base64_encode(&text, bytes);
    value_put_str(a, value_make_object(a, secret, F_SECRET_DATA), str_of(key),
                  value_str(a, arena_str(a, buf_str(&text))));
}

static struct value *token_secret(struct arena *a, struct str id, struct str token_secret)
{
    struct str name = arena_printf(a, "bootstrap-token-%.*s", STR_ARG(id));
    struct value *o = object_named(a, "v1", "Secret", "kube-system", name.p);
    value_set_text(a, o, F_SECRET_TYPE, "bootstrap.kubernetes.io/token");
    put_data(a, o, "token-id", id);
    put_data(a, o, "token-secret", token_secret);
    put_data(a, o, "usage-bootstrap-authentication", STR("true"));
    put_data(a, o, "auth-extra-groups", STR("system:bootstrappers:klein-gateways"));
    put_data(a, o, "description",
             STR("Made at the first start of the server; nodes join with it. Delete it to end that."));
    return o;
}

/* The secret is made together with the file and never again, so that deleting it revokes the token for good. */
struct str bootstrap_add_join_token(struct server *s, struct arena *a, struct bootstrap_items *l)
{
    char id[7], secret[17], pin[65];
    if (file_exists(bootstrap_join_token_path(s, a).p))
        return STR_NONE;
    random_text(server_env(s), id, 6);
    random_text(server_env(s), secret, 16);
    ca_pin(server_ca(s), pin);
    bootstrap_add(l, &kind_secret, token_secret(a, arena_str(a, str_of(id)), arena_str(a, str_of(secret))));
    return arena_printf(a, "%s.%s.%s\n", id, secret, pin);
}

struct str bootstrap_join_token_path(struct server *s, struct arena *a)
{
    return arena_printf(a, "%s/join-token", server_config(s)->data_folder);
}
