/* Private to object/: what updating and applying share. */
#ifndef OBJECT_MANAGED_INTERNAL_H
#define OBJECT_MANAGED_INTERNAL_H

#include "object/managed_managers.h"
#include "object/managed_type.h"

struct managed_work {
    struct arena *arena; /* freed when the call ends: sets are many times larger than what is kept of them */
    const struct managed_call *call;
    struct str api_version; /* "v1", "apps/v1" */
    struct str now;
    struct managed_set strip, reset; /* never owned by anyone; never owned through this door */
};

void managed_begin(struct arena *a, const struct managed_call *call, struct managed_work *ret);
/* The tree without metadata.managedFields; a shallow copy where it had them. */
struct value *managed_without(struct arena *a, const struct value *object);
/* What this door may own of a set. */
struct managed_set managed_allowed(const struct managed_work *w, const struct managed_set *set);
/* An update by the call's manager: live and object carry no managedFields. */
void managed_record_update(struct managed_work *w, struct managers *m, struct str manager, const struct value *live,
                           const struct value *object, bool cap);
/* Everyone but `self` loses what changed and what went. */
void managed_take_from_others(struct managed_work *w, struct managers *m, const struct manager *self,
                              const struct managed_diff *diff);
struct managed_diff managed_diff_for(const struct managed_work *w, const struct value *live,
                                     const struct value *object);

#endif
