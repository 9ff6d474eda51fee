/* An object's life: the builder's last step, counting references, metadata, a copy with another revision. */
#include "object/object_block.h"
#include "object/json_scan.h"
#include "object/value.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

void builder_init(struct builder *b)
{
    b->text = b->first_text;
    b->text_bytes = 0;
    b->text_capacity = sizeof(b->first_text);
    b->entries = b->first_entries;
    b->entries_count = 0;
    b->entries_capacity = ARRAY_SIZE(b->first_entries);
    b->plain_bytes = 0;
}

void builder_done(struct builder *b)
{
    if (b->text != b->first_text)
        free(b->text);
    if (b->entries != b->first_entries)
        free(b->entries);
}

void builder_grow_text(struct builder *b, size_t more)
{
    size_t capacity = MAX(b->text_capacity * 2, b->text_bytes + more);
    if (b->text == b->first_text) {
        b->text = xmalloc(capacity);
        memcpy(b->text, b->first_text, b->text_bytes);
    } else {
        b->text = xrealloc(b->text, capacity);
    }
    b->text_capacity = capacity;
}

void builder_grow_entries(struct builder *b)
{
    uint32_t capacity = b->entries_capacity * 2;
    if (b->entries == b->first_entries) {
        b->entries = xmalloc(capacity * sizeof(*b->entries));
        memcpy(b->entries, b->first_entries, b->entries_count * sizeof(*b->entries));
    } else {
        b->entries = xrealloc(b->entries, capacity * sizeof(*b->entries));
    }
    b->entries_capacity = capacity;
}

void builder_widen(struct builder *b, uint32_t entry)
{
    if (b->entries_count + 2 > b->entries_capacity)
        builder_grow_entries(b);
    struct entry *e = &b->entries[entry];
    uint32_t slots = b->entries_count - entry - 1;
    memmove(e + 2, e + 1, slots * sizeof(*e));
    b->entries_count++;
    e->bits |= ENTRY_WIDE;
    e[1] = (struct entry){ .slots = slots, .bytes = (uint32_t)b->text_bytes - e->at };
}

static void put_quoted(struct builder *b, struct str s, size_t bytes)
{
    builder_reserve(b, bytes + 3); /* quotes, and a colon after a name */
    char *p = b->text + b->text_bytes;
    *p++ = '"';
    p = json_escape(p, s);
    *p++ = '"';
    b->text_bytes = (size_t)(p - b->text);
}

/* Most strings need no escaping: found out in one pass, copied in the next. */
static inline bool put_plain(struct builder *b, struct str s)
{
    if (s.n && json_plain_end(s.p, s.p + s.n) != s.p + s.n)
        return false;
    builder_reserve(b, s.n + 3);
    char *p = b->text + b->text_bytes;
    *p++ = '"';
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '"';
    b->text_bytes += s.n + 2;
    return true;
}

void builder_name(struct builder *b, struct str name)
{
    if (put_plain(b, name)) {
        b->text[b->text_bytes++] = ':';
        return;
    }
    size_t plain_bytes, bytes = json_escaped_bytes(name, &plain_bytes);
    put_quoted(b, name, bytes);
    b->text[b->text_bytes++] = ':';
    if (bytes == plain_bytes)
        return;
    builder_entry(b, b->plain_bytes, NAME_UNKNOWN, VALUE_ABSENT, 0);
    builder_entry_more(b, (uint32_t)plain_bytes, (uint32_t)bytes);
    b->plain_bytes += (uint32_t)plain_bytes;
}

void builder_string(struct builder *b, name_id name, struct str s)
{
    uint32_t at = (uint32_t)b->text_bytes;
    if (put_plain(b, s)) {
        builder_entry(b, at, name, VALUE_STRING, s.n + 2);
        return;
    }
    size_t plain_bytes, bytes = json_escaped_bytes(s, &plain_bytes);
    bool escaped = bytes != plain_bytes;
    builder_entry(b, at, name, VALUE_STRING | (escaped ? ENTRY_WIDE : 0), bytes + 2);
    put_quoted(b, s, bytes);
    if (!escaped)
        return;
    builder_entry_more(b, b->plain_bytes, (uint32_t)plain_bytes);
    b->plain_bytes += (uint32_t)plain_bytes;
}

struct object *object_block_new(uint32_t entries_count, size_t text_bytes)
{
    struct object *o = xmalloc(sizeof(*o) + entries_count * sizeof(struct entry) + text_bytes + 1);
    *o = (struct object){ .references = 1, .text_bytes = (uint32_t)text_bytes, .entries_count = entries_count };
    ((char *)object_text(o))[text_bytes] = 0;
    return o;
}

