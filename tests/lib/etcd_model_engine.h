/* What the two halves of a server's engine share: etcd_model_engine.c (batches, sessions, the watch), etcd_model_store.c (the rest). */
#ifndef TESTS_LIB_ETCD_MODEL_ENGINE_H
#define TESTS_LIB_ETCD_MODEL_ENGINE_H

#include "etcd_model_internal.h"

#define ATTEMPT_MS     250
#define UNAVAILABLE_MS 1000 /* without a word from any member */

enum request_type { REQUEST_WRITE, REQUEST_BARRIER, REQUEST_LIST, REQUEST_HISTORY, REQUEST_COMPACT };

struct request {
    struct list link;
    enum request_type type;
    struct op op;  /* a write; a list: op.key is the prefix */
    bool sent;     /* it may have happened */
    size_t nested; /* the write's place in its batch */
    uint64_t revision;
    uint64_t id;
    int64_t asked_ms;
    store_done_fn *done;
    store_entry_fn *entry;
    store_change_fn *change;
    void *arg;
};

enum session_state { SESSION_NONE, SESSION_ASKED, SESSION_ANSWERED, SESSION_OPEN };

struct engine {
    struct store base;
    struct list link;
    struct etcd_model *model;
    int place, member;
    bool gone, closing, begun;
    void (*closed)(void *arg);
    void *closed_arg;
    loop_fn *lost;
    void *lost_arg;
    struct list queue;   /* not sent, or sure not to have happened */
    struct list flight;  /* in the batch on its way */
    struct list reading; /* lists, histories and compactions waiting for a member's answer */
    size_t waiting;
    struct txn *batch; /* NULL: none on its way */
    bool batch_seen, batch_answered;
    enum session_state session_state;
    uint64_t session, round, numbers;
    uint64_t watch_id, delivered_mod, delivered;
    int64_t heard_ms, seen_ms; /* of any member, of the watch */
    struct loop_timer attempt, check, reread;
    struct loop_task pump;
    uint64_t writes, batches;
};

void engine_pump(struct engine *e); /* send what can be sent */
void engine_ask_session(struct engine *e);
void engine_attempt_over(void *engine);
void engine_send(struct engine *e, struct message *x); /* to the member in use */
struct txn *engine_txn(struct engine *e, enum txn_type type, uint64_t number);
void engine_answer(struct engine *e, struct request *r, uint64_t revision, enum error_code code, const char *why);
void engine_refuse_waiting(struct engine *e);
void engine_finish_close(struct engine *e);
void request_free(struct request *r);
void op_copy(struct op *to, const struct store_write *w);
int64_t engine_now_ms(struct engine *e);
/* etcd_model_store.c */
void engine_read_begin(struct engine *e, struct request *r); /* a list at r->revision, a history, a compaction */
void engine_reread(void *engine);
void engine_read_answered(struct engine *e, const struct message *x);
void engine_compact_answered(struct engine *e, const struct txn *t);

#endif
