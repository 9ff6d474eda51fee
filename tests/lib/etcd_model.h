/*
 * A model of an etcd cluster behind store.h, in virtual time and from a seed: members with elections, lost and late
 * proposals, ambiguous answers, pauses, partitions, watches that lag and break, compaction. Several stores (one a simulated
 * server) stand on the same content, each an engine that follows docs/design/high-availability.md section 2 step by
 * step, so that the model is also a check of that page.
 *
 * Members and servers are places with names: "m0", "m1" ... and what etcd_model_open() was told. Messages between two places take
 * a random time; a path that is cut in one direction loses half of what is sent that way and delivers the other half when it
 * is healed, as TCP does. Everything random comes from the env, so the same seed gives the same run.
 *
 * Loops: the members live on `world`; each store on the loop it was opened with (a process of its own, which may be paused by
 * not running it). All loops must share one virtual time.
 */
#ifndef TESTS_LIB_ETCD_MODEL_H
#define TESTS_LIB_ETCD_MODEL_H

#include "store/store.h"

#define ETCD_MODEL_MEMBERS_MAX 5
#define ETCD_MODEL_STEP        1024 /* revisions a transaction of etcd stands for */

struct etcd_model;

struct etcd_model_config {
    int members;                        /* 0: 3 */
    int64_t delay_min_ms, delay_max_ms; /* of a message, one way; 0, 0: at once */
    int64_t commit_max_ms;              /* slowest fsync of a majority */
    int64_t watch_lag_max_ms;           /* how far a watch may trail behind its member */
    unsigned drop_percent;              /* proposals that vanish without an answer */
    unsigned lose_answer_percent;       /* proposals that happen and whose answer vanishes */
    unsigned watch_break_percent;       /* watch messages after which the stream ends without a word */
    uint64_t base;                      /* of revisions; see the design page */
};

struct etcd_model *etcd_model_new(struct loop *world, struct env *env, const struct etcd_model_config *config);
void etcd_model_free(struct etcd_model *m); /* also what stores left behind; their loops must not run afterwards */
struct etcd_model_config *etcd_model_config(struct etcd_model *m); /* may be changed at any time */

/* `member`: the one the store begins with. The store reaches any other when that one does not answer. */
struct store *etcd_model_open(struct etcd_model *m, struct loop *loop, const char *server, int member,
                              store_change_fn *on_change, void *arg);
/* The process that had this store is gone (kill -9): nothing is called back any more, what it sent may still happen. */
void etcd_model_forget(struct store *s);
/* The history a store needs has been compacted away while it was cut off: its process can only start anew. NULL: ignored. */
void etcd_model_on_lost(struct store *s, loop_fn *fn, void *arg);

/* --- faults; all may be repeated and undone in any order ----------------------------------------------------------- */

void etcd_model_crash(struct etcd_model *m, int member); /* its log stays, what waits in its memory does not */
void etcd_model_start(struct etcd_model *m, int member);
void etcd_model_pause(struct etcd_model *m, int member); /* SIGSTOP: what comes meanwhile is done afterwards */
void etcd_model_resume(struct etcd_model *m, int member);
void etcd_model_cut(struct etcd_model *m, const char *from, const char *to); /* this direction only */
void etcd_model_heal(struct etcd_model *m, const char *from, const char *to);
void etcd_model_heal_all(struct etcd_model *m); /* also starts and resumes every member */
void etcd_model_elect(struct etcd_model *m);    /* the leader steps down; half of what it had proposed is lost */

/* --- looking in -------------------------------------------------------------------------------------------------------- */

int etcd_model_leader(const struct etcd_model *m); /* -1: none */
struct etcd_model_stats {
    uint64_t elections, dropped, answers_lost, late, fenced, sessions, watches, unavailable, compactions, cut, broken;
};
const struct etcd_model_stats *etcd_model_stats(const struct etcd_model *m);
uint64_t etcd_model_revision(
    const struct etcd_model *m); /* of the latest change that was committed, in klein's count */

#endif
