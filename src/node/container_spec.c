/* One container's OCI configuration, written from typed values. */
#include "node/container_spec.h"

#include "node/json_out.h"
#include "node/seccomp.h"

/* Every capability the kernel knows up to 5.9, by number; privileged containers get them all. */
static const char *const all_capabilities[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

static const char *const default_capabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE",
};

static const char *const masked_paths[] = {
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    NULL,
};

static const char *const read_only_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static bool has_capability(const struct container_spec *s, struct str name)
{
    for (size_t i = 0; i < s->capabilities_count; i++) {
        if (str_eq(s->capabilities[i], name))
            return true;
    }
    return false;
}

static void add_capability(struct container_spec *s, struct str name)
{
    if (!has_capability(s, name) && s->capabilities_count < ARRAY_SIZE(s->capabilities))
        s->capabilities[s->capabilities_count++] = name;
}

static void drop_capability(struct container_spec *s, struct str name)
{
    for (size_t i = 0; i < s->capabilities_count; i++) {
        if (str_eq(s->capabilities[i], name)) {
            s->capabilities[i] = s->capabilities[--s->capabilities_count];
            return;
        }
    }
}

void container_spec_default_capabilities(struct container_spec *s)
{
    s->capabilities_count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(default_capabilities); i++)
        add_capability(s, str_of(default_capabilities[i]));
}

void container_spec_limit_capabilities(struct container_spec *s, uint64_t bounding)
{
    for (size_t i = 0; i < ARRAY_SIZE(all_capabilities); i++) {
        if (!(bounding & ((uint64_t)1 << i)))
            drop_capability(s, str_of(all_capabilities[i]));
    }
}

int container_spec_capability(struct container_spec *s, struct arena *a, struct str name, bool add, struct error *err)
{
    if (str_eq_nocase(name, STR("ALL"))) {
        s->capabilities_count = 0;
        for (size_t i = 0; add && i < ARRAY_SIZE(all_capabilities); i++)
            add_capability(s, str_of(all_capabilities[i]));
        return 0;
    }
    struct str full = str_starts(name, STR("CAP_")) ? name : arena_printf(a, "CAP_%.*s", STR_ARG(name));
    for (size_t i = 0; i < ARRAY_SIZE(all_capabilities); i++) {
        if (!str_eq_nocase(full, str_of(all_capabilities[i])))
            continue;
        if (add)
            add_capability(s, str_of(all_capabilities[i]));
        else
            drop_capability(s, str_of(all_capabilities[i]));
        return 0;
    }
    return add ? fail(err, ERR_INVALID, "unknown capability \"%.*s\" to add", STR_ARG(name)) : 0;
}

static void write_capabilities(struct json_out *j, const struct container_spec *s)
{
    /* Not inheritable and not ambient: CVE-2022-27650. */
    static const char *const sets[] = { "bounding", "effective", "permitted" };

    json_object(j, "capabilities");
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        json_array(j, sets[i]);
        for (size_t k = 0; k < s->capabilities_count; k++)
            json_str(j, NULL, s->capabilities[k]);
        json_array_end(j);
    }
    json_object_end(j);
}

static void write_process(struct json_out *j, const char *name, const struct container_spec *s, const struct str *args,
                          size_t args_count, bool terminal)
{
    json_object(j, name);
    json_bool(j, "terminal", terminal);
    json_object(j, "user");
    json_int(j, "uid", s->uid);
    json_int(j, "gid", s->gid);
    json_array(j, "additionalGids");
    for (size_t i = 0; i < s->groups_count; i++)
        json_int(j, NULL, s->groups[i]);
    json_array_end(j);
    json_object_end(j);
    json_array(j, "args");
    for (size_t i = 0; i < args_count; i++)
        json_str(j, NULL, args[i]);
    json_array_end(j);
    json_array(j, "env");
    for (size_t i = 0; i < s->env_count; i++)
        json_str(j, NULL, s->env[i]);
    if (terminal)
        json_text(j, NULL, "TERM=xterm");
    json_array_end(j);
    json_str(j, "cwd", s->cwd.n ? s->cwd : STR("/"));
    write_capabilities(j, s);
    json_bool(j, "noNewPrivileges", s->no_new_privileges);
    if (s->oom_score_adj != 0)
        json_int(j, "oomScoreAdj", s->oom_score_adj);
    json_object_end(j);
}

static void write_mount(struct json_out *j, const char *destination, const char *type, const char *source,
                        const char *const *options)
{
    json_object(j, NULL);
    json_text(j, "destination", destination);
    json_text(j, "type", type);
    json_text(j, "source", source);
    json_strs(j, "options", options);
    json_object_end(j);
}

static void write_bind(struct json_out *j, struct str destination, struct str source, const char *const *options)
{
    json_object(j, NULL);
    json_str(j, "destination", destination);
    json_text(j, "type", "none");
    json_str(j, "source", source);
    json_strs(j, "options", options);
    json_object_end(j);
}

