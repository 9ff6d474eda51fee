/* What a container shall be: command, environment, user, capabilities, limits, mounts. */
#include "node/container_prepare.h"

#include "kinds/fields.h"
#include "node/env_vars.h"
#include "node/etc_files.h"

#include <stdlib.h>

#define CPU_PERIOD_US 100000
#define GROUPS_MAX    64
#define PIDS_MAX      16384 /* a fork bomb ends here */
#define CONFIG_MAX    (8 * MIB)

struct making {
    struct pod_container *c;
    struct pod *pod;
    struct prepared *p;
    struct view spec; /* of the container */
    struct view pod_spec;
    struct view image; /* config.config of the image */
};

static struct view image_get(const struct making *m, const char *name)
{
    return view_get_str(m->image, str_of(name));
}

/* --- command ------------------------------------------------------------------------------------------------------------ */

static size_t append_args(struct making *m, struct view list, bool expand, struct str *args, size_t n)
{
    for (struct view_iter it = { 0 }; view_next(list, &it);)
        args[n++] = arena_str(&m->p->arena, expand ? env_expand(&m->p->arena, view_str(it.value), &m->p->variables)
                                                   : view_str(it.value));
    return n;
}

static int make_command(struct making *m, struct error *err)
{
    struct view command = view_get(m->spec, F_CONTAINER_COMMAND), args = view_get(m->spec, F_CONTAINER_ARGS);
    struct view entrypoint = image_get(m, "Entrypoint"), cmd = image_get(m, "Cmd");
    size_t max = view_count(command) + view_count(args) + view_count(entrypoint) + view_count(cmd), n = 0;
    struct str *all = arena_alloc_array(&m->p->arena, max + 1, sizeof(*all));

    if (view_count(command)) {
        n = append_args(m, command, true, all, n);
        n = append_args(m, args, true, all, n);
    } else {
        n = append_args(m, entrypoint, false, all, n);
        n = view_count(args) ? append_args(m, args, true, all, n) : append_args(m, cmd, false, all, n);
    }
    m->p->spec.args = all;
    m->p->spec.args_count = n;
    struct str cwd = view_str_at(m->spec, F_CONTAINER_WORKING_DIR);
    m->p->spec.cwd = arena_str(&m->p->arena, cwd.n ? cwd : view_str(image_get(m, "WorkingDir")));
    return n ? 0 : fail(err, ERR_INVALID, "no command specified");
}

static int make_env(struct making *m, struct error *err)
{
    struct pod_fields fields = pod_fields_of(m->pod);
    struct etc_input etc = { .pod = fields.pod,
                             .node_name = str_of(m->pod->agent->config->node_name),
                             .cluster_domain = str_of(m->pod->agent->cluster_domain) };
    struct env_input in = { .fields = &fields,
                            .sources = m->pod->agent->sources,
                            .container = m->spec,
                            .image_env = image_get(m, "Env"),
                            .hostname = etc_hostname(&etc, &m->p->arena) };
    struct str *list;
    int r = env_vars_make(&in, &m->p->arena, &m->p->variables, &list, &m->p->spec.env_count, err);
    m->p->spec.env = list;
    return r;
}

/* --- security ------------------------------------------------------------------------------------------------------------ */

