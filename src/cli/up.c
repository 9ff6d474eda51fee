/* `klein up`: a cluster on this machine, made the way it would look on many: zones are bridges, nodes are namespaces. */
#include "base/file.h"
#include "base/time.h"
#include "cli/chaos.h"
#include "cli/commands.h"
#include "cli/links.h"
#include "cli/machine.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "cli/run.h"
#include "cli/up_servers.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define SERVER_LIMIT_MS (30 * SECOND_MS)
#define NODES_LIMIT_MS  (60 * SECOND_MS)
#define POLL_MS         20
#define JOIN_TOKEN_S    (24 * 3600) /* a lost node of this cluster is made again by `klein up` with a new token */

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { "zones", "N", "3", "failure domains, each a bridge that can be cut" },
    { "nodes-per-zone", "N", "1", "nodes in each zone, each a namespace of its own" },
    { "servers", "N", "1",
      "API servers; several have a machine each, spread over the zones, and share their state on etcd" },
    { "store", "sqlite|etcd", NULL, "where one server keeps the state; default: sqlite" },
    { "disk-size", "SIZE", NULL,
      "a disk of its own in memory for each server's data, e.g. 512M: to be filled by `klein chaos`" },
    { "kubeconfig", "FILE", NULL, "also write the administrator's kubeconfig here" },
    { "mirror", "HOST=URL", NULL, "pull images of HOST from the registry at URL", .repeated = true },
    { 0 },
};

static int own_program(char to[4096], struct error *err)
{
    ssize_t n = readlink("/proc/self/exe", to, 4095);

    if (n <= 0)
        return fail_sys(err, errno, "find klein's own program file");
    to[n] = '\0';
    return 0;
}

/* Nodes that are made again later get them, too, so they are checked before anything is made and kept in the record. */
static int check_mirrors(const struct args *a, struct error *err)
{
    if (arg_count(a, "mirror") > CLUSTER_MIRRORS_MAX)
        return fail(err, ERR_BAD_REQUEST, "at most %d mirrors", CLUSTER_MIRRORS_MAX);
    for (int i = 0; i < arg_count(a, "mirror"); i++) {
        const char *mirror = arg_nth(a, "mirror", i);
        struct str url = str_of(mirror), host;
        if (!str_cut(&url, '=', &host) || !host.n ||
            !(str_starts(url, STR("http://")) || str_starts(url, STR("https://"))))
            return fail(err, ERR_BAD_REQUEST, "--mirror must be HOST=URL with a http or https URL, not '%s'", mirror);
        if (strlen(mirror) >= sizeof(((struct cluster_record *)NULL)->mirrors[0]))
            return fail(err, ERR_BAD_REQUEST, "--mirror '%s' is longer than 255 bytes", mirror);
    }
    return 0;
}

/* Given anew they replace those of before, for every node that is made from now on. */
static void take_mirrors(const struct args *a, struct cluster_record *c)
{
    if (!arg_count(a, "mirror"))
        return;
    c->mirrors_count = 0;
    for (int i = 0; i < arg_count(a, "mirror"); i++)
        snprintf(c->mirrors[c->mirrors_count++], sizeof(c->mirrors[0]), "%s", arg_nth(a, "mirror", i));
}

/* The last lines of a log, for a start that failed. */
static void show_log(const struct cluster_record *c, const char *name)
{
    AUTO_FREE char *file = xasprintf("log/%s.log", name);
    AUTO_FREE char *path = cluster_data_path(c, file);

    fprintf(stderr, "its log is %s\n", path);
}

static int wait_server(const struct cluster_record *c, struct remote *r, struct error *err)
{
    int64_t until_ms = time_monotonic_ms() + SERVER_LIMIT_MS;
    AUTO_ERROR struct error last = { 0 };

    while (time_monotonic_ms() < until_ms && machine_is_alive(&c->edge) &&
           (!c->servers_count || up_servers_any_alive(c))) {
        AUTO_BUF struct buf answer = BUF_MAX(64 * KIB);
        if (remote_open_cluster(r, c, &last) == 0 && remote_fetch(r, "/readyz", 1000, &answer, &last) == 0)
            return 0;
        remote_close(r);
        poll(NULL, 0, POLL_MS);
    }
    show_log(c, c->servers_count ? c->servers[0].name : "server");
    return fail(err, ERR_TIMEOUT, "the API server did not become ready within %lld s: %s",
                (long long)(SERVER_LIMIT_MS / SECOND_MS), error_text(&last));
}

static int write_token(const struct cluster_record *c, struct remote *r, struct error *err)
{
    AUTO_SECRET struct secret token = { 0 };
    AUTO_FREE char *path = cluster_run_path(c, "join-token");

    if (remote_token_create(r, REMOTE_TOKEN_NODE, JOIN_TOKEN_S, &token, err) < 0)
        return -1;
    return file_write(path, secret_reveal(&token), 0600, err);
}

