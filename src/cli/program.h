/*
 * Which program file each machine of a local cluster runs: a link to a copy that the cluster owns. So building klein anew does not
 * touch a running cluster, and an upgrade moves one machine after the other, and back.
 *
 *     /var/lib/klein/NAME/bin/klein-DIGEST   copies, named by the first 16 digits of their SHA-256
 *     /var/lib/klein/NAME/bin/MACHINE        link to one of them
 *
 * Blocking.
 */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include "cli/cluster.h"

#define PROGRAM_MAX_BYTES (256 * MIB)

/* Copy a program into the cluster, if it is not there yet; *ret is the copy's path (heap). ERR_BAD_REQUEST: it cannot be run. */
int program_store(const struct cluster_record *c, const char *file, char **ret, struct error *err);
/* From its next start the machine runs this copy. The switch is one rename. */
int program_set(const struct cluster_record *c, const char *machine, const char *copy, struct error *err);
char *program_link(const struct cluster_record *c, const char *machine); /* heap: the path to start */
char *program_of(const struct cluster_record *c, const char *machine);   /* heap: the copy it leads to; NULL: none */

#endif