static void make_user(struct making *m)
{
    struct view mine = view_get(m->spec, F_CONTAINER_SECURITY_CONTEXT),
                pods = view_get(m->pod_spec, F_POD_SPEC_SECURITY_CONTEXT);
    int64_t user =
        view_int_at(mine, view_int_at(pods, -1, F_POD_SECURITY_CONTEXT_RUN_AS_USER), F_SECURITY_CONTEXT_RUN_AS_USER);
    int64_t group =
        view_int_at(mine, view_int_at(pods, -1, F_POD_SECURITY_CONTEXT_RUN_AS_GROUP), F_SECURITY_CONTEXT_RUN_AS_GROUP);
    int64_t fs_group = view_int_at(pods, -1, F_POD_SECURITY_CONTEXT_FS_GROUP);
    struct prepared *p = m->p;

    p->non_root = view_bool_at(mine, view_bool_at(pods, false, F_POD_SECURITY_CONTEXT_RUN_AS_NON_ROOT),
                               F_SECURITY_CONTEXT_RUN_AS_NON_ROOT);
    p->user_set = user >= 0;
    p->group_set = group >= 0;
    p->spec.uid = MAX(user, 0);
    p->spec.gid = MAX(group, 0);
    p->user = user >= 0 ? STR_NONE : arena_str(&p->arena, view_str(image_get(m, "User")));
    p->groups = arena_alloc_array(&p->arena, GROUPS_MAX, sizeof(int64_t));
    for (struct view_iter it = { 0 }; view_next(view_get(pods, F_POD_SECURITY_CONTEXT_SUPPLEMENTAL_GROUPS), &it) &&
                                      p->groups_count < GROUPS_MAX - 1;)
        p->groups[p->groups_count++] = view_int(it.value, 0);
    if (fs_group >= 0)
        p->groups[p->groups_count++] = fs_group;
}

static int make_seccomp(struct making *m, struct error *err)
{
    struct view mine = view_path(m->spec, F_CONTAINER_SECURITY_CONTEXT, F_SECURITY_CONTEXT_SECCOMP_PROFILE);
    struct view pods = view_path(m->pod_spec, F_POD_SPEC_SECURITY_CONTEXT, F_POD_SECURITY_CONTEXT_SECCOMP_PROFILE);
    struct str type = view_str_at(view_present(mine) ? mine : pods, F_SECCOMP_PROFILE_TYPE);

    if (str_is(type, "Localhost"))
        return fail(err, ERR_INVALID, "localhost seccomp profiles are not supported");
    m->p->spec.seccomp = str_is(type, "RuntimeDefault") ? SPEC_SECCOMP_DEFAULT : SPEC_SECCOMP_NONE;
    return 0;
}

static int make_security(struct making *m, struct error *err)
{
    struct view sc = view_get(m->spec, F_CONTAINER_SECURITY_CONTEXT),
                caps = view_get(sc, F_SECURITY_CONTEXT_CAPABILITIES);
    struct container_spec *s = &m->p->spec;

    make_user(m);
    s->privileged = view_bool_at(sc, false, F_SECURITY_CONTEXT_PRIVILEGED);
    s->read_only_root = view_bool_at(sc, false, F_SECURITY_CONTEXT_READ_ONLY_ROOT_FILESYSTEM);
    s->no_new_privileges = !view_bool_at(sc, true, F_SECURITY_CONTEXT_ALLOW_PRIVILEGE_ESCALATION);
    s->unmasked_proc = str_is(view_str_at(sc, F_SECURITY_CONTEXT_PROC_MOUNT), "Unmasked");
    container_spec_default_capabilities(s);
    if (s->privileged)
        return container_spec_capability(s, &m->p->arena, STR("ALL"), true, err);
    /* "drop: ALL" first, whatever the order in the list, then single ones added stay. */
    struct view drop = view_get(caps, F_CAPABILITIES_DROP), add = view_get(caps, F_CAPABILITIES_ADD);
    for (struct view_iter it = { 0 }; view_next(add, &it);) {
        if (str_eq_nocase(view_str(it.value), STR("ALL")) &&
            container_spec_capability(s, &m->p->arena, STR("ALL"), true, err) < 0)
            return -1;
    }
    for (struct view_iter it = { 0 }; view_next(drop, &it);) {
        if (container_spec_capability(s, &m->p->arena, view_str(it.value), false, err) < 0)
            return -1;
    }
    for (struct view_iter it = { 0 }; view_next(add, &it);) {
        if (!str_eq_nocase(view_str(it.value), STR("ALL")) &&
            container_spec_capability(s, &m->p->arena, view_str(it.value), true, err) < 0)
            return -1;
    }
    return make_seccomp(m, err);
}

/* --- resources ------------------------------------------------------------------------------------------------------------- */

