/* What happens to each frame of a disturbed link: pure, so that it can be tested; helper.c moves the frames. */
#ifndef CHAOS_RELAY_H
#define CHAOS_RELAY_H

#include "base/env.h"
#include "chaos/fault.h"

struct relay_fate {
    int copies; /* 0: lost, 2: doubled */
    int64_t at_us;
};

/* One direction of a link: frames keep their order unless they are chosen to be reordered, which means not to be delayed. */
struct relay_way {
    int64_t last_us; /* when the last frame in order leaves */
};
struct relay_fate relay_decide(const struct step *s, struct relay_way *way, struct env *env, int64_t now_us);

#endif
