/*
 * What agents hear of each other: small UDP messages (wire/peer.h), so that a node is not given up because the servers' way to it is at
 * fault, and so that a node knows whether it is cut off. Section 5 of docs/design/high-availability.md.
 *
 * Four times a second this agent asks each of its peers: all other nodes when there are at most 16, else 16 by rendezvous hash. Who is asked
 * answers, whether the asker is a peer of its or not.
 *
 * A round trip counts, and only that: an ask that carries the echo of something we sent within the last 2 s, or an answer to an ask of ours. So a
 * path that is cut in one direction is cut for both ends, and a replayed message proves nothing. What we answer with PEER_ANSWER is
 * always counted as heard: whoever takes our answer for contact is known to us as heard then.
 *
 * Everything on one loop; on a sim loop it runs in virtual time.
 */
#ifndef NODE_PEERS_H
#define NODE_PEERS_H

#include "base/buf.h"
#include "loop/udp.h"
#include "wire/peer.h"

#define PEERS_MAX       16
#define PEERS_PORT      10260
#define PEERS_ASK_MS    250
#define PEERS_SILENT_MS 1000 /* not heard for so long: told to the servers */

struct peers;

struct peers_config {
    struct str node_name;          /* copied */
    struct address bind;           /* the node's address, PEERS_PORT */
    void (*on_change)(void *arg);  /* peers_write_report() would write something else */
    void (*on_contact)(void *arg); /* peers_contact_ms() may have grown */
    void *arg;
};

struct peers *peers_new(struct loop *loop, const struct peers_config *c, struct error *err);
void peers_free(struct peers *p); /* NULL is fine */
void peers_set_key(struct peers *p,
                   const uint8_t key[PEER_KEY_SIZE]); /* before it nothing is sent and all is dropped */

/* All nodes of the cluster, this one may be among them. Known ones keep what was heard of them. */
struct peers_node {
    struct str name;
    struct address address;
};
void peers_set_nodes(struct peers *p, const struct peers_node *nodes, size_t count);

size_t peers_count(const struct peers *p); /* how many this agent asks */
/*
 * The latest loop time t such that so many peers answered what was sent at or after t that with this node they are more than half; for 10 s
 * after a change of peers both the old and the new ones must be. INT64_MIN: never, or no peers.
 */
int64_t peers_contact_ms(const struct peers *p);
/* ,"peers":["a"],"unheard":{"b":1200}: at most `max` bytes; who does not fit into unheard is left out. */
void peers_write_report(const struct peers *p, struct buf *to, size_t max);

#endif
