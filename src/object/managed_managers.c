/* metadata.managedFields, in and out. Source: apimachinery/pkg/util/managedfields/internal (managedfields.go, capmanagers.go). */
#include "object/managed_managers.h"

#include <stdlib.h>

static struct str text_of(const struct value *entry, struct str name)
{
    return value_to_str(value_get_str(entry, name));
}

struct manager *managers_find(struct managers *m, struct str name, struct str subresource, struct str api_version,
                              bool applied)
{
    for (size_t i = 0; i < m->count; i++) {
        struct manager *have = &m->items[i];
        if (have->applied == applied && str_eq(have->name, name) && str_eq(have->subresource, subresource) &&
            (applied || str_eq(have->api_version, api_version)))
            return have;
    }
    return NULL;
}

struct manager *managers_add(struct managers *m, const struct manager *manager)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? m->capacity * 2 : 8;
        struct manager *larger = arena_alloc_array(m->arena, capacity, sizeof(*larger));

        if (m->count)
            memcpy(larger, m->items, m->count * sizeof(*larger));
        m->items = larger;
        m->capacity = capacity;
    }
    m->items[m->count] = *manager;
    return &m->items[m->count++];
}

static int decode_entry(struct managers *m, const struct value *entry, struct error *err)
{
    struct str operation = text_of(entry, STR("operation"));
    struct manager manager = { .name = text_of(entry, STR("manager")),
                               .subresource = text_of(entry, STR("subresource")),
                               .api_version = text_of(entry, STR("apiVersion")),
                               .time = text_of(entry, STR("time")),
                               .applied = str_is(operation, "Apply") };

    if (!manager.applied && !str_is(operation, "Update"))
        return fail(err, ERR_BAD_REQUEST, "operation must be `Apply` or `Update`");
    if (manager.api_version.n == 0)
        return fail(err, ERR_BAD_REQUEST, "apiVersion must not be empty");
    if (!str_is(text_of(entry, STR("fieldsType")), "FieldsV1"))
        return fail(err, ERR_BAD_REQUEST, "fieldsType must be `FieldsV1`");
    if (m->count >= MANAGERS_MAX)
        return fail(err, ERR_BAD_REQUEST, "more than %d field managers", MANAGERS_MAX);
    if (set_parse(m->arena, value_get_str(entry, STR("fieldsV1")), &manager.set, err) < 0)
        return -1;
    struct manager *same = managers_find(m, manager.name, manager.subresource, manager.api_version, manager.applied);
    if (same)
        *same = manager;
    else
        managers_add(m, &manager);
    return 0;
}

int managers_decode(struct arena *a, const struct value *object, struct managers *ret, struct error *err)
{
    const struct value *entries = value_get_str(value_get_str(object, STR("metadata")), STR("managedFields"));

    *ret = (struct managers){ .arena = a };
    if (value_type(entries) != VALUE_ARRAY)
        return 0;
    for (uint32_t i = 0; i < entries->items_count; i++)
        if (decode_entry(ret, entries->items[i], err) < 0)
            return -1;
    return 0;
}

/* Text of RFC 3339 in UTC without fraction: bytes sort as times do. */
static int manager_compare(const void *a, const void *b)
{
    const struct manager *x = *(const struct manager *const *)a, *y = *(const struct manager *const *)b;
    int c;

    if (x->applied != y->applied)
        return x->applied ? -1 : 1;
    if ((c = str_cmp(x->time, y->time)) != 0 || (c = str_cmp(x->name, y->name)) != 0 ||
        (c = str_cmp(x->api_version, y->api_version)) != 0)
        return c;
    return str_cmp(x->subresource, y->subresource);
}

static struct value *encode_entry(struct arena *a, const struct manager *m)
{
    struct value *entry = value_object(a);

