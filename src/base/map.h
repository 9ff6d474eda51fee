/*
 * Hash map from a string to a pointer. The map copies and owns its keys, never its values.
 *
 * Deterministic: iteration goes in the order of insertion (deleting keeps the order of the rest), so that plans made
 * from maps are the same on every run. Not thread-safe. Costs: get and put O(1), 24 bytes an entry plus the key.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map_entry;
struct map {
    struct map_entry *entries; /* in order of insertion, with holes where something was deleted */
    uint32_t *slots;           /* index into entries + 1, 0 = free */
    size_t count;              /* live entries */
    size_t first;              /* no live entry stands before this one */
    size_t used, capacity, slots_count;
};

#define AUTO_MAP CLEANUP(map_done)

void map_done(struct map *m); /* {0} is an empty map, and so is this after */
void map_clear(struct map *m);
void *map_get(const struct map *m, struct str key); /* NULL when absent */
bool map_has(const struct map *m, struct str key);
void *map_put(struct map *m, struct str key, void *value); /* returns the value that was there, or NULL */
void *map_del(struct map *m, struct str key);              /* returns the value that was there, or NULL */

/* for (size_t i = 0; map_next(&m, &i, &key, &value);) ...  Deleting the current key inside the loop is allowed. */
bool map_next(const struct map *m, size_t *i, struct str *ret_key, void **ret_value);

#endif
