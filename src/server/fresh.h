/*
 * Is what this server knows current? Only a question when other servers write to the same store, too.
 *
 * The rules (docs/design/high-availability.md, section 9), all here and in fresh_phase.c:
 *  - A read that names no revision waits for a barrier: it then shows everything that was acknowledged anywhere before it began.
 *  - A write is made from what is known and settled by the store's compare; but no refusal (not found, conflict, forbidden,
 *    invalid) and no "nothing to change" is answered from old knowledge: the barrier is waited for, and the request begun again.
 *  - A lost race waits for the barrier before the next attempt.
 *  - A server that could not pass a barrier for FRESH_LIMIT_MS is cut off. It refuses whatever must be current with 503, except
 *    get, list and watch over HTTP, which are answered from what was known last, with a Warning header that says so.
 *
 * Costs nothing on a store that nobody shares. Otherwise one barrier a round of the loop, shared by all who wait.
 */
#ifndef SERVER_FRESH_H
#define SERVER_FRESH_H

#include "server/request.h"

#define FRESH_LIMIT_MS    5000
#define FRESH_REVISION_MS 3000 /* upstream: how long a read waits for a revision that has not come yet */

bool fresh_is_needed(const struct server *s); /* false: what is known is current, do not wait */
/* w is the caller's memory until fn (fresh_wait.h) is called, which is never from inside. */
void fresh_wait(struct server *s, struct fresh_wait *w, fresh_fn *fn, void *arg);
bool fresh_is_cut_off(const struct server *s);
int64_t fresh_silent_ms(const struct server *s); /* since the oldest question that was not answered; 0: none */

struct fresh_stats {
    uint64_t barriers, waits, old_answers, refused;
};
void fresh_stats(const struct server *s, struct fresh_stats *ret);

/*
 * Of request.c: may this outcome of a phase stand? True: not yet, the request waits and goes on by request_step(). Called for
 * PHASE_FAILED and PHASE_RESTART.
 */
bool fresh_holds_back(struct request *r, enum phase_result result);

#endif
