/* IPv4 addresses and prefixes as numbers in network order, the way the kernel wants them. klein's pod network is IPv4. */
#ifndef NETWORK_IP_H
#define NETWORK_IP_H

#include "base/str.h"

#include <arpa/inet.h>

#define IP_TEXT_SIZE INET_ADDRSTRLEN
#define MAC_SIZE     6

struct ip_prefix {
    uint32_t ip, mask; /* network order; ip has no bits outside the mask */
    uint8_t length;
};

bool ip_parse(struct str text, uint32_t *ret_ip); /* dotted decimal only, no leading zeros */
bool ip_prefix_parse(struct str text, struct ip_prefix *ret);
char *ip_format(uint32_t ip, char text[IP_TEXT_SIZE]); /* returns text */
static inline bool ip_prefix_has(const struct ip_prefix *p, uint32_t ip)
{
    return p->mask && (ip & p->mask) == p->ip;
}
static inline uint32_t ip_prefix_nth(const struct ip_prefix *p, uint32_t n)
{
    return htonl(ntohl(p->ip) + n);
}
/* 02:6b and the address: everybody who knows the address knows the MAC, so nothing has to be asked for (ARP). */
void ip_mac(uint32_t ip, unsigned char ret[MAC_SIZE]);
#define MAC_VXLAN_FIRST 0x6c /* second byte of the tunnel's MAC, where the address is the node's */

#endif
