/*
 * Who leads: one of the servers on a store lets the plans of controllers and scheduler out.
 * Contract and times: docs/design/high-availability.md, section 4.
 *
 * Always true:
 *  - A term has an epoch (the revision of /klein/epoch). Everything written for it carries the epoch, and the store refuses it once
 *    another server has taken the lead: two leaders can believe in themselves for a moment, but only one of them writes.
 *  - `elected` comes after a barrier taken after the election: the state then holds everything earlier leaders have written.
 *  - `lost` comes once after each `elected` (unless nobody listens any more): at the first refused write, when another epoch is seen, or at leader_release().
 *
 * A store that nobody shares has one candidate: it is elected within a round of the loop and beats no heart.
 *
 * Threads: the server's loop.
 */
#ifndef SERVER_LEADER_H
#define SERVER_LEADER_H

#include "server/server.h"

#define LEADER_BEAT_MS   250
#define LEADER_SILENT_MS 1000 /* without a beat, while this server's own store answers: a standby takes the lead */

struct leader;
struct leader *server_leader(struct server *s);

struct leader_callbacks {
    void (*elected)(void *arg, uint64_t epoch); /* begin; also called for a term that runs already */
    void (*lost)(void *arg); /* stop at once: what is in flight will be refused or comes to nothing */
};
struct leader_listener;
/* The first listener makes this server a candidate. No call-back from inside. */
struct leader_listener *leader_listen(struct leader *l, const struct leader_callbacks *cb, void *arg);
/* NULL is fine. Nothing is told any more, not even the end of the term; with the last one the server gives the lead back. */
void leader_unlisten(struct leader_listener *x);

bool leader_is_me(const struct leader *l);
uint64_t leader_epoch(const struct leader *l);      /* of this server's own term; 0 when it does not lead */
uint64_t leader_epoch_seen(const struct leader *l); /* of the latest term, whoever holds it; 0: nobody ever led */
struct str leader_name(const struct leader *l);     /* as far as this server has seen; "" when nobody leads. Borrowed */
uint64_t leader_elections(const struct leader *l);  /* won by this server since its start */
int64_t leader_silent_ms(const struct leader *l);   /* since the last beat seen; 0 for the leader itself */

/* Give the lead back: a standby takes over at once. This server stands aside for two seconds, then it is a candidate again. */
void leader_release(struct leader *l);
/* A write that carried this epoch was refused with ERR_TERM_OVER. Whoever gets that error says so here. */
void leader_refused(struct leader *l, uint64_t epoch);

#endif
