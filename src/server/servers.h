/*
 * The servers of the cluster: who they are, how each is, and this one among them. docs/design/high-availability.md, sections 3 and 6.
 *
 * Always true: on etcd every server that has started stands under /klein/servers/NAME until it leaves; a server whose own entry is
 * deleted while it runs was removed: it ends its etcd and itself, and its data folder is marked. On SQLite and in memory there is one
 * server, which is never written down.
 *
 * Threads: the server's loop.
 */
#ifndef SERVER_SERVERS_H
#define SERVER_SERVERS_H

#include "server/server.h"
#include "transport/http_client.h"

#define SERVERS_GROUP           "system:klein-servers"               /* of servers towards each other */
#define SERVERS_USER_PREFIX     "system:klein-server:"               /* and a server's name */
#define SERVERS_BOOTSTRAP_GROUP "system:bootstrappers:klein-servers" /* of tokens with which servers join */

struct server_entry { /* borrowed for the call */
    struct str name, zone, url, etcd_peer_url, etcd_client_url, version;
    bool own;
};
typedef bool servers_each_fn(void *arg, const struct server_entry *e); /* false stops */
/* In the order of names, this one included. */
void servers_each(struct server *s, servers_each_fn *fn, void *arg);
size_t servers_known(struct server *s);
struct str servers_own_name(struct server *s);

/* Told in a later round when the entries have changed. */
struct servers_watch;
struct servers_watch *servers_on_change(struct server *s, loop_fn *fn, void *arg);
void servers_watch_free(struct servers_watch *w); /* NULL is fine */

/* HTTP to another server as SERVERS_USER_PREFIX NAME of SERVERS_GROUP; NULL: no such server, or this one. Valid until the loop goes on. */
struct http_client *servers_reach(struct server *s, struct str name);

/* False when the store has answered nobody for some seconds: /readyz tells it, /livez does not. True on SQLite. */
bool servers_store_answers(struct server *s);

/* The disks of a majority are almost full: puts of objects are refused. */
bool servers_refuse_writes(struct server *s);

/* Rows of metrics.def; 0 on SQLite where there is nothing to tell. */
double metric_store_members(struct server *s);
double metric_store_answers(struct server *s);
double metric_store_has_leader(struct server *s);
double metric_store_db_bytes(struct server *s);
double metric_store_db_in_use_bytes(struct server *s);
double metric_store_disk_free_bytes(struct server *s);
double metric_store_fsync_p99(struct server *s);
double metric_store_lag(struct server *s);

#endif
