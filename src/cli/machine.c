/* Starting the machines of a local cluster: an init in new namespaces, and the spec of what it runs. */
#include "cli/machine.h"

#include "base/file.h"
#include "cli/init.h"
#include "cli/program.h"
#include "cli/run.h"
#include "object/value.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct spec { /* being written */
    struct arena arena;
    struct value *root, *services, *argv;
};

static void spec_init(struct spec *s, const char *hostname, bool forward)
{
    *s = (struct spec){ 0 };
    s->root = value_object(&s->arena);
    s->services = value_array(&s->arena);
    value_put_str(&s->arena, s->root, STR("hostname"), value_text(&s->arena, hostname));
    value_put_str(&s->arena, s->root, STR("forward"), value_bool(&s->arena, forward));
    value_put_str(&s->arena, s->root, STR("services"), s->services);
}

static void spec_service(struct spec *s, const struct cluster_record *c, const char *log)
{
    AUTO_FREE char *file = xasprintf("log/%s.log", log);
    AUTO_FREE char *path = cluster_data_path(c, file);
    struct value *service = value_object(&s->arena);

    s->argv = value_array(&s->arena);
    value_put_str(&s->arena, service, STR("log"), value_str(&s->arena, arena_str(&s->arena, str_of(path))));
    value_put_str(&s->arena, service, STR("argv"), s->argv);
    value_append(&s->arena, s->services, service);
}

static void spec_add(struct spec *s, const char *format, ...) PRINTF(2, 3);
static void spec_add(struct spec *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    value_append(&s->arena, s->argv, value_str(&s->arena, arena_vprintf(&s->arena, format, args)));
    va_end(args);
}

static void spec_option(struct spec *s, const char *name, const char *format, ...) PRINTF(3, 4);
static void spec_option(struct spec *s, const char *name, const char *format, ...)
{
    va_list args;

    spec_add(s, "%s", name);
    va_start(args, format);
    value_append(&s->arena, s->argv, value_str(&s->arena, arena_vprintf(&s->arena, format, args)));
    va_end(args);
}

static int write_value(const char *path, const struct value *v, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);

    value_write(&text, v);
    return file_write(path, buf_str(&text), 0600, err);
}

