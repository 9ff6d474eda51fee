/*
 * Places for tests in the product's own code; compiled away unless the build has -Dtest_points=true.
 *
 *     CRASH_POINT("commit.before-fsync");       tests/crash ends the process here, at the n-th time it comes by
 *     if (MUTANT("watch-skips-one")) from++;    tests/sim/mutants.def plants a known bug here and asks that it is found
 *
 * A crash point is reached on any thread. Both are off until a test turns one on.
 */
#ifndef BASE_CRASH_POINT_H
#define BASE_CRASH_POINT_H

#include <stdbool.h>

#ifdef KLEIN_TEST_POINTS

extern void (*crash_point_hook)(const char *name); /* NULL: off */
extern const char *mutant_planted;                 /* NULL: none */
bool mutant_is(const char *name);

#define CRASH_POINT(name)                                                                                              \
    do {                                                                                                               \
        if (crash_point_hook)                                                                                          \
            crash_point_hook(name);                                                                                    \
    } while (0)
#define MUTANT(name) (mutant_planted && mutant_is(name))

#else

#define CRASH_POINT(name) ((void)0)
#define MUTANT(name)      false

#endif

#endif
