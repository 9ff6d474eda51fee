/* `klein status`: zones, nodes, services; what is healthy and what is not; as text in the terminal's width, or as JSON. */
#include "base/file.h"
#include "cli/backup_report.h"
#include "cli/commands.h"
#include "cli/cluster.h"
#include "cli/remote.h"
#include "cli/run.h"
#include "cli/status.h"
#include "object/value.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CALL_LIMIT_MS 3000

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { "output", "json", NULL, "machine-readable (also -o json)" },
    { 0 },
};

/* --- JSON: a contract with scripts, so fields are only ever added ------------------------------------------------------------- */

static void put(struct arena *a, struct value *o, const char *name, struct str text)
{
    value_put_str(a, o, str_of(name), value_str(a, arena_str(a, text)));
}

static struct value *node_json(struct arena *a, const struct cluster_record *c, const struct machine *m, bool ready)
{
    struct value *o = value_object(a);
    bool alive = machine_is_alive(m);
    AUTO_FREE char *folder = xasprintf("nodes/%s", m->name);
    AUTO_FREE char *data = cluster_data_path(c, folder);

    put(a, o, "name", str_of(m->name));
    put(a, o, "zone", str_of(m->zone));
    put(a, o, "address", str_of(m->address));
    put(a, o, "networkNamespace", alive ? arena_printf(a, "/proc/%d/ns/net", (int)m->pid) : STR_NONE);
    value_put_str(a, o, STR("initPid"), value_int(a, alive ? m->pid : 0));
    value_put_str(a, o, STR("agentPid"), value_int(a, alive ? process_child_with(m->pid, "agent") : 0));
    put(a, o, "dataFolder", str_of(data));
    value_put_str(a, o, STR("ready"), value_bool(a, ready));
    return o;
}

static void put_item(struct arena *a, struct value *o, struct view item, const char *name, struct value *otherwise)
{
    struct view v = view_get_str(item, str_of(name));

    value_put_str(a, o, str_of(name), view_present(v) ? value_of_view(a, v) : otherwise);
}

static struct value *server_json(struct arena *a, const struct status *s, const struct machine *m)
{
    const struct cluster_record *c = s->cluster;
    const char *name = status_server_name(s, m);
    struct view item = status_server(s, name);
    struct value *o = value_object(a);
    bool alive = machine_is_alive(m);
    AUTO_FREE char *data = cluster_server_path(c, m, "");

    put(a, o, "name", str_of(name));
    put(a, o, "zone", str_of(m->zone));
    put(a, o, "address", str_of(m->address));
    put(a, o, "networkNamespace", alive ? arena_printf(a, "/proc/%d/ns/net", (int)m->pid) : STR_NONE);
    value_put_str(a, o, STR("initPid"), value_int(a, alive ? m->pid : 0));
    value_put_str(a, o, STR("serverPid"), value_int(a, cluster_server_pid(c, m)));
    value_put_str(a, o, STR("etcdPid"), value_int(a, cluster_etcd_pid(c, m)));
    put(a, o, "dataFolder", str_part(str_of(data), 0, strlen(data) - 1));
    put_item(a, o, item, "ready", value_bool(a, false));
    put_item(a, o, item, "leader", value_bool(a, false));
    put_item(a, o, item, "storeLeader", value_bool(a, false));
    put_item(a, o, item, "revision", value_int(a, 0));
    put_item(a, o, item, "lag", value_int(a, 0));
    put_item(a, o, item, "store", value_object(a));
    return o;
}

static struct value *servers_json(struct arena *a, const struct status *s)
{
    const struct cluster_record *c = s->cluster;
    struct value *list = value_array(a);

    for (int i = 0; i < c->servers_count; i++)
        value_append(a, list, server_json(a, s, &c->servers[i]));
    if (!c->servers_count)
        value_append(a, list, server_json(a, s, &c->edge));
    return list;
}

static struct value *zone_json(struct arena *a, const struct cluster_record *c, int zone)
{
    struct value *o = value_object(a);
    char name[16];

    cluster_zone_name(zone, name);
    put(a, o, "name", str_of(name));
    put(a, o, "bridge", arena_printf(a, "br-%s", name));
    put(a, o, "networkNamespace",
        machine_is_alive(&c->edge) ? arena_printf(a, "/proc/%d/ns/net", (int)c->edge.pid) : STR_NONE);
    return o;
}

/* The note as it is (cli/backup_report.h), null when there never was a backup. */
static struct value *backup_json(struct arena *a, const struct status *s)
{
    struct value *data = value_of_view(a, view_get_str(object_root(s->backup), STR("data")));

    return data ? data : value_null(a);
}

