/* The inside of the part `servers`: what servers*.c share. */
#ifndef SERVER_SERVERS_INTERNAL_H
#define SERVER_SERVERS_INTERNAL_H

#include "object/value.h"
#include "server/raw_keys.h"
#include "server/server_internal.h"
#include "server/servers.h"
#include "server/servers_local.h"
#include "server/state_store.h"

#define SERVERS_KEYS       STR("/klein/servers/")
#define PROGRESS_EVERY_MS  (10 * 1000)
#define NO_QUORUM_READY_MS 3000 /* so long without an answer of the store, and /readyz tells */

/* How the store's part on this machine is: looked at every second. */
struct servers_health {
    bool status_known, has_leader; /* of the local etcd */
    bool store_leader;
    uint64_t member_id;

    int64_t db_bytes, db_in_use_bytes, etcd_revision, lag;
    uint64_t disk_free_bytes, disk_total_bytes;
    double fsync_p99_ms; /* of the last ten seconds and more */
    bool disk_low;       /* less than STORE_LOW_WATER of it free */
    char error[256];
};

struct servers_metrics { /* of two looks at etcd's histogram of fsync */
    double bounds_s[32];
    uint64_t counts[32];
    size_t n;
};

struct servers {
    struct server *server;
    struct servers_local *local;
    struct raw_listener *listener;
    struct list watches;
    struct loop_task changed;
    struct loop_timer progress, look, scrape, keep;
    bool registered, registering, removed, looking, refusing;
    struct servers_health health;
    struct servers_metrics fsyncs;
    struct http_client *own_etcd; /* metrics of the local member */
    struct http_call *scraping;
    struct list peers; /* struct peer of servers_peers.c */
    struct tls_context *peers_tls;
    int64_t peers_tls_ms;
    struct list learners; /* struct learner of servers_members.c */
    struct servers_upkeep *upkeep;
};

static inline struct servers *servers_of(struct server *s)
{
    return server_part(s, SERVER_PART_servers);
}

/* The own entry as JSON. */
void servers_write_own(struct servers *v, struct buf *to);

bool servers_leads(struct servers *v);                /* does this server lead? */
struct str servers_etcd_url(const struct servers *v); /* of the local member, else the first endpoint */
void servers_read_metrics(struct servers_metrics *m, struct str text);
double servers_fsync_p99_ms(const struct servers_metrics *was, const struct servers_metrics *now);
void servers_progress_now(struct servers *v);
void servers_end_removed(struct servers *v); /* this server: stops its etcd and itself */
void servers_health_start(struct servers *v);
void servers_health_stop(struct servers *v);
void servers_peers_stop(struct servers *v);
void servers_upkeep_start(struct servers *v);
void servers_upkeep_stop(struct servers *v);

/*
 * The members of etcd with their state of health: `done` comes once. Each member is asked for its status, at most a second.
 * members and what they point to are valid during the call.
 */
struct plan_member;
typedef void servers_members_fn(void *arg, const struct plan_member *members, const struct etcd_member *etcd,
                                size_t count, const struct error *err);
void servers_members_ask(struct servers *v, servers_members_fn *done, void *arg);
void servers_members_stop(struct servers *v);

#endif
