/* The contract of the store on the model of etcd, in virtual time. */
#define ENGINE_KEEPS   1
#define ENGINE_SHARED  1
#define ENGINE_LOOP(f) model_loop(f)
struct fixture;
static struct loop *model_loop(struct fixture *f);
#include "contract.h"
#include "etcd_model.h"

static struct etcd_model *model;

static struct loop *model_loop(struct fixture *f)
{
    struct etcd_model_config config = { .delay_min_ms = 0, .delay_max_ms = 3, .commit_max_ms = 5, .base = 7000 };

    env_sim_init(&f->world, test_seed(), 1795219200000);
    f->loop = loop_new_sim(&f->world);
    model = etcd_model_new(f->loop, &f->world.env, &config);
    return f->loop;
}

static struct store *open_engine(struct fixture *f, struct error *err)
{
    (void)err;
    return etcd_model_open(model, f->loop, "server-a", 0, on_change, f);
}

static struct store *open_another(struct fixture *f, store_change_fn *fn, void *arg, struct error *err)
{
    (void)err;
    return etcd_model_open(model, f->loop, "server-b", 1, fn, arg);
}

static void fixture_cleanup(struct fixture *f)
{
    (void)f;
    etcd_model_free(model);
}
