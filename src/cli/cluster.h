/*
 * A local cluster as `klein up` makes it: names, addresses, folders, processes. Kept in a small JSON file, so that
 * status and down know it, also when half of it is missing.
 *
 *     /run/klein/NAME/cluster.json      this record; removed last by `klein down`
 *     /run/klein/NAME/MACHINE.json       specs of the inits
 *     /var/lib/klein/NAME/              data: server/ or servers/SERVER/, nodes/NODE/, registry/, gateway/, log/, kubeconfig
 *
 * Addresses of cluster number X (120-199, the first free): the host's link is 10.X.255.0/30 (host .1, cluster .2), zone Z's
 * bridge is 10.X.Z.0/24 (the cluster's side .1, servers from .2, nodes from .11). Pods and Services use 10.244.0.0/16 and 10.96.0.0/16 in
 * every cluster: these addresses never leave the cluster's namespaces.
 */
#ifndef CLI_CLUSTER_H
#define CLI_CLUSTER_H

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

#define CLUSTER_NAME_MAX    32
#define CLUSTER_NODES_MAX   64
#define CLUSTER_ZONES_MAX   16
#define CLUSTER_SERVERS_MAX 7
#define CLUSTER_MIRRORS_MAX 16

#define CLUSTER_POD_CIDR     "10.244.0.0/16"
#define CLUSTER_SERVICE_CIDR "10.96.0.0/16"
#define CLUSTER_DNS          "10.96.0.10"

struct machine { /* an init and the namespaces it holds */
    char name[64];
    char zone[16]; /* "" for the cluster's own namespace */
    char address[16];
    pid_t pid;           /* of the init, as the host sees it; 0 = not started */
    uint64_t start_time; /* guards against a reused pid */
};

struct cluster_record {
    char name[CLUSTER_NAME_MAX + 1];
    int number; /* X above */
    int zones;
    int nodes_per_zone;
    bool etcd;           /* where the state is kept; false: SQLite */
    int disk_mib;        /* size of each server's disk; 0: this machine's own */
    struct machine edge; /* gateway, registry, bridges, and with no servers below the one server */
    struct machine servers[CLUSTER_SERVERS_MAX];
    int servers_count; /* 0: one server, on the edge */
    struct machine nodes[CLUSTER_NODES_MAX];
    int nodes_count;
    char kubeconfig[256];                   /* where else it was written; "" */
    char mirrors[CLUSTER_MIRRORS_MAX][256]; /* HOST=URL: where nodes pull images from, also those made again */
    int mirrors_count;
};

int cluster_name_check(const char *name, struct error *err); /* DNS label, at most CLUSTER_NAME_MAX */
/* 0 and *ret_found false when there is no such cluster. */
int cluster_load(const char *name, struct cluster_record *c, bool *ret_found, struct error *err);
int cluster_save(const struct cluster_record *c, struct error *err);
void cluster_forget(const struct cluster_record *c); /* removes both folders */
/* Plan a new cluster: number, names, addresses. Nothing is made. */
struct cluster_shape {
    int zones, nodes_per_zone, servers; /* 1 server runs on the edge */
    bool etcd;
    int disk_mib;
};
int cluster_plan(struct cluster_record *ret, const char *name, const struct cluster_shape *shape, struct error *err);
/* Names, zones and addresses of servers with machines of their own, for a record that has none; 1: it stays on the edge. */
void cluster_plan_servers(struct cluster_record *c, int count);
/* One `up` or `down` of a cluster at a time; returns a descriptor to close. */
int cluster_lock(const char *name, struct error *err);
/* Held while a new cluster chooses its number and is recorded: short, over all clusters. */
int cluster_lock_numbers(struct error *err);

bool machine_is_alive(const struct machine *m);
char *cluster_run_path(const struct cluster_record *c, const char *file);  /* heap: /run/klein/NAME/FILE */
char *cluster_data_path(const struct cluster_record *c, const char *file); /* heap: /var/lib/klein/NAME/FILE */
void cluster_edge_address(const struct cluster_record *c, char ret[16]);   /* 10.X.255.2: API, gateway, registry */
void cluster_zone_name(int zone, char ret[16]);                            /* 0 -> "a" */

/* Data folder of a server, heap: server == NULL or one on the edge: DATA/server, else DATA/servers/NAME. */
char *cluster_server_path(const struct cluster_record *c, const struct machine *server, const char *file);
/* A folder with the administrator's certificate: of the first server that has one. Heap. */
char *cluster_pki_path(const struct cluster_record *c);
/* URLs of the API, those of servers that run first; heap texts, to be freed. Returns how many (at most CLUSTER_SERVERS_MAX + 1). */
int cluster_api_urls(const struct cluster_record *c, char *ret[CLUSTER_SERVERS_MAX + 1]);
/* Pid of the server's process and of its etcd as this machine sees them; 0: not running. server NULL: on the edge. */
pid_t cluster_server_pid(const struct cluster_record *c, const struct machine *server);
pid_t cluster_etcd_pid(const struct cluster_record *c, const struct machine *server);

#define CLUSTER_API_PORT      6443
#define CLUSTER_REGISTRY_PORT 5000

#endif
