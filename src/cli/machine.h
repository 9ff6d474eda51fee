/* Starting the machines of a local cluster: namespaces under an init, and the specs that say what runs in them. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include "cli/cluster.h"

struct machine_settings {
    const char *program; /* absolute path of klein */
};

/* Write the spec and start the init; *ret_ready_fd is to be written one byte when the links are there, and closed. */
int machine_start_edge(struct cluster_record *c, const struct machine_settings *s, int *ret_ready_fd,
                       struct error *err);
int machine_start_node(struct cluster_record *c, struct machine *node, const struct machine_settings *s,
                       int *ret_ready_fd, struct error *err);
/* `join`: URL of a server to join, used while the server has no data; NULL: it is the first. Its token is in machine_server_token_path(). */
int machine_start_server(struct cluster_record *c, struct machine *server, const struct machine_settings *s,
                         const char *join, int *ret_ready_fd, struct error *err);
char *machine_server_token_path(const struct cluster_record *c, const struct machine *server); /* heap */
int machine_ready(int ready_fd, struct error *err); /* tells the init to go on; closes ready_fd */

#endif
