/* Inside of etcd_admin: one call and the endpoints it goes to. */
#ifndef STORE_ETCD_ADMIN_INTERNAL_H
#define STORE_ETCD_ADMIN_INTERNAL_H

#include "store/etcd_admin.h"
#include "store/etcd_client.h"

struct admin_call;
/* Told once: answer NULL exactly when err is set. `done` and `arg` are the caller's, as given to admin_start(). */
typedef void admin_tell_fn(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err);

struct admin_call {
    struct list link;
    struct etcd_admin *admin;
    const struct etcd_method *method;
    struct buf request; /* packed, to be sent again */
    struct etcd_call *call;
    struct grpc_call *stream; /* of a snapshot */
    admin_tell_fn *tell;
    union {
        etcd_members_fn *members;
        etcd_admin_done_fn *done;
        etcd_status_fn *status;
        etcd_hash_fn *hash;
        etcd_alarms_fn *alarms;
    } done;
    void *arg;
    int64_t timeout_ms;
    char *endpoint; /* the only one, or NULL */
    size_t tries;
    bool repeatable; /* reads: a missing answer is no reason to stop */
    struct error error;
    /* snapshots */
    etcd_piece_fn *on_piece;
    struct loop_timer silence;
    bool stopped;
};

struct etcd_admin {
    struct loop *loop;
    struct etcd_client *client;
    int64_t timeout_ms;
    struct list calls;
    bool freed;
};

/* Fill in `done` of the result; the call begins in a later round. endpoint empty: each in turn. */
struct admin_call *admin_start(struct etcd_admin *a, const struct etcd_method *method, const ProtobufCMessage *request,
                               struct str endpoint, bool repeatable, admin_tell_fn *tell, void *arg);
void admin_call_free(struct admin_call *call);
int admin_find(struct etcd_admin *a, struct str endpoint, size_t *ret, struct error *err);

#endif
