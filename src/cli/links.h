/* The links of a local cluster: the host's veth, the zones' bridges, a veth per node, NAT towards the host. Blocking. */
#ifndef CLI_LINKS_H
#define CLI_LINKS_H

#include "cli/cluster.h"

/* In the host's and the edge's namespace; the edge's init must run. */
int links_make_edge(const struct cluster_record *c, struct error *err);
int links_make_node(const struct cluster_record *c, const struct machine *node, struct error *err);
/* What may be left on the host when a namespace died half made. */
void links_remove_host(const struct cluster_record *c);

#endif
