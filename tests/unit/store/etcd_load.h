/*
 * Clients that write and read through two engines on one real etcd, everything recorded: what the tests with faults share.
 *
 *     struct load l;
 *     load_start(&l, 3);
 *     load_run(&l, 500);                       the loop runs, the clients work
 *     etcd_member_kill(&l.cluster, 0);
 *     load_run_until_written(&l, 100, 20000);  100 more acknowledged writes
 *     load_finish(&l);                         clients stop, everything is settled, the history is judged
 */
#ifndef UNIT_STORE_ETCD_LOAD_H
#define UNIT_STORE_ETCD_LOAD_H

#include "base/log.h"
#include "base/map.h"
#include "etcd_cluster.h"
#include "history.h"
#include "store/etcd.h"
#include "test.h"

#include <stdio.h>

#define LOAD_ENGINES 2
#define LOAD_CLIENTS 24
#define LOAD_KEYS    10

struct load;

struct load_view { /* what an engine's watch told last of a key */
    char *value;
    uint64_t revision;
};

struct load_engine {
    struct load *load;
    char name[16];
    struct store *store;
    struct history_watch *watch;
    struct map view; /* key -> struct load_view */
    bool lost;
    enum error_code lost_code;
};

struct load_client {
    struct load *load;
    struct load_engine *engine;
    char name[16], key[16], value[40], last[40];
    struct store_write write;
    struct history_op *op;
    struct loop_timer again;
    bool busy;
};

struct load {
    struct etcd_cluster cluster;
    struct loop *loop;
    struct history *history;
    struct load_engine engines[LOAD_ENGINES];
    struct load_client clients[LOAD_CLIENTS];
    struct loop_timer timer;
    bool timer_over, stopping;
    uint64_t random, values;
    size_t acknowledged, refused, failed;
    int64_t last_ack_ms;
};

void load_start(struct load *l, int members);
void load_start_in(struct load *l, int members, const char *folder); /* the members' data there */
void load_run(struct load *l, int64_t ms);
void load_run_until_written(struct load *l, size_t more, int64_t deadline_ms);
void load_finish(struct load *l);
/* Each engine lists everything: recorded, too. An engine that is lost is left out. */
void load_list(struct load *l);
/* One server more on the same cluster; the engine's changes are recorded from its first list on. */
struct store *load_open(struct load *l, const char *server, store_change_fn *on_change, void *arg);

#endif
