/* Reading an object through its index. */
#include "object/object_block.h"
#include "object/json_scan.h"

#include <stdatomic.h>
#include <stdlib.h>

static const char *string_end(const char *p, const char *end) /* p is after the opening quote */
{
    while (p < end && *p != '"')
        p += *p == '\\' ? 2 : 1;
    return p + 1;
}

/* Up to the end of the last thing in it, and the bracket. */
static uint32_t container_bytes(const struct object *o, uint32_t at)
{
    const struct entry *e = &o->entries[at];
    if (e->bits & ENTRY_WIDE)
        return e[1].bytes;
    uint32_t end = entry_after(o, at), last = 0;
    for (uint32_t next = entry_first(o, at); next < end; next = entry_after(o, last))
        last = entry_skip_name(o, next);
    return last ? o->entries[last].at + object_value_bytes(o, last) + 1 - e->at : 2;
}

uint32_t object_value_bytes(const struct object *o, uint32_t at)
{
    const struct entry *e = &o->entries[at];
    if (entry_is_container(e))
        return container_bytes(o, at);
    if (entry_size(e) != ENTRY_MANY)
        return entry_size(e);

    const char *text = object_text(o), *start = text + e->at, *end = text + o->text_bytes, *p = start;
    if (entry_type(e) == VALUE_STRING)
        return (uint32_t)(string_end(start + 1, end) - start);
    while (p < end && *p != ',' && *p != ']' && *p != '}')
        p++;
    return (uint32_t)(p - start);
}

/* Where the raw name stands that comes before the value at text position `value_at`: its bytes are between the quotes. */
static struct str raw_name(const struct object *o, uint32_t value_at)
{
    const char *text = object_text(o), *quote = text + value_at - 2, *start = quote;
    do
        start = memrchr(text, '"', (size_t)(start - text));
    while (start[-1] == '\\'); /* an opening quote comes after { or , */
    return (struct str){ start + 1, (size_t)(quote - start - 1) };
}

static void unescape_into(struct json_scratch *scratch, const char *p, const char *end, char *to, uint32_t bytes)
{
    const char *after = json_unescape(p, end, scratch);
    assert(after && scratch->n == bytes);
    memcpy(to, scratch->p, bytes);
}

static char *unescape_all(const struct object *o)
{
    const char *text = object_text(o), *end = text + o->text_bytes;
    char *plain = xmalloc(o->plain_bytes + 1);
    struct json_scratch scratch = { 0 };
    for (uint32_t i = 0; i < o->entries_count;) {
        const struct entry *e = &o->entries[i];
        if (entry_type(e) == VALUE_ABSENT) {
            struct str raw = raw_name(o, e[2].at);
            unescape_into(&scratch, raw.p, raw.p + raw.n + 1, plain + e->plain_at, e[1].slots);
            i += 2;
            continue;
        }
        if (entry_type(e) == VALUE_STRING && (e->bits & ENTRY_WIDE)) {
            uint32_t bytes = object_value_bytes(o, i);
            const char *start = text + e->at + 1;
            unescape_into(&scratch, start, MIN(start + bytes, end), plain + e[1].plain_at, e[1].bytes);
        }
        i += entry_width(e);
    }
    json_scratch_done(&scratch);
    return plain;
}