/* Source: kubelet's GetContainerOOMScoreAdjust. */
static int oom_score_adj(const struct making *m)
{
    int64_t request = container_resource(m->spec, false, "memory"), total = MAX(m->pod->agent->memory_bytes, 1);

    if (m->pod->facts.qos == QOS_GUARANTEED)
        return m->pod->agent->can_lower_oom_score ? -997 : 0;
    if (m->pod->facts.qos == QOS_BEST_EFFORT)
        return 1000;
    int64_t score = 1000 - 1000 * MAX(request, 0) / total;
    return (int)MIN(MAX(score, 3), 999);
}

static void make_limits(struct making *m)
{
    struct spec_limits *l = &m->p->spec.limits;
    int64_t cpu = container_resource(m->spec, false, "cpu"), cpu_limit = container_resource(m->spec, true, "cpu");

    l->cpu_shares = cgroup_cpu_shares(cpu >= 0 ? cpu : cpu_limit);
    l->cpu_period_us = CPU_PERIOD_US;
    l->cpu_quota_us = cgroup_cpu_quota_us(cpu_limit, CPU_PERIOD_US);
    l->memory_bytes = MAX(container_resource(m->spec, true, "memory"), 0);
    l->pids = PIDS_MAX;
    m->p->spec.oom_score_adj = oom_score_adj(m);
}

/* "/a/./b/../c//" -> "/a/c" */
static struct str path_clean(struct arena *a, struct str path)
{
    char *text = arena_alloc(a, path.n + 2);
    struct str rest = path, part;
    size_t n = 0;

    while (str_next(&rest, '/', &part)) {
        if (!part.n || str_is(part, "."))
            continue;
        if (str_is(part, "..")) {
            while (n > 0 && text[--n] != '/')
                ;
            continue;
        }
        text[n++] = '/';
        memcpy(text + n, part.p, part.n);
        n += part.n;
    }
    if (!n)
        text[n++] = '/';
    return (struct str){ text, n };
}

/* --- mounts ------------------------------------------------------------------------------------------------------------------ */

static void add_mount(struct making *m, struct str destination, struct str source, bool read_only,
                      struct str propagation)
{
    struct prepared *p = m->p;
    p->mounts[p->mounts_count++] = (struct spec_mount){
        .destination = arena_str(&p->arena, destination),
        .source = source,
        .read_only = read_only,
        .propagation = str_is(propagation, "HostToContainer") ? "rslave"
                       : str_is(propagation, "Bidirectional") ? "rshared"
                                                              : "rprivate",
    };
}

static bool is_mounted(const struct making *m, const char *destination)
{
    for (size_t i = 0; i < m->p->mounts_count; i++) {
        if (str_is(m->p->mounts[i].destination, destination))
            return true;
    }
    return false;
}

/*
 * What stands in /proc tells containers, and klein, who is who: nothing is mounted over it, except the few files that
 * describe the machine. Source: runc's checkProcMount.
 */
static int check_destination(struct prepared *p, struct str destination, struct error *err)
{
    static const char *const harmless[] = { "/proc/cpuinfo",
                                            "/proc/diskstats",
                                            "/proc/meminfo",
                                            "/proc/stat",
                                            "/proc/swaps",
                                            "/proc/uptime",
                                            "/proc/loadavg",
                                            "/proc/slabinfo",
                                            "/proc/net/dev",
                                            "/proc/sys/kernel/ns_last_pid",
                                            "/proc/sys/crypto/fips_enabled" };
    struct str clean = path_clean(&p->arena, destination);

    if (!str_is(clean, "/proc") && !str_starts(clean, STR("/proc/")))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
        if (str_is(clean, harmless[i]))
            return 0;
    return fail(err, ERR_INVALID, "\"%.*s\" cannot be mounted because it is inside /proc", STR_ARG(destination));
}

