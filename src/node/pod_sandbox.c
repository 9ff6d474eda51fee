/* A pod's surroundings: sandbox, address, names, volumes; made in parallel, taken away together. */
#include "base/file.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "node/etc_files.h"
#include "node/pod.h"
#include "node/sandbox.h"
#define LOG_PART "node"
#include "base/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define RETRY_SANDBOX_MS 1000
#define RETRY_VOLUMES_MS 500 /* doubling is not worth it: a source that appears wakes the pod anyway */
#define PORTS_MAX        64

/* --- sandbox ------------------------------------------------------------------------------------------------------------ */

struct sandbox_job {
    struct pod *pod;
    struct arena arena;
    struct sandbox_options options;
    struct error err;
};

static void etc_input(const struct pod *p, struct etc_input *in)
{
    *in = (struct etc_input){ .pod = object_root(p->object),
                              .ip = str_of(p->facts.ip),
                              .cluster_domain = str_of(p->agent->cluster_domain),
                              .dns_address = str_of(p->agent->dns_address),
                              .node_name = str_of(p->agent->config->node_name) };
}

/* In place, not renamed: the file is bound into containers. */
static void write_etc(const struct pod *p, const char *name, struct str text)
{
    AUTO_FREE char *path = xasprintf("%s/etc/%s", p->folder, name);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text.p ? text.p : "", text.n) != (ssize_t)text.n)
        log_warn("a file of a pod could not be written", KV("path", "%s", path));
}

static void write_etc_files(struct pod *p)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf hosts = BUF_MAX(MIB);
    AUTO_BUF struct buf resolv = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf node_hosts = BUF_MAX(256 * KIB);
    AUTO_BUF struct buf node_resolv = BUF_MAX(64 * KIB);
    AUTO_FREE char *folder = xasprintf("%s/etc", p->folder);
    struct etc_input in;

    etc_input(p, &in);
    file_mkdirs(folder, 0755, NULL);
    file_read("/etc/hosts", &node_hosts, NULL);
    file_read("/etc/resolv.conf", &node_resolv, NULL);
    in.node_hosts = buf_str(&node_hosts);
    in.node_resolv = buf_str(&node_resolv);
    etc_write_hosts(&in, &a, &hosts);
    etc_write_resolv(&in, &a, &resolv);
    write_etc(p, "hosts", buf_str(&hosts));
    write_etc(p, "resolv.conf", buf_str(&resolv));
    write_etc(p, "hostname", arena_printf(&a, "%.*s\n", STR_ARG(etc_hostname(&in, &a))));
}

static int set_host_ports(struct pod *p, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct network_host_port ports[PORTS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < p->facts.containers_count; i++) {
        for (struct view_iter it = { 0 }; view_next(view_get(pod_container_view(p, i), F_CONTAINER_PORTS), &it);) {
            int64_t host = view_int_at(it.value, 0, F_CONTAINER_PORT_HOST_PORT);
            struct str protocol = view_str_at(it.value, F_CONTAINER_PORT_PROTOCOL);
            if (host <= 0 || host > UINT16_MAX || n == PORTS_MAX)
                continue;
            ports[n++] = (struct network_host_port){
                .protocol = arena_strdup(&a, protocol.n ? protocol : STR("TCP")),
                .host_ip = arena_strdup(&a, view_str_at(it.value, F_CONTAINER_PORT_HOST_IP)),
                .host_port = (uint16_t)host,
                .container_port = (uint16_t)view_int_at(it.value, 0, F_CONTAINER_PORT_CONTAINER_PORT),
            };
        }
    }
    return n && !p->facts.host_network ? network_set_host_ports(p->agent->network, p->uid, p->facts.ip, ports, n, err)
                                       : 0;
}

static int attach(struct pod *p, struct error *err)
{
    AUTO_FREE char *netns = xasprintf("%s/net", p->run_folder);

    if (p->facts.host_network || !p->agent->network)
        return 0;
    if (network_attach(p->agent->network, p->uid, netns, p->facts.ip, err) < 0)
        return error_context(err, "failed to set up the network of the sandbox");
    return set_host_ports(p, err);
}

static void sandbox_work(void *arg)
{
    struct sandbox_job *j = arg;
    sandbox_remove(j->options.folder); /* what a failed try or a crash left */
    sandbox_create(&j->options, &j->err);
}

static void sandbox_done(void *arg)
{
    struct sandbox_job *j = arg;
    struct pod *p = j->pod;
    bool failed = j->err.code != ERR_NONE || attach(p, &j->err) < 0;

    if (failed) {
        p->facts.sandbox = PART_FAILED;
        p->facts.sandbox_retry_ms = loop_now_ms(p->agent->loop) + RETRY_SANDBOX_MS;
        pod_event(p, NULL, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: %s",
                  error_text(&j->err));
    } else {
        write_etc_files(p);
        p->facts.sandbox = PART_READY;
        pod_save(p);
    }
    error_done(&j->err);
    arena_done(&j->arena);
    free(j);
    pod_touch(p);
}

void pod_make_sandbox(struct pod *p)
{
    struct sandbox_job *j = xnew(struct sandbox_job);
    struct etc_input in;

    etc_input(p, &in);
    j->pod = p;
    j->options = (struct sandbox_options){
        .folder = p->run_folder,
        .hostname = arena_strdup(&j->arena, etc_hostname(&in, &j->arena)),
        .host_network = p->facts.host_network,
        .host_ipc = view_bool_at(pod_spec(p), false, F_POD_SPEC_HOST_IPC),
    };
    p->facts.sandbox = PART_WORKING;
    loop_work(p->agent->loop, sandbox_work, sandbox_done, j);
}

