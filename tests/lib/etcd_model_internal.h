/* What the files of the model share: etcd_model.c (members), etcd_model_state.c (content), etcd_model_engine.c (servers). */
#ifndef TESTS_LIB_ETCD_MODEL_INTERNAL_H
#define TESTS_LIB_ETCD_MODEL_INTERNAL_H

#include "base/crash_point.h"
#include "base/list.h"
#include "base/map.h"
#include "etcd_model.h"

#define PLACES_MAX 64
#define BATCH_MAX  100

struct engine;

/* One write as a nested transaction, and what became of it. */
struct op {
    struct store_write write; /* strings are copies */
    char *key, *value, *expect_value, *guard_key;
    enum error_code code; /* ERR_NONE: done at position */
    uint64_t have;
};

enum txn_type { TXN_SESSION, TXN_BATCH, TXN_COMPACT };

struct txn {
    unsigned count;
    enum txn_type type;
    struct engine *from; /* never followed by members: only a name */
    int from_place;
    uint64_t number;  /* of the batch, or the round of the session */
    uint64_t session; /* a batch: the session it belongs to */
    uint64_t compact; /* etcd's revision */
    struct op *ops;
    size_t ops_count;
    /* what became of it */
    bool applied, session_ok;
    uint64_t mod; /* etcd's revision */
    size_t events_first, events_count;
    /* on its way */
    int via; /* the member that was asked, and its life then: only that one answers */
    unsigned via_life;
    int leader; /* where it was proposed; -1: not */
    int64_t due_ms;
    bool replicated; /* another member has it, so that a new leader may know it */
    struct list proposed;
};

struct event { /* one change; kept for ever, compaction is only a mark */
    uint64_t revision, mod;
    struct store_change change; /* strings owned here; key empty: only the mark of a batch */
    struct txn *txn;
    size_t op;
};

struct watch {
    struct list link;
    struct engine *engine;
    uint64_t id;
    int member, place;
    size_t next, expect; /* index in the log: to send, to arrive */
    int64_t free_at_ms;  /* messages of a stream keep their order */
    bool broken;
};

struct member {
    bool down, paused;
    unsigned life;
    int leader;        /* whom it takes for the leader; -1: nobody */
    size_t applied;    /* entries of the log */
    struct list inbox; /* of struct message: came while it was paused */
};

struct etcd_model {
    struct loop *loop;
    struct env *env;
    struct etcd_model_config config;
    struct etcd_model_stats stats;
    struct member members[ETCD_MODEL_MEMBERS_MAX];
    int leader; /* the real one; -1: none */
    int64_t leaderless_since_ms, election_after_ms;
    struct loop_timer tick;
    char *names[PLACES_MAX]; /* members first */
    int places;
    bool cut[PLACES_MAX][PLACES_MAX];
    struct list messages, stalled; /* on their way; waiting for a path */
    struct list proposed;          /* struct txn, in the order of the leader's log, not committed */
    struct list watches;
    struct list engines;
    struct txn **log; /* committed */
    size_t log_count, log_capacity;
    /* content, as of the end of the log */
    struct map current; /* key -> index of its event + 1 */
    struct event *events;
    size_t events_count, events_capacity;
    uint64_t mod, compacted; /* etcd's revisions */
    uint64_t sessions[PLACES_MAX];
};

enum message_type {
    MESSAGE_PROPOSE, /* server -> member, or member -> leader */
    MESSAGE_ANSWER,  /* member -> server: the transaction was applied */
    MESSAGE_REFUSED, /* nobody listens there: it certainly did not happen */
    MESSAGE_APPEND,  /* leader -> member: entries up to `entry` are committed */
    MESSAGE_DUE,     /* leader to itself: a proposal may be on a majority of disks now */
    MESSAGE_READ,    /* server -> member: is history from `entry` still there? */
    MESSAGE_READ_ANSWER,
    MESSAGE_WATCH,  /* server -> member: follow from etcd's revision `entry` */
    MESSAGE_ENTRY,  /* member -> server: an entry of the log, on watch `number` */
    MESSAGE_CANCEL, /* member -> server: watch `number` would begin in compacted history */
};

struct message {
    struct list link;
    struct loop_timer timer;
    struct etcd_model *model;
    enum message_type type;
    int from, to;
    struct engine *engine; /* for and from servers */
    struct txn *txn;       /* counted; may be NULL */
    uint64_t number, entry;
    bool ok, reliable; /* reliable: waits for a cut path, never lost */
};

/* etcd_model.c */
void model_send(struct etcd_model *m, const struct message *what, int64_t delay_ms);
int64_t model_delay_ms(struct etcd_model *m);
bool model_chance(struct etcd_model *m, unsigned percent);
void model_watch_end(struct etcd_model *m, struct engine *e);
int model_place(struct etcd_model *m, const char *name);
void message_free(struct message *x);
/* etcd_model_state.c */
void txn_apply(struct etcd_model *m, struct txn *t); /* at the end of the log */
struct txn *txn_ref(struct txn *t);
void txn_unref(struct txn *t);
void model_content_free(struct etcd_model *m);
uint64_t model_revision(const struct etcd_model *m, uint64_t mod, uint64_t position);
uint64_t model_mod(const struct etcd_model *m, uint64_t revision);
/* The newest entry of each key at etcd's revision `mod`, in the order of keys. */
void model_range(struct etcd_model *m, struct str prefix, uint64_t mod, store_entry_fn *entry, void *arg);
/* etcd_model_engine.c */
void engine_receive(void *message); /* on the engine's loop; frees the message */
struct loop *engine_loop(struct engine *e);
bool engine_is_gone(const struct engine *e);
void engine_free(struct list *link);

#endif
