/*
 * Inside the etcd engine: what its files share. Users include store/etcd.h.
 *
 *   etcd.c           open, close, the clock, what is known of the cluster
 *   etcd_session.c   the session key: opening, and settling what has no answer
 *   etcd_batch.c     writes become transactions, answers become results
 *   etcd_pack.c      what a transaction looks like, and its refusals
 *   etcd_watch.c     the watch: changes are told, batches recognised, barriers passed
 *   etcd_read.c      lists, history, compaction
 *   etcd_value.h     headers, revisions; etcd_stream.h: one watch of etcd; etcd_client.h: calls
 *
 * Always true:
 *  - A batch that was sent is on `batches` until each of its writes has its result. Whether it was committed is known from its answer, from
 *    its barrier in the watch, or from a later change of the session key in the watch without having seen it.
 *  - A key of a batch under way stands in `busy`, and no other write of that key is sent.
 *  - `delivered` never goes down; what the watch tells up to it is not told again.
 */
#ifndef STORE_ETCD_INTERNAL_H
#define STORE_ETCD_INTERNAL_H

#include "base/map.h"
#include "store/etcd.h"
#include "store/etcd_stream.h"
#include "store/etcd_value.h"

#define TICK_MS          50
#define MOD_UNKNOWN      (-1) /* no key has it: the compare fails, and the answer tells what the key has */
#define LATENCIES        1000
#define UNFINISHED_MAX   64  /* batches that are answered, but not told yet */
#define SESSION_EVERY_MS 100 /* between attempts to renew the session */
#define SESSION_CALLS    8

struct etcd_write {
    struct list link;     /* queue */
    struct store_write w; /* key and guard_key are copies */
    char *key, *guard_key;
    store_done_fn *done;
    void *arg;
    int64_t queued_ms;
    int64_t mod;       /* what the key must have, once that is known; 0: not yet looked for */
    bool alone;        /* in a batch of its own: etcd refused it together with others */
    bool told, failed; /* failed: `error` and `have` are told when the watch has passed the batch */
    uint64_t have;
    struct error error;
};

struct etcd_waiter { /* of a barrier */
    struct list link;
    store_done_fn *done;
    void *arg;
    int64_t asked_ms;
};

struct etcd_batch {
    struct list link;
    struct etcd_engine *engine;
    uint64_t id;
    int64_t session;                                        /* mod_revision the transaction compares */
    struct etcd_write *writes[STORE_ETCD_BATCH_WRITES_MAX]; /* NULL: finished */
    size_t count, left;                                     /* left: without a result yet */
    struct list waiters;
    int64_t mod;                 /* its mod_revision, once known */
    bool answered, seen, passed; /* passed: the watch has gone beyond it */
    int64_t sent_us, answered_ms;
    int64_t passed_then; /* what the watch had told when it was sent */
    struct etcd_call *call;
};

enum etcd_phase { ETCD_OPENING, ETCD_RUNNING, ETCD_SETTLING, ETCD_LOST };

struct etcd_engine {
    struct store base;
    struct env *env;
    struct store_etcd_options o;                                  /* without pointers that are the caller's */
    char *prefix, *server, *key_session, *key_barrier, *key_base; /* keys with prefix */
    char instance[17];
    struct etcd_client *client;
    size_t endpoint; /* asked first */
    enum etcd_phase phase;
    uint64_t first_revision; /* base */
    struct loop_timer tick;
    struct loop_task flush;

    /* session */
    int64_t session;
    int64_t settle_at; /* mod_revision the watch must pass, 0: not answered yet */
    struct etcd_call *session_calls[SESSION_CALLS];
    struct session_try *session_tries[SESSION_CALLS];
    uint64_t session_count;
    int session_failures;
    struct loop_timer session_timer;

    /* writes */
    struct list queue, batches, waiters; /* etcd_write, etcd_batch, etcd_waiter */
    struct map busy, guards;             /* keys of batches under way; keys they are guarded by */
    size_t waiting, calls_open, value_expects;
    uint64_t batch_count;
    bool barrier_alone; /* a list waits: the next batch is a barrier and nothing else */
    bool self_check;
    size_t not_sent; /* attempts in a row that reached nobody */

