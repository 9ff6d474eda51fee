/* The ring of recent changes of one kind, and the changes themselves. */
#include "server/change_ring.h"

#include "server/watch_frames.h"

#include <stdlib.h>

static_assert(CHANGE_RING_MAX > STORE_QUEUE_MAX, "a batch of writes must fit");

struct change *change_new(enum change_type type, uint64_t revision, const struct kind *k, const struct object *object,
                          const struct object *previous)
{
    struct change *c = xnew(struct change);
    c->count = 1;
    c->type = type;
    c->revision = revision;
    c->kind = k;
    c->object = object_ref(object);
    c->previous = object_ref(previous);
    return c;
}

struct change *change_ref(struct change *c)
{
    __atomic_fetch_add(&c->count, 1, __ATOMIC_RELAXED);
    return c;
}

void change_unref(struct change *c)
{
    if (!c || __atomic_fetch_sub(&c->count, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    change_frames_free(c->frames);
    object_unref(c->object);
    object_unref(c->previous);
    free(c);
}

/* `previous` is the object of an earlier change, mostly still in the ring: count each object once. */
static size_t change_bytes(const struct change *c)
{
    return sizeof(*c) + object_block_bytes(c->object);
}

static void forget_oldest(struct change_ring *r)
{
    struct change *c = r->slots[r->first];
    r->first = (r->first + 1) & (r->capacity - 1);
    r->count--;
    r->bytes -= change_bytes(c);
    r->since = c->revision;
    change_unref(c);
}

static void grow(struct change_ring *r)
{
    size_t capacity = r->capacity ? r->capacity * 2 : 64;
    struct change **slots = xcalloc(capacity, sizeof(*slots));
    for (size_t i = 0; i < r->count; i++)
        slots[i] = change_ring_at(r, i);
    free(r->slots);
    r->slots = slots;
    r->capacity = capacity;
    r->first = 0;
}

void change_ring_add(struct change_ring *r, struct change *c)
{
    while (r->count && (r->count == CHANGE_RING_MAX || r->bytes + change_bytes(c) > CHANGE_RING_BYTES))
        forget_oldest(r);
    if (r->count == r->capacity)
        grow(r);
    r->slots[(r->first + r->count) & (r->capacity - 1)] = change_ref(c);
    r->count++;
    r->bytes += change_bytes(c);
}

ptrdiff_t change_ring_find(const struct change_ring *r, uint64_t revision)
{
    if (revision < r->since)
        return -1;
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (change_ring_at(r, middle)->revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return (ptrdiff_t)low;
}

struct change *change_ring_at(const struct change_ring *r, size_t i)
{
    return i < r->count ? r->slots[(r->first + i) & (r->capacity - 1)] : NULL;
}

void change_ring_forget(struct change_ring *r, uint64_t revision, size_t keep)
{
    while (r->count > keep && r->slots[r->first]->revision <= revision)
        forget_oldest(r);
}

void change_ring_done(struct change_ring *r)
{
    while (r->count)
        forget_oldest(r);
    free(r->slots);
    *r = (struct change_ring){ 0 };
}
