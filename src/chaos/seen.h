/*
 * What chaos sees of a cluster on this machine before it does anything: machines (inits with namespaces), and the processes
 * in them by role. The plan of a fault is a pure function of this.
 */
#ifndef CHAOS_SEEN_H
#define CHAOS_SEEN_H

#include "base/error.h"

#include <sys/types.h>

#define SEEN_MACHINES_MAX  96
#define SEEN_PROCESSES_MAX 4096

enum machine_kind { MACHINE_EDGE, MACHINE_NODE, MACHINE_SERVER };

enum role {
    ROLE_OTHER,
    ROLE_SERVER,
    ROLE_ETCD,
    ROLE_AGENT,
    ROLE_FENCE,
    ROLE_HAPROXY,
    ROLE_REGISTRY,
    ROLE_CONMON,
    ROLE_CONTAINER /* every process inside of a container */
};

struct seen_machine {
    enum machine_kind kind;
    char name[64], zone[16], address[16];
    char link[16]; /* its port in the edge's namespace; "" for the edge */
    char data[256];
    pid_t init;          /* 0: not running */
    uint64_t start_time; /* of the init */
    bool leader, store_leader;
};

struct seen_process {
    pid_t pid, parent;
    uint64_t start_time;
    enum role role;
    int machine;      /* index, -1: of none */
    char pod_uid[64]; /* of containers and their monitors; "" for others */
};

struct seen {
    char name[33];
    struct seen_machine machines[SEEN_MACHINES_MAX];
    int machines_count;
    struct seen_process processes[SEEN_PROCESSES_MAX];
    int processes_count;
};

/* Start time of a process in clock ticks (0: there is none, or only its exit code is left): with the pid an identity. */
uint64_t seen_start_time(pid_t pid);
/* Look through /proc for the processes below the machines' inits; machines are filled in by the caller. */
int seen_read_processes(struct seen *s, struct error *err);
const struct seen_machine *seen_machine_named(const struct seen *s, const char *name); /* NULL: there is none */
const char *role_name(enum role role);
bool role_of_name(const char *name, enum role *ret); /* false: no such role */

/* What role a command line (its arguments separated by zero bytes) has; `comm` is the kernel's short name. For tests. */
enum role role_of_command(struct str comm, struct str arguments);
/* "pod<UID>" in a line of /proc/PID/cgroup; false: none. */
bool pod_uid_of_cgroup(struct str text, char ret[64]);

#endif
