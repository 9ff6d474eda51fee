/*
 * The map: entries in order of insertion, and an open-addressed table of indexes into them (linear probing).
 *
 * Always true: a slot is 0 or the index of an entry plus one; every live entry is reachable from the slot its hash
 * names without passing a 0; a deleted entry stays as a hole (key NULL) with its slot, until the next rebuild; there
 * are at least twice as many slots as entries, so probing ends; no live entry stands before `first`.
 */
#include "base/map.h"

#include <stdlib.h>

struct map_entry {
    char *key; /* NULL: a hole */
    void *value;
    uint32_t n;
    uint32_t hash;
};

#define CAPACITY_MIN ((size_t)8)

void map_clear(struct map *m)
{
    for (size_t i = 0; i < m->used; i++)
        free(m->entries[i].key);
    if (m->slots)
        memset(m->slots, 0, m->slots_count * sizeof(*m->slots));
    m->count = m->used = m->first = 0;
}

void map_done(struct map *m)
{
    if (!m)
        return;
    map_clear(m);
    free(m->entries);
    free(m->slots);
    *m = (struct map){ 0 };
}

static struct map_entry *find(const struct map *m, struct str key, uint32_t hash)
{
    if (m->count == 0)
        return NULL;
    for (size_t at = hash & (m->slots_count - 1); m->slots[at]; at = (at + 1) & (m->slots_count - 1)) {
        struct map_entry *entry = &m->entries[m->slots[at] - 1];

        if (entry->key && entry->hash == hash && str_eq(key, (struct str){ entry->key, entry->n }))
            return entry;
    }
    return NULL;
}

static void slot_set(struct map *m, uint32_t hash, size_t index)
{
    size_t at = hash & (m->slots_count - 1);

    while (m->slots[at])
        at = (at + 1) & (m->slots_count - 1);
    m->slots[at] = (uint32_t)(index + 1);
}

/* Closes the holes and chooses the capacity anew: double when really full, half when nearly empty. */
static void rebuild(struct map *m)
{
    size_t capacity = MAX(m->capacity, CAPACITY_MIN), live = 0;

    if (m->count > capacity / 4 * 3)
        capacity *= 2;
    else if (m->count < capacity / 8 && capacity > CAPACITY_MIN)
        capacity /= 2;
    assert(capacity < UINT32_MAX / 4);
    for (size_t i = m->first; i < m->used; i++)
        if (m->entries[i].key)
            m->entries[live++] = m->entries[i];
    m->used = live;
    m->first = 0;
    if (capacity != m->capacity) {
        m->entries = xrealloc(m->entries, capacity * sizeof(*m->entries));
        m->capacity = capacity;
        free(m->slots);
        m->slots_count = capacity * 2;
        m->slots = xcalloc(m->slots_count, sizeof(*m->slots));
    } else {
        memset(m->slots, 0, m->slots_count * sizeof(*m->slots));
    }
    for (size_t i = 0; i < live; i++)
        slot_set(m, m->entries[i].hash, i);
}

void *map_get(const struct map *m, struct str key)
{
    struct map_entry *entry = m->count ? find(m, key, (uint32_t)str_hash(key)) : NULL;

    return entry ? entry->value : NULL;
}

bool map_has(const struct map *m, struct str key)
{
    return m->count && find(m, key, (uint32_t)str_hash(key)) != NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
    uint32_t hash = (uint32_t)str_hash(key);
    struct map_entry *entry = find(m, key, hash);

    assert(key.n <= UINT32_MAX);
    if (entry) {
        void *old = entry->value;

        entry->value = value;
        return old;
    }
    if (m->used == m->capacity)
        rebuild(m);
    slot_set(m, hash, m->used);
    m->entries[m->used++] =
        (struct map_entry){ .key = str_dup(key), .n = (uint32_t)key.n, .hash = hash, .value = value };
    m->count++;
    return NULL;
}

void *map_del(struct map *m, struct str key)
{
    struct map_entry *entry = m->count ? find(m, key, (uint32_t)str_hash(key)) : NULL;
    void *value;

    if (!entry)
        return NULL;
    value = entry->value;
    free(entry->key);
    *entry = (struct map_entry){ 0 };
    m->count--;
    while (m->first < m->used && !m->entries[m->first].key)
        m->first++; /* so that taking always the first key stays O(1) */
    return value;
}

bool map_next(const struct map *m, size_t *i, struct str *ret_key, void **ret_value)
{
    for (*i = MAX(*i, m->first); *i < m->used; (*i)++) {
        const struct map_entry *entry = &m->entries[*i];

        if (!entry->key)
            continue;
        if (ret_key)
            *ret_key = (struct str){ entry->key, entry->n };
        if (ret_value)
            *ret_value = entry->value;
        (*i)++;
        return true;
    }
    return false;
}
