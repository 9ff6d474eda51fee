/*
 * The node agent: runs the pods bound to one node, on a real machine or in the namespaces of a local cluster.
 *
 * It joins with a token once, then lives on its certificate. While no server answers it works on with what it has on disk:
 * containers are restarted, probes asked. Stopping it (SIGTERM) leaves containers running; the next start finds them again.
 * docs/design/node.md tells how it is built; docs/reference/agent-protocol.md what it says to the server.
 */
#ifndef NODE_AGENT_H
#define NODE_AGENT_H

#include "base/error.h"

struct agent_role;

struct agent_mirror {
    const char *host, *url; /* --mirror HOST=URL */
};

struct agent_config {
    const char *const
        *servers; /* "https://10.0.0.1:6443"; needed until the first join; later the stored list is used too */
    size_t servers_count;
    const char *token; /* TOKENID.TOKENSECRET.CAHASH; NULL once joined */
    const char *node_name;
    const char *zone, *region; /* labels topology.kubernetes.io/zone and region; NULL: none */
    const char *const *labels; /* "KEY=VALUE", further labels; may be NULL */
    size_t labels_count;
    const char *data;           /* folder, made when absent; one agent at a time */
    const char *address;        /* this node's InternalIP */
    const char *cluster_name;   /* control groups are /klein/CLUSTER/NODE */
    const char *cluster_domain; /* NULL: "cluster.local" */
    const char *service_cidr;   /* NULL: "10.96.0.0/16" */
    const char *dns_address;    /* NULL: "10.96.0.10" */
    const char *cluster_cidr;   /* NULL: "10.244.0.0/16" */
    const char *upstream_dns;   /* NULL: the node's /etc/resolv.conf; "": refuse */
    const struct agent_mirror *mirrors;
    size_t mirrors_count;
    bool gateway_only;             /* no pods and no Node object: a machine that runs only a gateway */
    int max_pods;                  /* 0: 250 */
    const struct agent_role *role; /* another role in this process; NULL: none */
    int64_t reserved_milli_cpu, reserved_memory_bytes; /* kept from allocatable */
};

struct loop;
struct env;
struct api;
struct network;
struct agent;

/* What another role on this machine (a gateway) needs of the agent. */
struct agent_services {
    struct agent *agent;
    struct loop *loop;
    struct env *env;
    struct api *api; /* identity system:node:NAME */
    struct network *network;
    const struct agent_config *config;
};

/* Another role that lives in the agent's process, on its loop. */
struct agent_role {
    void *(*start)(void *arg, const struct agent_services *s, struct error *err); /* NULL: the agent fails to start */
    void (*stop)(void *role);
    /* Revision of EndpointSlices in force in this role; the node reports the minimum. NULL: it does not matter. */
    uint64_t (*applied)(void *role);
    /* The list of servers: once after the start, and when it changes; borrowed for the call. NULL: it does not matter. */
    void (*servers_changed)(void *role, const char *const *urls, size_t count);
    void *arg;
};
/* The role's applied revision has grown. */
void agent_applied_changed(struct agent *a);

/*
 * Run until SIGTERM or SIGINT. Returns the exit code: 0 stopped, 1 failed (one sentence was logged). kinds_init() is called here.
 * On real machines run it with KillMode=process: the monitors of containers must outlive it.
 */
int agent_run(const struct agent_config *config);

/* Remove everything of this node from the machine: containers, mounts, control groups, network, and the data folder's pods. No agent
 * may be running. Best effort: removes as much as it can, also when half is missing. */
int agent_remove_all(const struct agent_config *config);

#endif