static void print_json(const struct status *s)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(4 * MIB);
    const struct cluster_record *c = s->cluster;
    struct value *root = value_object(&a), *nodes = value_array(&a), *zones = value_array(&a);
    char edge[16];

    cluster_edge_address(c, edge);
    put(&a, root, "name", str_of(c->name));
    put(&a, root, "version", STR("v1.36.0+klein"));
    put(&a, root, "kleinVersion", STR(KLEIN_VERSION));
    value_put_str(&a, root, STR("healthy"), value_bool(&a, status_is_healthy(s)));
    put(&a, root, "apiAddress", arena_printf(&a, "https://%s:%d", edge, CLUSTER_API_PORT));
    put(&a, root, "gatewayAddress", str_of(edge));
    put(&a, root, "registryAddress", arena_printf(&a, "%s:%d", edge, CLUSTER_REGISTRY_PORT));
    AUTO_FREE char *kubeconfig = cluster_data_path(c, "kubeconfig");
    put(&a, root, "kubeconfig", str_of(kubeconfig));
    put(&a, root, "networkNamespace",
        machine_is_alive(&c->edge) ? arena_printf(&a, "/proc/%d/ns/net", (int)c->edge.pid) : STR_NONE);
    value_put_str(&a, root, STR("initPid"), value_int(&a, machine_is_alive(&c->edge) ? c->edge.pid : 0));
    value_put_str(&a, root, STR("serverPid"),
                  value_int(&a, cluster_server_pid(c, c->servers_count ? &c->servers[0] : NULL)));
    value_put_str(&a, root, STR("servers"), servers_json(&a, s));
    struct view warnings = view_get_str(object_root(s->servers), STR("warnings"));
    value_put_str(&a, root, STR("warnings"), view_present(warnings) ? value_of_view(&a, warnings) : value_array(&a));
    for (int i = 0; i < c->nodes_count; i++)
        value_append(&a, nodes, node_json(&a, c, &c->nodes[i], status_node_is_ready(s, c->nodes[i].name)));
    for (int i = 0; i < c->zones; i++)
        value_append(&a, zones, zone_json(&a, c, i));
    value_put_str(&a, root, STR("backup"), backup_json(&a, s));
    value_put_str(&a, root, STR("nodes"), nodes);
    value_put_str(&a, root, STR("zones"), zones);
    value_write_pretty(&text, root, 2);
    printf("%.*s\n", STR_ARG(buf_str(&text)));
}

/* --- reading ----------------------------------------------------------------------------------------------------------------- */

static void read_cluster(struct status *s)
{
    struct remote remote = { 0 };

    if (!machine_is_alive(&s->cluster->edge)) {
        fail(&s->err, ERR_UNAVAILABLE, "the namespace of the API server is gone: `klein up --name %s` makes it again",
             s->cluster->name);
        return;
    }
    if (remote_open_cluster(&remote, s->cluster, &s->err) == 0 &&
        remote_call(&remote, "GET", "/klein/v1/servers", STR_NONE, CALL_LIMIT_MS, &s->servers, &s->err) == 0 &&
        remote_call(&remote, "GET", "/api/v1/nodes", STR_NONE, CALL_LIMIT_MS, &s->nodes, &s->err) == 0 &&
        remote_call(&remote, "GET", "/api/v1/pods", STR_NONE, CALL_LIMIT_MS, &s->pods, &s->err) == 0 &&
        remote_call(&remote, "GET", "/apis/apps/v1/deployments", STR_NONE, CALL_LIMIT_MS, &s->deployments, &s->err) ==
            0 &&
        remote_call(&remote, "GET", "/api/v1/services", STR_NONE, CALL_LIMIT_MS, &s->services, &s->err) == 0)
        remote_call(&remote, "GET", "/apis/discovery.k8s.io/v1/endpointslices", STR_NONE, CALL_LIMIT_MS, &s->slices,
                    &s->err);
    if (!s->err.code)
        remote_call(&remote, "GET", BACKUP_REPORT, STR_NONE, CALL_LIMIT_MS, &s->backup, NULL);
    remote_close(&remote);
}

static int terminal_width(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 100;
}

static int run(const struct args *a, struct error *err)
{
    const char *name = arg(a, "name"), *output = arg(a, "output");
    struct cluster_record c;
    struct status s = { .cluster = &c };
    bool found;

    if (a->words_count || (output && !str_is(str_of(output), "json")) || cluster_name_check(name, err) < 0) {
        if (!err->message)
            fail(err, ERR_BAD_REQUEST, "usage: klein status %s", command_status.usage);
        return EXIT_USAGE;
    }
    if (cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (!found)
        return fail(err, ERR_NOT_FOUND, "there is no cluster '%s' on this machine: `klein up --name %s` makes one",
                    name, name);
    read_cluster(&s);
    if (output)
        print_json(&s);
    else
        status_print(&s, terminal_width());
    object_unref(s.backup);
    object_unref(s.servers);
    object_unref(s.nodes);
    object_unref(s.pods);
    object_unref(s.deployments);
    object_unref(s.services);
    object_unref(s.slices);
    error_done(&s.err);
    return 0;
}

const struct subcommand command_status = {
    .name = "status",
    .summary = "Tell zones, nodes and services of a local cluster, and what is not healthy.",
    .usage = "[--name NAME] [-o json]",
    .options = options,
    .run = run,
};
