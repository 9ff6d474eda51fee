/* The servers of a local cluster that have machines of their own (`klein up --servers N`): started, joined, replaced. Blocking. */
#ifndef CLI_UP_SERVERS_H
#define CLI_UP_SERVERS_H

#include "cli/machine.h"
#include "cli/remote.h"

/* Start the machines of servers that have data, or the first server of a new cluster. */
int up_servers_begin(struct cluster_record *c, const struct machine_settings *settings, int *ret_started,
                     struct error *err);
/* Start those without data, which join the others; `r` reaches a server that is ready. */
int up_servers_join(struct cluster_record *c, struct remote *r, const struct machine_settings *settings,
                    int *ret_started, struct error *err);
/* How many of the cluster's servers say that they are ready; -1 with err when none answers. */
int up_servers_ready(const struct cluster_record *c, struct remote *r, struct error *err);
bool up_servers_any_alive(const struct cluster_record *c);

#endif
