/*
 * The world as an argument: clock and randomness come in through struct env, so that a whole cluster can run inside
 * one test in virtual time, from a seed. (Disk, network and processes come in through loop.h, which has a real and a
 * simulated implementation.) One env per process or per simulation. The real one may be used from any
 * thread, the simulated one from the thread of its simulation.
 */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include "base/str.h"

struct env {
    int64_t (*wall_ms)(struct env *env);      /* for what people and objects see; may jump */
    int64_t (*monotonic_ms)(struct env *env); /* for deadlines; never goes back */
    void (*random)(struct env *env, void *bytes, size_t n);
};

struct env *env_system(void); /* the real world; static, never freed */

/* A simulated world: time stands still until env_sim_advance(), randomness comes from the seed. */
struct env_sim {
    struct env env;
    int64_t now_ms;         /* monotonic */
    int64_t wall_offset_ms; /* wall = now + offset: a clock jump changes only this */
    uint64_t state[4];
};
void env_sim_init(struct env_sim *sim, uint64_t seed, int64_t wall_ms);
void env_sim_advance(struct env_sim *sim, int64_t ms);

static inline int64_t env_wall_ms(struct env *env)
{
    return env->wall_ms(env);
}
static inline int64_t env_monotonic_ms(struct env *env)
{
    return env->monotonic_ms(env);
}
uint64_t env_random_u64(struct env *env);
uint64_t env_random_below(struct env *env, uint64_t limit); /* 0 .. limit-1, limit > 0, without bias */
#define UUID_TEXT_SIZE 37
char *env_uuid(struct env *env, char text[UUID_TEXT_SIZE]); /* RFC 9562 version 4; returns text */
/* n characters of Kubernetes' suffix alphabet "bcdfghjklmnpqrstvwxz2456789" and a final zero. Source: util/rand. */
char *env_random_suffix(struct env *env, char *text, size_t n);

#endif