    value_put_str(a, entry, STR("manager"), value_str(a, m->name));
    value_put_str(a, entry, STR("operation"), value_text(a, m->applied ? "Apply" : "Update"));
    value_put_str(a, entry, STR("apiVersion"), value_str(a, m->api_version));
    if (m->time.n)
        value_put_str(a, entry, STR("time"), value_str(a, m->time));
    value_put_str(a, entry, STR("fieldsType"), value_text(a, "FieldsV1"));
    value_put_str(a, entry, STR("fieldsV1"), set_to_value(a, &m->set));
    if (m->subresource.n)
        value_put_str(a, entry, STR("subresource"), value_str(a, m->subresource));
    return entry;
}

void managers_encode(const struct managers *m, struct arena *to, struct value *object)
{
    const struct manager **sorted = arena_alloc_array(m->arena, MAX(m->count, 1), sizeof(*sorted));
    struct value *metadata = value_get_str(object, STR("metadata")), *entries = value_array(m->arena);
    size_t count = 0;

    if (value_type(metadata) != VALUE_OBJECT)
        return;
    for (size_t i = 0; i < m->count; i++)
        if (!set_empty(&m->items[i].set))
            sorted[count++] = &m->items[i];
    qsort(sorted, count, sizeof(*sorted), manager_compare);
    for (size_t i = 0; i < count; i++)
        value_append(m->arena, entries, encode_entry(m->arena, sorted[i]));
    value_put_str(to, metadata, STR("managedFields"), count ? value_copy_all(to, entries) : NULL);
}

void managers_drop_empty(struct managers *m)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->count; i++)
        if (!set_empty(&m->items[i].set))
            m->items[kept++] = m->items[i];
    m->count = kept;
}

static size_t count_updaters(const struct managers *m)
{
    size_t count = 0;

    for (size_t i = 0; i < m->count; i++)
        count += !m->items[i].applied;
    return count;
}

static struct manager *oldest_updater(struct managers *m, const struct str *seen, size_t seen_count)
{
    struct manager *oldest = NULL;

    for (size_t i = 0; i < m->count; i++) {
        struct manager *one = &m->items[i];
        bool skip = one->applied || str_is(one->name, "ancient-changes");

        for (size_t j = 0; j < seen_count; j++)
            skip = skip || (str_eq(seen[j], one->api_version));
        if (!skip &&
            (!oldest || manager_compare(&(const struct manager *){ one }, &(const struct manager *){ oldest }) < 0))
            oldest = one;
    }
    return oldest;
}

/*
 * Two of the oldest of the same version are united until few enough are left; a version with a single updater is left
 * alone.
 */
void managers_cap(struct managers *m)
{
    struct str seen[MANAGERS_MAX];
    size_t seen_count = 0;

    managers_drop_empty(m);
    while (count_updaters(m) > MANAGED_UPDATERS_MAX && seen_count < MANAGERS_MAX) {
        struct manager *one = oldest_updater(m, seen, seen_count);
        if (!one)
            return;
        struct manager first = *one,
                       *bucket = managers_find(m, STR("ancient-changes"), STR_NONE, first.api_version, false);
        one->set = (struct managed_set){ 0 };
        managers_drop_empty(m);
        if (!bucket) {
            struct manager *second = oldest_updater(m, seen, seen_count);
            if (!second || !str_eq(second->api_version, first.api_version)) {
                managers_add(m, &first);
                seen[seen_count++] = first.api_version;
                continue;
            }
            second->set = set_union(m->arena, &first.set, &second->set);
            second->name = STR("ancient-changes");
            second->subresource = STR_NONE;
            continue;
        }
        bucket = managers_find(m, STR("ancient-changes"), STR_NONE, first.api_version, false);
        bucket->set = set_union(m->arena, &first.set, &bucket->set);
        bucket->time = first.time;
    }
}

bool managers_equal(const struct managers *x, const struct managers *y)
{
    if (x->count != y->count)
        return false;
    for (size_t i = 0; i < x->count; i++) {
        const struct manager *one = &x->items[i];
        const struct manager *other =
            managers_find((struct managers *)y, one->name, one->subresource, one->api_version, one->applied);
        if (!other || !set_equal(&one->set, &other->set))
            return false;
    }
    return true;
}
