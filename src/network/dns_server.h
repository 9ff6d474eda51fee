/*
 * Cluster DNS of one node: UDP and TCP on the DNS Service's address, bound on the node's own bridge.
 *
 * Names of the cluster are answered from an index that follows Services and EndpointSlices, without allocating; other names are
 * forwarded, and a bounded cache remembers the answers. Sources: Kubernetes DNS-Based Service Discovery 1.1.0, RFC 1035,
 * 2308, 2782, 5452 (what makes forged answers hard), 6891.
 */
#ifndef NETWORK_DNS_SERVER_H
#define NETWORK_DNS_SERVER_H

#include "loop/loop.h"
#include "object/object.h"

struct dns_server;
/* upstream: "ADDRESS[:PORT]", NULL: the first of /etc/resolv.conf, "": other names are refused. The address must exist. */
struct dns_server *dns_server_new(struct loop *loop, struct env *env, const char *cluster_domain, uint32_t ip,
                                  const char *upstream, struct error *err);
void dns_server_free(struct dns_server *s); /* NULL is fine */
/* service NULL: gone. key: "namespace/name". */
void dns_server_put_service(struct dns_server *s, struct str key, const struct object *service,
                            const struct object *const *slices, size_t slices_count);
/* All Services were put: from now on a name that is not known does not exist. Before, the cluster's names get SERVFAIL. */
void dns_server_set_complete(struct dns_server *s);

#endif
