/*
 * The store engine on etcd: one state shared by several servers. Contract: store.h; format of keys and values, and why it is
 * built this way: docs/design/high-availability.md, section 2.
 *
 *     struct store *s = store_open_etcd(loop, env, &(struct store_etcd_options){
 *         .endpoints = urls, .endpoints_count = 3, .tls = tls, .server = STR("server-a") }, on_change, arg, &err);
 *     store_list(s, KEY_ROOT, entry, done, arg);          waits until a member answers
 *
 * Opening does not block and needs nobody to answer: requests wait, for at most no_quorum_ms. From then on, while no member
 * answers, writes and barriers that were never sent fail with ERR_UNAVAILABLE; a write that was sent once is told its outcome only when
 * that is certain, however long it takes.
 *
 * Everything runs on the store's loop. A server's name belongs to one process at a time: the one that opened last. The
 * other is told by on_lost (store.h), and nothing it sends is accepted any more.
 */
#ifndef STORE_ETCD_H
#define STORE_ETCD_H

#include "store/store.h"
#include "wire/tls.h"

#define STORE_ETCD_BATCH_WRITES_MAX 100
/* Revisions of an etcd revision's changes: revision = base + mod_revision * 1024 + position. */
#define STORE_ETCD_POSITIONS 1024

struct store_etcd_options { /* everything is copied; 0 means the value in brackets */
    /* "https://10.1.1.2:2379" or "http://127.0.0.1:2379", in order of preference; at most 32 */
    const struct str *endpoints;
    size_t endpoints_count;
    struct tls_context *tls; /* for https; counted */
    struct str prefix;       /* ["klein"] before every key, so that one etcd can be shared; no "/" at its end */
    struct str server;       /* name of this server: unique in the cluster, a DNS label */
    uint64_t base_if_new;    /* when /klein/base does not exist yet: revisions start above this (a migration's last) */
    int64_t attempt_ms;      /* [250] then the next member is asked */
    int64_t no_quorum_ms;    /* [2000] */
    int64_t idle_check_ms;   /* [1000] a watch that is silent for so long is tested by a barrier */
    size_t batch_writes_max; /* [100] at most 100 */
    size_t batch_bytes_max;  /* [512 KiB] of keys and values; a single larger write goes alone */
    size_t batches_max;      /* [2] transactions under way at once; their keys are disjoint */
    size_t list_page;        /* [500] keys a range request */
};
/* Errors: ERR_BAD_REQUEST for an endpoint that is no URL, a server name that is none, https without tls. */
struct store *store_open_etcd(struct loop *loop, struct env *env, const struct store_etcd_options *options,
                              store_change_fn *on_change, void *arg, struct error *err);

/* The members have changed: calls under way end as they will, new ones go to these. Count 0 is ignored. */
void store_etcd_set_endpoints(struct store *s, const struct str *endpoints, size_t count);
void store_etcd_set_tls(struct store *s, struct tls_context *tls); /* counted; for new connections */

struct store_etcd_health {
    bool ready;                /* session written and watch open: changes flow */
    bool quorum;               /* a member has accepted a write or a barrier, and none failed since */
    int64_t answered_ms;       /* since the last accepted one; -1: never */
    int64_t no_quorum_ms;      /* for how long there has been none; 0 while there is */
    struct str endpoint;       /* the one that is asked first now; valid until the loop goes on */
    struct str watch_endpoint; /* where the watch stands; empty while there is none */
    struct str error;          /* of the last failed attempt; empty after a success */
    uint64_t base;             /* of revisions */
    uint64_t member_id;        /* of the member that answered last */
    uint64_t raft_term;
    uint64_t settlements; /* times a session was renewed because an answer was missing */
    uint64_t watch_reopened;
    int64_t commit_p50_us, commit_p99_us; /* of the last 1,000 transactions; 0 before the first */
    size_t waiting, in_doubt;             /* writes */
};
void store_etcd_health(struct store *s, struct store_etcd_health *ret);

#endif
