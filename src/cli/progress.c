/* How far a command is. */
#include "cli/progress.h"

#include "base/time.h"

#include <stdarg.h>
#include <stdio.h>

static int64_t began_ms;

void progress_begin(void)
{
    began_ms = time_monotonic_ms();
}

void progress(const char *format, ...)
{
    va_list args;

    printf("%6.2f s  ", (double)(time_monotonic_ms() - began_ms) / 1000);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}
