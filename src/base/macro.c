/* Cleanup handlers, and allocation that ends the process instead of returning NULL. */
#define LOG_PART "base"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void cleanup_free(void *pointer_to_pointer)
{
    void *p;

    memcpy(&p, pointer_to_pointer, sizeof(p));
    free(p);
}

void cleanup_fd(const int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

NORETURN static void out_of_memory(size_t size)
{
    log_error("out of memory", KV("bytes", "%zu", size));
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(MAX(size, (size_t)1));

    if (!p)
        out_of_memory(size);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(MAX(count, (size_t)1), MAX(size, (size_t)1)); /* calloc checks the product */

    if (!p)
        out_of_memory(count > SIZE_MAX / MAX(size, (size_t)1) ? SIZE_MAX : count * size);
    return p;
}

void *xrealloc(void *p, size_t size)
{
    void *q = realloc(p, MAX(size, (size_t)1));

    if (!q)
        out_of_memory(size);
    return q;
}

char *xstrdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(xmalloc(n), s, n);
}

char *xstrndup(const char *s, size_t n)
{
    size_t length = strnlen(s, n);
    char *copy = xmalloc(length + 1);

    memcpy(copy, s, length);
    copy[length] = '\0';
    return copy;
}

char *xasprintf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        out_of_memory(0);
    return text;
}
