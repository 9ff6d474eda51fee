/* The write queue of a stream: copies are gathered in chunks, owned bytes pass through untouched. */
#include "loop/chunk.h"

#include <stdlib.h>

#define CHUNK_BYTES (16 * KIB) /* small copies share chunks of this size */

static void push(struct chunk_queue *q, struct chunk *c)
{
    if (q->last)
        q->last->next = c;
    else
        q->first = c;
    q->last = c;
}

static void chunk_free(struct chunk *c)
{
    if (c->release)
        c->release(c->owner);
    free(c);
}

void chunk_queue_add_copy(struct chunk_queue *q, struct str bytes)
{
    struct chunk *c = q->last;
    size_t fit = c ? MIN(c->room, bytes.n) : 0;

    q->bytes += bytes.n;
    if (fit) {
        memcpy((char *)c->p + c->n, bytes.p, fit);
        c->n += fit;
        c->room -= fit;
        bytes = str_from(bytes, fit);
    }
    if (!bytes.n)
        return;
    /* The first chunk fits exactly: most streams queue nothing, and an idle one must not keep 16 KiB. */
    fit = q->first ? MAX(bytes.n, CHUNK_BYTES) : bytes.n;
    c = xmalloc(sizeof(*c) + fit);
    *c = (struct chunk){ .p = (char *)(c + 1), .n = bytes.n, .room = fit - bytes.n };
    memcpy(c + 1, bytes.p, bytes.n);
    push(q, c);
}

void chunk_queue_add_owned(struct chunk_queue *q, struct str bytes, loop_fn *release, void *owner)
{
    struct chunk *c = xmalloc(sizeof(*c));

    *c = (struct chunk){ .p = bytes.p, .n = bytes.n, .release = release, .owner = owner };
    q->bytes += bytes.n;
    push(q, c);
}

void chunk_queue_drop(struct chunk_queue *q, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (q->first && n >= q->first->n) {
        struct chunk *c = q->first;

        n -= c->n;
        q->first = c->next;
        if (!q->first)
            q->last = NULL;
        chunk_free(c);
    }
    if (n) {
        q->first->p += n;
        q->first->n -= n;
    }
}

void chunk_queue_clear(struct chunk_queue *q)
{
    chunk_queue_drop(q, q->bytes);
}

size_t chunk_queue_read(struct chunk_queue *q, char *to, size_t n)
{
    size_t done = 0;

    while (done < n && q->first) {
        size_t part = MIN(n - done, q->first->n);

        memcpy(to + done, q->first->p, part);
        chunk_queue_drop(q, part);
        done += part;
    }
    return done;
}

void chunk_queue_move(struct chunk_queue *to, struct chunk_queue *from)
{
    if (!from->first)
        return;
    if (to->last)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    to->bytes += from->bytes;
    *from = (struct chunk_queue){ 0 };
}
