/* The rules of the Pod Security Standards, one function each. */
#include "server/admission/pod_security_checks.h"

#include "kinds/fields.h"

struct pod {
    struct view metadata, spec;
};

/* --- going over all containers ------------------------------------------------------------------------------------- */

/* Every kind of container counts: CVE-2023-2727 and its kin were policies that skipped ephemeral ones. */
static const name_id *container_lists(size_t *ret_count)
{
    static const name_id lists[] = { F_POD_SPEC_INIT_CONTAINERS, F_POD_SPEC_CONTAINERS,
                                     F_POD_SPEC_EPHEMERAL_CONTAINERS };
    *ret_count = ARRAY_SIZE(lists);
    return lists;
}

typedef bool container_breaks(const struct pod *p, struct view container);

/* Appends the quoted names of containers that break a rule; returns how many. */
static size_t add_names(struct buf *to, const struct pod *p, container_breaks *breaks)
{
    size_t lists_count, count = 0;
    const name_id *lists = container_lists(&lists_count);
    for (size_t i = 0; i < lists_count; i++) {
        struct view containers = view_get(p->spec, lists[i]);
        struct view_iter it = { 0 };
        while (view_next(containers, &it)) {
            if (!breaks(p, it.value))
                continue;
            buf_addf(to, "%s\"%.*s\"", count ? ", " : "", STR_ARG(view_str(view_get(it.value, F_CONTAINER_NAME))));
            count++;
        }
    }
    return count;
}

/* "rule (container "a" must ...)"; `lead` is "" or "pod or ". */
static void add_broken(struct buf *to, const struct pod *p, container_breaks *breaks, const char *rule,
                       const char *lead, const char *must)
{
    AUTO_BUF struct buf names = BUF_MAX(16 * KIB);
    size_t count = add_names(&names, p, breaks);
    if (count)
        buf_addf(to, "%s%s (%scontainer%s %.*s %s)", to->n ? ", " : "", rule, lead, count > 1 ? "s" : "",
                 STR_ARG(buf_str(&names)), must);
}

static void add_plain(struct buf *to, const char *rule, struct str detail)
{
    if (detail.n)
        buf_addf(to, "%s%s (%.*s)", to->n ? ", " : "", rule, STR_ARG(detail));
}

static struct view security(struct view container)
{
    return view_get(container, F_CONTAINER_SECURITY_CONTEXT);
}

static struct view pod_security(const struct pod *p)
{
    return view_get(p->spec, F_POD_SPEC_SECURITY_CONTEXT);
}

/* --- baseline ------------------------------------------------------------------------------------------------------ */

static void check_host_namespaces(struct buf *to, const struct pod *p)
{
    static const struct {
        name_id field;
        const char *text;
    } rows[] = { { F_POD_SPEC_HOST_NETWORK, "hostNetwork=true" },
                 { F_POD_SPEC_HOST_PID, "hostPID=true" },
                 { F_POD_SPEC_HOST_IPC, "hostIPC=true" } };
    AUTO_BUF struct buf detail = BUF_MAX(KIB);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (view_bool_at(p->spec, false, rows[i].field))
            buf_addf(&detail, "%s%s", detail.n ? ", " : "", rows[i].text);
    add_plain(to, "host namespaces", buf_str(&detail));
}

static bool is_privileged(const struct pod *p, struct view c)
{
    (void)p;
    return view_bool_at(security(c), false, F_SECURITY_CONTEXT_PRIVILEGED);
}

static bool in_list(const char *const *list, struct str s)
{
    for (; *list; list++)
        if (str_is(s, *list))
            return true;
    return false;
}

static bool adds_other_than(struct view c, const char *const *allowed)
{
    struct view add = view_path(security(c), F_SECURITY_CONTEXT_CAPABILITIES, F_CAPABILITIES_ADD);
    struct view_iter it = { 0 };
    while (view_next(add, &it))
        if (!in_list(allowed, view_str(it.value)))
            return true;
    return false;
}

static bool has_capabilities(const struct pod *p, struct view c)
{
    static const char *const allowed[] = { "AUDIT_WRITE", "CHOWN",  "DAC_OVERRIDE",     "FOWNER",  "FSETID",
                                           "KILL",        "MKNOD",  "NET_BIND_SERVICE", "SETFCAP", "SETGID",
                                           "SETPCAP",     "SETUID", "SYS_CHROOT",       NULL };
    (void)p;
    return adds_other_than(c, allowed);
}

