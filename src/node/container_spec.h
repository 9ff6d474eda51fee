/*
 * What the runtime needs to know to start one container, and its translation into an OCI configuration.
 *
 * Pure: no file is touched here. The caller has resolved everything (image configuration, environment, users, volumes,
 * limits); this module only writes it down. Source: OCI runtime specification 1.0, config.md and config-linux.md.
 */
#ifndef NODE_CONTAINER_SPEC_H
#define NODE_CONTAINER_SPEC_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct spec_mount {
    struct str destination; /* absolute path in the container */
    struct str source;      /* path on the node */
    bool read_only;
    const char *propagation; /* "rprivate", "rslave", "rshared" */
};

/* Limits; 0 = not set, -1 where the kernel's word for unlimited is meant. */
struct spec_limits {
    int64_t cpu_shares; /* v1 numbers (2..262144); translated for v2 by the runtime */
    int64_t cpu_quota_us, cpu_period_us;
    int64_t memory_bytes;
    int64_t pids;
};

enum spec_seccomp { SPEC_SECCOMP_NONE, SPEC_SECCOMP_DEFAULT };

struct container_spec {
    struct str id;
    struct str rootfs;
    struct str cgroup_path;                /* "/klein/CLUSTER/NODE/..." */
    struct str network_ns, ipc_ns, uts_ns; /* paths of nsfs files; empty: the node's own */
    struct str pid_ns;                     /* path of another container's */
    bool host_pid;                         /* else a new one, unless pid_ns is set */
    bool cgroup_ns;                        /* a private cgroup namespace (v2) */
    struct str shm;                        /* folder bound to /dev/shm; empty: a tmpfs of its own */
    const struct str *args;
    size_t args_count;
    const struct str *env; /* "NAME=value" */
    size_t env_count;
    struct str cwd;
    bool terminal;
    int64_t uid, gid;
    const int64_t *groups; /* additional ones */
    size_t groups_count;
    struct str capabilities[48]; /* "CAP_..." in the bounding, effective and permitted set */
    size_t capabilities_count;
    bool privileged;
    bool no_new_privileges;
    bool read_only_root;
    bool unmasked_proc; /* procMount: Unmasked */
    enum spec_seccomp seccomp;
    int oom_score_adj;
    struct spec_limits limits;
    const struct spec_mount *mounts;
    size_t mounts_count;
    const struct str (*sysctls)[2]; /* name, value */
    size_t sysctls_count;
};

/* config.json. Fails only when it grows over `to`'s maximum. */
int container_spec_write(const struct container_spec *s, struct buf *to, struct error *err);
/* The process part alone, for `crun exec --process`: as the container's, but for these. */
int container_spec_write_process(const struct container_spec *s, const struct str *args, size_t args_count,
                                 bool terminal, struct buf *to, struct error *err);

/* The default capabilities of a container, without "CAP_": fills at most 48. Source: the set Docker and containerd grant. */
void container_spec_default_capabilities(struct container_spec *s);
/* Drop what this machine's own bounding set lacks (bit N = capability N): asking for it would fail the start. */
void container_spec_limit_capabilities(struct container_spec *s, uint64_t bounding);
/* Add or drop by name ("NET_ADMIN", "CAP_NET_ADMIN", "ALL"); unknown names are an error. */
int container_spec_capability(struct container_spec *s, struct arena *a, struct str name, bool add, struct error *err);

#endif
