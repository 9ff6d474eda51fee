/*
 * After a start: pods of the records are found again and adopted; what belongs to nobody (containers, mounts, control groups,
 * addresses, folders) is taken away. Blocking in parts: before the loop runs.
 */
#ifndef NODE_RECOVER_H
#define NODE_RECOVER_H

#include "node/agent_state.h"

/* Load every readable record into a->pods and adopt running containers; reclaim the rest. */
void agent_recover(struct agent *a);
/* Take away all mounts below a folder (deepest first). */
void unmount_below(const char *folder);

#endif
