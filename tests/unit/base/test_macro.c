/* What cleanup, ownership and growth promise. */
#include "base/macro.h"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

static char *make(bool keep)
{
    AUTO_FREE char *s = xstrdup("abc");

    return keep ? TAKE(s) : NULL;
}

TEST("a taken pointer survives its scope")
{
    AUTO_FREE char *kept = make(true);

    ASSERT_STR(kept, "abc");
    ASSERT(make(false) == NULL);
}

TEST("a descriptor is closed at the end of its scope, unless it is taken")
{
    int closed, taken;

    {
        AUTO_FD int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
        AUTO_FD int second = open("/dev/null", O_RDONLY | O_CLOEXEC);

        closed = first;
        taken = TAKE_FD(second);
        ASSERT_INT(second, -1);
    }
    ASSERT_INT(fcntl(closed, F_GETFD), -1);
    ASSERT(fcntl(taken, F_GETFD) >= 0);
    close(taken);
}

TEST("an array grows as elements are added")
{
    int *items = NULL;
    size_t count = 0, capacity = 0;

    for (int i = 0; i < 1000; i++) {
        GROW(items, count, capacity);
        items[count++] = i;
    }
    ASSERT_INT(items[999], 999);
    free(items);
}

TEST("nothing is an allocation too")
{
    AUTO_FREE void *none = xmalloc(0), *zero = xcalloc(0, 8), *again = xrealloc(NULL, 0);
    AUTO_FREE char *part = xstrndup("abcdef", 3), *all = xstrndup("abc", 100), *made = xasprintf("%d-%s", 7, "x");

    ASSERT(none && zero && again);
    ASSERT_STR(part, "abc");
    ASSERT_STR(all, "abc");
    ASSERT_STR(made, "7-x");
}
