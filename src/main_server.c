/* `klein server`: the API server, and with it whatever of the control plane runs in the same process. */
#include "base/file.h"
#include "base/time.h"
#include "cli/args.h"
#include "cli/server_leave.h"
#include "main_commands.h"
#include "main_control.h"
#include "server/run.h"

#define LOG_PART "server"
#include "base/log.h"

#include <stdlib.h>

#define SERVERS_ENDPOINTS_MAX 16

static const struct option_row options[] = {
    { "data", "FOLDER", "/var/lib/klein/server", "where the state, keys and certificates live" },
    { "listen", "ADDRESS", "0.0.0.0:6443", "where the API listens" },
    { "advertise", "IP", NULL,
      "address under which nodes, pods and other servers reach the API; default: the listening address" },
    { "san", "NAME", NULL, "a further name or address in the serving certificate", true },
    { "service-cidr", "CIDR", "10.96.0.0/16", "where ClusterIPs come from" },
    { "pod-cidr", "CIDR", "10.244.0.0/16", "where the nodes' pod networks come from" },
    { "node-port-range", "A-B", "30000-32767", "where node ports come from" },
    { "service-account-issuer", "URL", "https://kubernetes.default.svc.cluster.local",
      "issuer of service account tokens" },
    { "default-not-ready-toleration-seconds", "N", "300",
      "how long a pod that says nothing itself stays on a node that is not ready" },
    { "default-unreachable-toleration-seconds", "N", "300", "the same for a node that is not heard" },
    { "audit-file", "FILE", NULL, "write one JSON line for each request" },
    { "max-requests-inflight", "N", "400", "reading requests at once" },
    { "max-mutating-requests-inflight", "N", "200", "writing requests at once" },
    { "anonymous", "yes|no", "yes", "let clients without credentials see what system:public-info-viewer grants" },
    { "backup-to", "PLACE", NULL, "make backups there (see `klein backup --help`), each one proved" },
    { "backup-every", "DURATION", "1h", "how often (e.g. 15m)" },
    { "backup-keep", "N", "24", "how many are kept" },
    { "backup-passphrase-file", "FILE", NULL, "seals keys and certificates; without it they are left out" },
    { "backup-credentials-file", "FILE", NULL, "of S3; else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" },
    { "backup-identity-file", "FILE", NULL, "of ssh, for rsync://" },
    { "backup-known-hosts-file", "FILE", NULL, "of ssh, for rsync://" },
    { "to", "etcd|sqlite", NULL, "with `migrate`: the kind of store to which the state of a stopped server moves" },
    { "refuse-old-reads", NULL, NULL,
      "cut off from the majority of the servers: refuse reads instead of answering with a warning" },
    { "no-control", NULL, NULL,
      "show the state and change nothing: no controllers, no writes (to look at a restored backup)" },
    { "address-file", "FILE", NULL, "write the address of the API here when it listens" },
    { "store", "sqlite|etcd", NULL, "where the state is kept; default: as at the first start, then sqlite" },
    { "name", "NAME", NULL, "this server's name among several; default: the host name" },
    { "zone", "ZONE", NULL, "failure domain of this machine" },
    { "address", "IP", NULL, "address at which other servers reach this one's etcd; default: --advertise" },
    { "etcd-client-port", "N", "2379", "port of the local etcd for clients" },
    { "etcd-peer-port", "N", "2380", "port of the local etcd for the other servers' etcd" },
    { "join", "URL", NULL, "become a further server of the cluster that URL is a server of" },
    { "token", "TOKEN", NULL, "token for --join (`klein token --for-server`)" },
    { "token-file", "FILE", NULL, "read that token from this file" },
    { "etcd-endpoints", "URL,URL", NULL, "use this etcd cluster instead of running a member here" },
    { "etcd-ca", "FILE", NULL, "certificate authority of that etcd" },
    { "etcd-cert", "FILE", NULL, "certificate this server shows to it" },
    { "etcd-key", "FILE", NULL, "its private key" },
    { "etcd-prefix", "TEXT", "klein", "what klein's keys in it start with" },
    { "force", NULL, NULL, "with `leave`: also when the servers that stay would have no majority" },
    { "verbose", NULL, NULL, "log more" },
    { 0 },
};

/* Whoever asked for port 0 wants to know which one it is. */
static int write_address(struct server *s, void *arg_, struct error *err)
{
    const char *path = arg(arg_, "address-file");
    struct address at = server_address(s);
    char text[ADDRESS_TEXT_SIZE];

    return path ? file_write(path, str_of(address_format(&at, text)), 0600, err) : 0;
}

static int read_backup(const struct args *a, struct backup_config *ret, struct error *err)
{
    int64_t keep;

    *ret = (struct backup_config){
        .to = arg(a, "backup-to"),
        .passphrase_file = arg(a, "backup-passphrase-file"),
        .credentials_file = arg(a, "backup-credentials-file"),
        .identity_file = arg(a, "backup-identity-file"),
        .known_hosts_file = arg(a, "backup-known-hosts-file"),
    };
    if (!time_parse_duration(str_of(arg(a, "backup-every")), &ret->every_ms) || ret->every_ms < SECOND_MS)
        return fail(err, ERR_BAD_REQUEST, "--backup-every must be a duration like 1h or 15m, not '%s'",
                    arg(a, "backup-every"));
    if (arg_number(a, "backup-keep", 1, 100000, &keep, err) < 0)
        return -1;
    ret->keep = (int)keep;
    return 0;
}

