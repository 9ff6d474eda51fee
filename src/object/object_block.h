/*
 * The layout of an object's block, and the builder that makes one. Private to object/.
 *
 *     header | entries | JSON text, zero-terminated
 *
 * Entries stand in document order, a value before what it holds, so that a subtree is a range. A value takes one entry of
 * eight bytes; these take a second:
 *
 *     string with escapes      { at, name, STRING | WIDE | raw length }    { plain_at, plain_bytes }
 *     container of very many   { at, name, type | WIDE }                   { slots in it, bytes of its text }
 *     name with escapes        before its value: { plain_at, type VALUE_ABSENT }   { plain_bytes, raw bytes }
 *
 * Unescaped text is not kept in the block: most of it (the annotation of `kubectl apply`) is never read. The first reader of
 * any escaped string makes a second block with all of them and publishes it with a compare and swap.
 */
#ifndef OBJECT_OBJECT_BLOCK_H
#define OBJECT_OBJECT_BLOCK_H

#include "object/object.h"

struct entry {
    union {
        uint32_t at;       /* of the value in the text */
        uint32_t plain_at; /* in the unescaped block */
        uint32_t slots;
    };
    union {
        struct {
            name_id name;  /* of the member; NAME_UNKNOWN: the text before `at` says it */
            uint16_t bits; /* type, WIDE, and length of the text or slots in the container */
        };
        uint32_t bytes;
    };
};
static_assert(sizeof(struct entry) == 8, "the index must stay small beside the text");

#define ENTRY_TYPE  0x0007u
#define ENTRY_WIDE  0x0008u
#define ENTRY_SHIFT 4
#define ENTRY_MANY  0x0fffu /* the length does not fit: it must be found out */

struct object {
    _Atomic uint32_t references;
    uint32_t text_bytes, entries_count, plain_bytes;
    uint32_t name_at, namespace_at, uid_at, revision_at; /* entries; 0 when absent */
    uint64_t revision;
    char *_Atomic plain; /* the unescaped strings, once somebody asked */
    struct entry entries[];
};

static inline const char *object_text(const struct object *o)
{
    return (const char *)(o->entries + o->entries_count);
}

static inline enum value_type entry_type(const struct entry *e)
{
    return (enum value_type)(e->bits & ENTRY_TYPE);
}

static inline bool entry_is_container(const struct entry *e)
{
    return entry_type(e) >= VALUE_ARRAY;
}

static inline uint32_t entry_size(const struct entry *e)
{
    return e->bits >> ENTRY_SHIFT;
}

/* Slots that the entry itself takes. */
static inline uint32_t entry_width(const struct entry *e)
{
    return e->bits & ENTRY_WIDE ? 2 : 1;
}

/* Slots that the value and everything in it take. */
static inline uint32_t entry_span(const struct entry *e)
{
    if (!entry_is_container(e))
        return entry_width(e);
    return e->bits & ENTRY_WIDE ? 2 + e[1].slots : 1 + entry_size(e);
}

/* Where the members or items of the container at `at` begin and end; the entry after a value; a value after its name's entry. */
static inline uint32_t entry_first(const struct object *o, uint32_t at)
{
    return at + entry_width(&o->entries[at]);
}

static inline uint32_t entry_after(const struct object *o, uint32_t at)
{
    return at + entry_span(&o->entries[at]);
}

static inline uint32_t entry_skip_name(const struct object *o, uint32_t at)
{
    return entry_type(&o->entries[at]) == VALUE_ABSENT ? at + 2 : at;
}

uint32_t object_value_bytes(const struct object *o, uint32_t at); /* length of the value's text */
const char *object_plain(const struct object *o);                 /* the unescaped block, made when needed */
void object_find_metadata(struct object *o);
struct object *object_freeze(const struct value *tree, size_t bytes_max,
                             struct error *err);                            /* object_new() with a limit */
struct object *object_block_new(uint32_t entries_count, size_t text_bytes); /* text zero-terminated, entries not set */

struct builder {
    char *text;
    size_t text_bytes, text_capacity;
    struct entry *entries;
    uint32_t entries_count, entries_capacity;
    uint32_t plain_bytes;
    char first_text[16 * 1024]; /* most objects never need the heap before their block */
    struct entry first_entries[1024];
};

void builder_init(struct builder *b);
void builder_done(struct builder *b);
struct object *builder_finish(struct builder *b); /* one malloc of the exact size */
void builder_grow_text(struct builder *b, size_t more);
void builder_grow_entries(struct builder *b);

static inline void builder_reserve(struct builder *b, size_t more)
{
    if (b->text_capacity - b->text_bytes < more)
        builder_grow_text(b, more);
}

static inline uint32_t builder_entry(struct builder *b, uint32_t at, name_id name, unsigned type, size_t size)
{
    if (b->entries_count + 2 > b->entries_capacity)
        builder_grow_entries(b);
    uint16_t bits = (uint16_t)(type | (unsigned)MIN(size, ENTRY_MANY) << ENTRY_SHIFT);
    b->entries[b->entries_count] = (struct entry){ .at = at, .name = name, .bits = bits };
    return b->entries_count++;
}

/* The second entry of a wide value. */
static inline void builder_entry_more(struct builder *b, uint32_t plain_at, uint32_t bytes)
{
    if (b->entries_count + 2 > b->entries_capacity)
        builder_grow_entries(b);
    b->entries[b->entries_count++] = (struct entry){ .plain_at = plain_at, .bytes = bytes };
}

/* A name with quotes and colon, or a string value, whose bytes may need escaping. Adds the entries escapes ask for. */
void builder_name(struct builder *b, struct str name);
void builder_string(struct builder *b, name_id name, struct str s);

static inline uint32_t builder_open(struct builder *b, name_id name, enum value_type type)
{
    uint32_t entry = builder_entry(b, (uint32_t)b->text_bytes, name, type, 0);
    b->text[b->text_bytes++] = type == VALUE_OBJECT ? '{' : '[';
    return entry;
}

void builder_widen(struct builder *b, uint32_t entry); /* the container at `entry` gets its second slot */

static inline void builder_close(struct builder *b, uint32_t entry)
{
    struct entry *e = &b->entries[entry];
    b->text[b->text_bytes++] = entry_type(e) == VALUE_OBJECT ? '}' : ']';
    uint32_t slots = b->entries_count - entry - 1;
    if (slots < ENTRY_MANY)
        e->bits |= (uint16_t)(slots << ENTRY_SHIFT);
    else
        builder_widen(b, entry);
}

#endif
