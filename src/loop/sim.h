/*
 * Driving a simulated loop: virtual time, memory instead of sockets, the same run from the same seed.
 *
 * What a sim loop knows: timers, posts, tasks, work (inline, in a later round), streams and listeners by address,
 * datagrams. Children go to the model given with loop_sim_set_spawn(). Time moves only when nothing else is left to
 * do, straight to the next timer.
 */
#ifndef LOOP_SIM_H
#define LOOP_SIM_H

#include "loop/process.h"

/* Run everything that is due now, without letting time pass. Returns the number of callbacks run. */
size_t loop_sim_run_until_idle(struct loop *loop);
/* Let `ms` pass, running everything on the way. */
void loop_sim_advance(struct loop *loop, int64_t ms);
/* Advance until done(arg) is true or `limit_ms` passed; returns whether it became true. */
bool loop_sim_run_until(struct loop *loop, bool (*done)(void *arg), void *arg, int64_t limit_ms);
int64_t loop_sim_next_timer_ms(struct loop *loop); /* delay to the next timer; -1 without one */

/* Faults: every stream between these two addresses stalls (bytes wait) until healed; "" means any address. */
void loop_sim_cut(struct loop *loop, struct str from, struct str to);
void loop_sim_heal(struct loop *loop, struct str from, struct str to);
void loop_sim_set_delay(struct loop *loop, int64_t min_ms, int64_t max_ms); /* of bytes between stream ends */

/* Children: the model is told of each spawn and calls loop_sim_child_exited() when it likes. Returns 0 or -1 with err. */
typedef int sim_spawn(void *arg, struct process *p, const struct process_options *o, struct error *err);
void loop_sim_set_spawn(struct loop *loop, sim_spawn *fn, void *arg);
void loop_sim_child_exited(struct process *p, struct process_exit how);

#endif
