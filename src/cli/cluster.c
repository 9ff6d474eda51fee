/* The record of a local cluster: plan, save, load. */
#include "cli/cluster.h"

#include "base/file.h"
#include "cli/run.h"
#include "object/value.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_FOLDER   "/run/klein"
#define DATA_FOLDER  "/var/lib/klein"
#define FIRST_NUMBER 120 /* clear of 10.96.0.0/12, the usual range of ClusterIPs */
#define LAST_NUMBER  199

int cluster_name_check(const char *name, struct error *err)
{
    size_t n = strlen(name);
    bool fine = n >= 1 && n <= CLUSTER_NAME_MAX && name[0] != '-' && name[n - 1] != '-';

    for (size_t i = 0; i < n && fine; i++)
        fine = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '-';
    if (!fine)
        return fail(
            err, ERR_BAD_REQUEST,
            "a cluster's name has 1 to %d lower case letters, digits or '-', and no '-' at its ends; '%s' does not",
            CLUSTER_NAME_MAX, name);
    return 0;
}

char *cluster_run_path(const struct cluster_record *c, const char *file)
{
    return xasprintf(RUN_FOLDER "/%s/%s", c->name, file);
}

char *cluster_data_path(const struct cluster_record *c, const char *file)
{
    return xasprintf(DATA_FOLDER "/%s/%s", c->name, file);
}

void cluster_edge_address(const struct cluster_record *c, char ret[16])
{
    snprintf(ret, 16, "10.%d.255.2", c->number & 255);
}

void cluster_zone_name(int zone, char ret[16])
{
    snprintf(ret, 16, "%c", 'a' + zone % 26);
}

/* A lock file that was removed while we waited for it locks nothing: take the new one. */
static int lock_file(const char *path, struct error *err)
{
    struct stat st;

    for (;;) {
        AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return fail_sys(err, errno, "open '%s'", path);
        if (flock(fd, LOCK_EX) < 0)
            return fail_sys(err, errno, "lock '%s'", path);
        if (fstat(fd, &st) == 0 && st.st_nlink > 0)
            return TAKE_FD(fd);
    }
}

int cluster_lock_numbers(struct error *err)
{
    if (file_mkdirs(RUN_FOLDER, 0755, err) < 0)
        return -1;
    return lock_file(RUN_FOLDER "/lock", err);
}

int cluster_lock(const char *name, struct error *err)
{
    AUTO_FREE char *path = xasprintf(RUN_FOLDER "/%s.lock", name);

    if (file_mkdirs(RUN_FOLDER, 0755, err) < 0)
        return -1;
    return lock_file(path, err);
}

/* --- the number: a /16 nobody on this machine uses ------------------------------------------------------------------- */