const char *object_plain(const struct object *o)
{
    struct object *shared = (struct object *)o;
    char *plain = atomic_load_explicit(&shared->plain, memory_order_acquire);
    if (plain)
        return plain;
    char *made = unescape_all(o);
    if (atomic_compare_exchange_strong_explicit(&shared->plain, &plain, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    free(made); /* another thread was first */
    return plain;
}

struct view object_root(const struct object *o)
{
    return (struct view){ o, 0 };
}

enum value_type view_type(struct view v)
{
    return v.o ? entry_type(&v.o->entries[v.at]) : VALUE_ABSENT;
}

struct view view_get(struct view object, name_id name)
{
    if (view_type(object) != VALUE_OBJECT || name == NAME_UNKNOWN)
        return VIEW_ABSENT;
    const struct object *o = object.o;
    uint32_t end = entry_after(o, object.at);
    for (uint32_t at = entry_first(o, object.at); at < end; at = entry_after(o, at)) {
        at = entry_skip_name(o, at);
        if (o->entries[at].name == name)
            return (struct view){ o, at };
    }
    return VIEW_ABSENT;
}

/* Is `name` the name of the member whose value is at `at`? Its entry of escapes, if it has one, is before. */
static bool name_is(const struct object *o, uint32_t at, bool escaped, struct str name)
{
    if (o->entries[at].name != NAME_UNKNOWN)
        return false;
    if (escaped) {
        const struct entry *e = &o->entries[at - 2];
        return e[1].slots == name.n && memcmp(object_plain(o) + e->plain_at, name.p, name.n) == 0;
    }
    const char *text = object_text(o);
    uint32_t value_at = o->entries[at].at;
    if (value_at < name.n + 4)
        return false;
    const char *quote = text + value_at - 2 - name.n - 1;
    return *quote == '"' && quote[-1] != '\\' && (name.n == 0 || memcmp(quote + 1, name.p, name.n) == 0);
}

struct view view_get_str(struct view object, struct str name)
{
    if (view_type(object) != VALUE_OBJECT)
        return VIEW_ABSENT;
    name_id id = name_find(name);
    if (id != NAME_UNKNOWN)
        return view_get(object, id);
    const struct object *o = object.o;
    uint32_t end = entry_after(o, object.at);
    for (uint32_t next = entry_first(o, object.at); next < end;) {
        uint32_t at = entry_skip_name(o, next);
        if (name_is(o, at, at != next, name))
            return (struct view){ o, at };
        next = entry_after(o, at);
    }
    return VIEW_ABSENT;
}

struct view view_path_(struct view v, const name_id *names, size_t count)
{
    for (size_t i = 0; i < count && v.o; i++)
        v = view_get(v, names[i]);
    return v;
}

struct view view_item(struct view array, size_t i)
{
    if (view_type(array) != VALUE_ARRAY)
        return VIEW_ABSENT;
    uint32_t end = entry_after(array.o, array.at);
    for (uint32_t at = entry_first(array.o, array.at); at < end; at = entry_after(array.o, at))
        if (i-- == 0)
            return (struct view){ array.o, at };
    return VIEW_ABSENT;
}

size_t view_count(struct view v)
{
    if (view_type(v) < VALUE_ARRAY)
        return 0;
    size_t count = 0;
    uint32_t end = entry_after(v.o, v.at);
    for (uint32_t at = entry_first(v.o, v.at); at < end; at = entry_after(v.o, entry_skip_name(v.o, at)))
        count++;
    return count;
}

static struct str name_at(const struct object *o, uint32_t at, bool escaped)
{
    const struct entry *e = &o->entries[at];
    if (e->name != NAME_UNKNOWN)
        return name_text(e->name);
    if (escaped)
        return (struct str){ object_plain(o) + e[-2].plain_at, e[-1].slots };
    return raw_name(o, e->at);
}

bool view_next(struct view parent, struct view_iter *it)
{
    enum value_type type = view_type(parent);
    if (type < VALUE_ARRAY)
        return false;
    const struct object *o = parent.o;
    uint32_t next = it->started ? it->next : entry_first(o, parent.at);
    it->started = true;
    if (next >= entry_after(o, parent.at)) {
        it->next = next;
        return false;
    }
    uint32_t at = entry_skip_name(o, next);
    it->key = type == VALUE_OBJECT ? name_at(o, at, at != next) : STR_NONE;
    it->value = (struct view){ o, at };
    it->next = entry_after(o, at);
    return true;
}

struct str view_str(struct view v)
{
    if (view_type(v) != VALUE_STRING)
        return STR_NONE;
    const struct entry *e = &v.o->entries[v.at];
    if (e->bits & ENTRY_WIDE)
        return (struct str){ object_plain(v.o) + e[1].plain_at, e[1].bytes };
    return (struct str){ object_text(v.o) + e->at + 1, object_value_bytes(v.o, v.at) - 2 };
}

struct str view_json(struct view v)
{
    if (!v.o)
        return STR_NONE;
    return (struct str){ object_text(v.o) + v.o->entries[v.at].at, object_value_bytes(v.o, v.at) };
}

int64_t view_int(struct view v, int64_t otherwise)
{
    enum value_type type = view_type(v);
    int64_t i;
    if (type == VALUE_INT && str_to_i64(view_json(v), &i))
        return i;
    if (type == VALUE_DOUBLE) {
        double d = view_double(v, 0);
        if (d >= -0x1p63 && d < 0x1p63 && (double)(int64_t)d == d)
            return (int64_t)d;
    }
    return otherwise;
}

double view_double(struct view v, double otherwise)
{
    enum value_type type = view_type(v);
    if (type != VALUE_INT && type != VALUE_DOUBLE)
        return otherwise;
    struct str text = view_json(v);
    struct json_number number;
    enum json_problem problem;
    if (!json_number(text.p, text.p + text.n, &number, &problem))
        return otherwise;
    return number.integral ? (double)number.integer : number.number;
}

bool view_bool(struct view v, bool otherwise)
{
    return view_type(v) == VALUE_BOOL ? object_text(v.o)[v.o->entries[v.at].at] == 't' : otherwise;
}
