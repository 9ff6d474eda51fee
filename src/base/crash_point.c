/* The switches behind the places for tests. */
#include "base/crash_point.h"

#ifdef KLEIN_TEST_POINTS

#include <string.h>

void (*crash_point_hook)(const char *name);
const char *mutant_planted;

bool mutant_is(const char *name)
{
    return strcmp(mutant_planted, name) == 0;
}

#else

typedef int crash_point_nothing; /* a file of C needs a declaration */

#endif