struct object *builder_finish(struct builder *b)
{
    struct object *o = object_block_new(b->entries_count, b->text_bytes);
    memcpy(o->entries, b->entries, b->entries_count * sizeof(struct entry));
    memcpy((char *)object_text(o), b->text, b->text_bytes);
    o->plain_bytes = b->plain_bytes;
    object_find_metadata(o);
    return o;
}

void object_find_metadata(struct object *o)
{
    struct view metadata = view_get_str(object_root(o), STR("metadata"));
    o->name_at = view_get_str(metadata, STR("name")).at;
    o->namespace_at = view_get_str(metadata, STR("namespace")).at;
    o->uid_at = view_get_str(metadata, STR("uid")).at;
    struct view revision = view_get_str(metadata, STR("resourceVersion"));
    o->revision_at = revision.at;
    if (!str_to_u64(view_str(revision), &o->revision))
        o->revision = 0;
}

struct object *object_ref(const struct object *o)
{
    struct object *counted = (struct object *)o;
    if (counted)
        atomic_fetch_add_explicit(&counted->references, 1, memory_order_relaxed);
    return counted;
}

void object_unref(const struct object *o)
{
    struct object *counted = (struct object *)o;
    if (!counted || atomic_fetch_sub_explicit(&counted->references, 1, memory_order_release) != 1)
        return;
    atomic_thread_fence(memory_order_acquire);
    free(atomic_load_explicit(&counted->plain, memory_order_relaxed));
    free(counted);
}

void object_unref_pointer(struct object **o)
{
    object_unref(*o);
}

struct str object_json(const struct object *o)
{
    return (struct str){ object_text(o), o->text_bytes };
}

size_t object_block_bytes(const struct object *o)
{
    size_t bytes = sizeof(*o) + o->entries_count * sizeof(struct entry) + o->text_bytes + 1;
    return bytes + (atomic_load_explicit(&o->plain, memory_order_relaxed) ? o->plain_bytes : 0);
}

static struct str metadata_str(const struct object *o, uint32_t at)
{
    return at ? view_str((struct view){ o, at }) : STR_NONE;
}

struct str object_name(const struct object *o)
{
    return metadata_str(o, o->name_at);
}

struct str object_namespace(const struct object *o)
{
    return metadata_str(o, o->namespace_at);
}

struct str object_uid(const struct object *o)
{
    return metadata_str(o, o->uid_at);
}

uint64_t object_revision(const struct object *o)
{
    return o->revision;
}

struct str object_json_body(const struct object *o)
{
    struct str json = object_json(o);
    struct view_iter it = { 0 };
    uint32_t start = 1;
    while (view_next(object_root(o), &it) && (str_is(it.key, "apiVersion") || str_is(it.key, "kind")))
        start = it.value.at ? o->entries[it.value.at].at + object_value_bytes(o, it.value.at) : 1;
    return str_from(json, start + (start < json.n && json.p[start] == ','));
}

/* Text at [at, at + old_bytes) becomes `fresh`; `insert` (0 or 1) entries are made room for at `entry`. */
static struct object *splice(const struct object *o, uint32_t at, uint32_t old_bytes, struct str fresh, uint32_t entry,
                             uint32_t insert)
{
    struct object *copy = object_block_new(o->entries_count + insert, o->text_bytes - old_bytes + fresh.n);
    char *text = (char *)object_text(copy);
    memcpy(text, object_text(o), at);
    memcpy(text + at, fresh.p, fresh.n);
    memcpy(text + at + fresh.n, object_text(o) + at + old_bytes, o->text_bytes - at - old_bytes);
    copy->plain_bytes = o->plain_bytes;

    memcpy(copy->entries, o->entries, entry * sizeof(struct entry));
    memcpy(copy->entries + entry + insert, o->entries + entry, (o->entries_count - entry) * sizeof(struct entry));
    uint32_t longer = (uint32_t)fresh.n - old_bytes; /* may wrap: it is only added */
    for (uint32_t i = entry + insert; i < copy->entries_count;) {
        struct entry *e = &copy->entries[i];
        if (entry_type(e) == VALUE_ABSENT) {
            i += 2;
            continue;
        }
        if (e->at > at)
            e->at += longer;
        i += entry_width(e);
    }
    return copy;
}

