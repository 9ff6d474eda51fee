/* The machines of a local cluster in the order an upgrade moves them. */
#ifndef CLI_UPGRADE_H
#define CLI_UPGRADE_H

#include "cli/cluster.h"
#include "cli/remote.h"

#define UPGRADE_UNITS_MAX (CLUSTER_NODES_MAX + 16)

struct upgrade_unit {
    const struct machine *machine; /* the record's */
    bool has_server;               /* an API server runs there */
    const char *server;            /* its name among several; NULL: it is the only one */
    const char *node;              /* an agent runs there under this name; NULL: none */
    bool pods;                     /* and it runs pods */
    char *before;                  /* the copy it ran; heap */
    bool moved;
};

/* Servers first, the leader last of them; then the gateway; then nodes, zone by zone. Returns how many. Asks the API who leads. */
size_t upgrade_order(const struct cluster_record *c, struct remote *r, struct upgrade_unit units[UPGRADE_UNITS_MAX]);

#endif
