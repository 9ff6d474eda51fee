/* What `klein status` knows, and its page for people. */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/cluster.h"
#include "object/object.h"

struct status {
    const struct cluster_record *cluster;
    struct object *backup; /* what is noted of backups (cli/backup_report.h); NULL: there was none */
    struct object *nodes, *pods, *deployments, *services, *slices; /* lists; NULL when the API did not answer */
    struct object *servers;                                        /* GET /klein/v1/servers */
    struct error err;                                              /* why it did not */
};

bool status_node_is_ready(const struct status *s, const char *node);
struct view status_server(const struct status *s, const char *name); /* its item; absent: it is not known to the API */
/* The name under which the API knows a server: the machine's, and of the one on the edge whatever it calls itself. */
const char *status_server_name(const struct status *s, const struct machine *m);
bool status_is_healthy(const struct status *s);
void status_print(const struct status *s, int width);

#endif
