/*
 * A controller is a table row and a pure function: what is seen in, a plan out.
 *
 *     static int reconcile(struct reconcile *r, struct error *err);   reads r, appends to r->plan, nothing else
 *
 *     const struct controller controller_replicaset = {
 *         .name = "replicaset", .kind = &kind_replicaset,
 *         .triggers = { { &kind_pod, BY_CONTROLLER }, { &kind_pod, BY_SELECTOR } },
 *         .reconcile = reconcile,
 *     };
 *
 * The rest is done here, once, for all of them. Always true:
 *  - a key is reconciled by one pass at a time; a key triggered while its pass runs is reconciled again afterwards; nothing is lost;
 *  - a pass starts only when the caches have seen everything the key's last plan wrote, so nothing is created twice and
 *    no "expectations" are needed;
 *  - a pass that failed is tried again after 5 ms, doubling up to 60 s; a pass that succeeded forgets earlier failures;
 *  - writes are guarded by uid and resourceVersion of the object the plan was made from;
 *  - the same input gives the same plan.
 *
 * Reading: cluster_get/list/... below, from caches of the kinds named in .kind, .triggers and .reads only.
 */
#ifndef CLIENT_CONTROLLER_H
#define CLIENT_CONTROLLER_H

#include "base/arena.h"
#include "client/cache.h"
#include "client/facts.h"
#include "kinds/api.h"
#include "object/value.h"

struct reconcile;

enum trigger_map {
    BY_CONTROLLER = 1, /* the changed object's controlling owner, when it is of the controller's kind */
    BY_OWNER,          /* every owner of the controller's kind */
    BY_SELECTOR,       /* objects of the controller's kind in the same namespace for which .selects says yes */
    BY_SAME_NAME,      /* the object of the controller's kind with the same namespace and name */
    BY_NAMESPACE,      /* the Namespace object the changed object is in */
    BY_LABEL,          /* the object, in the same namespace, named by the label .label of the changed one */
    BY_ALL,            /* every object of the controller's kind (for rare changes: nodes) */
    BY_FUNCTION,       /* .keys says which */
};

/* BY_FUNCTION: call emit for each key that needs attention. */
typedef void trigger_emit_fn(void *arg, struct str namespace_, struct str name);
typedef void trigger_keys_fn(struct cluster *cluster, const struct object *changed, trigger_emit_fn *emit, void *arg);

struct trigger {
    const struct kind *kind;
    enum trigger_map map;
    trigger_keys_fn *keys;
    const char *label;
};

#define CONTROLLER_TRIGGERS_MAX 8
struct controller {
    const char *name; /* "replicaset": metrics, logs, event source "replicaset-controller" */
    const struct kind *kind;
    struct trigger triggers[CONTROLLER_TRIGGERS_MAX];  /* ends with a zero row */
    const struct kind *reads[CONTROLLER_TRIGGERS_MAX]; /* further kinds it reads without being triggered by them */
    /* A change of the object itself that needs no pass (e.g. only heartbeats); NULL: every change counts. */
    bool (*ignores)(const struct object *old, const struct object *now);
    bool (*selects)(struct view object, struct view labels); /* for BY_SELECTOR */
    int (*reconcile)(struct reconcile *r, struct error *err);
    bool all_kinds; /* triggered by every kind klein serves, with `keys_all` (garbage collector) */
    trigger_keys_fn *keys_all;
    bool
        node_facts; /* keys are names of nodes: a node's key again when a fact about it changes, all when `settled` does */
    int workers;    /* keys in work at once; 0 = 16 */
};

/* Settings controllers may ask for, from flags. */
struct controller_config {
    const char *cluster_domain;
    const char *service_account_ca_pem; /* for ConfigMap kube-root-ca.crt */
    const char *pod_cidr;               /* "10.244.0.0/16": nodes get /24s of it */
    int64_t node_monitor_grace_ms;      /* silence after which a node is NotReady */
};

struct plan;

/* One pass. */
struct reconcile {
    struct arena *arena; /* dies with the pass */
    const struct controller *controller;
    const struct controller_config *config;
    struct cluster *cluster;
    const struct facts *facts;
    struct str namespace_, name; /* the key */
    const struct object *object; /* NULL: it is gone */
    int64_t now_ms;              /* wall clock */
    uint64_t random;             /* fresh for every pass */
    struct plan *plan;
};

/* --- reading ------------------------------------------------------------------------------------------------------ */

