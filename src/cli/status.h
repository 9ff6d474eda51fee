/* What `klein status` knows, and its page for people. */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/cluster.h"
#include "object/object.h"

struct status {
    const struct cluster_record *cluster;
    struct object *backup; /* what is noted of backups (cli/backup_report.h); NULL: there was none */
    struct object *nodes, *pods, *deployments, *services, *slices; /* lists; NULL when the API did not answer */
    struct error err;                                              /* why it did not */
};

bool status_node_is_ready(const struct status *s, const char *node);
bool status_is_healthy(const struct status *s);
void status_print(const struct status *s, int width);

#endif
