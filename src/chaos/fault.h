/*
 * Faults: what people ask for, planned into steps that can each be undone.
 *
 * fault_plan() is pure: from what is seen and what is asked to a list of steps. A step is one thing done to one process, link,
 * file or machine; chaos/step.h does and undoes it, chaos/fault_record.h keeps it on disk from before it is done until it is undone.
 */
#ifndef CHAOS_FAULT_H
#define CHAOS_FAULT_H

#include "chaos/seen.h"

#define FAULT_STEPS_MAX 128

enum step_kind {
    STEP_KILL,      /* SIGKILL a process; whoever supervises it starts it again */
    STEP_STOP,      /* SIGSTOP; undone by SIGCONT */
    STEP_POWER_OFF, /* SIGKILL the init of a machine; undone by `klein up` */
    STEP_LINK_DOWN, /* a link of a machine's namespace */
    STEP_DROP,      /* packets, by a firewall table of its own in a machine's namespace */
    STEP_SLOW,      /* a link's rate, by a token bucket */
    STEP_RELAY,     /* a link leads through a process that delays, drops, doubles and reorders frames */
    STEP_FILL,      /* a file that takes what is free on a small file system */
    STEP_EAT,       /* a process in a node's control group that eats processor or memory */
};

enum drop_way { DROP_BOTH, DROP_FROM, DROP_TO }; /* as seen from the zone or node that is cut */

struct step {
    enum step_kind kind;
    pid_t pid; /* whom; of steps on links: the init whose network namespace it is */
    uint64_t start_time;
    char link[16];   /* DROP: the link whose packets are meant */
    char bridge[16]; /* RELAY: where the link belongs */
    enum drop_way way;
    bool frames;   /* DROP: on a bridge's port, by frames; else what is routed over the link */
    uint16_t port; /* DROP: only TCP of this port, in either direction of the connection; 0: everything */
    char path[256];
    int64_t amount; /* SLOW: bit/s; EAT: bytes, 0: processor */
    int32_t delay_ms, jitter_ms, loss_permille, duplicate_permille, reorder_permille;
    pid_t helper; /* RELAY, EAT: the process that does it, once it runs */
    uint64_t helper_start_time;
};

struct fault {
    char id[32];    /* of its record; set by fault_record_add() */
    char text[200]; /* "kill -9 of server on edge", for lists and reports */
    pid_t owner;    /* who will undo it; a dead owner's faults are undone by whoever comes next */
    uint64_t owner_start_time;
    int64_t at_ms; /* wall clock */
    struct step steps[FAULT_STEPS_MAX];
    int steps_count;
};

struct fault_request {
    const char *verb;   /* a row of fault_verbs */
    const char *what;   /* "server", "pod", "zone", "leader", ...; may be NULL */
    const char *target; /* a machine, a zone, a pod's uid; NULL: the first there is */
    const char *said;   /* how the target is told; NULL: as it is */
    enum drop_way way;
    uint16_t port;
    int64_t rate_bits, bytes;
    int32_t delay_ms, jitter_ms, loss_permille, duplicate_permille, reorder_permille;
};

struct fault_verb {
    const char *name, *whats, *help;
};
extern const struct fault_verb fault_verbs[]; /* ends with a name of NULL */

/* ERR_BAD_REQUEST: not understood; ERR_NOT_FOUND: nothing of that kind runs; ERR_UNAVAILABLE: too dangerous as things are. */
int fault_plan(const struct seen *s, const struct fault_request *r, struct fault *ret, struct error *err);

#endif