/* --- volumes ---------------------------------------------------------------------------------------------------------------- */

struct volumes_job {
    struct pod *pod;
    struct object *object; /* strings of the set point into it and into the arena */
    struct arena arena;
    struct volume_set set;
    struct error err;
    bool refresh;
};

static void volumes_work(void *arg)
{
    struct volumes_job *j = arg;
    volumes_apply(&j->set, &j->err);
}

static void volumes_failed(struct pod *p, const struct error *err)
{
    p->facts.volumes = PART_FAILED;
    p->facts.volumes_retry_ms = loop_now_ms(p->agent->loop) + RETRY_VOLUMES_MS;
    if (err->code != ERR_UNAVAILABLE)
        pod_event(p, NULL, "Warning", "FailedMount", "%s", error_text(err));
}

static void volumes_job_free(struct volumes_job *j)
{
    error_done(&j->err);
    object_unref(j->object);
    arena_done(&j->arena);
    free(j);
}

static void volumes_done(void *arg)
{
    struct volumes_job *j = arg;
    struct pod *p = j->pod;
    bool again = p->volumes_stale;

    if (j->err.code != ERR_NONE)
        volumes_failed(p, &j->err);
    else
        p->facts.volumes = PART_READY;
    p->volumes_stale = false;
    if (!j->refresh)
        pod_save(p);
    volumes_job_free(j);
    if (again && p->facts.volumes == PART_READY)
        pod_refresh_content(p);
    pod_touch(p);
}

static struct volumes_job *collect(struct pod *p, struct error *err)
{
    struct volumes_job *j = xnew(struct volumes_job);
    struct pod_fields fields = pod_fields_of(p);
    struct volume_input in = { .fields = &fields,
                               .sources = p->agent->sources,
                               .pod_folder = str_of(p->folder),
                               .content_folder = str_of(p->content_folder),
                               .volumes_folder = arena_printf(&j->arena, "%s/volumes/pv", p->agent->data),
                               .node_name = str_of(p->agent->config->node_name),
                               .token = pod_token_get,
                               .token_arg = p };
    j->pod = p;
    j->object = object_ref(p->object);
    if (volumes_collect(&in, &j->arena, &j->set, err) < 0) {
        volumes_job_free(j);
        return NULL;
    }
    for (size_t i = 0; i < j->set.count;
         i++) { /* contents live in objects that may be replaced while the worker reads */
        struct volume *v = &j->set.items[i];
        for (size_t k = 0; k < v->files_count; k++)
            v->files[k].content = arena_str(&j->arena, v->files[k].content);
    }
    return j;
}

void pod_make_volumes(struct pod *p)
{
    AUTO_ERROR struct error err = { 0 };
    struct volumes_job *j = collect(p, &err);

    if (!j) {
        volumes_failed(p, &err);
        return;
    }
    p->facts.volumes = PART_WORKING;
    loop_work(p->agent->loop, volumes_work, volumes_done, j);
}

/* Volumes that keep their content were made ready once; containers use them by now. */
static void drop_persistent(struct volume_set *set)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].type != VOLUME_FOLDER && set->items[i].type != VOLUME_LOCAL)
            set->items[kept++] = set->items[i];
    set->count = kept;
}

void pod_refresh_content(struct pod *p)
{
    AUTO_ERROR struct error err = { 0 };

    if (p->facts.volumes == PART_FAILED || p->facts.volumes == PART_ABSENT) {
        p->facts.volumes_retry_ms = 0; /* what it waited for may be here */
        pod_touch(p);
        return;
    }
    if (p->facts.volumes == PART_WORKING)
        p->volumes_stale = true;
    if (p->facts.volumes != PART_READY)
        return;
    struct volumes_job *j = collect(p, &err);
    if (!j)
        return; /* keep what there is, as kubelet does when an object vanishes */
    j->refresh = true;
    drop_persistent(&j->set);
    p->facts.volumes = PART_WORKING;
    loop_work(p->agent->loop, volumes_work, volumes_done, j);
}

/* --- away with it all --------------------------------------------------------------------------------------------------------- */

struct clean_job {
    struct pod *pod;
    char *cgroup;
};

static void clean_work(void *arg)
{
    struct clean_job *j = arg;
    struct pod *p = j->pod;

    volumes_remove(p->folder, p->content_folder);
    sandbox_remove(p->run_folder);
    cgroup_remove(p->agent->cgroups, str_of(j->cgroup));
}

static void clean_done(void *arg)
{
    struct clean_job *j = arg;
    struct pod *p = j->pod;

    p->facts.sandbox = p->facts.volumes = PART_ABSENT;
    pod_save(p);
    free(j->cgroup);
    free(j);
    pod_touch(p);
}

void pod_clean(struct pod *p)
{
    struct clean_job *j = xnew(struct clean_job);

    *j = (struct clean_job){ .pod = p, .cgroup = xstrdup(p->cgroup) };
    if (!p->facts.host_network && p->agent->network)
        network_detach(p->agent->network, p->uid);
    p->facts.sandbox = p->facts.volumes = PART_REMOVING;
    loop_work(p->agent->loop, clean_work, clean_done, j);
}
