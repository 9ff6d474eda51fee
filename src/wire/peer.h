/*
 * Messages between the agents of nodes: 104 bytes, one datagram, authenticated. Who hears whom, and nothing else.
 *
 *     "KLP1" | type 1 | zero 3 | from 16 | to 16 | session 8 | stamp 8 | echo session 8 | echo stamp 8 | HMAC-SHA-256 of all before 32
 *
 * Numbers are big-endian. from and to name nodes by the first half of SHA-256 of their names. session is drawn by each agent when it starts,
 * stamp is its clock when it sent; both together come back as an echo, so that a message proves that its sender read one of
 * ours, and how old that one was: what is replayed, reflected or sent to another is told by it. node/peers.h has the exchange.
 *
 * The key is the cluster's; nodes get it with their identity, pods never see it.
 */
#ifndef WIRE_PEER_H
#define WIRE_PEER_H

#include "base/str.h"

#include <stdint.h>

#define PEER_MESSAGE_SIZE 104
#define PEER_ID_SIZE      16
#define PEER_KEY_SIZE     32

enum peer_message_type {
    PEER_ASK = 1,   /* who are you, do you hear me */
    PEER_ANSWER,    /* I heard you, and know that you heard me a moment ago */
    PEER_CHALLENGE, /* I do not know that: ask again with this stamp as an echo */
};

struct peer_message {
    enum peer_message_type type;
    uint8_t from[PEER_ID_SIZE], to[PEER_ID_SIZE];
    uint64_t session, stamp;
    uint64_t echo_session, echo_stamp; /* 0: none yet */
};

void peer_id(struct str node_name, uint8_t ret[PEER_ID_SIZE]);
void peer_message_write(const struct peer_message *m, const uint8_t key[PEER_KEY_SIZE], uint8_t ret[PEER_MESSAGE_SIZE]);
/* False for everything that was not written with this key: wrong length, form, or HMAC (compared in constant time). */
bool peer_message_read(struct str bytes, const uint8_t key[PEER_KEY_SIZE], struct peer_message *ret);

#endif
