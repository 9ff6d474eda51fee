/*
 * Values a container may ask for about its pod: fieldRef and resourceFieldRef of environment variables and downward API volumes.
 * Source: pkg/fieldpath and pkg/api/v1/resource of Kubernetes.
 */
#ifndef NODE_POD_FIELDS_H
#define NODE_POD_FIELDS_H

#include "object/object.h"

struct pod_fields {
    struct view pod;
    struct str pod_ip, host_ip;                /* as known on the node: newer than the object's status */
    int64_t node_milli_cpu, node_memory_bytes; /* allocatable: what an unset limit means */
};

/* ERR_INVALID for a path that is not supported. */
int pod_field(const struct pod_fields *f, struct arena *a, struct str path, struct str *ret, struct error *err);
/* `reference` is a ResourceFieldSelector; container_name is used where it names none. */
int pod_resource_field(const struct pod_fields *f, struct arena *a, struct view reference, struct str container_name,
                       struct str *ret, struct error *err);
/* A container of the spec by name, init containers too; absent view when there is none. */
struct view pod_container_spec(struct view pod, struct str name);
/* requests or limits (limits = true) of a resource in canonical units: milli for cpu, else units; -1 when not set. */
int64_t container_resource(struct view container, bool limits, const char *resource);

#endif
