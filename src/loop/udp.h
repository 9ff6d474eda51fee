/*
 * Datagrams: receives and sends in batches (recvmmsg, sendmmsg), so that one core can answer 150,000 DNS queries a
 * second. Datagrams may be lost by design: a full socket buffer drops what is sent, and counts it.
 */
#ifndef LOOP_UDP_H
#define LOOP_UDP_H

#include "loop/address.h"
#include "loop/loop.h"

#define UDP_DATAGRAM_MAX 4096 /* longer datagrams are cut */

struct udp;
struct udp_callbacks {
    /* bytes are valid during the call */
    void (*on_datagram)(struct udp *u, const struct address *from, struct str bytes, void *arg);
    void (*on_closed)(struct udp *u, void *arg); /* may be NULL */
};
struct udp_options {
    bool reuse_port;
    bool transparent;    /* IP_FREEBIND: the address need not exist yet */
    size_t buffer_bytes; /* SO_RCVBUF and SO_SNDBUF; 0: the kernel's */
};

struct udp *udp_open(struct loop *loop, const struct address *bind, const struct udp_options *options,
                     const struct udp_callbacks *cb, void *arg, struct error *err);
struct udp *udp_wrap(struct loop *loop, int fd, const struct udp_callbacks *cb, void *arg, struct error *err);
/* Copies; sent at the end of the batch or round. Larger than UDP_DATAGRAM_MAX: dropped and counted. */
void udp_send(struct udp *u, const struct address *to, struct str bytes);
struct address udp_address(const struct udp *u);
uint64_t udp_dropped(const struct udp *u);
void udp_close(struct udp *u); /* NULL is fine */

#endif
