/* `klein agent`: the node agent; with --gateway-only the gateway of a cluster on a machine that runs no pods. */
#include "base/file.h"
#include "base/time.h"
#include "cli/args.h"
#include "gateway/api_proxy.h"
#include "gateway/gateway.h"
#include "loop/address.h"
#include "main_commands.h"
#include "node/agent.h"

#define LOG_PART "agent"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVERS_MAX   8
#define TOKEN_WAIT_MS (60 * SECOND_MS)

/* --- the gateway as a role of the agent --------------------------------------------------------------------------------------- */

struct gateway_role {
    struct agent *agent;
    struct gateway *gateway;
    struct api_proxy *api_proxy; /* NULL: not wanted */
};

struct gateway_settings {
    const char *listen_ip, *publish_ip, *api_listen;
};

static void gateway_applied(void *arg, uint64_t revision)
{
    struct gateway_role *role = arg;

    (void)revision;
    agent_applied_changed(role->agent);
}

/* The virtual address of the API needs nothing but the servers' addresses: it is there before any cache is filled. */
static int start_api_proxy(struct gateway_role *role, const struct agent_services *s, const char *listen,
                           struct error *err)
{
    AUTO_FREE char *folder = xasprintf("%s/api", s->config->data);
    AUTO_FREE char *ca = xasprintf("%s/ca.crt", s->config->data);

    if (!listen)
        return 0;
    role->api_proxy =
        api_proxy_start(s->loop, &(struct api_proxy_config){ .folder = folder, .listen = listen, .ca_file = ca }, err);
    return role->api_proxy ? 0 : -1; /* the agent tells the servers next */
}

static void gateway_role_stop(void *arg)
{
    struct gateway_role *role = arg;

    gateway_stop(role->gateway);
    api_proxy_stop(role->api_proxy);
    free(role);
}

static void *gateway_role_start(void *arg, const struct agent_services *s, struct error *err)
{
    const struct gateway_settings *settings = arg;
    AUTO_FREE char *folder = xasprintf("%s/gateway", s->config->data);
    struct gateway_config config = {
        .folder = folder, .listen_ip = settings->listen_ip, .publish_ip = settings->publish_ip, .zone = s->config->zone
    };
    struct gateway_role *role = xnew(struct gateway_role);

    role->agent = s->agent;
    role->gateway = gateway_start(s->loop, s->env, s->api, &config, err);
    if (!role->gateway || start_api_proxy(role, s, settings->api_listen, err) < 0) {
        gateway_role_stop(role);
        error_context(err, "start the gateway");
        return NULL;
    }
    gateway_on_applied(role->gateway, gateway_applied, role);
    return role;
}

static void gateway_role_servers_changed(void *arg, const char *const *urls, size_t count)
{
    struct gateway_role *role = arg;

    if (role->api_proxy)
        api_proxy_set_servers(role->api_proxy, urls, count);
}

static uint64_t gateway_role_applied(void *arg)
{
    const struct gateway_role *role = arg;

    return gateway_applied_revision(role->gateway);
}

static const struct option_row options[] = {
    { "server", "URL", NULL, "an API server: https://HOST:PORT", true },
    { "token", "TOKEN", NULL, "join token (`klein token`); it pins the cluster's CA; not needed once joined" },
    { "token-file", "FILE", NULL, "read the join token from this file" },
    { "node-name", "NAME", NULL, "the node's name; default: the host name" },
    { "zone", "ZONE", NULL, "failure domain of this machine: label topology.kubernetes.io/zone" },
    { "region", "REGION", NULL, "label topology.kubernetes.io/region" },
    { "label", "KEY=VALUE", NULL, "a further label of the Node", true },
    { "data", "FOLDER", "/var/lib/klein/agent", "images, volumes and what must survive a restart" },
    { "address", "IP", NULL,
      "this machine's address as other nodes reach it; default: the one it uses towards the server" },
    { "cluster-name", "NAME", "klein", "control groups are /klein/NAME/NODE" },
    { "cluster-domain", "DOMAIN", "cluster.local", "suffix of service names" },
    { "service-cidr", "CIDR", "10.96.0.0/16", "where ClusterIPs come from" },
    { "cluster-cidr", "CIDR", "10.244.0.0/16", "pod addresses of the whole cluster" },
    { "dns-address", "IP", "10.96.0.10", "address pods ask for names" },
    { "upstream-dns", "ADDRESS", NULL, "where other names are asked; default: the machine's resolv.conf" },
    { "mirror", "HOST=URL", NULL, "pull images of HOST from the registry at URL", true },
    { "max-pods", "N", "250", "pods on this node" },
    { "gateway", NULL, NULL, "run the gateway (Ingress) on this node, too" },
    { "gateway-only", NULL, NULL, "run the gateway and no pods" },
    { "gateway-address", "IP", NULL, "where the gateway listens; default: all addresses" },
    { "api-listen", "ADDRESS", NULL,
      "with a gateway: pass connections to this address (IP:PORT) on to a living API server" },
    { "verbose", NULL, NULL, "log more" },
    { 0 },
};

static int read_token(const struct args *a, struct buf *text, const char **ret, struct error *err)
{
    struct str trimmed;

    *ret = arg(a, "token");
    if (*ret || !arg(a, "token-file"))
        return 0;
    /* The file may be on its way: agents and the server that makes the token are started together. */
    for (int64_t until_ms = time_monotonic_ms() + TOKEN_WAIT_MS;
         !file_exists(arg(a, "token-file")) && time_monotonic_ms() < until_ms;)
        poll(NULL, 0, 10);
    if (file_read(arg(a, "token-file"), text, err) < 0)
        return error_context(err, "read the join token");
    trimmed = str_trim(buf_str(text));
    buf_truncate(text, (size_t)(trimmed.p - text->p) + trimmed.n);
    *ret = trimmed.p;
    return 0;
}

