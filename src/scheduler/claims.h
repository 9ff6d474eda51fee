/* The claims of a pod that has found its node: giving those without a volume to that node. */
#ifndef SCHEDULER_CLAIMS_H
#define SCHEDULER_CLAIMS_H

#include "client/cache.h"
#include "scheduler/framework.h"

/* What is known of claims, volumes and classes: their caches, and the look-ups plugins make in them. */
#define STORAGE_KINDS 3
struct storage {
    struct cache *caches[STORAGE_KINDS];
};
struct scheduler_storage storage_open(struct storage *s, struct cluster *cluster); /* `s` must outlive it */

bool claims_any(const struct object *pod);                         /* has volumes that are claims */
bool claims_name(const struct object *pod, struct str claim_name); /* one of them is this */

/* Calls fn for each claim of the pod that has no volume yet. */
typedef void claim_unbound_fn(void *arg, const struct object *claim);
enum claims_state {
    CLAIMS_BOUND,
    CLAIMS_UNBOUND,
    CLAIMS_GONE, /* one is absent or being deleted */
};
enum claims_state claims_look(const struct scheduler_storage *storage, const struct object *pod, claim_unbound_fn *fn,
                              void *arg);
struct str claim_selected_node(const struct object *claim); /* "" when none */
/* A merge patch that writes the node into the claim, guarded by its uid. */
void claim_patch_node(struct buf *patch, const struct object *claim, struct str node);

#endif
