/* What the files of the simulation share. */
#ifndef LOOP_SIM_INTERNAL_H
#define LOOP_SIM_INTERNAL_H

#include "loop/internal.h"
#include "loop/sim.h"

struct sim_cut {
    char from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE]; /* "" is any address */
};

struct sim {
    struct env_sim *env;
    int64_t delay_min_ms, delay_max_ms;
    struct sim_cut *cuts;
    size_t cuts_count, cuts_capacity;
    sim_spawn *spawn;
    void *spawn_arg;
    pid_t last_pid;
    struct list datagram_sockets; /* struct udp */
    struct list datagrams;        /* on their way */
};

struct sim_datagram {
    struct list link;
    struct loop_timer timer;
    struct address from, to;
    size_t n;
    char bytes[];
};

bool sim_path_is_cut(struct loop *loop, const struct address *a, const struct address *b);

#endif
