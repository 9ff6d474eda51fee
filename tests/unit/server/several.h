/*
 * Several servers on one store (shared_store.h), in one loop and virtual time:
 *
 *     struct several c;
 *     several_start(&c, 3);
 *     ask(&c.servers[0], "POST", ...);
 *     ask(&c.servers[1], "GET", ...);
 *     several_stop(&c);
 */
#ifndef TESTS_SERVER_SEVERAL_H
#define TESTS_SERVER_SEVERAL_H

#include "shared_store.h"
#include "world.h"

#define SEVERAL_LAG_MS 20 /* what one server does, the others hear so much later */

struct several {
    struct env_sim sim;
    struct loop *loop;
    struct shared_store *store;
    struct world servers[SHARED_OPENERS_MAX];
    size_t count;
};

void several_start(struct several *c, size_t count); /* named server-0, server-1 ... */
void several_start_with(struct several *c, size_t count, const struct server_config *config);
void several_stop(struct several *c);
void several_stop_one(struct several *c, size_t i); /* it is gone for good */
void several_advance(struct several *c, int64_t ms);

#endif
