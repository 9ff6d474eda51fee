/* Interned field names: an open-addressing table from the text to the number, built once at start. */
#include "object/name.h"
#include "object/name_hash.h"

#include <stdlib.h>

static struct {
    const struct str *names;
    size_t count;
    uint16_t *slots; /* name_id, 0 = free */
    uint32_t mask;
} table;

void name_table_set(const struct str *names, size_t count)
{
    if (table.names == names && table.count == count)
        return;
    assert(count <= UINT16_MAX);

    uint32_t slots = 64;
    while (slots < count * 4) /* a quarter full: most misses end at the first slot */
        slots *= 2;
    free(table.slots);
    table.slots = xcalloc(slots, sizeof(*table.slots));
    table.mask = slots - 1;
    table.names = names;
    table.count = count;
    for (size_t id = 1; id < count; id++) {
        uint32_t at = name_hash(names[id].p, names[id].n) & table.mask;
        while (table.slots[at])
            at = (at + 1) & table.mask;
        table.slots[at] = (uint16_t)id;
    }
}

name_id name_find(struct str name)
{
    if (!table.slots || name.n == 0)
        return NAME_UNKNOWN;
    for (uint32_t at = name_hash(name.p, name.n) & table.mask; table.slots[at]; at = (at + 1) & table.mask) {
        name_id id = table.slots[at];
        if (table.names[id].n == name.n && memcmp(table.names[id].p, name.p, name.n) == 0)
            return id;
    }
    return NAME_UNKNOWN;
}

struct str name_text(name_id id)
{
    return id != NAME_UNKNOWN && id < table.count ? table.names[id] : STR_NONE;
}