static int add_volume_mount(struct making *m, const struct volume_set *volumes, struct view mount, struct error *err)
{
    struct prepared *p = m->p;
    struct str name = view_str_at(mount, F_VOLUME_MOUNT_NAME), path = view_str_at(mount, F_VOLUME_MOUNT_SUB_PATH);
    struct str expression = view_str_at(mount, F_VOLUME_MOUNT_SUB_PATH_EXPR),
               destination = view_str_at(mount, F_VOLUME_MOUNT_MOUNT_PATH);
    const struct volume *v = volumes_find(volumes, name);

    if (!v)
        return fail(err, ERR_INVALID, "cannot find volume \"%.*s\" to mount into container \"%s\"", STR_ARG(name),
                    m->c->facts->name);
    if (expression.n)
        path = env_expand(&p->arena, expression, &p->variables);
    if (!str_starts(destination, STR("/")))
        destination = arena_printf(&p->arena, "/%.*s", STR_ARG(destination));
    struct str source = v->path;
    if (path.n) {
        source = arena_printf(&p->arena, "%.*s/subpaths/%zu", STR_ARG(p->folder), p->subpaths_count);
        p->subpaths[p->subpaths_count++] = (struct prepared_subpath){ v->path, arena_str(&p->arena, path), source };
    }
    if (check_destination(p, destination, err) < 0)
        return -1;
    add_mount(m, destination, source,
              v->type == VOLUME_CONTENT || v->read_only || view_bool_at(mount, false, F_VOLUME_MOUNT_READ_ONLY),
              view_str_at(mount, F_VOLUME_MOUNT_MOUNT_PROPAGATION));
    return 0;
}

static void add_etc_mount(struct making *m, const char *destination, const char *file)
{
    if (!is_mounted(m, destination))
        add_mount(m, str_of(destination), arena_printf(&m->p->arena, "%s/etc/%s", m->pod->folder, file), false,
                  STR_NONE);
}

static int make_mounts(struct making *m, struct error *err)
{
    struct view list = view_get(m->spec, F_CONTAINER_VOLUME_MOUNTS);
    struct prepared *p = m->p;
    struct pod_fields fields = pod_fields_of(m->pod);
    struct volume_input in = { .fields = &fields,
                               .sources = m->pod->agent->sources,
                               .pod_folder = str_of(m->pod->folder),
                               .content_folder = str_of(m->pod->content_folder),
                               .volumes_folder = arena_printf(&p->arena, "%s/volumes/pv", m->pod->agent->data),
                               .node_name = str_of(m->pod->agent->config->node_name),
                               .paths_only = true };
    struct volume_set volumes;
    struct str message = view_str_at(m->spec, F_CONTAINER_TERMINATION_MESSAGE_PATH);

    if (volumes_collect(&in, &p->arena, &volumes, err) < 0)
        return -1;
    p->mounts = arena_alloc_array(&p->arena, view_count(list) + 8, sizeof(*p->mounts));
    p->subpaths = arena_alloc_array(&p->arena, view_count(list) + 1, sizeof(*p->subpaths));
    for (struct view_iter it = { 0 }; view_next(list, &it);) {
        if (add_volume_mount(m, &volumes, it.value, err) < 0)
            return -1;
    }
    add_etc_mount(m, "/etc/hosts", "hosts");
    add_etc_mount(m, "/etc/hostname", "hostname");
    add_etc_mount(m, "/etc/resolv.conf", "resolv.conf");
    p->message_path = arena_printf(&p->arena, "%.*s/message", STR_ARG(p->folder));
    add_mount(m, message.n ? message : STR("/dev/termination-log"), p->message_path, false, STR_NONE);
    p->spec.mounts = p->mounts;
    p->spec.mounts_count = p->mounts_count;
    return 0;
}

/* --- namespaces -------------------------------------------------------------------------------------------------------------- */

