/*
 * This node as the cluster sees it: the Node object (created when absent, kept current), its conditions, and its Lease.
 *
 * Written at once when something a scheduler reads changes, else every 5 minutes; the Lease every 10 s. Source: kubelet's node status.
 */
#ifndef NODE_NODE_STATUS_H
#define NODE_NODE_STATUS_H

#include "node/agent_state.h"

#define LEASE_SECONDS    40
#define LEASE_RENEW_MS   10000
#define STATUS_PERIOD_MS (5 * 60 * 1000)

struct node_status;

struct node_status *node_status_new(struct agent *a);
void node_status_free(struct node_status *s);
/* Something may have changed: written soon if it did. */
void node_status_touch(struct node_status *s);
bool node_is_ready(const struct node_status *s);

/* The machine, read once at start: allocatable follows from it. */
struct machine_facts {
    int64_t milli_cpu, memory_bytes, disk_bytes;
    char *kernel, *os_image, *machine_id, *boot_id, *system_uuid, *runtime_version;
};
void machine_facts_read(struct machine_facts *m, const char *data_folder);
void machine_facts_done(struct machine_facts *m);
/* Source: crun --version; blocking. */
char *machine_runtime_version(const char *crun);

#endif