/* The address this machine uses towards the server: what other nodes reach it by, unless told otherwise. */
static int find_own_address(const char *server, char ret[ADDRESS_TEXT_SIZE], struct error *err)
{
    struct str rest = str_of(server), authority;
    struct address to, own = { .length = sizeof(own.sa) };

    if (str_starts(rest, STR("https://")))
        rest = str_from(rest, 8);
    str_next(&rest, '/', &authority);
    if (address_parse(authority, &to, err) < 0)
        return error_context(err, "--address is not given, and --server '%s' has no IP address to find it by", server);
    AUTO_FD int fd = socket(to.sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to.sa, to.length) < 0 ||
        getsockname(fd, (struct sockaddr *)&own.sa, &own.length) < 0)
        return fail_sys(err, errno, "find the address towards '%s' (give --address)", server);
    address_format_ip(&own, ret);
    return 0;
}

static int read_mirrors(const struct args *a, struct agent_mirror *mirrors, struct arena *arena, struct error *err)
{
    for (int i = 0; i < arg_count(a, "mirror"); i++) {
        struct str url = str_of(arg_nth(a, "mirror", i)), host;
        if (!str_cut(&url, '=', &host) || !host.n || !url.n) {
            fail(err, ERR_BAD_REQUEST, "--mirror must be HOST=URL, not '%s'", arg_nth(a, "mirror", i));
            return EXIT_USAGE;
        }
        mirrors[i] = (struct agent_mirror){ arena_strdup(arena, host), arena_strdup(arena, url) };
    }
    return 0;
}

static int run(const struct args *a, struct error *err)
{
    AUTO_BUF struct buf token_text = BUF_MAX(4 * KIB);
    AUTO_ARENA struct arena arena = { 0 };
    const char *servers[SERVERS_MAX], *labels[ARG_VALUES_MAX], *token, *name = arg(a, "node-name");
    struct agent_mirror mirrors[ARG_VALUES_MAX];
    char host[256] = "", own_address[ADDRESS_TEXT_SIZE] = "";
    int64_t max_pods;
    int count = MIN(arg_count(a, "server"), SERVERS_MAX), rc;

    if (a->words_count || !count) {
        fail(err, ERR_BAD_REQUEST, a->words_count ? "unexpected argument" : "--server is needed");
        return EXIT_USAGE;
    }
    if (!arg(a, "address") && find_own_address(arg_nth(a, "server", 0), own_address, err) < 0)
        return -1;
    if (arg_number(a, "max-pods", 1, 5000, &max_pods, err) < 0)
        return EXIT_USAGE;
    if ((rc = read_mirrors(a, mirrors, &arena, err)) || (rc = read_token(a, &token_text, &token, err)))
        return rc;
    if (arg(a, "api-listen") && !arg_given(a, "gateway") && !arg_given(a, "gateway-only")) {
        fail(err, ERR_BAD_REQUEST, "--api-listen is the gateway's: give --gateway or --gateway-only, too");
        return EXIT_USAGE;
    }
    if (arg_given(a, "verbose"))
        log_set_level(LOG_DEBUG);
    gethostname(host, sizeof(host) - 1);
    for (int i = 0; i < count; i++)
        servers[i] = arg_nth(a, "server", i);
    for (int i = 0; i < arg_count(a, "label"); i++)
        labels[i] = arg_nth(a, "label", i);
    const char *address = arg(a, "address") ? arg(a, "address") : own_address;
    struct gateway_settings gateway = { arg(a, "gateway-address"), address, arg(a, "api-listen") };
    struct agent_role role = {
        .start = gateway_role_start,
        .stop = gateway_role_stop,
        .applied = gateway_role_applied,
        .servers_changed = gateway_role_servers_changed,
        .arg = &gateway,
    };
    struct agent_config config = {
        .servers = servers,
        .servers_count = (size_t)count,
        .token = token,
        .node_name = name ? name : host,
        .zone = arg(a, "zone"),
        .region = arg(a, "region"),
        .labels = labels,
        .labels_count = (size_t)arg_count(a, "label"),
        .data = arg(a, "data"),
        .address = address,
        .cluster_name = arg(a, "cluster-name"),
        .cluster_domain = arg(a, "cluster-domain"),
        .service_cidr = arg(a, "service-cidr"),
        .dns_address = arg(a, "dns-address"),
        .cluster_cidr = arg(a, "cluster-cidr"),
        .upstream_dns = arg(a, "upstream-dns"),
        .mirrors = mirrors,
        .mirrors_count = (size_t)arg_count(a, "mirror"),
        .max_pods = (int)max_pods,
        .gateway_only = arg_given(a, "gateway-only"),
        .role = arg_given(a, "gateway") || arg_given(a, "gateway-only") ? &role : NULL,
    };
    return agent_run(&config) ? fail(err, ERR_INTERNAL, "the agent ended; its log says why") : 0;
}

const struct subcommand command_agent = {
    .name = "agent",
    .summary = "Run the node agent, or the gateway of a cluster.",
    .usage = "--server URL --token TOKEN [--node-name NAME] [--zone ZONE]",
    .options = options,
    .run = run,
};
