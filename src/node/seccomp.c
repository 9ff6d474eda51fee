/*
 * RuntimeDefault: system calls that reach the whole machine or a rarely tested corner of the kernel answer EPERM.
 *
 * A list of what is refused, not of what is allowed: new system calls of newer C libraries keep working. A call
 * that belongs to a capability is open to containers that were granted it, as in other runtimes' profiles.
 */
#include "node/seccomp.h"

struct refused {
    const char *capability; /* granted: allowed; NULL: always refused */
    const char *calls[32];
};

static const struct refused refused[] = {
    { NULL,
      { "add_key", "keyctl", "request_key", "userfaultfd", "_sysctl", "nfsservctl", "uselib", "ustat", "sysfs", "vm86",
        "vm86old", "move_pages", "get_mempolicy", "lookup_dcookie", "io_uring_setup", "io_uring_enter",
        "io_uring_register", NULL } },
    { "CAP_SYS_ADMIN",
      { "bpf",      "mount",       "umount",      "umount2",       "mount_setattr", "move_mount", "open_tree",
        "fsopen",   "fsconfig",    "fsmount",     "fspick",        "setns",         "unshare",    "perf_event_open",
        "quotactl", "quotactl_fd", "sethostname", "setdomainname", "fanotify_init", "pivot_root", "swapon",
        "swapoff",  NULL } },
    { "CAP_SYS_MODULE", { "init_module", "finit_module", "delete_module", "create_module", "query_module", NULL } },
    { "CAP_SYS_BOOT", { "reboot", "kexec_load", "kexec_file_load", NULL } },
    { "CAP_SYS_TIME", { "settimeofday", "stime", "clock_settime", "clock_settime64", NULL } },
    { "CAP_SYS_RAWIO", { "iopl", "ioperm", NULL } },
    { "CAP_SYS_PACCT", { "acct", NULL } },
    { "CAP_SYS_TTY_CONFIG", { "vhangup", NULL } },
    { "CAP_SYSLOG", { "syslog", NULL } },
    { "CAP_DAC_READ_SEARCH", { "open_by_handle_at", NULL } },
    { "CAP_SYS_NICE", { "mbind", "set_mempolicy", "migrate_pages", NULL } },
};

/* CLONE_NEWNS ... CLONE_NEWUSER: a clone() that asks for any new namespace. */
#define CLONE_NAMESPACES 0x7E020000

static bool has_capability(const struct container_spec *s, const char *name)
{
    for (size_t i = 0; i < s->capabilities_count; i++) {
        if (str_is(s->capabilities[i], name))
            return true;
    }
    return false;
}

void seccomp_write_default(struct json_out *j, const struct container_spec *s)
{
    json_object(j, "seccomp");
    json_text(j, "defaultAction", "SCMP_ACT_ALLOW");
    json_strs(
        j, "architectures", (const char *const[]) {
#if defined(__x86_64__)
            "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
#elif defined(__aarch64__)
                                      "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
#endif
                NULL
        });
    json_array(j, "syscalls");
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        if (refused[i].capability && has_capability(s, refused[i].capability))
            continue;
        json_object(j, NULL);
        json_strs(j, "names", refused[i].calls);
        json_text(j, "action", "SCMP_ACT_ERRNO");
        json_int(j, "errnoRet", 1);
        json_object_end(j);
    }
    if (!has_capability(s, "CAP_SYS_ADMIN")) {
        json_object(j, NULL);
        json_strs(j, "names", (const char *const[]){ "clone3", NULL }); /* flags are in memory: make libc use clone */
        json_text(j, "action", "SCMP_ACT_ERRNO");
        json_int(j, "errnoRet", 38);
        json_object_end(j);
        for (int bit = 17; bit < 31; bit++) {
            if (!(CLONE_NAMESPACES & (1u << bit)))
                continue;
            json_object(j, NULL);
            json_strs(j, "names", (const char *const[]){ "clone", NULL });
            json_text(j, "action", "SCMP_ACT_ERRNO");
            json_int(j, "errnoRet", 1);
            json_array(j, "args");
            json_object(j, NULL);
            json_int(j, "index", 0);
            json_int(j, "value", (int64_t)1 << bit);
            json_int(j, "valueTwo", (int64_t)1 << bit);
            json_text(j, "op", "SCMP_CMP_MASKED_EQ");
            json_object_end(j);
            json_array_end(j);
            json_object_end(j);
        }
    }
    json_array_end(j);
    json_object_end(j);
}
