/* The contract of the store on the in-memory engine. */
#define ENGINE_KEEPS 0
#include "contract.h"

static struct store *open_engine(struct fixture *f, struct error *err)
{
    (void)err;
    return store_open_memory(f->loop, env_system(), on_change, f);
}

static void fixture_cleanup(struct fixture *f)
{
    (void)f;
}
