/*
 * The store of this server, opened by its kind, and what of it is on this machine: record, etcd's keys, the etcd member.
 *
 *   sqlite   DATA/store; open at once
 *   etcd     joins when it has to, starts or adopts the local member (none with --etcd-endpoints), has it promoted, opens the engine, and
 *            waits for the quorum: a server that starts while there is none is ready as soon as there is one
 *
 * Its life: servers_open() before the state is loaded, servers_local_free() after the store is closed; etcd runs on then.
 */
#ifndef SERVER_SERVERS_LOCAL_H
#define SERVER_SERVERS_LOCAL_H

#include "server/etcd_pki.h"
#include "server/server.h"
#include "server/servers_record.h"
#include "store/etcd.h"
#include "store/etcd_admin.h"
#include "store/etcd_process.h"

struct servers_local {
    struct server *server;
    struct server_record record;
    bool is_etcd, external;
    char *client_url, *peer_url; /* of the local member; NULL without */
    struct etcd_pki pki;
    struct tls_context *tls;
    struct etcd_process *process; /* NULL: none on this machine */
    struct etcd_admin *admin;     /* NULL on sqlite */
    struct servers_joining *joining;
    struct pour *pour;       /* the state of DATA/store on its way into the new etcd */
    struct loop_timer again; /* of the opening */
    int64_t told_ms;
    server_done_fn *done;
    void *arg;
};

/* Sets the server's store, or fails. `done` comes once, maybe from inside. */
void servers_open(struct server *s, server_done_fn *done, void *arg);
struct servers_local *servers_local(struct server *s); /* NULL before servers_open() and for a server in memory */
bool servers_name_is_good(struct str name);            /* a DNS label */
void servers_local_stop(struct servers_local *l);      /* an opening under way ends without `done`; NULL is fine */
/* Renew etcd's certificate where a third of its life is left; blocking, a few small files. */
void servers_local_renew(struct servers_local *l);
void servers_local_end_admin(
    struct servers_local *l); /* open calls end with ERR_UNAVAILABLE now; there is none afterwards */
void servers_local_free(struct servers_local *l); /* etcd runs on; NULL is fine */
/* Where the members are now: engine and administration ask them, the record keeps them for the next start. Own member first. */
void servers_local_set_endpoints(struct servers_local *l, const struct str *endpoints, size_t count);

#endif