static int start_edge(struct cluster_record *c, const struct machine_settings *settings, struct error *err)
{
    int ready_fd;

    links_remove_host(c); /* of a namespace that died */
    if (machine_start_edge(c, settings, &ready_fd, err) < 0)
        return -1;
    if (links_make_edge(c, err) < 0) {
        close(ready_fd);
        return -1;
    }
    return machine_ready(ready_fd, err);
}

static int start_nodes(struct cluster_record *c, const struct machine_settings *settings, int *ret_started,
                       struct error *err)
{
    *ret_started = 0;
    for (int i = 0; i < c->nodes_count; i++) {
        int ready_fd;
        if (machine_is_alive(&c->nodes[i]))
            continue;
        if (machine_start_node(c, &c->nodes[i], settings, &ready_fd, err) < 0)
            return -1;
        if (links_make_node(c, &c->nodes[i], err) < 0) {
            close(ready_fd);
            return -1;
        }
        if (machine_ready(ready_fd, err) < 0)
            return -1;
        ++*ret_started;
    }
    return 0;
}

static bool is_ready(struct view node)
{
    struct view_iter it = { 0 };
    struct view conditions = view_get_str(view_get_str(node, STR("status")), STR("conditions"));

    while (view_next(conditions, &it))
        if (str_is(view_str(view_get_str(it.value, STR("type"))), "Ready"))
            return str_is(view_str(view_get_str(it.value, STR("status"))), "True");
    return false;
}

static int count_ready(const struct cluster_record *c, struct remote *r, struct error *err)
{
    struct object *list = NULL;
    struct view_iter it = { 0 };
    int ready = 0;

    if (remote_call(r, "GET", "/api/v1/nodes", STR_NONE, 5000, &list, err) < 0)
        return -1;
    while (view_next(view_get_str(object_root(list), STR("items")), &it)) {
        struct str name = view_str(view_get_str(view_get_str(it.value, STR("metadata")), STR("name")));
        for (int i = 0; i < c->nodes_count; i++)
            ready += str_is(name, c->nodes[i].name) && is_ready(it.value);
    }
    object_unref(list);
    return ready;
}

static int wait_nodes(const struct cluster_record *c, struct remote *r, struct error *err)
{
    int64_t until_ms = time_monotonic_ms() + NODES_LIMIT_MS;
    AUTO_ERROR struct error last = { 0 };
    int ready = 0;

    while (time_monotonic_ms() < until_ms) {
        ready = count_ready(c, r, &last);
        if (ready == c->nodes_count)
            return 0;
        poll(NULL, 0, POLL_MS);
    }
    show_log(c, c->nodes[0].name);
    return fail(err, ERR_TIMEOUT, "%d of %d nodes became Ready within %lld s%s%s", MAX(ready, 0), c->nodes_count,
                (long long)(NODES_LIMIT_MS / SECOND_MS), last.message ? ": " : "", last.message ? last.message : "");
}

static int wait_servers(const struct cluster_record *c, struct remote *r, struct error *err)
{
    int64_t until_ms = time_monotonic_ms() + NODES_LIMIT_MS;
    AUTO_ERROR struct error last = { 0 };
    int ready = 0;

    while (c->servers_count && time_monotonic_ms() < until_ms) {
        ready = up_servers_ready(c, r, &last);
        if (ready == c->servers_count)
            return 0;
        poll(NULL, 0, POLL_MS);
    }
    if (!c->servers_count)
        return 0;
    show_log(c, c->servers[c->servers_count - 1].name);
    return fail(err, ERR_TIMEOUT, "%d of %d servers became ready within %lld s%s%s", MAX(ready, 0), c->servers_count,
                (long long)(NODES_LIMIT_MS / SECOND_MS), last.message ? ": " : "", last.message ? last.message : "");
}

/* A server writes its own address; among several it is the virtual one that always leads to a server. */
static void use_virtual_address(const struct cluster_record *c, struct buf *text)
{
    AUTO_BUF struct buf all = BUF_MAX(256 * KIB);
    struct str rest = buf_str(text), line;
    char address[16];

    cluster_edge_address(c, address);
    while (str_next(&rest, '\n', &line)) {
        if (str_starts(str_trim(line), STR("server: ")))
            buf_addf(&all, "    server: \"https://%s:%d\"", address, CLUSTER_API_PORT);
        else
            buf_add(&all, line);
        buf_add_char(&all, '\n');
    }
    buf_clear(text);
    buf_add(text, buf_str(&all));
}

