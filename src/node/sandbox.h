/*
 * A pod's sandbox: network, IPC and UTS namespaces kept alive by bind-mounted nsfs files, without a pause process.
 *
 * Blocking (a few milliseconds): call from a worker. Everything of one sandbox lies in one folder:
 * FOLDER/net, FOLDER/ipc, FOLDER/uts (nsfs), FOLDER/shm (tmpfs for /dev/shm).
 */
#ifndef NODE_SANDBOX_H
#define NODE_SANDBOX_H

#include "base/error.h"

struct sandbox_options {
    const char *folder;
    const char *hostname; /* in the new UTS namespace */
    bool host_network;    /* then also the node's UTS namespace */
    bool host_ipc;
};

/* Creating an existing sandbox again is an error: remove it first. */
int sandbox_create(const struct sandbox_options *o, struct error *err);
/* Idempotent; what cannot be removed is logged. */
void sandbox_remove(const char *folder);

#endif
