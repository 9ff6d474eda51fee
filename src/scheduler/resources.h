/* Reading resources out of objects. */
#ifndef SCHEDULER_RESOURCES_H
#define SCHEDULER_RESOURCES_H

#include "scheduler/framework.h"

struct resources resources_of_list(struct view list); /* a ResourceList; malformed amounts count as none */
struct resources resources_of_pod(struct view spec);  /* what must be free for it to start */

#endif
