/* The real and the simulated world: clock and randomness. */
#include "base/env.h"
#include "base/time.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static int64_t system_wall_ms(UNUSED struct env *env)
{
    return time_wall_ms();
}

static int64_t system_monotonic_ms(UNUSED struct env *env)
{
    return time_monotonic_ms();
}

static void system_random(UNUSED struct env *env, void *bytes, size_t n)
{
    char *to = bytes;

    while (n > 0) {
        ssize_t got = getrandom(to, n, 0);

        if (got < 0 && errno != EINTR)
            abort(); /* weak tokens would be worse than no process */
        if (got > 0) {
            to += got;
            n -= (size_t)got;
        }
    }
}

struct env *env_system(void)
{
    static struct env env = { system_wall_ms, system_monotonic_ms, system_random };

    return &env;
}

static int64_t sim_wall_ms(struct env *env)
{
    struct env_sim *sim = container_of(env, struct env_sim, env);

    return sim->now_ms + sim->wall_offset_ms;
}

static int64_t sim_monotonic_ms(struct env *env)
{
    return container_of(env, struct env_sim, env)->now_ms;
}

static uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* xoshiro256**. Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators". */
static uint64_t sim_next(struct env_sim *sim)
{
    uint64_t *s = sim->state, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void sim_random(struct env *env, void *bytes, size_t n)
{
    struct env_sim *sim = container_of(env, struct env_sim, env);

    for (size_t done = 0; done < n; done += 8) {
        uint64_t word = sim_next(sim);

        memcpy((char *)bytes + done, &word, MIN(n - done, (size_t)8));
    }
}

void env_sim_init(struct env_sim *sim, uint64_t seed, int64_t wall_ms)
{
    *sim = (struct env_sim){
        .env = { sim_wall_ms, sim_monotonic_ms, sim_random },
        .wall_offset_ms = wall_ms,
    };
    for (size_t i = 0; i < ARRAY_SIZE(sim->state); i++) { /* splitmix64: neighbouring seeds give unrelated states */
        uint64_t z = (seed += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        sim->state[i] = z ^ (z >> 31);
    }
}

void env_sim_advance(struct env_sim *sim, int64_t ms)
{
    assert(ms >= 0);
    sim->now_ms += ms;
}

uint64_t env_random_u64(struct env *env)
{
    uint64_t value;

    env->random(env, &value, sizeof(value));
    return value;
}

uint64_t env_random_below(struct env *env, uint64_t limit)
{
    uint64_t skip, value;

    assert(limit > 0);
    skip = (0 - limit) % limit; /* 2^64 mod limit: the lowest values, taken away, leave a multiple of limit */
    do {
        value = env_random_u64(env);
    } while (value < skip);
    return value % limit;
}

char *env_uuid(struct env *env, char text[UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];
    char *to = text;

    env->random(env, bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* version 4 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    *to = '\0';
    return text;
}

char *env_random_suffix(struct env *env, char *text, size_t n)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";

    for (size_t i = 0; i < n; i++)
        text[i] = alphabet[env_random_below(env, sizeof(alphabet) - 1)];
    text[n] = '\0';
    return text;
}
