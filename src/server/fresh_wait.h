/* A place among those who wait for fresh.h: part of the memory of who waits. */
#ifndef SERVER_FRESH_WAIT_H
#define SERVER_FRESH_WAIT_H

#include "base/list.h"

/* current: the state holds everything that was committed anywhere before fresh_wait(). Else this server is cut off. */
typedef void fresh_fn(void *arg, bool current);
struct fresh_wait {
    struct list link;
    fresh_fn *fn;
    void *arg;
};

#endif