/* The texts behind struct servers_config, for as long as the server runs. */
struct servers_texts {
    struct buf token;
    char *list[SERVERS_ENDPOINTS_MAX + 1];
};

static int read_servers(const struct args *a, struct servers_texts *t, struct servers_config *ret, struct error *err)
{
    int64_t client_port, peer_port;
    if (arg_number(a, "etcd-client-port", 1, 65535, &client_port, err) < 0 ||
        arg_number(a, "etcd-peer-port", 1, 65535, &peer_port, err) < 0)
        return -1;
    *ret = (struct servers_config){
        .store = arg(a, "store"),
        .name = arg(a, "name"),
        .zone = arg(a, "zone"),
        .address = arg(a, "address"),
        .join = arg(a, "join"),
        .join_token = arg(a, "token"),
        .etcd_ca = arg(a, "etcd-ca"),
        .etcd_certificate = arg(a, "etcd-cert"),
        .etcd_key = arg(a, "etcd-key"),
        .etcd_prefix = arg(a, "etcd-prefix"),
        .etcd_client_port = (int)client_port,
        .etcd_peer_port = (int)peer_port,
    };
    /* A file that is not there is no fault of a server that has joined already. */
    if (!ret->join_token && arg(a, "token-file") && file_exists(arg(a, "token-file"))) {
        if (file_read(arg(a, "token-file"), &t->token, err) < 0)
            return error_context(err, "read the token");
        buf_truncate(&t->token, str_trim(buf_str(&t->token)).n);
        ret->join_token = t->token.p;
    }
    if (!arg(a, "etcd-endpoints"))
        return 0;
    struct str rest = str_of(arg(a, "etcd-endpoints")), one;
    int n = 0;
    while (str_next(&rest, ',', &one) && n < SERVERS_ENDPOINTS_MAX)
        if (one.n)
            t->list[n++] = str_dup(one);
    ret->etcd_endpoints = (const char *const *)t->list;
    ret->store = ret->store ? ret->store : "etcd";
    return 0;
}

static int run(const struct args *a, struct error *err)
{
    const char *sans[ARG_VALUES_MAX + 1] = { 0 };
    int64_t not_ready, unreachable, requests, mutating;
    for (int i = 0; i < arg_count(a, "san") && i < ARG_VALUES_MAX; i++)
        sans[i] = arg_nth(a, "san", i);
    if (a->words_count == 1 && str_is(str_of(a->words[0]), "leave"))
        return server_leave(arg(a, "data"), arg(a, "listen"), arg_given(a, "force"), err);
    if (a->words_count == 1 && str_is(str_of(a->words[0]), "migrate"))
        return server_migrate(a, err);
    if (a->words_count == 1 && str_is(str_of(a->words[0]), "recover"))
        return server_recover(a, err);
    if (args_no_words(a, err) < 0 ||
        arg_number(a, "default-not-ready-toleration-seconds", 0, 1 << 20, &not_ready, err) < 0 ||
        arg_number(a, "default-unreachable-toleration-seconds", 0, 1 << 20, &unreachable, err) < 0 ||
        arg_number(a, "max-requests-inflight", 1, 100000, &requests, err) < 0 ||
        arg_number(a, "max-mutating-requests-inflight", 1, 100000, &mutating, err) < 0)
        return EXIT_USAGE;
    struct servers_texts texts = { .token = BUF_MAX(4 * KIB) };
    struct servers_config servers;
    if (read_servers(a, &texts, &servers, err) < 0)
        return -1;
    if (arg_given(a, "verbose"))
        log_set_level(LOG_DEBUG);
    struct server_config config = {
        .data_folder = arg(a, "data"),
        .listen = arg(a, "listen"),
        .advertise = arg(a, "advertise"),
        .sans = sans,
        .service_cidr = arg(a, "service-cidr"),
        .pod_cidr = arg(a, "pod-cidr"),
        .node_port_range = arg(a, "node-port-range"),
        .service_account_issuer = arg(a, "service-account-issuer"),
        .default_not_ready_toleration_s = not_ready ? not_ready : -1,
        .default_unreachable_toleration_s = unreachable ? unreachable : -1,
        .audit_file = arg(a, "audit-file"),
        .requests_max = (int)requests,
        .mutating_requests_max = (int)mutating,
        .no_anonymous = str_is(str_of(arg(a, "anonymous")), "no"),
        .refuse_old_reads = arg_given(a, "refuse-old-reads"),
        .no_control = arg_given(a, "no-control"),
        .servers = servers,
    };
    if (read_backup(a, &config.backup, err) < 0)
        return EXIT_USAGE;
    if (config.no_control)
        return server_run(&config, &(struct server_hooks){ .started = write_address, .arg = (void *)(uintptr_t)a },
                          err);
    struct control_config control = { .pod_cidr = config.pod_cidr };
    struct server_hooks hooks = control_hooks(&control);
    int result = server_run(&config, &hooks, err);
    buf_done(&texts.token);
    for (char **one = texts.list; *one; one++)
        free(*one);
    return result;
}

const struct subcommand command_server = {
    .name = "server",
    .summary = "Run the API server and the control plane.",
    .usage = "[leave | migrate --to etcd|sqlite | recover] [--data FOLDER] [--listen ADDRESS] [--store sqlite|etcd] "
             "[--join URL --token TOKEN]",
    .options = options,
    .run = run,
};
