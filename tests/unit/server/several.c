/* See several.h. */
#include "several.h"

static bool is_true(void *flag)
{
    return *(bool *)flag;
}

void several_start(struct several *c, size_t count)
{
    several_start_with(c, count, &(struct server_config){ 0 });
}

void several_start_with(struct several *c, size_t count, const struct server_config *config)
{
    static const char *const names[] = { "server-0", "server-1", "server-2", "server-3", "server-4" };
    *c = (struct several){ 0 };
    env_sim_init(&c->sim, test_seed(), 1790000000000);
    c->loop = loop_new_sim(&c->sim);
    c->store = shared_store_new(c->loop, loop_env(c->loop));
    for (; c->count < count; c->count++) {
        struct server_config own = *config;
        own.loop = c->loop;
        own.name = names[c->count];
        own.open_store = shared_store_open;
        own.open_store_arg = c->store;
        world_start_with(&c->servers[c->count], &own);
        shared_store_lag(c->store, c->count, SEVERAL_LAG_MS);
    }
}

void several_stop_one(struct several *c, size_t i)
{
    shared_store_cut(c->store, i, false);
    world_stop(&c->servers[i]);
    c->servers[i].server = NULL;
}

void several_stop(struct several *c)
{
    bool closed = false;
    for (size_t i = 0; i < c->count; i++)
        if (c->servers[i].server)
            several_stop_one(c, i);
    shared_store_free(c->store, &closed);
    ASSERT(loop_sim_run_until(c->loop, is_true, &closed, 1000));
    loop_free(c->loop);
}

void several_advance(struct several *c, int64_t ms)
{
    loop_sim_advance(c->loop, ms);
}
