/*
 * Questions about other names: asked of one upstream server, remembered for their time to live.
 *
 * Each question leaves from a socket of its own (a random port, chosen by the kernel) with a random id, and only an answer to
 * the same question from the same server counts (RFC 5452). At most FORWARD_MAX are on the way; further ones get SERVFAIL.
 */
#ifndef NETWORK_DNS_FORWARD_H
#define NETWORK_DNS_FORWARD_H

#include "loop/address.h"
#include "loop/loop.h"
#include "wire/dns.h"

#define FORWARD_MAX        1000
#define FORWARD_TIMEOUT_MS 2000
#define FORWARD_TRIES      2
#define FORWARD_CACHE_MAX  4096 /* answers */

struct dns_forward;
/* answer: the packet for the client; its id and question are the client's already. Called once, maybe at once. */
typedef void dns_forwarded(void *arg, struct str answer);

struct dns_forward *dns_forward_new(struct loop *loop, struct env *env, const struct address *upstream);
void dns_forward_free(struct dns_forward *f); /* questions on the way are dropped without a call */
/* alias not empty: ask for that name instead and answer with a CNAME before what comes. */
void dns_forward_ask(struct dns_forward *f, const struct dns_query *q, struct str alias, bool tcp, dns_forwarded *done,
                     void *arg);
/*
 * The answer to q in `out`: a CNAME to alias, then the addresses in `packet`, which answers for alias. Packets that cannot be read
 * give the CNAME alone.
 */
size_t dns_forward_alias(const struct dns_query *q, struct str alias, uint8_t *packet, size_t n, bool tcp, void *out,
                         size_t max);
void dns_forward_cancel(struct dns_forward *f, void *arg); /* no more calls with this arg */

#endif
