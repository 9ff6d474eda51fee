/* Names that come twice in one object: the last value wins, and strict validation hears of it. */
#include "object/value_place.h"
#include "base/error.h"

#define FEW 32 /* members; comparing all pairs of so few is cheaper than a hash table */

static void write_path(struct buf *to, const struct place *place)
{
    if (!place)
        return;
    write_path(to, place->up);
    if (!place->key.p) {
        buf_addf(to, "[%u]", place->index);
        return;
    }
    if (to->n)
        buf_add_char(to, '.');
    buf_add(to, place->key);
}

static void report(struct arena *a, const struct place *place, struct str name, struct value *duplicates)
{
    if (!duplicates || duplicates->items_count >= ERROR_CAUSES_MAX)
        return;
    AUTO_BUF struct buf path = BUF_MAX(4 * KIB);
    write_path(&path, place);
    if (path.n)
        buf_add_char(&path, '.');
    buf_add(&path, name);
    value_append(a, duplicates, value_str(a, arena_str(a, buf_str(&path))));
}

static bool same_name(const struct member *a, const struct member *b)
{
    return a->id == b->id && (a->id != NAME_UNKNOWN || str_eq(a->name, b->name));
}

static bool few_and_different(const struct member *members, uint32_t count)
{
    if (count > FEW)
        return false;
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (same_name(&members[i], &members[j]))
                return false;
    return true;
}

uint32_t members_keep_last(struct arena *a, struct member *members, uint32_t count, const struct place *place,
                           struct value *duplicates)
{
    if (few_and_different(members, count))
        return count;
    uint32_t slots_count = 16, kept = 0;
    while (slots_count < count * 2)
        slots_count *= 2;
    AUTO_FREE uint32_t *slots = xcalloc(slots_count, sizeof(*slots));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)str_hash(members[i].name) & (slots_count - 1);
        while (slots[at] && !same_name(&members[slots[at] - 1], &members[i]))
            at = (at + 1) & (slots_count - 1);
        if (slots[at]) {
            members[slots[at] - 1].value = members[i].value;
            report(a, place, members[i].name, duplicates);
            continue;
        }
        members[kept++] = members[i];
        slots[at] = kept;
    }
    return kept;
}
