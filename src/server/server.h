/*
 * The API server: requests come in (HTTPS, a tunnel, the same process), pass the phases of phases.def and read or change
 * the state (state.h) that stands on a store.
 *
 * Threads: one loop for requests and state. Several I/O loops are prepared for, not built: objects and changes are
 * immutable and counted, the state is read through snapshots.
 *
 * Life: server_new() opens nothing; server_start() opens the store, loads the state, makes what a new cluster needs and
 * then listens; `ready` or an error comes once. server_stop() finishes requests in flight, closes the store, calls `stopped` and frees.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "kinds/api.h"
#include "server/identity.h"
#include "server/state.h"
#include "transport/http_server.h"

struct server;

/* A server as one of several on etcd (docs/design/high-availability.md, section 6). All NULL: alone, on SQLite. */
struct servers_config {
    const char *store;   /* "sqlite" or "etcd"; NULL: what the data folder has, else sqlite */
    const char *name;    /* unique in the cluster, a DNS label; NULL: what the data folder has, else the host name */
    const char *zone;    /* failure domain; NULL: none */
    const char *address; /* IP address at which other servers reach this one's etcd; NULL: advertise, else 127.0.0.1 */
    const char *join,
        *join_token; /* URL of a server, TOKENID.TOKENSECRET.CAHASH; looked at while there is no member here */
    const char *const *etcd_endpoints; /* an etcd cluster of one's own instead of a local member; NULL-terminated */
    const char *etcd_ca, *etcd_certificate, *etcd_key; /* files, for https endpoints */
    const char *etcd_prefix;                           /* NULL: "klein" */
    int etcd_client_port, etcd_peer_port;              /* 0: 2379, 2380 */
};

/* Backups on a schedule, made by the leader (docs/guide/backup.md). `to` NULL: none. */
struct backup_config {
    const char *to; /* as `klein backup --to` */
    int64_t every_ms;
    int keep;
    const char *passphrase_file, *credentials_file, *identity_file, *known_hosts_file; /* NULL: none */
};

struct server_config {
    struct loop *loop;
    const char *name; /* of this server among several, in keys of the store; NULL: "server" */
    /* Opens the store; NULL: SQLite in data_folder, or memory without one. */
    struct store *(*open_store)(void *arg, struct loop *loop, struct env *env, store_change_fn *on_change,
                                void *on_change_arg, struct error *err);
    void *open_store_arg;
    const char *data_folder;  /* holds the store and the PKI; NULL: everything in memory, no TLS (tests) */
    const char *listen;       /* "0.0.0.0:6443"; NULL: no listener, server_handler() is called directly */
    const char *const *sans;  /* further names and addresses in the serving certificate; NULL-terminated, may be NULL */
    const char *advertise;    /* address Pods and Endpoints/kubernetes see; NULL: the first listening address */
    const char *service_cidr; /* ClusterIPs come from here; NULL: "10.96.0.0/16" */
    const char *pod_cidr;     /* Node.spec.podCIDR come from here (a /24 each); NULL: "10.244.0.0/16" */
    const char *node_port_range;        /* NULL: "30000-32767" */
    const char *service_account_issuer; /* NULL: "https://kubernetes.default.svc.cluster.local" */
    int64_t default_not_ready_toleration_s, default_unreachable_toleration_s; /* 0: 300; negative: none are injected */
    const char *audit_file;                  /* JSON lines, metadata level; NULL: no audit log */
    uint64_t audit_max_bytes;                /* the file is rotated (.1) at this size; 0: 64 MiB */
    int requests_max, mutating_requests_max; /* in flight, without watches; 0: 400 and 200 as upstream */
    bool no_anonymous;                       /* refuse requests without credentials instead of system:anonymous */
    bool refuse_old_reads;    /* cut off from the store's majority: refuse reads instead of answering with a warning */
    bool allow_all;           /* skip authorization: unit tests of the core only */
    int64_t compact_every_ms; /* 0: 5 minutes */
    uint64_t history_min_revisions; /* compaction keeps at least so many; 0: 5000 */
    struct servers_config servers;  /* one of several servers */
    struct backup_config backup;
    bool no_control; /* show the state and change nothing: a backup's sandbox (docs/guide/backup.md) */
};

struct server *server_new(const struct server_config *config);   /* config is copied, its strings are borrowed */
typedef void server_done_fn(void *arg, const struct error *err); /* err NULL: fine */
void server_start(struct server *s, server_done_fn *ready, void *arg);
void server_stop(struct server *s, server_done_fn *stopped,
                 void *arg); /* s is freed after stopped; also after a failed start */

/* A http_handler; `server` is the struct server. Exchanges of the listener, of tunnels and of one process end here alike. */
void server_handler(struct http_exchange *x, void *server);

/* The API in this process with a trusted identity (copied): same phases, same rules, objects by reference, no JSON. Free with
 * api->ops->free(). Outlives neither the server nor its loop. */
struct api *server_api(struct server *s, const struct identity *identity);

struct state *server_state(struct server *s);
const struct server_config *server_config(const struct server *s); /* defaults filled in */
struct loop *server_loop(struct server *s);
struct env *server_env(struct server *s);
bool server_is_ready(const struct server *s);
struct address server_address(const struct server *s); /* where it listens; length 0 without a listener */

/* Parts that the folder's other files hang onto the server: one pointer each, owned and freed by them (parts.def). */
enum server_part {
#define SERVER_PART(name, init, done) SERVER_PART_##name,
#include "server/parts.def"
#undef SERVER_PART
    SERVER_PART_COUNT
};
void *server_part(struct server *s, enum server_part part);
void server_part_set(struct server *s, enum server_part part, void *p);

#endif
