/*
 * Administration of an etcd cluster: members, status, space, snapshots. For whoever supervises members; the store itself
 * (store/etcd.h) needs none of it.
 *
 * All calls are asynchronous, on the loop; `done` comes exactly once, in a later round, and what it is given is valid during the call
 * only. A call that names an endpoint goes there and nowhere else. The others go to the endpoints in their order until one gives an
 * answer (also a refusal is an answer). A call that changes members is sent to the next endpoint only when the one before was
 * certainly not reached; else it fails with ERR_TIMEOUT, and the caller looks at the list of members before trying again.
 *
 * Errors: ERR_UNAVAILABLE (nobody answers, no leader), ERR_TIMEOUT (the deadline passed: it may still happen), ERR_NOT_FOUND (no
 * such member), ERR_ALREADY_EXISTS (peer URL in use), ERR_CONFLICT (refused for now: learner not in sync, unhealthy cluster,
 * too many learners), ERR_UNAUTHORIZED, ERR_INTERNAL. Texts are etcd's own, with the endpoint before them.
 * Source: etcd 3.4 to 3.6, api/etcdserverpb/rpc.proto.
 */
#ifndef STORE_ETCD_ADMIN_H
#define STORE_ETCD_ADMIN_H

#include "base/error.h"
#include "loop/loop.h"
#include "wire/tls.h"

struct etcd_admin;

struct etcd_admin_options {      /* copied; 0 means the value in brackets */
    const struct str *endpoints; /* URLs of clients, at least one */
    size_t endpoints_count;
    struct tls_context *tls; /* for https; counted */
    int64_t timeout_ms; /* [5 s] of a call; status: at most 2 s; defragment: 10 minutes; snapshot: 10 s of silence */
};
struct etcd_admin *etcd_admin_new(struct loop *loop, const struct etcd_admin_options *options, struct error *err);
void etcd_admin_free(struct etcd_admin *a); /* open calls end with ERR_UNAVAILABLE first; NULL is fine */
int etcd_admin_set_endpoints(struct etcd_admin *a, const struct str *endpoints, size_t count, struct error *err);
void etcd_admin_set_tls(struct etcd_admin *a, struct tls_context *tls);

/* --- members --- */

struct etcd_member {
    uint64_t id;
    struct str name; /* empty: added, but not started yet */
    bool learner;
    const struct str *peer_urls, *client_urls;
    size_t peer_urls_count, client_urls_count;
};
/* The members after the change. `id`: of the member that was added, else 0. */
typedef void etcd_members_fn(void *arg, uint64_t id, const struct etcd_member *members, size_t count,
                             const struct error *err);
void etcd_admin_member_list(struct etcd_admin *a, etcd_members_fn *done, void *arg);
void etcd_admin_member_add(struct etcd_admin *a, struct str peer_url, bool learner, etcd_members_fn *done, void *arg);
void etcd_admin_member_promote(struct etcd_admin *a, uint64_t id, etcd_members_fn *done, void *arg);
void etcd_admin_member_remove(struct etcd_admin *a, uint64_t id, etcd_members_fn *done, void *arg);
void etcd_admin_member_update(struct etcd_admin *a, uint64_t id, struct str peer_url, etcd_members_fn *done, void *arg);

typedef void etcd_admin_done_fn(void *arg, const struct error *err);
/* `endpoint` must be the leader's (status tells: leader == member_id); others refuse with ERR_CONFLICT. */
void etcd_admin_move_leader(struct etcd_admin *a, struct str endpoint, uint64_t to_id, etcd_admin_done_fn *done,
                            void *arg);

/* --- one member --- */

struct etcd_status {
    uint64_t cluster_id, member_id, leader; /* leader 0: none known */
    uint64_t raft_index, raft_applied_index, raft_term;
    int64_t revision; /* etcd's own, of the whole key space */
    int64_t db_bytes, db_in_use_bytes;
    bool learner;
    struct str version;       /* "3.4.23" */
    const struct str *errors; /* alarms and "etcdserver: no leader", in etcd's words */
    size_t errors_count;
};
typedef void etcd_status_fn(void *arg, const struct etcd_status *status, const struct error *err);
void etcd_admin_status(struct etcd_admin *a, struct str endpoint, etcd_status_fn *done, void *arg);
/* The member answers nothing else meanwhile: one member at a time, the leader last. */
void etcd_admin_defragment(struct etcd_admin *a, struct str endpoint, etcd_admin_done_fn *done, void *arg);
/* Digest of the member's key space at a revision (0: now). Equal revisions must have equal hashes on all members. */
typedef void etcd_hash_fn(void *arg, uint32_t hash, int64_t revision, int64_t compact_revision,
                          const struct error *err);
void etcd_admin_hash(struct etcd_admin *a, struct str endpoint, int64_t revision, etcd_hash_fn *done, void *arg);

/*
 * A snapshot of the member's database as it comes over the wire: the bytes end in the SHA-256 of what is before them, as
 * `etcdctl snapshot restore` wants them. on_piece: `remaining` bytes follow; false stops (done gets ERR_UNAVAILABLE).
 */
typedef bool etcd_piece_fn(void *arg, struct str bytes, uint64_t remaining);
void etcd_admin_snapshot(struct etcd_admin *a, struct str endpoint, etcd_piece_fn *on_piece, etcd_admin_done_fn *done,
                         void *arg);

/* --- the cluster --- */

enum etcd_alarm_type { ETCD_ALARM_NONE, ETCD_ALARM_NO_SPACE, ETCD_ALARM_CORRUPT };
struct etcd_alarm {
    uint64_t member_id;
    enum etcd_alarm_type type;
};
typedef void etcd_alarms_fn(void *arg, const struct etcd_alarm *alarms, size_t count, const struct error *err);
void etcd_admin_alarms(struct etcd_admin *a, etcd_alarms_fn *done, void *arg);
void etcd_admin_disarm(struct etcd_admin *a, struct etcd_alarm alarm, etcd_admin_done_fn *done, void *arg);
/* etcd's own revision. store_compact() is what a server uses; this is for an etcd without a store above it. */
void etcd_admin_compact(struct etcd_admin *a, int64_t revision, etcd_admin_done_fn *done, void *arg);

#endif