static inline const struct object *reconcile_get(const struct reconcile *r, const struct kind *kind,
                                                 struct str namespace_, struct str name)
{
    return cache_get(cluster_cache(r->cluster, kind), namespace_, name);
}
static inline struct objects reconcile_by(const struct reconcile *r, const struct kind *kind, enum cache_index index,
                                          struct str key)
{
    return cache_by(cluster_cache(r->cluster, kind), index, key);
}
static inline struct objects reconcile_all(const struct reconcile *r, const struct kind *kind)
{
    return cache_all(cluster_cache(r->cluster, kind));
}

/* --- planning: everything is copied or frozen at once -------------------------------------------------------------- */

/* tree is a whole object with apiVersion, kind and metadata. */
void plan_create(struct reconcile *r, const struct kind *kind, struct str namespace_, const struct value *tree);
/* tree was made from `old` and changed; written only when nobody changed the object meanwhile. subresource "" or "status". */
void plan_update(struct reconcile *r, const struct kind *kind, const struct object *old, const struct value *tree,
                 const char *subresource);
/* Merge patch (RFC 7386) of `old`, guarded by its uid; for small changes that do not depend on the rest of the object. */
void plan_patch(struct reconcile *r, const struct kind *kind, const struct object *old, const struct value *patch,
                const char *subresource);
/* Guarded by uid. propagation: "Background", "Foreground", "Orphan" or NULL; grace_seconds -1: the object's own. */
void plan_delete(struct reconcile *r, const struct kind *kind, const struct object *old, const char *propagation,
                 int64_t grace_seconds);
/* As plan_delete, and only when nobody changed the object since `old` was read. */
void plan_delete_unchanged(struct reconcile *r, const struct kind *kind, const struct object *old,
                           const char *propagation);
/* POST to a subresource of `old` (eviction, binding). */
void plan_post(struct reconcile *r, const struct kind *kind, const struct object *old, const char *subresource,
               const struct value *body);
/* An Event about the object. type "Normal" or "Warning". */
void plan_event(struct reconcile *r, const struct kind *kind, const struct object *about, const char *type,
                const char *reason, const char *format, ...) PRINTF(6, 7);
/* Reconcile this key again after so long, even if nothing changes. The earliest of several counts. */
void plan_wake(struct reconcile *r, int64_t after_ms);
/*
 * Look at the live object before the next pass: for decisions that must not rest on a cache (an owner seems absent). The answer is
 * there in the next pass: reconcile_live() gives LIVE_UNKNOWN until it has come.
 */
void plan_live_read(struct reconcile *r, const struct kind *kind, struct str namespace_, struct str name);
enum live { LIVE_UNKNOWN, LIVE_ABSENT, LIVE_PRESENT };
enum live reconcile_live(const struct reconcile *r, const struct kind *kind, struct str namespace_, struct str name,
                         struct str *ret_uid);

/* --- for tests and scenarios: look at a plan instead of carrying it out ---------------------------------------------- */

struct plan_step {
    enum { STEP_CREATE, STEP_UPDATE, STEP_PATCH, STEP_DELETE, STEP_POST, STEP_EVENT, STEP_LIVE_READ } type;
    const struct kind *kind;
    struct str namespace_, name, uid, subresource;
    const struct object *body; /* create, update, patch, post; owned by the plan */
    uint64_t revision;         /* precondition of the deletion, 0 = none */
    const char *propagation;
    int64_t grace_seconds;
    const struct object *about; /* STEP_EVENT */
    const char *event_type, *event_reason;
    struct str event_message;
};
struct plan {
    struct arena *arena;
    struct plan_step *steps;
    size_t count, capacity;
    int64_t wake_after_ms;  /* -1: not asked for */
    const struct map *live; /* answers of earlier live reads */
};
void plan_init(struct plan *p, struct arena *arena);
void plan_done(struct plan *p); /* drops the objects the steps hold */

/* --- running ------------------------------------------------------------------------------------------------------ */

struct controllers; /* all controllers of a process, on one loop */

/* `list` ends with NULL. Starts watching at once; passes begin when the caches a controller reads are synced. */
/* Open the caches the controllers read, without running them: a standby that takes over finds them filled. */
void controllers_warm(struct cluster *cluster, const struct controller *const *list);
struct controllers *controllers_start(struct cluster *cluster, struct env *env, const struct controller *const *list,
                                      const struct controller_config *config, struct facts *facts);
void controllers_stop(struct controllers *c);           /* writes already sent may still take effect */
bool controllers_are_idle(const struct controllers *c); /* nothing queued or in work, delayed keys aside */

struct controller_stats {
    const char *name;
    uint64_t passes, failures, writes;
    size_t queued, working;
};
size_t controllers_stats(const struct controllers *c, struct controller_stats *ret, size_t max);

#endif
