/* Private to object/: the managers of one object, decoded from its metadata.managedFields. */
#ifndef OBJECT_MANAGED_MANAGERS_H
#define OBJECT_MANAGED_MANAGERS_H

#include "object/managed.h"
#include "object/managed_set.h"

#define MANAGERS_MAX 256 /* of one object; more do not decode */

struct manager {
    struct str name, subresource, api_version;
    struct str time; /* "" when unknown */
    bool applied;    /* operation Apply, else Update */
    struct managed_set set;
};

struct managers {
    struct arena *arena;
    struct manager *items;
    size_t count, capacity;
};

/* Fails when an entry is none upstream would accept. */
int managers_decode(struct arena *a, const struct value *object, struct managers *ret, struct error *err);
/*
 * As upstream orders them; removes the field when nobody owns anything. Empty managers are left out. What is put into the object lives
 * in `to`.
 */
void managers_encode(const struct managers *m, struct arena *to, struct value *object);
/* An applier is known by name and subresource, an updater also by its version. */
struct manager *managers_find(struct managers *m, struct str name, struct str subresource, struct str api_version,
                              bool applied);
struct manager *managers_add(struct managers *m, const struct manager *manager);
void managers_drop_empty(struct managers *m);
/* At most MANAGED_UPDATERS_MAX updaters: the oldest of one version become "ancient-changes". */
void managers_cap(struct managers *m);
bool managers_equal(const struct managers *x, const struct managers *y); /* times do not matter */

#endif
