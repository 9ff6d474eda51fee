/*
 * What may be done to the members of the cluster's store: pure decisions, from what is seen to a step.
 *
 * A change of members needs the agreement of a majority of the voting ones, and must leave a majority that is healthy. etcd's own check
 * (strict-reconfig-check) is replaced by these, because it asks for five quiet seconds and says little.
 */
#ifndef SERVER_SERVERS_PLAN_H
#define SERVER_SERVERS_PLAN_H

#include "base/error.h"

#define SERVERS_VOTERS_MAX 7 /* more only make writes slower */
#define SERVERS_LEARNER_MAX_MS                                                                                         \
    (30 * 1000) /* a learner that does not run for so long never will: its join was given up */

struct plan_member {
    uint64_t id;
    struct str name; /* empty: added and never started */
    struct str peer_url;
    bool learner;
    bool leader;                       /* of etcd */
    bool healthy;                      /* it answers */
    int64_t db_bytes, db_in_use_bytes; /* of its database, 0 when it does not answer */
    int64_t learner_ms;                /* for how long it has been seen as a learner */
};

enum servers_step {
    SERVERS_ADD,    /* add a learner */
    SERVERS_KEEP,   /* it is added already: answer with what there is */
    SERVERS_REMOVE, /* remove `id` first, then look again */
    SERVERS_WAIT,   /* not now: err says why, the caller is asked to come again */
    SERVERS_REFUSE  /* err says why */
};
struct servers_plan {
    enum servers_step step;
    uint64_t id;
};

/* The next step towards a member `name` at `peer_url`. WAIT and REFUSE set err. */
struct servers_plan servers_plan_join(struct str name, struct str peer_url, const struct plan_member *members,
                                      size_t count, struct error *err);
/* REMOVE, or REFUSE with err. `force`: also when what is left has no majority that is healthy. */
struct servers_plan servers_plan_remove(struct str name, const struct plan_member *members, size_t count, bool force,
                                        struct error *err);

size_t servers_quorum(size_t voters); /* the majority of so many */

/* Sentences about where the servers stand, each handed to fn: which loss stops writes. `zones`: of each server, empty for none. */
typedef void servers_warning_fn(void *arg, const char *sentence);
void servers_plan_warnings(const struct str *zones, size_t count, servers_warning_fn *fn, void *arg);

#endif