static void check_host_path(struct buf *to, const struct pod *p)
{
    AUTO_BUF struct buf detail = BUF_MAX(16 * KIB);
    struct view volumes = view_get(p->spec, F_POD_SPEC_VOLUMES);
    struct view_iter it = { 0 };
    size_t count = 0;
    AUTO_BUF struct buf names = BUF_MAX(16 * KIB);
    while (view_next(volumes, &it))
        if (view_present(view_get(it.value, F_VOLUME_HOST_PATH)))
            buf_addf(&names, "%s\"%.*s\"", count++ ? ", " : "", STR_ARG(view_str(view_get(it.value, F_VOLUME_NAME))));
    if (count)
        buf_addf(&detail, "volume%s %.*s", count > 1 ? "s" : "", STR_ARG(buf_str(&names)));
    add_plain(to, "hostPath volumes", buf_str(&detail));
}

static bool has_host_port(const struct pod *p, struct view c)
{
    struct view ports = view_get(c, F_CONTAINER_PORTS);
    struct view_iter it = { 0 };
    (void)p;
    while (view_next(ports, &it))
        if (view_int_at(it.value, 0, F_CONTAINER_PORT_HOST_PORT))
            return true;
    return false;
}

static bool has_proc_mount(const struct pod *p, struct view c)
{
    struct str mount = view_str_at(security(c), F_SECURITY_CONTEXT_PROC_MOUNT);
    (void)p;
    return mount.n && !str_is(mount, "Default");
}

static bool is_unconfined(struct view context)
{
    return str_is(view_str_at(context, F_SECURITY_CONTEXT_SECCOMP_PROFILE, F_SECCOMP_PROFILE_TYPE), "Unconfined") ||
           str_is(view_str_at(context, F_SECURITY_CONTEXT_APP_ARMOR_PROFILE, F_APP_ARMOR_PROFILE_TYPE), "Unconfined");
}

static bool container_is_unconfined(const struct pod *p, struct view c)
{
    return is_unconfined(security(c)) || is_unconfined(pod_security(p));
}

static bool has_selinux(struct view context)
{
    static const char *const types[] = {
        "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", NULL
    };
    struct view options = view_get(context, F_SECURITY_CONTEXT_SE_LINUX_OPTIONS);
    return view_present(options) &&
           (view_str_at(options, F_SE_LINUX_OPTIONS_USER).n || view_str_at(options, F_SE_LINUX_OPTIONS_ROLE).n ||
            !in_list(types, view_str_at(options, F_SE_LINUX_OPTIONS_TYPE)));
}

static bool container_has_selinux(const struct pod *p, struct view c)
{
    return has_selinux(security(c)) || has_selinux(pod_security(p));
}

static void check_sysctls(struct buf *to, const struct pod *p)
{
    static const char *const allowed[] = { "kernel.shm_rmid_forced",
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
                                           NULL };
    AUTO_BUF struct buf detail = BUF_MAX(16 * KIB);
    struct view sysctls = view_get(pod_security(p), F_POD_SECURITY_CONTEXT_SYSCTLS);
    struct view_iter it = { 0 };
    while (view_next(sysctls, &it)) {
        struct str name = view_str(view_get(it.value, F_SYSCTL_NAME));
        if (!in_list(allowed, name))
            buf_addf(&detail, "%s%.*s", detail.n ? ", " : "", STR_ARG(name));
    }
    add_plain(to, "forbidden sysctls", buf_str(&detail));
}

static void check_baseline(struct buf *to, const struct pod *p)
{
    check_host_namespaces(to, p);
    add_broken(to, p, is_privileged, "privileged", "", "must not set securityContext.privileged=true");
    add_broken(to, p, has_capabilities, "non-default capabilities", "",
               "must not include other than the default capabilities in securityContext.capabilities.add");
    check_host_path(to, p);
    add_broken(to, p, has_host_port, "hostPort", "", "must not use a hostPort");
    add_broken(to, p, container_has_selinux, "seLinuxOptions", "pod or ",
               "must not set a forbidden securityContext.seLinuxOptions");
    add_broken(to, p, has_proc_mount, "procMount", "", "must not set securityContext.procMount");
    check_sysctls(to, p);
}

