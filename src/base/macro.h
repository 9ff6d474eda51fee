/* Small helpers of the language: sizes, cleanup by the compiler, ownership leaving a function. */
#ifndef BASE_MACRO_H
#define BASE_MACRO_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define CLEANUP(f)        __attribute__((cleanup(f)))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args), nonnull(fmt)))
#define MUST_USE          __attribute__((warn_unused_result))
#define NORETURN          __attribute__((noreturn))
#define UNUSED            __attribute__((unused))

/* Ownership of `p` leaves the function here: the cleanup sees NULL (TAKE) or -1 (TAKE_FD). */
#define TAKE(p)                                                                                                        \
    __extension__({                                                                                                    \
        __typeof__(p) take_ = (p);                                                                                     \
        (p) = NULL;                                                                                                    \
        take_;                                                                                                         \
    })
#define TAKE_FD(fd)                                                                                                    \
    __extension__({                                                                                                    \
        int take_ = (fd);                                                                                              \
        (fd) = -1;                                                                                                     \
        take_;                                                                                                         \
    })

/* AUTO_FREE char *s: freed when the scope ends. AUTO_FD int fd: closed when it ends, unless -1. */
#define AUTO_FREE CLEANUP(cleanup_free)
#define AUTO_FD   CLEANUP(cleanup_fd)
void cleanup_free(void *pointer_to_pointer);
void cleanup_fd(const int *fd);

/*
 * Memory. Running out ends the process with one log line: every size that somebody else chooses has a maximum and
 * fails with a clear error before it gets here, so there is nothing useful left to do. Never return NULL.
 */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull)); /* checks the product */
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...) PRINTF(1, 2) __attribute__((malloc, returns_nonnull));
#define xnew(type) ((type *)xcalloc(1, sizeof(type)))

/* Grow an array for one more element: `items` and `capacity` are lvalues, `count` says how many are used. */
#define GROW(items, count, capacity)                                                                                   \
    do {                                                                                                               \
        if ((size_t)(count) >= (size_t)(capacity)) {                                                                   \
            (capacity) = (capacity) ? (capacity)*2 : 8;                                                                \
            (items) = xrealloc((items), (size_t)(capacity) * sizeof(*(items)));                                        \
        }                                                                                                              \
    } while (0)

#endif
