/*
 * Inside the StatefulSet controller: what its files share.
 * Source of the rules: k8s.io/kubernetes/pkg/controller/statefulset and pkg/controller/history.
 *
 *   statefulset.c             the pass: who is made, waited for, ended, exchanged
 *   statefulset_pod.c         a pod of one ordinal: name, labels, volumes; and the claims that are its own
 *   statefulset_revisions.c   the templates of the past, as ControllerRevisions
 *   statefulset_status.c      counts
 *
 * There are never two pods of one ordinal: a pod's name is its ordinal, and a new one is made only when no object has that name any
 * more. A pod that ends on a node nobody hears therefore stays, and is not replaced, until somebody who knows that it cannot
 * run any more deletes it with grace 0.
 */
#ifndef CONTROLLERS_STATEFULSET_H
#define CONTROLLERS_STATEFULSET_H

#include "client/controller.h"

#define LABEL_REVISION      "controller-revision-hash"
#define LABEL_POD_NAME      "statefulset.kubernetes.io/pod-name"
#define LABEL_POD_INDEX     "apps.kubernetes.io/pod-index"
#define LABEL_REVISION_HASH "controller.kubernetes.io/hash"

struct stateful_revision {
    const struct object *object; /* NULL: created by this pass */
    struct str name;
    int64_t number;
};

struct statefulset {
    struct reconcile *r;
    const struct object *object;
    struct view spec;
    int64_t replicas, start, min_ready_s;
    bool ordered; /* podManagementPolicy OrderedReady */
    struct objects pods;
    const struct object **members; /* of the wanted ordinals, lowest first */
    size_t members_count;
    const struct object **condemned; /* of other ordinals, highest first */
    size_t condemned_count;
    struct stateful_revision *revisions; /* oldest first */
    size_t revisions_count;
    struct stateful_revision current, update;
    int64_t exchanged; /* pods of the current revision that this pass ends for the new one */
    int64_t collisions;
    bool collided; /* a name was taken: only the status is written, the next pass has another hash */
};

/* statefulset_pod.c */
int64_t stateful_ordinal(struct str set, struct str pod); /* -1: no pod of this set */
struct str stateful_pod_name(const struct statefulset *s, int64_t ordinal);
struct str stateful_revision_of(const struct object *pod);
/* A claim of the ordinal belongs to a pod that is gone, or is being deleted: the new pod waits for a new claim. */
bool stateful_claims_are_stale(struct statefulset *s, int64_t ordinal);
void stateful_create_claims(struct statefulset *s, int64_t ordinal); /* those that are not there */
void stateful_create_pod(struct statefulset *s, int64_t ordinal);
void stateful_repair_labels(struct statefulset *s, const struct object *pod);
/* Who owns the ordinal's claims, by persistentVolumeClaimRetentionPolicy; `pod` may be NULL. */
void stateful_own_claims(struct statefulset *s, int64_t ordinal, const struct object *pod);

/* statefulset_revisions.c */
int stateful_find_revisions(struct statefulset *s, struct error *err); /* .current and .update; plans what is missing */
void stateful_clean_history(struct statefulset *s);
struct view stateful_template_of(const struct statefulset *s, const struct stateful_revision *revision);

/* statefulset_status.c */
bool stateful_is_ready(const struct statefulset *s, const struct object *pod); /* running, ready, its node heard */
bool stateful_is_available(struct statefulset *s, const struct object *pod);
void stateful_write_status(struct statefulset *s);

#endif
