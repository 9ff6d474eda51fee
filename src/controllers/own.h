/*
 * Owning objects: owner references, adopting what matches and has no owner, releasing what no longer matches.
 * Source: k8s.io/kubernetes/pkg/controller/controller_ref_manager.go.
 */
#ifndef CONTROLLERS_OWN_H
#define CONTROLLERS_OWN_H

#include "client/controller.h"
#include "object/selector.h"

/* The owner reference with controller=true; absent when there is none. */
struct view own_controller(const struct object *o);
bool own_is_controlled_by(const struct object *o, const struct object *owner);
/* Make `owner` the controller in the tree's metadata.ownerReferences. */
void own_set_controller(struct arena *a, struct value *tree, const struct kind *owner_kind, const struct object *owner);

/*
 * The objects of `kind` in the owner's namespace that the owner controls and the selector matches. Plans the adoption of orphans
 * that match (they count at once) and the release of owned ones that no longer do. A terminating owner adopts nothing.
 */
struct objects own_claim(struct reconcile *r, const struct kind *owner_kind, const struct object *owner,
                         const struct kind *kind, const struct label_selector *selector);
/* The same for owners whose objects have a certain form of name: those that are no member are not adopted, and released. */
typedef bool own_member_fn(const struct object *owner, const struct object *o);
struct objects own_claim_members(struct reconcile *r, const struct kind *owner_kind, const struct object *owner,
                                 const struct kind *kind, const struct label_selector *selector,
                                 own_member_fn *is_member);

#endif
