/*
 * A whole cluster in a simulation: servers (the real ones, with leader, controllers and scheduler), nodes, people; each in a process of
 * its own. Shared by life_cluster.c (the story), remote.c (their network), node.c (a node).
 */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "base/map.h"
#include "client/cache.h"
#include "disk.h"
#include "etcd_model.h"
#include "main_control.h"
#include "server/server.h"
#include "sim.h"

#define SERVERS_MAX      3
#define NODES            4
#define PLACES           (SERVERS_MAX + NODES + 1) /* servers, nodes, people */
#define PLACE_OF_NODE(i) (SERVERS_MAX + (i))
#define PLACE_OF_PEOPLE  (SERVERS_MAX + NODES)

struct node;

struct sim_server {
    struct process *process;
    struct server *server; /* NULL: its process has not begun */
    struct control *control;
    bool ready;
    struct api *api; /* for the watch in its own process */
    struct api_watch *seen;
    struct history_watch *watch;
    bool relisting;
    uint64_t seen_revision; /* by the name, over its processes */
    struct loop_timer restart;
    int64_t word_lost_ms[SERVERS_MAX]; /* since when another server's word does not come; 0: it comes */
};

struct cluster_sim {
    struct sim *sim;
    int servers_count;
    struct sim_server servers[SERVERS_MAX];
    struct etcd_model *model; /* several servers, or */
    struct disk *disk;        /* one */
    struct node *nodes[NODES];
    struct process *people;
    struct api *people_api;
    struct list calls, streams; /* remote.c */
    bool cut[PLACES][PLACES];   /* this direction */
    int64_t heard_ms[SERVERS_MAX][NODES];
    struct loop_timer words;
    uint64_t crashes, cut_messages, lost_messages;
    unsigned loss_percent;
    int64_t delay_max_ms;
    bool node_faults; /* this run has some: what is available is not promised */
};

bool cluster_linked(const struct cluster_sim *c, int from, int to);
bool cluster_is_up(const struct cluster_sim *c, int server); /* its process runs and answers */
int64_t cluster_delay_ms(struct cluster_sim *c);

/* remote.c: an api over the network, to whichever server answers. `place` is the caller's. Lives as long as the simulation. */
struct api *remote_api(struct cluster_sim *c, struct process *client, int place, const char *user, const char *group);
void remote_crashed(struct cluster_sim *c, int server); /* its connections end */

/* node.c */
struct node *node_new(struct cluster_sim *c, int number);
const char *node_name(const struct node *n);
bool node_runs(const struct node *n, struct str pod); /* a container of a pod of that name */
typedef void node_pod_fn(void *arg, struct str name);
void node_each(const struct node *n, node_pod_fn *fn, void *arg); /* what runs there, whatever the servers think */

#endif
