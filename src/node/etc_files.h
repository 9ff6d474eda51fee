/* /etc/hosts, /etc/hostname and /etc/resolv.conf of a pod. Pure text; the caller writes the files. Source: kubelet's hosts and dns packages. */
#ifndef NODE_ETC_FILES_H
#define NODE_ETC_FILES_H

#include "base/buf.h"
#include "object/object.h"

struct etc_input {
    struct view pod;
    struct str ip; /* the pod's */
    struct str cluster_domain, dns_address;
    struct str node_hosts, node_resolv; /* contents of the node's own files */
    struct str node_name;
};

/* The host name: spec.hostname or the pod's name, at most 63 characters; the node's own for host networking. */
struct str etc_hostname(const struct etc_input *in, struct arena *a);
void etc_write_hosts(const struct etc_input *in, struct arena *a, struct buf *to);
void etc_write_resolv(const struct etc_input *in, struct arena *a, struct buf *to);

#endif
