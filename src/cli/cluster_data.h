/*
 * What a local cluster's servers keep, changed by restore, recover and grow while no server runs. Blocking.
 *
 * What is replaced is renamed, never removed: PATH.WHY-TIME beside it.
 */
#ifndef CLI_CLUSTER_DATA_H
#define CLI_CLUSTER_DATA_H

#include "cli/cluster.h"

/* Data folder of a server (NULL: the one on the edge), without a slash at its end. Heap. */
char *cluster_server_folder(const struct cluster_record *c, const struct machine *server);
bool cluster_server_has_etcd(const struct cluster_record *c, const struct machine *server);
/* Those that have machines of their own end, with their etcd; so do their chaos-made faults. One on the edge runs on. */
int cluster_end_servers(const struct cluster_record *c, struct error *err);
/* Rename `path` when it is there; the new name in *ret (heap; may be NULL). */
int cluster_set_aside(const char *path, const char *why, char **ret, struct error *err);
/* The data of all servers but `kept` is set aside: they join anew. */
int cluster_set_others_aside(const struct cluster_record *c, const struct machine *kept, const char *why,
                             struct error *err);
/* `klein server VERB --data FOLDER [--to TO]` in a network of its own, in which `address` (NULL: none) is this machine's. */
int cluster_server_command(const char *verb, const char *folder, const char *to, const char *address,
                           struct error *err);

/* Become `klein up --name NAME`, which starts what the record names and waits for it. Returns only on failure: -1. */
int cluster_go_on_with_up(const char *name, struct error *err);

#endif