    /* watch */
    struct etcd_stream *stream;
    size_t stream_endpoint;
    bool stream_open;
    struct loop_timer stream_timer; /* until the next try */
    struct etcd_decoder decoder;
    struct etcd_batch *current; /* whose transaction is being told */
    uint64_t delivered;
    int64_t passed;              /* mod_revision whose events have all been told */
    int64_t heard_ms;            /* something came through the watch */
    int64_t owed, owed_since_ms; /* a change that exists and was not told; since 0: none */
    size_t stream_tries;         /* since one was open and told something */
    int stream_silent;           /* tries in vain since the last event: each gives the next member twice the time */

    /* reads */
    struct list reads; /* of struct etcd_read */

    /* what is known */
    int64_t accepted_ms, failing_since_ms; /* 0: never, not failing */
    bool no_quorum_told;
    struct error error;
    uint64_t member_id, raft_term, settlements, reopened, commits, writes, compacted;
    int64_t latency_us[LATENCIES], latency_average_us;
    size_t latency_count;

    /* close */
    bool closing;
    int64_t closing_since_ms;
    void (*closed)(void *arg);
    void *closed_arg;
};

static inline struct etcd_engine *etcd_engine_of(struct store *s)
{
    return container_of(s, struct etcd_engine, base);
}
int64_t etcd_now_ms(struct etcd_engine *e);
int64_t etcd_attempt_ms(const struct etcd_engine *e); /* deadline of a transaction */

/* etcd.c */
void etcd_accepted(struct etcd_engine *e, const Etcdpb__ResponseHeader *h); /* a write went through */
void etcd_failed(struct etcd_engine *e, const struct error *err);           /* an attempt failed */
bool etcd_no_quorum(struct etcd_engine *e);
int etcd_refusal(struct etcd_engine *e, struct error *err); /* -1 with the sentence */
void etcd_lost(struct etcd_engine *e, enum error_code code, const char *format, ...) PRINTF(3, 4);
/* An answer to what was sent when the watch had told `passed`: when it is older, etcd has lost changes, and the engine is lost. */
bool etcd_went_back(struct etcd_engine *e, int64_t passed, const Etcdpb__ResponseHeader *h);
void etcd_damaged(const struct error *err) NORETURN;
void etcd_later(struct etcd_engine *e); /* look what can be sent at the end of this round */

/* etcd_session.c */
void etcd_session_open(struct etcd_engine *e);
void etcd_settle(struct etcd_engine *e); /* something has no answer */
void etcd_session_seen(struct etcd_engine *e, const struct etcd_event *ev);
void etcd_session_adopt(struct etcd_engine *e, int64_t mod);
void etcd_session_passed(struct etcd_engine *e); /* `passed` has grown */
void etcd_session_stop(struct etcd_engine *e);

/* etcd_batch.c */
void etcd_write(struct store *s, const struct store_write *w, store_done_fn *done, void *arg);
void etcd_barrier(struct store *s, store_done_fn *done, void *arg);
void etcd_barrier_wait(struct etcd_engine *e, bool alone, store_done_fn *done, void *arg);
void etcd_batches_send(struct etcd_engine *e);
void etcd_batch_pack(const struct etcd_batch *b, struct buf *to); /* etcd_pack.c */
/* Why write `w` was refused: -1 with err and w->have. 0: what it expects is there after all, and *ret_mod tells where. */
int etcd_judge(struct etcd_engine *e, struct etcd_write *w, const Etcdpb__NestedTxnResponse *m, int64_t *ret_mod,
               struct error *err);
void etcd_batch_passed(struct etcd_batch *b); /* the watch is beyond it */
void etcd_batch_repeat(struct etcd_batch *b); /* it never happened: send its writes again; frees it */
void etcd_write_succeeded(struct etcd_batch *b, size_t i, uint64_t revision);
struct etcd_batch *etcd_batch_of(struct etcd_engine *e, struct str marker);
void etcd_queue_refuse(struct etcd_engine *e, const struct error *err); /* everything that was never sent */
void etcd_queue_expire(struct etcd_engine *e);
void etcd_batches_drop(struct etcd_engine *e, const struct error *err); /* writes without a word: they may happen */

/* etcd_watch.c */
void etcd_watch_start(struct etcd_engine *e);
void etcd_watch_check(struct etcd_engine *e); /* each tick */
void etcd_watch_owes(struct etcd_engine *e, int64_t mod);
void etcd_watch_move(struct etcd_engine *e, const char *why);

/* etcd_read.c */
void etcd_list(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg);
void etcd_history(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done, void *arg);
void etcd_compact_store(struct store *s, uint64_t revision, store_done_fn *done, void *arg);
void etcd_reads_end(struct etcd_engine *e, const struct error *err);

#endif
