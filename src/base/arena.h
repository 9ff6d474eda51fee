/*
 * An arena: memory that dies together, at the end of one request, one reconcile pass or one test.
 *
 * Allocation is a pointer bump; nothing is freed singly. Never returns NULL (see xmalloc); a user that handles
 * outside sizes relies on the limits of its parser, or compares used_bytes with a maximum of its own.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

#include <stdarg.h>

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    char *next, *end;
    size_t used_bytes;
};

#define AUTO_ARENA CLEANUP(arena_done)

void arena_done(struct arena *a);  /* frees everything; {0} is an empty arena, and so is this after */
void arena_reset(struct arena *a); /* forgets everything, keeps one block for reuse */
void *arena_alloc(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed, aligned to 16 */
void *arena_alloc_array(struct arena *a, size_t count, size_t size) __attribute__((malloc, returns_nonnull));
char *arena_strdup(struct arena *a, struct str s);                              /* zero-terminated */
struct str arena_str(struct arena *a, struct str s);                            /* a copy */
struct str arena_printf(struct arena *a, const char *format, ...) PRINTF(2, 3); /* zero-terminated too */
struct str arena_vprintf(struct arena *a, const char *format, va_list args) PRINTF(2, 0);
#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))

#endif
