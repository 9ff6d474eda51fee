/* The seccomp profile "RuntimeDefault": what it refuses. See seccomp.c for the reasons. */
#ifndef NODE_SECCOMP_H
#define NODE_SECCOMP_H

#include "node/container_spec.h"
#include "node/json_out.h"

/* Write linux.seccomp; capabilities the container has open the calls that belong to them. */
void seccomp_write_default(struct json_out *j, const struct container_spec *s);

#endif
