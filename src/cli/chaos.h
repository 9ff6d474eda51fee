/* What `klein chaos` and `klein prove` share: a local cluster as chaos sees it, and its faults on record. */
#ifndef CLI_CHAOS_H
#define CLI_CHAOS_H

#include "chaos/fault.h"
#include "cli/cluster.h"

/* Machines from the record, processes from /proc. Heap; free() it. */
struct seen *cluster_see(const struct cluster_record *c, struct error *err);
/* Undo what is on record, all or what nobody else will undo, and make destroyed machines again. Blocking. */
int cluster_undo(const char *name, bool orphans_only, int *ret_count, struct error *err);
/* The same without making machines again, for `klein up` and `klein down`. */
int cluster_undo_orphans(const struct cluster_record *c, struct error *err);
/* What `klein up --name NAME` does; in up.c. */
int cluster_repair(const char *name, struct error *err);
/* "NAMESPACE/NAME" or "NAME" of a pod to its uid: heap. */
char *cluster_pod_uid(const struct cluster_record *c, const char *pod, struct error *err);

#endif
