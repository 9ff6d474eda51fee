/* The arena: blocks that double in size, a pointer that moves. Under AddressSanitizer unused memory is poisoned. */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#define RED_ZONE       ((size_t)16) /* a gap nobody may touch, so that a pass over the end is seen */
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define RED_ZONE       ((size_t)0)
#endif

#define ALIGNMENT       ((size_t)16)
#define BLOCK_MIN_BYTES (4 * KIB)
#define BLOCK_MAX_BYTES (1 * MIB)

struct arena_block {
    struct arena_block *older;
    size_t size; /* of the room after this header */
};
static_assert(sizeof(struct arena_block) % ALIGNMENT == 0, "the room after the header must be aligned");

static char *block_room(struct arena_block *block)
{
    return (char *)(block + 1);
}

static struct arena_block *block_new(size_t size)
{
    struct arena_block *block = xmalloc(sizeof(*block) + size);

    block->older = NULL;
    block->size = size;
    POISON(block_room(block), size);
    return block;
}

static void block_free(struct arena_block *block)
{
    UNPOISON(block_room(block), block->size);
    free(block);
}

/* A new current block, or for a large piece a block of its own behind the current one, whose rest stays in use. */
static char *arena_grow(struct arena *a, size_t size)
{
    struct arena_block *block;
    size_t block_size = BLOCK_MIN_BYTES;

    if (a->blocks)
        block_size = MIN(MAX(a->blocks->size, BLOCK_MIN_BYTES) * 2, BLOCK_MAX_BYTES);
    if (a->blocks && size > block_size / 4) {
        block = block_new(size);
        block->older = a->blocks->older;
        a->blocks->older = block;
        return block_room(block);
    }
    block = block_new(MAX(block_size, size));
    block->older = a->blocks;
    a->blocks = block;
    a->next = block_room(block) + size;
    a->end = block_room(block) + block->size;
    return block_room(block);
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t room;
    char *p;

    assert(size <= SIZE_MAX / 2);
    room = (MAX(size, (size_t)1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + RED_ZONE;
    if (a->next && (size_t)(a->end - a->next) >= room) {
        p = a->next;
        a->next += room;
    } else {
        p = arena_grow(a, room);
    }
    a->used_bytes += room;
    UNPOISON(p, size);
    memset(p, 0, size);
    return p;
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
    size_t total = 0;
    bool overflow = __builtin_mul_overflow(count, size, &total);

    assert(!overflow);
    return arena_alloc(a, overflow ? SIZE_MAX : total);
}

void arena_done(struct arena *a)
{
    if (!a)
        return;
    for (struct arena_block *block = a->blocks, *older; block; block = older) {
        older = block->older;
        block_free(block);
    }
    *a = (struct arena){ 0 };
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->blocks;

    if (!keep)
        return;
    a->blocks = keep->older;
    arena_done(a);
    keep->older = NULL;
    POISON(block_room(keep), keep->size);
    a->blocks = keep;
    a->next = block_room(keep);
    a->end = a->next + keep->size;
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);

    if (s.n)
        memcpy(copy, s.p, s.n);
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){ arena_strdup(a, s), s.n };
}

struct str arena_vprintf(struct arena *a, const char *format, va_list args)
{
    va_list again;
    char *text;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0)
        return STR_NONE;
    text = arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, args);
    return (struct str){ text, (size_t)n };
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    struct str text;
    va_list args;

    va_start(args, format);
    text = arena_vprintf(a, format, args);
    va_end(args);
    return text;
}
