/*
 * Inside the Deployment controller: what its files share.
 * Source of the rules: k8s.io/kubernetes/pkg/controller/deployment and its util package.
 *
 *   deployment.c           the pass
 *   deployment_sets.c      its ReplicaSets: which is new, which are old, creating, scaling, revisions, history
 *   deployment_rolling.c   how far each may be scaled now
 *   deployment_status.c    counts and conditions
 */
#ifndef CONTROLLERS_DEPLOYMENT_H
#define CONTROLLERS_DEPLOYMENT_H

#include "client/controller.h"

/* A ReplicaSet, and how many replicas this pass wants it to have. */
struct deployment_set {
    const struct object *object; /* NULL: the new one, created by this pass */
    struct str name;
    int64_t replicas;                  /* spec, as seen */
    int64_t wanted;                    /* after this pass */
    int64_t current, ready, available; /* its status */
    int64_t allowed;                   /* annotation max-replicas: replicas + surge when it was last scaled; 0 = none */
    int64_t revision;                  /* annotation deployment.kubernetes.io/revision; 0 = none */
    int64_t created_ms;
};

struct deployment {
    struct reconcile *r;
    const struct object *object;
    struct view spec;
    int64_t replicas;
    bool paused, recreate, terminating;
    int64_t max_surge, max_unavailable;
    struct deployment_set *sets; /* all, oldest first */
    size_t sets_count;
    struct deployment_set *new_set; /* NULL when there is none yet */
    bool created;                   /* new_set is created by this pass */
    int64_t collisions;             /* status.collisionCount, raised when a hash was taken */
    bool collided;
    bool revised; /* this pass patches the Deployment itself: the status waits for the next one */
};

#define ANNOTATION_REVISION "deployment.kubernetes.io/revision"
#define ANNOTATION_DESIRED  "deployment.kubernetes.io/desired-replicas"
#define ANNOTATION_MAX      "deployment.kubernetes.io/max-replicas"
#define LABEL_TEMPLATE_HASH "pod-template-hash"

/* deployment_sets.c */
int deployment_find_sets(struct deployment *d, struct error *err);
void deployment_make_new_set(struct deployment *d); /* plan the creation, or the annotations of the one that is there */
void deployment_write_scales(struct deployment *d); /* plan what deployment_scale() decided */
void deployment_clean_history(struct deployment *d); /* delete old sets past revisionHistoryLimit */
struct str deployment_name_of(const struct deployment_set *s);

/* deployment_rolling.c: set `wanted` of the sets; true when something changes */
bool deployment_roll(struct deployment *d);
bool deployment_recreate(struct deployment *d, bool old_pods_run);
bool deployment_scale_proportionally(struct deployment *d);  /* after spec.replicas changed */
int64_t deployment_new_set_size(const struct deployment *d); /* how many the new set may have now */

/* deployment_status.c */
bool deployment_is_complete(const struct deployment *d);
void deployment_write_status(struct deployment *d);

#endif
