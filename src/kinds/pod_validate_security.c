/* Rules of security contexts, of the pod and of its containers. */
#include "kinds/pod.h"

static const char *const seccomp_types[] = { "Localhost", "RuntimeDefault", "Unconfined", NULL };
static const char *const fs_group_policies[] = { "Always", "OnRootMismatch", NULL };
static const char *const groups_policies[] = { "Merge", "Strict", NULL };
static const char *const selinux_policies[] = { "MountOption", "Recursive", NULL };
static const char *const proc_mounts[] = { "Default", "Unmasked", NULL };

static void check_seccomp(struct check *k, const struct at *at, struct view profile)
{
    struct str type = view_str_at(profile, F_SECCOMP_PROFILE_TYPE);
    struct view local = view_get(profile, F_SECCOMP_PROFILE_LOCALHOST_PROFILE);

    if (!view_present(profile))
        return;
    if (!type.n)
        check_required(k, AT(at, "type"), "type is required when seccompProfile is set");
    else
        check_one_of(k, AT(at, "type"), type, seccomp_types);
    if (str_is(type, "Localhost") && !view_present(local))
        check_required(k, AT(at, "localhostProfile"), "must be set when seccomp type is Localhost");
    else if (str_is(type, "Localhost"))
        check_relative_path(k, AT(at, "localhostProfile"), view_str(local));
    else if (view_present(local))
        check_invalid(k, AT(at, "localhostProfile"), profile, "can only be set when seccomp type is Localhost");
}

static void check_apparmor(struct check *k, const struct at *at, struct view profile)
{
    struct str type = view_str_at(profile, F_APP_ARMOR_PROFILE_TYPE);
    struct view local = view_get(profile, F_APP_ARMOR_PROFILE_LOCALHOST_PROFILE);

    if (!view_present(profile))
        return;
    if (!type.n)
        check_required(k, AT(at, "type"), "type is required when appArmorProfile is set");
    else if (!check_one_of(k, AT(at, "type"), type, seccomp_types))
        return;
    if (str_is(type, "Localhost") && !str_trim(view_str(local)).n)
        check_required(k, AT(at, "localhostProfile"), "must be set when AppArmor type is Localhost");
    else if (str_is(type, "Localhost") && str_trim(view_str(local)).n != view_str(local).n)
        check_invalid(k, AT(at, "localhostProfile"), local, "must not be padded with whitespace");
    else if (type.n && !str_is(type, "Localhost") && view_present(local))
        check_invalid(k, AT(at, "localhostProfile"), local, "can only be set when AppArmor type is Localhost");
}

/* Segments of lower case letters, digits, "-" and "_", joined by "." or "/". */
static bool is_sysctl_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool edge = i == 0 || i + 1 == name.n || strchr("./", name.p[i - 1]) || strchr("./", name.p[i + 1]);
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (!alnum && (edge || !memchr("-_./", c, 4)))
            return false;
    }
    return name.n > 0 && name.n <= 253;
}

static void check_sysctls(struct check *k, const struct at *at, struct view sysctls, struct view spec)
{
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(sysctls, &it) && !check_full(k); i++) {
        struct str name = view_str_at(it.value, F_SYSCTL_NAME);
        const struct at *name_at = AT(AT_INDEX(at, i), "name");

        if (!name.n)
            check_required(k, name_at, "");
        else if (!is_sysctl_name(name))
            check_invalid_str(k, name_at, name,
                              "must have at most 253 characters and match regex "
                              "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
        else if (seen_before(&seen, name))
            check_duplicate_str(k, name_at, name);
        if (str_starts(name, STR("net.")) && view_bool_at(spec, false, F_POD_SPEC_HOST_NETWORK))
            check_invalid_str(k, name_at, name, "may not be specified when 'hostNetwork' is true");
    }
}

static void check_id(struct check *k, const struct at *at, struct view id)
{
    if (view_present(id))
        check_user_id(k, at, view_int(id, 0));
}

