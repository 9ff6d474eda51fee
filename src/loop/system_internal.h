/* The one place that includes uv.h: libuv's part of a system loop. */
#ifndef LOOP_SYSTEM_INTERNAL_H
#define LOOP_SYSTEM_INTERNAL_H

#include <uv.h>

#include "loop/internal.h"

struct loop_system {
    uv_loop_t uv;
    uv_async_t wake;  /* posted messages, loop_stop() */
    uv_timer_t timer; /* the first timer of the heap */
    uv_prepare_t before;
    bool awake; /* a callback of this round has run */
    int64_t woke_us;
};

void loop_system_woke(struct loop *loop); /* every libuv callback calls this first: the clock of the round */

#endif