static void make_namespaces(struct making *m)
{
    struct container_spec *s = &m->p->spec;
    struct arena *a = &m->p->arena;
    const char *run = m->pod->run_folder;
    bool host_ipc = view_bool_at(m->pod_spec, false, F_POD_SPEC_HOST_IPC);

    if (!m->pod->facts.host_network) {
        s->network_ns = arena_printf(a, "%s/net", run);
        s->uts_ns = arena_printf(a, "%s/uts", run);
    }
    if (!host_ipc) {
        s->ipc_ns = arena_printf(a, "%s/ipc", run);
        s->shm = arena_printf(a, "%s/shm", run);
    } else {
        s->shm = STR("/dev/shm");
    }
    s->host_pid = view_bool_at(m->pod_spec, false, F_POD_SPEC_HOST_PID);
    if (!s->host_pid && view_bool_at(m->pod_spec, false, F_POD_SPEC_SHARE_PROCESS_NAMESPACE)) {
        for (size_t i = 0; i < m->pod->facts.containers_count; i++) { /* the first that runs holds it */
            const struct container_facts *other = &m->pod->facts.containers[i];
            if (other->state == CONTAINER_RUNNING && other->ids.pid > 0 && i != m->c->index) {
                s->pid_ns = arena_printf(a, "/proc/%d/ns/pid", (int)other->ids.pid);
                break;
            }
        }
    }
    s->cgroup_ns = cgroups_mode(m->pod->agent->cgroups) == CGROUP_V2;
    s->cgroup_path = arena_printf(a, "%s/%s", m->pod->cgroup, m->c->facts->id);
    struct view sysctls = view_path(m->pod_spec, F_POD_SPEC_SECURITY_CONTEXT, F_POD_SECURITY_CONTEXT_SYSCTLS);
    struct str(*list)[2] = arena_alloc_array(a, view_count(sysctls) + 1, sizeof(*list));
    for (struct view_iter it = { 0 }; view_next(sysctls, &it);) {
        list[s->sysctls_count][0] = arena_str(a, view_str_at(it.value, F_SYSCTL_NAME));
        list[s->sysctls_count++][1] = arena_str(a, view_str_at(it.value, F_SYSCTL_VALUE));
    }
    s->sysctls = (const struct str(*)[2])list;
}

/* Only sysctls that belong to the pod's own namespaces. Source: the documented "safe" set and its prefixes. CVE-2022-0811. */
static int check_sysctls(const struct making *m, struct error *err)
{
    static const char *const safe[] = {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    };
    for (size_t i = 0; i < m->p->spec.sysctls_count; i++) {
        bool found = false;
        for (size_t k = 0; k < ARRAY_SIZE(safe); k++)
            found = found || str_is(m->p->spec.sysctls[i][0], safe[k]);
        if (!found)
            return fail(err, ERR_FORBIDDEN, "forbidden sysctl: \"%.*s\" not allowlisted",
                        STR_ARG(m->p->spec.sysctls[i][0]));
    }
    return 0;
}

int container_prepare(struct pod_container *c, struct prepared *p, struct error *err)
{
    struct pod *pod = c->pod;
    struct making m = { .c = c,
                        .pod = pod,
                        .p = p,
                        .spec = pod_container_view(pod, c->index),
                        .pod_spec = pod_spec(pod),
                        .image = view_get_str(object_root(c->image->config), STR("config")) };
    AUTO_FREE char *folder = container_folder(c);
    AUTO_FREE char *log_path = container_log_path(c, c->facts->attempt);

    p->config.max = CONFIG_MAX;
    p->folder = arena_str(&p->arena, str_of(folder));
    p->log_path = arena_printf(&p->arena, "%s", log_path);
    p->pod_name = arena_str(&p->arena, pod->name);
    p->namespace_ = arena_str(&p->arena, pod->namespace_);
    p->container_name = str_of(c->facts->name);
    p->terminal = view_bool_at(m.spec, false, F_CONTAINER_TTY);
    p->stdin_open = view_bool_at(m.spec, false, F_CONTAINER_STDIN);
    p->stdin_once = view_bool_at(m.spec, false, F_CONTAINER_STDIN_ONCE);
    p->lower = images_lower(pod->agent->images, &p->arena, c->image);
    p->spec.id = arena_str(&p->arena, str_of(c->facts->id));
    p->spec.rootfs = arena_printf(&p->arena, "%s/rootfs", folder);
    p->spec.terminal = p->terminal;
    make_namespaces(&m);
    make_limits(&m);
    if (!p->lower.n)
        return fail(err, ERR_TOO_LARGE, "the image has too many layers");
    if (check_sysctls(&m, err) < 0 || make_env(&m, err) < 0 || make_command(&m, err) < 0 || make_security(&m, err) < 0)
        return -1;
    container_spec_limit_capabilities(&p->spec, pod->agent->capabilities);
    return make_mounts(&m, err);
}

void prepared_done(struct prepared *p)
{
    map_done(&p->variables);
    buf_done(&p->config);
    error_done(&p->err);
    arena_done(&p->arena);
}
