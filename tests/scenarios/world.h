/*
 * A whole cluster in one process and in virtual time: an API server on the memory store, controllers and scheduler as its clients
 * with the rights they have in earnest, and a small model of a node per node (agent.c).
 *
 * Time moves only in world_advance(), in steps of WORLD_STEP_MS; after each step `each_step` may look. The same seed gives
 * the same run.
 */
#ifndef SCENARIOS_WORLD_H
#define SCENARIOS_WORLD_H

#include "client/cache.h"
#include "client/controller.h"
#include "client/facts.h"
#include "loop/sim.h"
#include "scheduler/scheduler.h"
#include "server/server.h"
#include "test.h"

#define WORLD_STEP_MS 50
#define AGENTS_MAX    32

struct agent;

struct world {
    struct env_sim env;
    struct loop *loop;
    struct server *server;
    struct server_config config;
    struct api *people;      /* kubectl's hands: system:masters */
    struct api *control_api; /* the controllers' */
    struct api *scheduler_api;
    struct cluster *control_cluster, *scheduler_cluster;
    struct controllers *controllers;
    struct scheduler *scheduler;
    struct facts facts;
    struct agent *agents[AGENTS_MAX];
    size_t agents_count;
    struct cache *slices; /* what nodes apply */
    struct loop_timer applies;
    void (*each_step)(struct world *w);
    void *each_step_arg;
    struct arena arena;
};

/* tolerations_s: the injected ones. data_folder NULL: in memory. */
void world_start(struct world *w, int64_t tolerations_s, const char *data_folder);
void world_stop(struct world *w);
/* Server, controllers and scheduler end and start anew on the same data; nodes go on. Needs a data folder. */
void world_restart(struct world *w);

void world_advance(struct world *w, int64_t ms);
/* Until nothing was written for 4 s; at most 10 minutes of virtual time. */
void world_settle(struct world *w);

/* One call as people make it (kubectl's hands); time goes on until the answer comes. */
enum error_code world_call(struct world *w, const struct api_call *call);
void world_do(struct world *w, const struct api_call *call); /* the call must succeed */
void world_create(struct world *w, const struct value *tree);
void world_patch(struct world *w, const struct kind *kind, struct str namespace_, struct str name,
                 const char *subresource, struct str merge_patch);

/* --- nodes (agent.c) ------------------------------------------------------------------------------------------------- */

/* A node in this zone; registered, Ready, with 4 processors and 8 GiB. */
void agent_add(struct world *w, const char *name, const char *zone);
struct agent *agent_find(struct world *w, struct str name); /* fails the test when there is none */
struct str agent_name(const struct agent *a);
struct str agent_zone(const struct agent *a);
/* Its network is gone: nothing it does reaches anybody, after a second the server calls it silent. Or it is back. */
void agent_cut(struct agent *a);
void agent_heal(struct agent *a);
/* The server the agent talks to has ended / is there again. */
void agent_disconnect(struct agent *a);
void agent_connect(struct agent *a);
void agent_free(struct agent *a);

#endif
