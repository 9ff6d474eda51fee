/*
 * A store that several servers of one test share: the memory engine behind as many openers as wanted, each of which hears of
 * changes late, can be cut off, and comes back. What etcd is to klein, as far as the server can see it, in virtual time.
 */
#ifndef TESTS_SERVER_SHARED_STORE_H
#define TESTS_SERVER_SHARED_STORE_H

#include "store/store.h"

#define SHARED_OPENERS_MAX 5
#define SHARED_REFUSE_MS   2000 /* a write or barrier that cannot be sent for so long fails with ERR_UNAVAILABLE */

struct shared_store;
struct shared_store *shared_store_new(struct loop *loop, struct env *env);
/* Every opener is closed. The loop must run until *ret_closed. */
void shared_store_free(struct shared_store *c, bool *ret_closed);
/* For server_config.open_store, with the shared store as its argument. Openers are numbered in the order they come. */
struct store *shared_store_open(void *shared, struct loop *loop, struct env *env, store_change_fn *on_change, void *arg,
                                struct error *err);
/* The opener hears of every change so much later than it is made. */
void shared_store_lag(struct shared_store *c, size_t opener, int64_t ms);
/* What the opener writes reaches the store so much later. */
void shared_store_send_lag(struct shared_store *c, size_t opener, int64_t ms);
/* Nothing reaches it and it reaches nobody; writes it made before have happened. Then everything comes, in order. */
void shared_store_cut(struct shared_store *c, size_t opener, bool cut);
/* How often a key that starts with `prefix` (a literal) has come into being, from the first call on. */
uint64_t shared_store_created(struct shared_store *c, const char *prefix);
uint64_t shared_store_writes(const struct shared_store *c); /* made by all openers together */

#endif
