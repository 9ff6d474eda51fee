/* What the files of client/ share among themselves. */
#ifndef CLIENT_INTERNAL_H
#define CLIENT_INTERNAL_H

#include "base/buf.h"
#include "client/controller.h"
#include "client/events.h"

/* "namespace/name" in `to`, which is cleared first. */
struct str cache_key(struct buf *to, struct str namespace_, struct str name);

/* --- queue.c: which keys of one controller want attention --------------------------------------------------------- */

struct queue;
struct queue_key {
    struct list link; /* in the ready list while it waits for a worker */
    char *text;       /* "namespace/name" */
    struct str namespace_, name;
    struct queue *queue;
    bool ready, working, dirty;
    int failures;
    struct loop_timer later;
    struct map live; /* answers of live reads: "kind/namespace/name" -> struct live_answer */
};

struct queue *queue_new(struct loop *loop, void (*wake)(void *arg), void *arg);
void queue_free(struct queue *q);
void queue_add(struct queue *q, struct str namespace_, struct str name);
struct queue_key *queue_take(struct queue *q); /* NULL when nothing is ready; pair with queue_done() */
/* The pass of a key is over. failed: again with back-off; after_ms >= 0: again then; a key made dirty meanwhile: again now. */
void queue_done(struct queue *q, struct queue_key *k, bool failed, int64_t after_ms);
size_t queue_ready_count(const struct queue *q);
size_t queue_working_count(const struct queue *q);

/* --- execute.c: carry out one plan ----------------------------------------------------------------------------------- */

struct execution;
struct execute_done {
    bool failed, conflicted;
    bool create_refused; /* the failure: an object may not be created as it is */
    struct error err;    /* the first failure, borrowed */
    size_t writes;
};
typedef void execute_done_fn(void *arg, const struct execute_done *how);
/*
 * Take over `plan` (its arena too, freed at the end); done is called when every write was answered and the caches have seen
 * them. Live answers are put into `live`, which must outlive the execution.
 */
struct execution *execute_plan(struct cluster *cluster, struct event_recorder *events, struct arena arena,
                               struct plan plan, struct map *live, execute_done_fn *done, void *arg);
void execute_cancel(struct execution *x); /* done is not called any more */

struct live_answer {
    enum live live;
    char *uid;
};
void live_answers_done(struct map *live);
struct str live_key(struct buf *to, const struct kind *kind, struct str namespace_, struct str name);

#endif
