/*
 * Which numbered server slot of HAProxy carries which endpoint.
 *
 * The configuration gives every backend a number of slots, s1 to sN, more than it has endpoints; the runtime API gives a slot its
 * address, takes it out of service, and gives it to another endpoint once its last connection has ended. So a change of endpoints needs
 * no reload, nothing grows however many pods come and go, and a pod never gets a pooled connection of the pod that had its
 * address before. Servers that are added at run time would be simpler, but HAProxy 2.6 does not let them have `tcp-ut`.
 *
 * Every Service has two backends with the same slots, B and B:body, see config.c. Commands end with '\n', as haproxy.h wants them.
 */
#ifndef GATEWAY_SLOTS_H
#define GATEWAY_SLOTS_H

#include "base/buf.h"
#include "gateway/plan.h"

enum slot_state {
    SLOT_FREE,
    SLOT_SERVING,
    SLOT_DRAINING, /* nothing new goes there; what runs there ends in peace */
};

struct slot {
    char *name, *address; /* of its endpoint; NULL when free */
    enum slot_state state;
    bool far;      /* its weight, see SLOT_WEIGHT_FAR */
    unsigned idle; /* of its servers, while an answer is read */
};

#define SLOT_WEIGHT_NEAR 256
#define SLOT_WEIGHT_FAR  16

struct slot_table {
    struct slot *slots; /* slots[0] is s1 */
    size_t count;
};

struct slots {
    struct map tables; /* backend name -> struct slot_table */
};

void slots_done(struct slots *s);                                             /* {0} is empty, and so is this after */
const struct slot_table *slots_of(const struct slots *s, struct str backend); /* NULL when unknown */

/* Forget everything and lay the plan out anew, with room to grow: for a configuration that is about to be loaded. */
void slots_renew(struct slots *s, const struct gateway_plan *p);
/* Move to the plan; what HAProxy must be told is appended. False: some backend has no free slot left, renew and reload. */
bool slots_assign(struct slots *s, const struct gateway_plan *p, struct buf *commands);
/* Questions about what still drains; false when nothing does. The answer goes to slots_settle(), which frees idle slots. */
bool slots_ask(const struct slots *s, struct buf *commands);
void slots_settle(struct slots *s, struct str answer);

#endif
