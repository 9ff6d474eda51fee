/*
 * The cluster's names: an index from Services to answers, kept by whoever follows the caches, asked once per query.
 *
 * Answering allocates nothing. Names: SERVICE.NAMESPACE.svc.DOMAIN, HOSTNAME.SERVICE..., _PORT._PROTOCOL.SERVICE...,
 * 1-2-3-4.NAMESPACE.pod.DOMAIN, and PTR of Service and endpoint addresses.
 * Source: Kubernetes DNS-Based Service Discovery, version 1.1.0.
 */
#ifndef NETWORK_DNS_ZONE_H
#define NETWORK_DNS_ZONE_H

#include "object/object.h"
#include "wire/dns.h"

#define DNS_TTL_S 5 /* of every answer about the cluster, found or not */

struct dns_zone;
struct dns_zone *dns_zone_new(const char *domain);
void dns_zone_free(struct dns_zone *z);
/* Replace what is known of a Service; service NULL: gone. */
void dns_zone_put(struct dns_zone *z, struct str namespace_, struct str name, const struct object *service,
                  const struct object *const *slices, size_t slices_count);
/*
 * The answer's length in `out`, or 0: not a name of the cluster. For an ExternalName also 0, with *ret_alias set to the name to
 * ask instead (lives until the next put).
 */
size_t dns_zone_answer(struct dns_zone *z, const struct dns_query *q, bool tcp, void *out, size_t max,
                       struct str *ret_alias);

#endif
