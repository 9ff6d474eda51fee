/*
 * An etcd member on this machine: started, found again after a restart of ours, started again when it dies.
 *
 * The member is a child in a session of its own that outlives us, as containers do: when klein ends or is killed etcd runs on, and the
 * next etcd_process_start() adopts it. Files in `folder`:
 *
 *     etcd/         etcd's data
 *     etcd.json     {"pid","startTime","arguments"}: who runs, and with which arguments (a digest)
 *     etcd.log      its words; copied to etcd.log.1 and emptied at ETCD_LOG_MAX_BYTES
 *
 * Always true: at most one etcd runs on a data folder. One whose arguments are not today's is asked to end and started anew. One that
 * dies is started again after 100 ms, doubling to 5 s, and from 100 ms again after 10 s of life.
 *
 * Threads: one loop. etcd_process_start() reads files and /proc: blocking, a few milliseconds.
 */
#ifndef STORE_ETCD_PROCESS_H
#define STORE_ETCD_PROCESS_H

#include "loop/loop.h"

#include <sys/types.h>

#define ETCD_CLIENT_PORT       2379
#define ETCD_PEER_PORT         2380
#define ETCD_HEARTBEAT_MS      50
#define ETCD_ELECTION_MS       300
#define ETCD_SNAPSHOT_COUNT    10000     /* 0.4 GB a member under load instead of 0.9 at 100000 */
#define ETCD_REQUEST_MAX_BYTES (8 * MIB) /* of one transaction: STORE_VALUE_MAX twice and what is around it */
#define ETCD_TXN_OPS_MAX       256
#define ETCD_QUOTA_BYTES       (8ULL * 1024 * MIB) /* the most that etcd is made for; klein refuses writes before */
#define ETCD_LOG_MAX_BYTES     (16 * MIB)

struct etcd_process_options {   /* all texts are copied */
    const char *program;        /* NULL: "etcd" from PATH */
    const char *folder;         /* created with mode 0700 when absent */
    const char *name;           /* of the member */
    const char *address;        /* IP address for clients and peers */
    int client_port, peer_port; /* 0: 2379 and 2380 */
    const char *ca_file;        /* signs clients and peers; both must show a certificate */
    const char *certificate_file, *key_file;
    const char *cluster_token;   /* keeps members of another cluster out */
    const char *initial_cluster; /* "NAME=https://IP:PORT,..." with this member; looked at while there is no data */
    bool existing;               /* the member was added to a cluster that runs */
};

struct etcd_process;

/* Adopts or starts. -1: no such program, or the folder cannot be used; later failures are logged and tried again. */
struct etcd_process *etcd_process_start(struct loop *loop, const struct etcd_process_options *o, struct error *err);
/* etcd runs on. NULL is fine. */
void etcd_process_free(struct etcd_process *p);
/* SIGTERM, after 5 s SIGKILL; `stopped` comes once, then p is gone and etcd.json with it. */
void etcd_process_stop(struct etcd_process *p, loop_fn *stopped, void *arg);

pid_t etcd_process_pid(const struct etcd_process *p); /* 0: not running at the moment */
bool etcd_process_adopted(const struct etcd_process *p);
unsigned etcd_process_starts(const struct etcd_process *p); /* by us, since etcd_process_start() */

/* Is there data of a member in `folder`? Without it a member is new, or its disk was lost. */
bool etcd_process_has_data(const char *folder);
/* The process recorded in `folder` when it still runs, else 0. Blocking; for commands. */
pid_t etcd_process_recorded(const char *folder);

#endif