static bool number_in_addresses(int number)
{
    struct ifaddrs *list = NULL;
    bool used = false;

    if (getifaddrs(&list) < 0)
        return false;
    for (struct ifaddrs *a = list; a; a = a->ifa_next) {
        if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET)
            continue;
        uint32_t ip = ntohl(((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr.s_addr);
        used |= (ip >> 16) == (uint32_t)(10 << 8 | number);
    }
    freeifaddrs(list);
    return used;
}

static bool number_in_records(int number)
{
    DIR *d = opendir(RUN_FOLDER);
    struct dirent *entry;
    bool used = false;

    while (d && !used && (entry = readdir(d))) {
        struct cluster_record other;
        bool found;
        if (entry->d_name[0] != '.' && cluster_load(entry->d_name, &other, &found, NULL) == 0 && found)
            used = other.number == number;
    }
    if (d)
        closedir(d);
    return used;
}

/* One server in each zone, then a second one, and so on. A single server needs no machine of its own. */
void cluster_plan_servers(struct cluster_record *c, int count)
{
    for (int i = 0; i < count && count > 1; i++) {
        struct machine *m = &c->servers[c->servers_count++];
        int zone = i % c->zones, round = i / c->zones;
        char letter[16];
        cluster_zone_name(zone, letter);
        memcpy(m->zone, letter, sizeof(m->zone));
        snprintf(m->name, sizeof(m->name), round ? "server-%s%d" : "server-%s", letter, round + 1);
        snprintf(m->address, sizeof(m->address), "10.%d.%d.%d", c->number & 255, (zone + 1) & 255, (2 + round) & 255);
    }
}

int cluster_plan(struct cluster_record *ret, const char *name, const struct cluster_shape *shape, struct error *err)
{
    struct cluster_record plan, *c = &plan;
    int zones = shape->zones, nodes_per_zone = shape->nodes_per_zone;

    if (zones * nodes_per_zone > CLUSTER_NODES_MAX)
        return fail(err, ERR_BAD_REQUEST, "a local cluster has at most %d nodes", CLUSTER_NODES_MAX);
    plan = (struct cluster_record){ .zones = zones, .nodes_per_zone = nodes_per_zone };
    c->etcd = shape->etcd || shape->servers > 1;
    c->disk_mib = shape->disk_mib;
    snprintf(c->name, sizeof(c->name), "%s", name);
    for (c->number = FIRST_NUMBER; c->number <= LAST_NUMBER; c->number++)
        if (!number_in_addresses(c->number) && !number_in_records(c->number))
            break;
    if (c->number > LAST_NUMBER)
        return fail(err, ERR_UNAVAILABLE, "every network from 10.%d.0.0/16 to 10.%d.0.0/16 is in use on this machine",
                    FIRST_NUMBER, LAST_NUMBER);
    snprintf(c->edge.name, sizeof(c->edge.name), "edge");
    snprintf(c->edge.address, sizeof(c->edge.address), "10.%d.255.2", c->number & 255);
    cluster_plan_servers(c, shape->servers);
    for (int zone = 0; zone < zones; zone++)
        for (int i = 0; i < nodes_per_zone; i++) {
            struct machine *m = &c->nodes[c->nodes_count++];
            char letter[16];
            cluster_zone_name(zone, letter);
            memcpy(m->zone, letter, sizeof(m->zone));
            snprintf(m->name, sizeof(m->name), "node-%s%d", letter, i + 1);
            snprintf(m->address, sizeof(m->address), "10.%d.%d.%d", c->number & 255, (zone + 1) & 255, (11 + i) & 255);
        }
    *ret = plan;
    return 0;
}

/* --- the file ---------------------------------------------------------------------------------------------------------- */

static void put_text(struct arena *a, struct value *o, const char *name, const char *text)
{
    value_put_str(a, o, str_of(name), value_text(a, text));
}

static void put_number(struct arena *a, struct value *o, const char *name, int64_t number)
{
    value_put_str(a, o, str_of(name), value_int(a, number));
}

static struct value *machine_value(struct arena *a, const struct machine *m)
{
    struct value *o = value_object(a);

    put_text(a, o, "name", m->name);
    put_text(a, o, "zone", m->zone);
    put_text(a, o, "address", m->address);
    put_number(a, o, "pid", m->pid);
    put_number(a, o, "startTime", (int64_t)m->start_time);
    return o;
}

int cluster_save(const struct cluster_record *c, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(1 * MIB);
    AUTO_FREE char *folder = cluster_run_path(c, "");
    AUTO_FREE char *path = cluster_run_path(c, "cluster.json");
    struct value *o = value_object(&a), *nodes = value_array(&a), *servers = value_array(&a);
    struct value *mirrors = value_array(&a);

    put_text(&a, o, "name", c->name);
    put_number(&a, o, "number", c->number);
    put_number(&a, o, "zones", c->zones);
    put_number(&a, o, "nodesPerZone", c->nodes_per_zone);
    put_text(&a, o, "kubeconfig", c->kubeconfig);
    value_put_str(&a, o, STR("edge"), machine_value(&a, &c->edge));
    put_text(&a, o, "store", c->etcd ? "etcd" : "sqlite");
    put_number(&a, o, "diskMib", c->disk_mib);
    for (int i = 0; i < c->servers_count; i++)
        value_append(&a, servers, machine_value(&a, &c->servers[i]));
    value_put_str(&a, o, STR("servers"), servers);
    for (int i = 0; i < c->nodes_count; i++)
        value_append(&a, nodes, machine_value(&a, &c->nodes[i]));
    value_put_str(&a, o, STR("nodes"), nodes);
    for (int i = 0; i < c->mirrors_count; i++)
        value_append(&a, mirrors, value_str(&a, str_of(c->mirrors[i])));
    value_put_str(&a, o, STR("mirrors"), mirrors);
    value_write(&text, o);
    if (file_mkdirs(folder, 0755, err) < 0)
        return -1;
    return file_write(path, buf_str(&text), 0600, err);
}

static void read_text(struct view o, const char *name, char *to, size_t size)
{
    snprintf(to, size, "%.*s", STR_ARG(view_str(view_get_str(o, str_of(name)))));
}

static int64_t read_number(struct view o, const char *name)
{
    return view_int(view_get_str(o, str_of(name)), 0);
}

static void read_machine(struct view o, struct machine *m)
{
    read_text(o, "name", m->name, sizeof(m->name));
    read_text(o, "zone", m->zone, sizeof(m->zone));
    read_text(o, "address", m->address, sizeof(m->address));
    m->pid = (pid_t)read_number(o, "pid");
    m->start_time = (uint64_t)read_number(o, "startTime");
}

int cluster_load(const char *name, struct cluster_record *c, bool *ret_found, struct error *err)
{
    AUTO_ERROR struct error read_err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(1 * MIB);

    *ret_found = false;
    *c = (struct cluster_record){ 0 };
    if (cluster_name_check(name, err) < 0)
        return -1;
    snprintf(c->name, sizeof(c->name), "%s", name);
    AUTO_FREE char *path = cluster_run_path(c, "cluster.json");
    if (file_read(path, &text, &read_err) < 0) {
        if (read_err.code == ERR_NOT_FOUND)
            return 0;
        error_move(err, &read_err);
        return -1;
    }
    struct object *o = object_parse(buf_str(&text), err);
    if (!o)
        return error_context(err, "read '%s'", path);
    struct view root = object_root(o);
    struct view_iter it = { 0 }, server = { 0 }, mirror = { 0 };
    c->number = (int)read_number(root, "number");
    c->zones = (int)read_number(root, "zones");
    c->nodes_per_zone = (int)read_number(root, "nodesPerZone");
    read_text(root, "kubeconfig", c->kubeconfig, sizeof(c->kubeconfig));
    c->etcd = str_is(view_str(view_get_str(root, STR("store"))), "etcd");
    c->disk_mib = (int)read_number(root, "diskMib");
    read_machine(view_get_str(root, STR("edge")), &c->edge);
    while (view_next(view_get_str(root, STR("servers")), &server) && c->servers_count < CLUSTER_SERVERS_MAX)
        read_machine(server.value, &c->servers[c->servers_count++]);
    while (view_next(view_get_str(root, STR("nodes")), &it) && c->nodes_count < CLUSTER_NODES_MAX)
        read_machine(it.value, &c->nodes[c->nodes_count++]);
    while (view_next(view_get_str(root, STR("mirrors")), &mirror) && c->mirrors_count < CLUSTER_MIRRORS_MAX)
        snprintf(c->mirrors[c->mirrors_count++], sizeof(c->mirrors[0]), "%.*s", STR_ARG(view_str(mirror.value)));
    object_unref(o);
    *ret_found = true;
    return 0;
}

void cluster_forget(const struct cluster_record *c)
{
    AUTO_FREE char *run = xasprintf(RUN_FOLDER "/%s", c->name);
    AUTO_FREE char *data = xasprintf(DATA_FOLDER "/%s", c->name);
    AUTO_FREE char *lock = xasprintf(RUN_FOLDER "/%s.lock", c->name);

    file_remove_tree(data, NULL);
    file_remove_tree(run, NULL);
    unlink(lock);
    rmdir(DATA_FOLDER); /* only when this was the last cluster */
}

bool machine_is_alive(const struct machine *m)
{
    return m->start_time && process_start_time(m->pid) == m->start_time;
}

/* --- its servers --------------------------------------------------------------------------------------------------------- */

char *cluster_server_path(const struct cluster_record *c, const struct machine *server, const char *file)
{
    AUTO_FREE char *below =
        server && server != &c->edge ? xasprintf("servers/%s/%s", server->name, file) : xasprintf("server/%s", file);

    return cluster_data_path(c, below);
}

char *cluster_pki_path(const struct cluster_record *c)
{
    for (int i = 0; i < c->servers_count; i++) {
        AUTO_FREE char *key = cluster_server_path(c, &c->servers[i], "pki/admin.crt");
        if (file_exists(key))
            return cluster_server_path(c, &c->servers[i], "pki");
    }
    return cluster_server_path(c, c->servers_count ? &c->servers[0] : NULL, "pki");
}

int cluster_api_urls(const struct cluster_record *c, char *ret[CLUSTER_SERVERS_MAX + 1])
{
    char edge[16];
    int n = 0;

    cluster_edge_address(c, edge);
    for (int alive = 1; alive >= 0; alive--)
        for (int i = 0; i < c->servers_count; i++)
            if (machine_is_alive(&c->servers[i]) == alive)
                ret[n++] = xasprintf("https://%s:%d", c->servers[i].address, CLUSTER_API_PORT);
    if (!c->servers_count)
        ret[n++] = xasprintf("https://%s:%d", edge, CLUSTER_API_PORT);
    return n;
}

pid_t cluster_server_pid(const struct cluster_record *c, const struct machine *server)
{
    const struct machine *m = server ? server : &c->edge;

    return machine_is_alive(m) ? process_child_with(m->pid, "server") : 0;
}

pid_t cluster_etcd_pid(const struct cluster_record *c, const struct machine *server)
{
    AUTO_FREE char *data = cluster_server_path(c, server, "etcd");
    AUTO_FREE char *word = xasprintf("--data-dir=%s", data);

    return c->etcd ? process_with(word) : 0;
}