static void write_mounts(struct json_out *j, const struct container_spec *s)
{
#define OPTIONS(...)                                                                                                   \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }
    const char *sys_mode = s->privileged ? "rw" : "ro";

    json_array(j, "mounts");
    write_mount(j, "/proc", "proc", "proc", OPTIONS("nosuid", "noexec", "nodev"));
    write_mount(j, "/dev", "tmpfs", "tmpfs", OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"));
    write_mount(j, "/dev/pts", "devpts", "devpts",
                OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"));
    write_mount(j, "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev"));
    if (s->network_ns.n)
        write_mount(j, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", sys_mode));
    else /* the node's network namespace is not the container's to mount sysfs for */
        write_mount(j, "/sys", "none", "/sys", OPTIONS("rbind", "rslave", "nosuid", "noexec", "nodev", sys_mode));
    write_mount(j, "/sys/fs/cgroup", "cgroup", "cgroup", OPTIONS("nosuid", "noexec", "nodev", "relatime", sys_mode));
    if (!s->shm.n)
        write_mount(j, "/dev/shm", "tmpfs", "shm", OPTIONS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k"));
    else
        write_bind(j, STR("/dev/shm"), s->shm, OPTIONS("rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"));
    for (size_t i = 0; i < s->mounts_count; i++) {
        const struct spec_mount *m = &s->mounts[i];
        write_bind(j, m->destination, m->source,
                   OPTIONS("rbind", m->propagation ? m->propagation : "rprivate", m->read_only ? "ro" : "rw"));
    }
    json_array_end(j);
#undef OPTIONS
}

static void write_namespace(struct json_out *j, const char *type, struct str path)
{
    json_object(j, NULL);
    json_text(j, "type", type);
    if (path.n)
        json_str(j, "path", path);
    json_object_end(j);
}

static void write_limits(struct json_out *j, const struct container_spec *s)
{
    const struct spec_limits *l = &s->limits;

    json_object(j, "resources");
    json_array(j, "devices");
    json_object(j, NULL);
    json_bool(j, "allow", s->privileged);
    json_text(j, "access", "rwm");
    json_object_end(j);
    json_array_end(j);
    json_object(j, "cpu");
    if (l->cpu_shares)
        json_int(j, "shares", l->cpu_shares);
    if (l->cpu_quota_us) {
        json_int(j, "quota", l->cpu_quota_us);
        json_int(j, "period", l->cpu_period_us);
    }
    json_object_end(j);
    json_object(j, "memory");
    if (l->memory_bytes)
        json_int(j, "limit", l->memory_bytes);
    json_object_end(j);
    if (l->pids) {
        json_object(j, "pids");
        json_int(j, "limit", l->pids);
        json_object_end(j);
    }
    json_object_end(j);
}

static void write_linux(struct json_out *j, const struct container_spec *s)
{
    json_object(j, "linux");
    json_str(j, "cgroupsPath", s->cgroup_path);
    json_array(j, "namespaces");
    write_namespace(j, "mount", STR_NONE);
    if (!s->host_pid)
        write_namespace(j, "pid", s->pid_ns);
    if (s->network_ns.n)
        write_namespace(j, "network", s->network_ns);
    if (s->ipc_ns.n)
        write_namespace(j, "ipc", s->ipc_ns);
    if (s->uts_ns.n)
        write_namespace(j, "uts", s->uts_ns);
    if (s->cgroup_ns)
        write_namespace(j, "cgroup", STR_NONE);
    json_array_end(j);
    write_limits(j, s);
    if (s->sysctls_count) {
        json_object(j, "sysctl");
        for (size_t i = 0; i < s->sysctls_count; i++) {
            AUTO_FREE char *name = str_dup(s->sysctls[i][0]);
            json_str(j, name, s->sysctls[i][1]);
        }
        json_object_end(j);
    }
    if (!s->privileged) {
        if (!s->unmasked_proc) {
            json_strs(j, "maskedPaths", masked_paths);
            json_strs(j, "readonlyPaths", read_only_paths);
        }
        if (s->seccomp == SPEC_SECCOMP_DEFAULT)
            seccomp_write_default(j, s);
    }
    json_object_end(j);
}

int container_spec_write(const struct container_spec *s, struct buf *to, struct error *err)
{
    struct json_out j = { .to = to };

    json_object(&j, NULL);
    json_text(&j, "ociVersion", "1.0.2");
    json_object(&j, "root");
    json_str(&j, "path", s->rootfs);
    json_bool(&j, "readonly", s->read_only_root);
    json_object_end(&j);
    write_process(&j, "process", s, s->args, s->args_count, s->terminal);
    write_mounts(&j, s);
    write_linux(&j, s);
    json_object_end(&j);
    return to->full ? fail(err, ERR_TOO_LARGE, "the configuration of the container is larger than %zu bytes", to->max)
                    : 0;
}

int container_spec_write_process(const struct container_spec *s, const struct str *args, size_t args_count,
                                 bool terminal, struct buf *to, struct error *err)
{
    struct json_out j = { .to = to };

    write_process(&j, NULL, s, args, args_count, terminal);
    return to->full ? fail(err, ERR_TOO_LARGE, "the command is larger than %zu bytes", to->max) : 0;
}
