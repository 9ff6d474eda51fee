/* What the world as an argument promises. */
#include "base/env.h"
#include "test.h"

TEST("simulated time stands still until it is advanced")
{
    struct env_sim sim;

    env_sim_init(&sim, 1, 1000000);
    ASSERT_INT(env_monotonic_ms(&sim.env), 0);
    ASSERT_INT(env_wall_ms(&sim.env), 1000000);
    env_sim_advance(&sim, 250);
    ASSERT_INT(env_monotonic_ms(&sim.env), 250);
    ASSERT_INT(env_wall_ms(&sim.env), 1000250);
}

TEST("a clock jump changes the wall only")
{
    struct env_sim sim;

    env_sim_init(&sim, 1, 1000000);
    env_sim_advance(&sim, 10);
    sim.wall_offset_ms -= 500000;
    ASSERT_INT(env_monotonic_ms(&sim.env), 10);
    ASSERT_INT(env_wall_ms(&sim.env), 500010);
}

TEST("the same seed gives the same randomness, another seed another")
{
    struct env_sim a, b, c;

    env_sim_init(&a, 7, 0);
    env_sim_init(&b, 7, 0);
    env_sim_init(&c, 8, 0);
    for (int i = 0; i < 100; i++) {
        uint64_t next = env_random_u64(&a.env);

        ASSERT(next == env_random_u64(&b.env));
        ASSERT(next != env_random_u64(&c.env));
    }
}

TEST("random bytes fill exactly what was asked for")
{
    struct env_sim sim;

    env_sim_init(&sim, test_seed(), 0);
    for (size_t n = 0; n <= 17; n++) {
        unsigned char bytes[18] = { 0 };

        sim.env.random(&sim.env, bytes, n);
        ASSERT_INT(bytes[n], 0);
    }
}

TEST("random numbers below a limit are below it and even")
{
    struct env_sim sim;
    int count[6] = { 0 };

    env_sim_init(&sim, 42, 0);
    for (int i = 0; i < 60000; i++)
        count[env_random_below(&sim.env, 6)]++;
    for (int i = 0; i < 6; i++)
        ASSERT(count[i] > 9500 && count[i] < 10500);
    ASSERT_INT(env_random_below(&sim.env, 1), 0);
    /* A plain remainder would give the lowest third of this range half of the time. */
    for (int i = 0, low = 0; i < 3000; i++) {
        uint64_t value = env_random_below(&sim.env, 3ull << 62);

        ASSERT(value < 3ull << 62);
        low += value < 1ull << 62;
        ASSERT(i < 2999 || (low > 900 && low < 1100));
    }
}

TEST("a uuid has the form of version 4")
{
    char text[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];

    env_uuid(env_system(), text);
    ASSERT_INT(strlen(text), 36);
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            ASSERT_INT(text[i], '-');
        else
            ASSERT(strchr("0123456789abcdef", text[i]));
    }
    ASSERT_INT(text[14], '4');
    ASSERT(strchr("89ab", text[19]));
    ASSERT(strcmp(text, env_uuid(env_system(), other)) != 0);
}

TEST("a suffix has as many characters as asked for, all of Kubernetes' alphabet")
{
    struct env_sim sim;
    char text[101];

    env_sim_init(&sim, test_seed(), 0);
    ASSERT_INT(strlen(env_random_suffix(&sim.env, text, 100)), 100);
    ASSERT_INT(strspn(text, "bcdfghjklmnpqrstvwxz2456789"), 100);
    ASSERT_STR(env_random_suffix(&sim.env, text, 0), "");
}

TEST("the real monotonic clock does not go back")
{
    int64_t before = env_monotonic_ms(env_system());

    ASSERT(env_monotonic_ms(env_system()) >= before);
    ASSERT(env_wall_ms(env_system()) > 1700000000000);
}
