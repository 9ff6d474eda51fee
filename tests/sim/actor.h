/*
 * A client of a store, as a server is one: it writes in every way the contract knows, keeps a cache from what it is told, reads
 * it behind barriers, lists, and compacts. All of it goes into the history of the simulation.
 */
#ifndef SIM_ACTOR_H
#define SIM_ACTOR_H

#include "base/map.h"
#include "sim.h"

struct actor;

/* The process' store. `on_change` and its argument are actor_on_change and the actor. `last_seen`: what an earlier process of the
 * name had been told, 0 for none: the actor goes on from there by the store's history, as a client's watch does. */
struct actor *actor_new(struct process *p, uint64_t last_seen);
void actor_start(struct actor *a, struct store *store);
store_change_fn actor_on_change;
/* Writes stop; what is on its way goes on. */
void actor_rest(struct actor *a);
bool actor_is_idle(const struct actor *a);   /* nothing on its way */
bool actor_is_loaded(const struct actor *a); /* its first list is there */
uint64_t actor_seen(const struct actor *a);
struct store *actor_store(struct actor *a);
/* A last barrier and a list of everything; idle again when done. */
void actor_conclude(struct actor *a);

#endif