static int write_kubeconfig(struct cluster_record *c, const char *also, struct error *err)
{
    AUTO_FREE char *pki = cluster_pki_path(c);
    AUTO_FREE char *source = xasprintf("%s/../admin.kubeconfig", pki);
    AUTO_FREE char *path = cluster_data_path(c, "kubeconfig");
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);

    if (file_read(source, &text, err) < 0)
        return error_context(err, "write the kubeconfig");
    if (c->servers_count)
        use_virtual_address(c, &text);
    if (file_write(path, buf_str(&text), 0600, err) < 0)
        return error_context(err, "write the kubeconfig");
    if (!also)
        return 0;
    if (file_write(also, buf_str(&text), 0600, err) < 0)
        return error_context(err, "write the kubeconfig");
    snprintf(c->kubeconfig, sizeof(c->kubeconfig), "%s", also);
    return cluster_save(c, err);
}

static void print_next(const struct cluster_record *c, const char *program, const char *kubeconfig)
{
    AUTO_FREE char *own = cluster_data_path(c, "kubeconfig");
    char address[16];

    cluster_edge_address(c, address);
    printf("\nCluster '%s' is up: %d nodes in %d zones", c->name, c->nodes_count, c->zones);
    printf(c->servers_count ? ", %d servers.\n\n" : ".\n\n", c->servers_count);
    printf("    export KUBECONFIG=%s\n", kubeconfig ? kubeconfig : own);
    printf("    kubectl get nodes -L topology.kubernetes.io/zone\n");
    printf("    %s status --name %s\n\n", program, c->name);
    printf("API       https://%s:%d\nGateway   http://%s/\nRegistry  http://%s:%d\n", address, CLUSTER_API_PORT,
           address, address, CLUSTER_REGISTRY_PORT);
}

/* Nodes and servers are cabled to the edge's bridges: without it they are cut off for good and start again. */
static int kill_cut_off(struct cluster_record *c, struct error *err)
{
    for (int i = 0; i < c->nodes_count; i++)
        if (kill_and_wait(c->nodes[i].pid, c->nodes[i].start_time, 5000, err) < 0)
            return -1;
    for (int i = 0; i < c->servers_count; i++)
        if (kill_and_wait(c->servers[i].pid, c->servers[i].start_time, 5000, err) < 0)
            return -1;
    return 0;
}

static int bring_up(struct cluster_record *c, const struct machine_settings *settings, const char *kubeconfig,
                    struct error *err)
{
    struct remote remote = { 0 };
    int started = 0, servers = 0, result = -1;

    if (!machine_is_alive(&c->edge)) {
        if (kill_cut_off(c, err) < 0)
            return -1;
        progress(c->servers_count ? "starting gateway and registry" : "starting the API server, gateway and registry");
        if (start_edge(c, settings, err) < 0)
            return -1;
    }
    if (up_servers_begin(c, settings, &servers, err) < 0 || wait_server(c, &remote, err) < 0)
        return -1;
    progress("the API server is ready");
    if (write_token(c, &remote, err) == 0 && up_servers_join(c, &remote, settings, &servers, err) == 0 &&
        start_nodes(c, settings, &started, err) == 0) {
        if (c->servers_count)
            progress("%d of %d servers started", servers, c->servers_count);
        progress("%d of %d nodes started, waiting until all are Ready", started, c->nodes_count);
        result = wait_servers(c, &remote, err) < 0 ? -1 : wait_nodes(c, &remote, err);
    }
    remote_close(&remote);
    if (result < 0 || write_kubeconfig(c, kubeconfig, err) < 0)
        return -1;
    progress("%d nodes are Ready", c->nodes_count);
    return 0;
}

static int make_record(struct cluster_record *c, const char *name, const struct cluster_shape *shape, struct error *err)
{
    AUTO_FD int lock = cluster_lock_numbers(err);

    return lock < 0 || cluster_plan(c, name, shape, err) < 0 ? -1 : cluster_save(c, err);
}

/* "512M" or "2G" in MiB. */
static int read_disk_size(const char *text, int64_t *ret_mib, struct error *err)
{
    struct str number = str_of(text);
    int64_t factor = str_ends(number, STR("G")) ? 1024 : 1;

    *ret_mib = 0;
    if (!text)
        return 0;
    if (!(str_ends(number, STR("M")) || factor > 1) || !str_to_i64(str_part(number, 0, number.n - 1), ret_mib) ||
        *ret_mib <= 0 || *ret_mib > 16384 || (*ret_mib *= factor) < 512 || *ret_mib > 16384)
        return fail(err, ERR_BAD_REQUEST, "--disk-size must be a size from 512M to 16G, not '%s'", text);
    return 0;
}

