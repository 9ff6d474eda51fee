/*
 * A queue of bytes to be sent: copies are gathered, owned bytes pass through untouched until they are released.
 *
 * Used by streams, TLS and HTTP/2 bodies. {0} is an empty queue; chunk_queue_clear() empties it and releases everything.
 */
#ifndef LOOP_CHUNK_H
#define LOOP_CHUNK_H

#include "base/str.h"
#include "loop/loop.h"

/* Owned bytes have a release or an owner; copies live behind the struct. */
struct chunk {
    struct chunk *next;
    const char *p; /* what is left of it */
    size_t n;
    size_t room; /* copies: bytes that can still be appended after p + n */
    loop_fn *release;
    void *owner;
};

struct chunk_queue {
    struct chunk *first, *last;
    size_t bytes;
};

void chunk_queue_add_copy(struct chunk_queue *q, struct str bytes);
void chunk_queue_add_owned(struct chunk_queue *q, struct str bytes, loop_fn *release, void *owner);
void chunk_queue_drop(struct chunk_queue *q, size_t n); /* n bytes from the front were dealt with */
void chunk_queue_clear(struct chunk_queue *q);
size_t chunk_queue_read(struct chunk_queue *q, char *to, size_t n);      /* copies up to n bytes out and drops them */
void chunk_queue_move(struct chunk_queue *to, struct chunk_queue *from); /* appends all of `from`, without copying */

#endif
