/*
 * A netlink socket used synchronously: one request, one answer. rtnetlink, ctnetlink and nfnetlink answer inside sendmsg(),
 * so a request takes microseconds; SO_RCVTIMEO bounds the wait all the same.
 *
 * Errors carry the kernel's errno in err->sys (EEXIST, ENODEV ...), for callers that expect them. One thread per socket.
 */
#ifndef NETWORK_NETLINK_H
#define NETWORK_NETLINK_H

#include "base/buf.h"
#include "base/error.h"

#include <libmnl/libmnl.h>

#define NETLINK_REQUEST_MAX (8 * KIB)
#define NETLINK_ANSWER_MAX  (64 * KIB) /* the kernel fills at most 32 KiB a read while dumping */

struct netlink {
    int fd;
    uint32_t seq;
    char *request, *answer;
};

int netlink_open(struct netlink *nl, int protocol, struct error *err); /* NETLINK_ROUTE, NETLINK_NETFILTER */
void netlink_close(struct netlink *nl);                                /* {.fd = -1} and {0} are fine */

/* Begin a request in the socket's own buffer; NLM_F_REQUEST comes by itself. `extra` (ifinfomsg ...) is copied. */
struct nlmsghdr *netlink_start(struct netlink *nl, uint16_t type, uint16_t flags, const void *extra, size_t extra_n);
/* Send it and wait for the acknowledgement. */
int netlink_do(struct netlink *nl, struct nlmsghdr *request, struct error *err);
/* Send it (a dump or a single get) and hand every message of the answer to fn, which returns MNL_CB_OK or an mnl stop. */
int netlink_get(struct netlink *nl, struct nlmsghdr *request, mnl_cb_t fn, void *arg, struct error *err);

#endif