/* --- restricted ----------------------------------------------------------------------------------------------------- */

static void check_volumes(struct buf *to, const struct pod *p)
{
    static const char *const allowed[] = { "name",      "configMap", "csi",   "downwardAPI",
                                           "emptyDir",  "ephemeral", "image", "persistentVolumeClaim",
                                           "projected", "secret",    NULL };
    AUTO_BUF struct buf detail = BUF_MAX(16 * KIB);
    struct view volumes = view_get(p->spec, F_POD_SPEC_VOLUMES);
    struct view_iter it = { 0 };
    while (view_next(volumes, &it)) {
        struct view_iter member = { 0 };
        while (view_next(it.value, &member))
            if (!in_list(allowed, member.key))
                buf_addf(&detail, "%svolume \"%.*s\" uses restricted volume type \"%.*s\"", detail.n ? ", " : "",
                         STR_ARG(view_str(view_get(it.value, F_VOLUME_NAME))), STR_ARG(member.key));
    }
    add_plain(to, "restricted volume types", buf_str(&detail));
}

static bool may_escalate(const struct pod *p, struct view c)
{
    (void)p;
    return view_bool_at(security(c), true, F_SECURITY_CONTEXT_ALLOW_PRIVILEGE_ESCALATION);
}

static bool keeps_capabilities(const struct pod *p, struct view c)
{
    static const char *const allowed[] = { "NET_BIND_SERVICE", NULL };
    struct view drop = view_path(security(c), F_SECURITY_CONTEXT_CAPABILITIES, F_CAPABILITIES_DROP);
    struct view_iter it = { 0 };
    bool all = false;
    (void)p;
    while (view_next(drop, &it))
        all |= str_is(view_str(it.value), "ALL");
    return !all || adds_other_than(c, allowed);
}

static bool may_be_root(const struct pod *p, struct view c)
{
    struct view own = view_get(security(c), F_SECURITY_CONTEXT_RUN_AS_NON_ROOT);
    return !view_bool(view_present(own) ? own : view_get(pod_security(p), F_SECURITY_CONTEXT_RUN_AS_NON_ROOT), false);
}

static bool is_root(const struct pod *p, struct view c)
{
    struct view own = view_get(security(c), F_SECURITY_CONTEXT_RUN_AS_USER);
    return view_int(view_present(own) ? own : view_get(pod_security(p), F_SECURITY_CONTEXT_RUN_AS_USER), 1) == 0;
}

static bool has_no_seccomp(const struct pod *p, struct view c)
{
    struct str own = view_str_at(security(c), F_SECURITY_CONTEXT_SECCOMP_PROFILE, F_SECCOMP_PROFILE_TYPE);
    if (!own.n)
        own = view_str_at(pod_security(p), F_SECURITY_CONTEXT_SECCOMP_PROFILE, F_SECCOMP_PROFILE_TYPE);
    return !str_is(own, "RuntimeDefault") && !str_is(own, "Localhost");
}

static void check_restricted(struct buf *to, const struct pod *p)
{
    add_broken(to, p, may_escalate, "allowPrivilegeEscalation != false", "",
               "must set securityContext.allowPrivilegeEscalation=false");
    add_broken(to, p, keeps_capabilities, "unrestricted capabilities", "",
               "must set securityContext.capabilities.drop=[\"ALL\"]");
    check_volumes(to, p);
    add_broken(to, p, may_be_root, "runAsNonRoot != true", "pod or ", "must set securityContext.runAsNonRoot=true");
    add_broken(to, p, is_root, "runAsUser=0", "pod or ", "must not set runAsUser=0");
    add_broken(to, p, has_no_seccomp, "seccompProfile", "pod or ",
               "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
}

void pod_security_check(struct buf *to, enum pod_security_level level, struct view metadata, struct view spec)
{
    struct pod p = { metadata, spec };
    if (level >= POD_SECURITY_BASELINE)
        check_baseline(to, &p);
    if (level == POD_SECURITY_BASELINE)
        add_broken(to, &p, container_is_unconfined, "seccompProfile", "pod or ", "must not be unconfined");
    if (level >= POD_SECURITY_RESTRICTED)
        check_restricted(to, &p);
}
