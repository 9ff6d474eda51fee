/*
 * The framework of the scheduler: what plugins see, and what they answer. Pure: no I/O, no clock.
 *
 * A plugin is one file in plugins/ with one exported table, listed in plugins.def. For each pod: prefilter once, filter per node,
 * score per node that passed. Source of the semantics: k8s.io/kubernetes/pkg/scheduler/framework.
 */
#ifndef SCHEDULER_FRAMEWORK_H
#define SCHEDULER_FRAMEWORK_H

#include "base/arena.h"
#include "base/map.h"
#include "object/object.h"
#include "object/selector.h"

/* --- resources: numbers the plugins add and compare ------------------------------------------------------------------ */

#define EXTENDED_MAX 8
struct resources {
    int64_t milli_cpu, memory_bytes, ephemeral_bytes, pods;
    struct {
        char name[64]; /* "example.com/gpu" */
        int64_t amount;
    } extended[EXTENDED_MAX];
    int extended_count;
};
void resources_add(struct resources *to, const struct resources *what);
void resources_sub(struct resources *from, const struct resources *what);
int64_t resources_extended(const struct resources *r, const char *name);

/* --- a pod and a node, compiled once ------------------------------------------------------------------------------- */

struct host_port {
    struct str protocol, ip;
    int64_t port;
};

#define HOST_PORTS_MAX 32
struct pod_info {
    const struct object *object; /* referenced */
    struct resources requests;   /* of all containers, init containers and overhead */
    int64_t nonzero_milli_cpu,
        nonzero_memory_bytes; /* with defaults (100m, 200 MB) where nothing is requested: for scores */
    int64_t priority;
    struct host_port host_ports[HOST_PORTS_MAX];
    int host_ports_count;
    bool repels;            /* has required anti-affinity: others must look whether it is about them */
    struct str group;       /* uid of the controller: pods of one group are spread by default; "" without one */
    struct node_info *node; /* where it counts, NULL: nowhere */
};

struct node_info {
    const struct object *object; /* referenced; NULL while only pods name it */
    char *name;
    struct str zone; /* label topology.kubernetes.io/zone */
    struct resources allocatable, requested;
    int64_t nonzero_milli_cpu, nonzero_memory_bytes;
    struct pod_info **pods;
    size_t pods_count, pods_capacity;
    size_t repelling; /* of its pods: those with .repels */
    size_t place;     /* in view->nodes */
};

/* Claims, volumes and storage classes, looked up where they are kept. */
struct kind;
struct scheduler_storage {
    const struct object *(*get)(void *arg, const struct kind *kind, struct str namespace_, struct str name);
    /* The i-th of a kind in any order; NULL past the end. */
    const struct object *(*at)(void *arg, const struct kind *kind, size_t i);
    void *arg;
};

/* The cluster as the scheduler sees it: bound and assumed pods on their nodes. */
struct scheduler_view {
    struct node_info **nodes; /* those with an object */
    size_t nodes_count, nodes_capacity;
    struct map by_name; /* name -> struct node_info */
    struct map pods;    /* uid -> struct pod_info */
    struct scheduler_storage storage;
};
void scheduler_view_done(struct scheduler_view *v);
void scheduler_view_set_node(struct scheduler_view *v, const struct object *node);
void scheduler_view_remove_node(struct scheduler_view *v, struct str name);
/* Bound or assumed to node_name; replaces what is known of this uid. */
void scheduler_view_set_pod(struct scheduler_view *v, const struct object *pod, struct str node_name);
void scheduler_view_remove_pod(struct scheduler_view *v, struct str uid);

struct pod_info *pod_info_new(const struct object *pod);
void pod_info_free(struct pod_info *p);

/* --- one decision ------------------------------------------------------------------------------------------------------ */

#define SCORE_MAX   100
#define PLUGINS_MAX 16

struct cycle {
    const struct scheduler_view *view;
    const struct pod_info *pod;
    struct arena *arena;      /* dies with the decision */
    void *state[PLUGINS_MAX]; /* of each plugin, set by its prefilter */
    int plugin;               /* index of the plugin that is asked */
};
#define cycle_state(c) ((c)->state[(c)->plugin])

struct plugin {
    const char *name; /* "NodeResourcesFit" */
    int weight;       /* of its score; 0: no score */
    /* Compile what the pod asks for. -1 with err: the pod cannot be scheduled at all. May be NULL. */
    int (*prefilter)(struct cycle *c, struct error *err);
    /*
     * NULL when the pod may run there, else why not, in the words people search for ("Insufficient cpu"); several reasons are
     * several lines. May be NULL.
     */
    const char *(*filter)(struct cycle *c, const struct node_info *n);
    /* Any number; larger is better. May be NULL. */
    int64_t (*score)(struct cycle *c, const struct node_info *n);
    /* Bring the scores into 0..SCORE_MAX; NULL when they are so already. */
    void (*normalize)(struct cycle *c, int64_t *scores, size_t count);
    void (*done)(struct cycle *c); /* free what is not in the arena; may be NULL */
};

extern const struct plugin *const plugins[]; /* NULL-terminated, in plugins.def's order */

struct decision {
    const struct node_info *node; /* NULL: none fits */
    struct str message;           /* then: "0/3 nodes are available: 1 Insufficient cpu, ..."; lives in the arena */
};
/* `random` breaks ties between equal nodes. */
struct decision schedule(const struct scheduler_view *v, const struct pod_info *pod, uint64_t random,
                         struct arena *arena);

/* Scale to 0..SCORE_MAX by the largest; reverse: the smallest becomes the best. Source: helper.DefaultNormalizeScore. */
void normalize_by_max(int64_t *scores, size_t count, bool reverse);

#endif
