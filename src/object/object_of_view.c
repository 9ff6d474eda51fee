/* A part of an object as an object of its own. */
#include "object/object_block.h"
#include "object/value.h"

/* apiVersion and kind must be the first members of an object's root; in a part they may stand anywhere. */
static bool is_in_order(struct view v)
{
    struct view_iter it = { 0 };
    bool others = false;
    while (view_type(v) == VALUE_OBJECT && view_next(v, &it)) {
        bool first = str_is(it.key, "apiVersion") || str_is(it.key, "kind");
        if (first && others)
            return false;
        others |= !first;
    }
    return true;
}

/* Unescaped strings lie one after the other in the order of the entries, so those of a part are a range. */
static void move_plain(struct object *o, struct entry *first, uint32_t *start, bool *started, uint32_t bytes)
{
    if (!*started)
        *start = first->plain_at;
    *started = true;
    first->plain_at -= *start;
    o->plain_bytes = first->plain_at + bytes;
}

static struct object *copy_range(struct view v)
{
    const struct entry *from = &v.o->entries[v.at];
    uint32_t count = entry_span(from), text_at = from->at, text_bytes = object_value_bytes(v.o, v.at), plain_start = 0;
    struct object *o = object_block_new(count, text_bytes);
    bool started = false;
    memcpy(o->entries, from, count * sizeof(*from));
    memcpy((char *)object_text(o), object_text(v.o) + text_at, text_bytes);
    o->entries[0].name = NAME_UNKNOWN;
    for (uint32_t i = 0; i < count;) {
        struct entry *e = &o->entries[i];
        if (entry_type(e) == VALUE_ABSENT) {
            move_plain(o, e, &plain_start, &started, e[1].slots);
            i += 2;
            continue;
        }
        e->at -= text_at;
        if (entry_type(e) == VALUE_STRING && (e->bits & ENTRY_WIDE))
            move_plain(o, &e[1], &plain_start, &started, e[1].bytes);
        i += entry_width(e);
    }
    object_find_metadata(o);
    return o;
}

struct object *object_of_view(struct view v, struct error *err)
{
    if (!view_present(v))
        return fail_null(err, ERR_BAD_REQUEST, "nothing is there");
    if (is_in_order(v))
        return copy_range(v);
    AUTO_ARENA struct arena a = { 0 };
    return object_freeze(value_of_view(&a, v), OBJECT_LIMIT_MAX, err);
}