/* The container at `at` holds `slots` more entries and `bytes` more text. False when that needs a wider entry. */
static bool container_grow(struct object *o, uint32_t at, uint32_t slots, uint32_t bytes)
{
    struct entry *e = &o->entries[at];
    if (e->bits & ENTRY_WIDE) {
        e[1].slots += slots;
        e[1].bytes += bytes;
        return true;
    }
    if (entry_size(e) + slots >= ENTRY_MANY)
        return false;
    e->bits = (uint16_t)(e->bits + (slots << ENTRY_SHIFT));
    return true;
}

/* metadata has no resourceVersion: it goes after the uid, where Kubernetes has it, or to the front. */
static struct object *insert_revision(const struct object *o, uint32_t metadata, struct str quoted)
{
    char member[64];
    uint32_t text_at, entry, value_at;
    int n;
    if (o->uid_at) {
        entry = entry_after(o, o->uid_at);
        text_at = o->entries[o->uid_at].at + object_value_bytes(o, o->uid_at);
        n = snprintf(member, sizeof(member), ",\"resourceVersion\":%.*s", STR_ARG(quoted));
        value_at = text_at + (uint32_t)n - (uint32_t)quoted.n;
    } else {
        bool empty = entry_span(&o->entries[metadata]) == entry_width(&o->entries[metadata]);
        entry = entry_first(o, metadata);
        text_at = o->entries[metadata].at + 1;
        n = snprintf(member, sizeof(member), "\"resourceVersion\":%.*s%s", STR_ARG(quoted), empty ? "" : ",");
        value_at = text_at + (uint32_t)n - (uint32_t)quoted.n - !empty;
    }
    struct object *copy = splice(o, text_at, 0, (struct str){ member, (size_t)n }, entry, 1);
    copy->entries[entry] = (struct entry){ .at = value_at,
                                           .name = name_find(STR("resourceVersion")),
                                           .bits = (uint16_t)(VALUE_STRING | quoted.n << ENTRY_SHIFT) };
    if (container_grow(copy, metadata, 1, (uint32_t)n) && container_grow(copy, 0, 1, (uint32_t)n))
        return copy;
    object_unref(copy);
    return NULL;
}

static struct object *replace_revision(const struct object *o, uint32_t metadata, struct str quoted)
{
    uint32_t old_bytes = object_value_bytes(o, o->revision_at);
    struct object *copy = splice(o, o->entries[o->revision_at].at, old_bytes, quoted, o->revision_at, 0);
    copy->entries[o->revision_at].bits = (uint16_t)(VALUE_STRING | quoted.n << ENTRY_SHIFT);
    container_grow(copy, metadata, 0, (uint32_t)quoted.n - old_bytes);
    container_grow(copy, 0, 0, (uint32_t)quoted.n - old_bytes);
    return copy;
}

/* No metadata, or a revision that is no plain string, or an index that must be widened: rare, so by way of a tree. */
static struct object *rebuild_with_revision(const struct object *o, struct str number)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *tree = value_of_view(&a, object_root(o));
    if (value_type(tree) != VALUE_OBJECT)
        return object_ref(o);
    struct value *metadata = value_get_str(tree, STR("metadata"));
    if (value_type(metadata) != VALUE_OBJECT) {
        metadata = value_object(&a);
        value_put_str(&a, tree, STR("metadata"), metadata);
    }
    value_put_str(&a, metadata, STR("resourceVersion"), value_str(&a, number));
    struct object *copy = object_new(tree, NULL);
    return copy ? copy : object_ref(o); /* NULL only within a few bytes of OBJECT_SIZE_MAX */
}

struct object *object_with_revision(const struct object *o, uint64_t revision)
{
    char quoted_text[32];
    int n = snprintf(quoted_text, sizeof(quoted_text), "\"%llu\"", (unsigned long long)revision);
    struct str quoted = { quoted_text, (size_t)n };
    struct view metadata = view_get_str(object_root(o), STR("metadata"));
    struct object *copy = NULL;
    if (view_type(metadata) == VALUE_OBJECT && !o->revision_at)
        copy = insert_revision(o, metadata.at, quoted);
    else if (view_type(metadata) == VALUE_OBJECT &&
             (o->entries[o->revision_at].bits & (ENTRY_TYPE | ENTRY_WIDE)) == VALUE_STRING)
        copy = replace_revision(o, metadata.at, quoted);
    if (!copy)
        return rebuild_with_revision(o, str_part(quoted, 1, quoted.n - 2));
    object_find_metadata(copy);
    return copy;
}