static int read_shape(const struct args *a, struct cluster_shape *ret, struct error *err)
{
    int64_t disk_mib;
    int64_t zones, nodes, servers;
    struct str store = str_of(arg(a, "store"));

    if (arg_number(a, "zones", 1, CLUSTER_ZONES_MAX, &zones, err) < 0 ||
        arg_number(a, "nodes-per-zone", 1, CLUSTER_NODES_MAX, &nodes, err) < 0 ||
        arg_number(a, "servers", 1, CLUSTER_SERVERS_MAX, &servers, err) < 0 ||
        read_disk_size(arg(a, "disk-size"), &disk_mib, err) < 0)
        return EXIT_USAGE;
    if (store.n && !str_is(store, "etcd") && !str_is(store, "sqlite")) {
        fail(err, ERR_BAD_REQUEST, "--store is sqlite or etcd, not '%s'", store.p);
        return EXIT_USAGE;
    }
    if (servers > 1 && str_is(store, "sqlite")) {
        fail(err, ERR_BAD_REQUEST, "several servers share one state, which SQLite cannot: leave --store out");
        return EXIT_USAGE;
    }
    *ret = (struct cluster_shape){ (int)zones, (int)nodes, (int)servers, str_is(store, "etcd") || servers > 1,
                                   (int)disk_mib };
    return 0;
}

/* An option that is given must be what the cluster has. */
static int check_shape(const struct args *a, const struct cluster_record *c, const struct cluster_shape *shape,
                       struct error *err)
{
    if ((arg_given(a, "zones") || arg_given(a, "nodes-per-zone")) &&
        (c->zones != shape->zones || c->nodes_per_zone != shape->nodes_per_zone))
        return fail(err, ERR_CONFLICT,
                    "cluster '%s' exists with %d zones of %d nodes: remove it first with `klein down --name %s`",
                    c->name, c->zones, c->nodes_per_zone, c->name);
    if ((arg_given(a, "servers") && MAX(c->servers_count, 1) != shape->servers) ||
        (arg_given(a, "store") && c->etcd != shape->etcd))
        return fail(err, ERR_CONFLICT,
                    "cluster '%s' exists with %d servers on %s: remove it first with `klein down --name %s`", c->name,
                    MAX(c->servers_count, 1), c->etcd ? "etcd" : "SQLite", c->name);
    if (arg_given(a, "disk-size") && c->disk_mib != shape->disk_mib)
        return fail(err, ERR_CONFLICT,
                    "cluster '%s' exists with other disks: remove it first with `klein down --name %s`", c->name,
                    c->name);
    return 0;
}

int cluster_repair(const char *name, struct error *err)
{
    struct machine_settings settings = { 0 };
    static char program[4096];
    struct cluster_record c;
    bool found;

    progress_begin();
    AUTO_FD int lock = cluster_lock(name, err);
    if (lock < 0 || own_program(program, err) < 0 || cluster_load(name, &c, &found, err) < 0)
        return -1;
    settings.program = program;
    return found ? bring_up(&c, &settings, NULL, err) : 0;
}

static int run(const struct args *a, struct error *err)
{
    const char *name = arg(a, "name"), *kubeconfig = arg(a, "kubeconfig");
    struct machine_settings settings = { 0 };
    struct cluster_record c;
    struct cluster_shape shape;
    static char program[4096];
    bool found;

    progress_begin();
    if (a->words_count || cluster_name_check(name, err) < 0 || read_shape(a, &shape, err)) {
        if (a->words_count)
            fail(err, ERR_BAD_REQUEST, "unexpected argument '%s'", a->words[0]);
        return EXIT_USAGE;
    }
    if (check_mirrors(a, err) < 0)
        return EXIT_USAGE;
    if (geteuid() != 0)
        return fail(err, ERR_FORBIDDEN, "`klein up` makes namespaces and must run as root");
    AUTO_FD int lock = cluster_lock(name, err);
    if (lock < 0 || cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (found && check_shape(a, &c, &shape, err) < 0)
        return -1;
    if (!found && make_record(&c, name, &shape, err) < 0)
        return -1;
    if (found && cluster_undo_orphans(&c, err) < 0)
        return -1;
    if (own_program(program, err) < 0)
        return -1;
    settings.program = program;
    take_mirrors(a, &c);
    if (cluster_save(&c, err) < 0)
        return -1;
    progress(found ? "cluster '%s' exists, starting what is missing" : "making cluster '%s'", name);
    if (bring_up(&c, &settings, kubeconfig, err) < 0)
        return -1;
    print_next(&c, settings.program, kubeconfig);
    return 0;
}

const struct subcommand command_up = {
    .name = "up",
    .summary = "Make or repair a cluster on this machine: zones, nodes, API server, gateway, registry.",
    .usage = "[--name NAME] [--zones N] [--nodes-per-zone N] [--servers N] [--kubeconfig FILE] [--mirror HOST=URL ...]",
    .options = options,
    .run = run,
};