void pod_check_security(struct pod_check *p, const struct at *spec_at)
{
    struct view context = view_get(p->spec, F_POD_SPEC_SECURITY_CONTEXT);
    const struct at *at = AT(spec_at, "securityContext");
    struct str fs_group_policy = view_str_at(context, F_POD_SECURITY_CONTEXT_FS_GROUP_CHANGE_POLICY);
    struct str groups_policy = view_str_at(context, F_POD_SECURITY_CONTEXT_SUPPLEMENTAL_GROUPS_POLICY);
    struct str selinux_policy = view_str_at(context, F_POD_SECURITY_CONTEXT_SE_LINUX_CHANGE_POLICY);
    struct view_iter it = { 0 };

    check_id(p->k, AT(at, "fsGroup"), view_get(context, F_POD_SECURITY_CONTEXT_FS_GROUP));
    check_id(p->k, AT(at, "runAsUser"), view_get(context, F_POD_SECURITY_CONTEXT_RUN_AS_USER));
    check_id(p->k, AT(at, "runAsGroup"), view_get(context, F_POD_SECURITY_CONTEXT_RUN_AS_GROUP));
    for (size_t i = 0;
         view_next(view_get(context, F_POD_SECURITY_CONTEXT_SUPPLEMENTAL_GROUPS), &it) && !check_full(p->k); i++)
        check_id(p->k, AT_INDEX(AT(at, "supplementalGroups"), i), it.value);
    if (view_bool_at(p->spec, false, F_POD_SPEC_SHARE_PROCESS_NAMESPACE) &&
        view_bool_at(p->spec, false, F_POD_SPEC_HOST_PID))
        check_invalid(p->k, AT(at, "shareProcessNamespace"), view_get(p->spec, F_POD_SPEC_SHARE_PROCESS_NAMESPACE),
                      "ShareProcessNamespace and HostPID cannot both be enabled");
    check_sysctls(p->k, AT(at, "sysctls"), view_get(context, F_POD_SECURITY_CONTEXT_SYSCTLS), p->spec);
    if (fs_group_policy.n)
        check_one_of(p->k, AT(at, "fsGroupChangePolicy"), fs_group_policy, fs_group_policies);
    check_seccomp(p->k, AT(at, "seccompProfile"), view_get(context, F_POD_SECURITY_CONTEXT_SECCOMP_PROFILE));
    check_apparmor(p->k, AT(at, "appArmorProfile"), view_get(context, F_POD_SECURITY_CONTEXT_APP_ARMOR_PROFILE));
    if (groups_policy.n)
        check_one_of(p->k, AT(at, "supplementalGroupsPolicy"), groups_policy, groups_policies);
    if (selinux_policy.n)
        check_one_of(p->k, AT(at, "seLinuxChangePolicy"), selinux_policy, selinux_policies);
}

static bool adds_sys_admin(struct view context)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(context, F_SECURITY_CONTEXT_CAPABILITIES, F_CAPABILITIES_ADD), &it))
        if (str_is(view_str(it.value), "CAP_SYS_ADMIN"))
            return true;
    return false;
}

void pod_check_container_security(struct pod_check *p, const struct at *at, struct view context)
{
    struct str proc_mount = view_str_at(context, F_SECURITY_CONTEXT_PROC_MOUNT);

    if (!view_present(context))
        return;
    check_id(p->k, AT(at, "runAsUser"), view_get(context, F_SECURITY_CONTEXT_RUN_AS_USER));
    check_id(p->k, AT(at, "runAsGroup"), view_get(context, F_SECURITY_CONTEXT_RUN_AS_GROUP));
    if (proc_mount.n && check_one_of(p->k, AT(at, "procMount"), proc_mount, proc_mounts) &&
        str_is(proc_mount, "Unmasked") && view_bool_at(p->spec, true, F_POD_SPEC_HOST_USERS))
        check_invalid_str(p->k, AT(at, "procMount"), proc_mount, "`hostUsers` must be false to use `Unmasked`");
    check_seccomp(p->k, AT(at, "seccompProfile"), view_get(context, F_SECURITY_CONTEXT_SECCOMP_PROFILE));
    if (!view_bool_at(context, true, F_SECURITY_CONTEXT_ALLOW_PRIVILEGE_ESCALATION)) {
        if (view_bool_at(context, false, F_SECURITY_CONTEXT_PRIVILEGED))
            check_invalid(p->k, at, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        if (adds_sys_admin(context))
            check_invalid(p->k, at, context,
                          "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
    }
    check_apparmor(p->k, AT(at, "appArmorProfile"), view_get(context, F_SECURITY_CONTEXT_APP_ARMOR_PROFILE));
}
