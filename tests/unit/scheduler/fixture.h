/* A cluster for one decision: nodes and bound pods as JSON (single quotes stand for double ones), then a pod to place. */
#ifndef TESTS_SCHEDULER_FIXTURE_H
#define TESTS_SCHEDULER_FIXTURE_H

#include "scheduler/framework.h"
#include "test.h"

struct place {
    struct scheduler_view view;
    const struct object *storage[32]; /* claims, volumes, classes */
    const struct kind *storage_kinds[32];
    size_t storage_count;
    struct arena arena;
};

void place_init(struct place *p);
void place_done(struct place *p);
/* A node with 4 processors, 8 GiB and room for 110 pods in this zone; more: further members of spec, without a leading comma. */
void place_node(struct place *p, const char *name, const char *zone, const char *spec);
void place_node_json(struct place *p, const char *json);
/* A claim, volume or class. */
void place_storage(struct place *p, const struct kind *kind, const char *json);
/* A pod that runs on the node. */
void place_pod(struct place *p, const char *node, const char *json);
/* Where the pod goes: the node's name, or why nowhere. The text lives until place_done(). */
const char *place(struct place *p, const char *json);
const char *place_random(struct place *p, const char *json, uint64_t random);

#endif
