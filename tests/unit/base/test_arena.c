/* What the arena promises. */
#include "base/arena.h"
#include "test.h"

TEST("memory is zeroed, aligned to 16, and stays where it is")
{
    AUTO_ARENA struct arena a = { 0 };
    unsigned char *pieces[200];

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        pieces[i] = arena_alloc(&a, i * 7);
        ASSERT((uintptr_t)pieces[i] % 16 == 0);
        for (size_t j = 0; j < i * 7; j++)
            ASSERT_INT(pieces[i][j], 0);
        memset(pieces[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
        for (size_t j = 0; j < i * 7; j++)
            ASSERT_INT(pieces[i][j], i);
}

TEST("a piece larger than any block leaves the current block in use")
{
    AUTO_ARENA struct arena a = { 0 };
    char *small = arena_alloc(&a, 16), *large = arena_alloc(&a, 3 * MIB), *next = arena_alloc(&a, 16);

    memset(large, 'x', 3 * MIB);
    ASSERT(next > small && next - small <= 64);
}

TEST("after a reset old memory is reused, and zeroed again")
{
    AUTO_ARENA struct arena a = { 0 };
    struct arena_block *kept;

    for (int i = 0; i < 1000; i++)
        memset(arena_alloc(&a, 100), 0xff, 100);
    kept = a.blocks;
    arena_reset(&a);
    ASSERT(a.blocks == kept);
    ASSERT_INT(a.used_bytes, 0);
    for (int i = 0; i < 1000; i++) {
        const char *p = arena_alloc(&a, 100);

        for (int j = 0; j < 100; j++)
            ASSERT_INT(p[j], 0);
    }
}

TEST("an empty arena may be reset and done")
{
    struct arena a = { 0 };

    arena_reset(&a);
    arena_done(&a);
    arena_done(&a);
    arena_done(NULL);
}

TEST("copies are terminated by a zero byte and independent of the original")
{
    AUTO_ARENA struct arena a = { 0 };
    char original[] = "abc";
    char *text = arena_strdup(&a, STR_NONE);
    struct str copy = arena_str(&a, str_of(original));

    original[0] = 'x';
    ASSERT_STR(copy, "abc");
    ASSERT_INT(copy.p[3], 0);
    ASSERT_STR(text, "");
    ASSERT_STR(arena_printf(&a, "%s-%06d", "pod", 12), "pod-000012");
    ASSERT_INT(arena_printf(&a, "%5000d", 1).n, 5000);
}
