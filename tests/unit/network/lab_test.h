/* For tests of packets: they leave the machine's namespace, and say things to a node that are in force when the call returns. */
#ifndef TESTS_NETWORK_LAB_TEST_H
#define TESTS_NETWORK_LAB_TEST_H

#include "lab.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* Leave the machine's namespace before anything else happens. */
__attribute__((constructor)) static void leave(void)
{
    if (unshare(CLONE_NEWNET) < 0) {
        perror("these tests make network namespaces and need root");
        exit(77);
    }
}

#define SERVICE "10.96.0.80"

static inline void ready(struct lab_node *n)
{
    lab_synced(n->api);
    LAB_UNTIL(n, network_is_ready(n->network), 2000);
}

static inline void applied(struct lab_node *n)
{
    uint64_t wanted = lab_revision();

    lab_bookmark(n->api, "EndpointSlice");
    LAB_UNTIL(n, network_applied_revision(n->network) > wanted, 2000);
}

static inline void endpoints(struct lab_node *n, const char *service, const char *protocol, const char *a,
                             const char *b)
{
    lab_say_endpoints(n->api, service, protocol, (const char *const[]){ a, a ? b : NULL, NULL });
    applied(n);
}

#endif