NORETURN static void become_init(const char *program, const char *spec_path, int log_fd, int ready_fd)
{
    const char *const argv[] = { program, "init", spec_path, NULL };
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    setsid();
    /* Low numbers first, so that no dup2 closes what a later one needs. */
    int log_copy = fcntl(log_fd, F_DUPFD_CLOEXEC, 10), ready_copy = fcntl(ready_fd, F_DUPFD_CLOEXEC, 10);
    dup2(null_fd, 0);
    dup2(log_copy, 1);
    dup2(log_copy, 2);
    dup2(ready_copy, INIT_READY_FD);
    syscall(SYS_close_range, INIT_READY_FD + 1, ~0U, 0);
    execv(program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static int start_init(const struct cluster_record *c, struct machine *m, const char *program, const struct spec *spec,
                      int *ret_ready_fd, struct error *err)
{
    AUTO_FREE char *spec_file = xasprintf("%s.json", m->name);
    AUTO_FREE char *spec_path = cluster_run_path(c, spec_file);
    AUTO_FREE char *log_file = xasprintf("log/init-%s.log", m->name);
    AUTO_FREE char *log_path = cluster_data_path(c, log_file);
    AUTO_FREE char *log_folder = cluster_data_path(c, "log");
    int ready[2];

    if (file_mkdirs(log_folder, 0700, err) < 0 || write_value(spec_path, spec->root, err) < 0)
        return -1;
    AUTO_FD int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return fail_sys(err, errno, "open '%s'", log_path);
    if (pipe2(ready, O_CLOEXEC) < 0)
        return fail_sys(err, errno, "make a pipe");
    long pid = syscall(SYS_clone, CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        close(ready[1]);
        become_init(program, spec_path, log_fd, ready[0]);
    }
    close(ready[0]);
    if (pid < 0) {
        int sys = errno;
        close(ready[1]);
        return fail_sys(err, sys, "make the namespaces of '%s'", m->name);
    }
    m->pid = (pid_t)pid;
    m->start_time = process_start_time(m->pid);
    *ret_ready_fd = ready[1];
    return cluster_save(c, err);
}

int machine_ready(int ready_fd, struct error *err)
{
    ssize_t n = write(ready_fd, "1", 1);
    int sys = errno;

    close(ready_fd);
    return n == 1 ? 0 : fail_sys(err, sys, "tell an init that its links are ready");
}

/* --- what runs where ----------------------------------------------------------------------------------------------------- */

/* docker-registry reads a YAML file; JSON is YAML. */
static int write_registry_config(const struct cluster_record *c, const char *path, struct error *err)
{
    AUTO_FREE char *folder = cluster_data_path(c, "registry");
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    char address[16];

    cluster_edge_address(c, address);
    buf_addf(&text,
             "{\"version\": \"0.1\", \"log\": {\"level\": \"warn\"},\n"
             " \"storage\": {\"filesystem\": {\"rootdirectory\": \"%s\"}, \"delete\": {\"enabled\": true}},\n"
             " \"http\": {\"addr\": \"%s:%d\"}}\n",
             folder, address, CLUSTER_REGISTRY_PORT);
    if (file_mkdirs(folder, 0700, err) < 0)
        return -1;
    return file_write(path, buf_str(&text), 0600, err);
}

/* The machine's own link to the program: an upgrade moves it, and restarts what runs. */
static void spec_program(struct spec *s, const struct cluster_record *c, const char *machine)
{
    AUTO_FREE char *link = program_link(c, machine);

    spec_add(s, "%s", link);
}

static int link_program(const struct cluster_record *c, const char *machine, const char *program, struct error *err)
{
    AUTO_FREE char *copy = NULL;

    return program_store(c, program, &copy, err) < 0 ? -1 : program_set(c, machine, copy, err);
}

/* What all servers are told alike. */
static void add_server_options(struct spec *s)
{
    spec_option(s, "--listen", "%s:%d", "0.0.0.0", CLUSTER_API_PORT);
    spec_option(s, "--service-cidr", "%s", CLUSTER_SERVICE_CIDR);
    spec_option(s, "--pod-cidr", "%s", CLUSTER_POD_CIDR);
    /* A local cluster is for trying failures out: two seconds instead of Kubernetes' five minutes. */
    spec_option(s, "--default-not-ready-toleration-seconds", "%d", 2);
    spec_option(s, "--default-unreachable-toleration-seconds", "%d", 2);
}

static void add_server(struct spec *s, const struct cluster_record *c)
{
    AUTO_FREE char *data = cluster_data_path(c, "server");
    char address[16];

    cluster_edge_address(c, address);
    spec_service(s, c, "server");
    spec_program(s, c, c->edge.name);
    spec_add(s, "server");
    spec_option(s, "--data", "%s", data);
    spec_option(s, "--advertise", "%s", address);
    add_server_options(s);
    if (c->etcd) {
        spec_option(s, "--store", "%s", "etcd");
        spec_option(s, "--name", "%s", "server");
        spec_option(s, "--address", "%s", address);
    }
}

char *machine_server_token_path(const struct cluster_record *c, const struct machine *server)
{
    AUTO_FREE char *file = xasprintf("server-token-%s", server->name);

    return cluster_run_path(c, file);
}

static void add_one_of_servers(struct spec *s, const struct cluster_record *c, const struct machine *m,
                               const char *join)
{
    AUTO_FREE char *data = cluster_server_path(c, m, "");
    AUTO_FREE char *token = machine_server_token_path(c, m);
    char edge[16];

    cluster_edge_address(c, edge);
    spec_service(s, c, m->name);
    spec_program(s, c, m->name);
    spec_add(s, "server");
    spec_option(s, "--data", "%.*s", (int)strlen(data) - 1, data);
    spec_option(s, "--advertise", "%s", m->address);
    spec_option(s, "--san", "%s", edge); /* the virtual address */
    add_server_options(s);
    spec_option(s, "--store", "%s", "etcd");
    spec_option(s, "--name", "%s", m->name);
    spec_option(s, "--zone", "%s", m->zone);
    spec_option(s, "--address", "%s", m->address);
    if (!join)
        return;
    spec_option(s, "--join", "%s", join);
    spec_option(s, "--token-file", "%s", token);
}

static void add_api_servers(struct spec *s, const struct cluster_record *c)
{
    char *urls[CLUSTER_SERVERS_MAX + 1];
    int count = cluster_api_urls(c, urls);

    for (int i = 0; i < count; i++) {
        spec_option(s, "--server", "%s", urls[i]);
        free(urls[i]);
    }
}

static void add_agent(struct spec *s, const struct cluster_record *c, const struct machine *m, const char *data)
{
    AUTO_FREE char *token = cluster_run_path(c, "join-token");

    spec_service(s, c, m->name);
    spec_program(s, c, m->name);
    spec_add(s, "agent");
    add_api_servers(s, c);
    spec_option(s, "--token-file", "%s", token);
    spec_option(s, "--data", "%s", data);
    spec_option(s, "--address", "%s", m->address);
    spec_option(s, "--cluster-name", "%s", c->name);
    spec_option(s, "--service-cidr", "%s", CLUSTER_SERVICE_CIDR);
    spec_option(s, "--cluster-cidr", "%s", CLUSTER_POD_CIDR);
    spec_option(s, "--dns-address", "%s", CLUSTER_DNS);
    /* As the server's. The default range of Services would take the cluster's own addresses in. */
    spec_option(s, "--service-cidr", "%s", CLUSTER_SERVICE_CIDR);
    spec_option(s, "--cluster-cidr", "%s", CLUSTER_POD_CIDR);
}

/* The mount stays on this machine's side, so the data outlives the server's machine; `klein down` takes it away. */
static int put_disk(const struct cluster_record *c, const struct machine *server, struct error *err)
{
    AUTO_FREE char *data = cluster_server_path(c, server, "");
    AUTO_FREE char *above = xasprintf("%s/..", data);
    char size[48];
    struct stat own, parent;

    if (!c->disk_mib)
        return 0;
    if (file_mkdirs(data, 0700, err) < 0)
        return -1;
    if (stat(data, &own) < 0 || stat(above, &parent) < 0)
        return fail_sys(err, errno, "look at '%s'", data);
    if (own.st_dev != parent.st_dev)
        return 0;
    snprintf(size, sizeof(size), "size=%dm,mode=0700", c->disk_mib);
    return mount("klein", data, "tmpfs", MS_NOSUID | MS_NODEV, size) < 0 ? fail_sys(err, errno, "mount '%s'", data) : 0;
}

int machine_start_edge(struct cluster_record *c, const struct machine_settings *settings, int *ret_ready_fd,
                       struct error *err)
{
    AUTO_FREE char *registry = cluster_run_path(c, "registry.yml");
    AUTO_FREE char *gateway = cluster_data_path(c, "gateway");
    struct spec s;
    int result;

    if (!c->servers_count && put_disk(c, NULL, err) < 0)
        return -1;
    if (write_registry_config(c, registry, err) < 0 || link_program(c, c->edge.name, settings->program, err) < 0)
        return -1;
    spec_init(&s, c->name, true);
    if (!c->servers_count)
        add_server(&s, c);
    add_agent(&s, c, &c->edge, gateway);
    spec_option(&s, "--node-name", "%s", "gateway");
    spec_add(&s, "--gateway-only");
    if (c->servers_count) {
        char address[16];
        cluster_edge_address(c, address);
        spec_option(&s, "--api-listen", "%s:%d", address, CLUSTER_API_PORT);
    }
    spec_service(&s, c, "registry");
    spec_add(&s, "docker-registry");
    spec_add(&s, "serve");
    spec_add(&s, "%s", registry);
    result = start_init(c, &c->edge, settings->program, &s, ret_ready_fd, err);
    arena_done(&s.arena);
    return result;
}

int machine_start_server(struct cluster_record *c, struct machine *server, const struct machine_settings *settings,
                         const char *join, int *ret_ready_fd, struct error *err)
{
    struct spec s;
    int result;

    if (put_disk(c, server, err) < 0 || link_program(c, server->name, settings->program, err) < 0)
        return -1;
    spec_init(&s, server->name, false);
    add_one_of_servers(&s, c, server, join);
    result = start_init(c, server, settings->program, &s, ret_ready_fd, err);
    arena_done(&s.arena);
    return result;
}

int machine_start_node(struct cluster_record *c, struct machine *node, const struct machine_settings *settings,
                       int *ret_ready_fd, struct error *err)
{
    AUTO_FREE char *folder = xasprintf("nodes/%s", node->name);
    AUTO_FREE char *data = cluster_data_path(c, folder);
    char edge[16];
    struct spec s;
    int result;

    if (link_program(c, node->name, settings->program, err) < 0)
        return -1;
    cluster_edge_address(c, edge);
    spec_init(&s, node->name, true);
    add_agent(&s, c, node, data);
    spec_option(&s, "--node-name", "%s", node->name);
    spec_option(&s, "--zone", "%s", node->zone);
    /* The cluster's own registry speaks plain HTTP on a link that never leaves this machine. */
    spec_option(&s, "--mirror", "%s:%d=http://%s:%d", edge, CLUSTER_REGISTRY_PORT, edge, CLUSTER_REGISTRY_PORT);
    for (int i = 0; i < c->mirrors_count; i++)
        spec_option(&s, "--mirror", "%s", c->mirrors[i]);
    result = start_init(c, node, settings->program, &s, ret_ready_fd, err);
    arena_done(&s.arena);
    return result;
}
