/* `klein grow --servers 1`: back to one server on SQLite. Blocking. */
#ifndef CLI_SHRINK_H
#define CLI_SHRINK_H

#include "cli/cluster.h"

/* The record and the data of a local cluster whose servers have machines of their own; `klein up` starts it then. */
int cluster_shrink(struct cluster_record *c, struct error *err);

#endif
