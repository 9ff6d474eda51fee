/* One kind as this process last saw it: a map by namespace and name, kept current by a watch, with its indexes. */
#include "client/cache.h"

#include "base/list.h"
#include "base/map.h"
#include "client/internal.h"
#include "kinds/fields.h"

#include <stdlib.h>

#define SET_SEARCHED_MAX 64 /* larger sets know where each object stands, so that a change stays cheap */

struct set { /* the objects under one key of an index */
    const struct object **items;
    size_t count, capacity;
    struct map places; /* "namespace/name" -> index + 1; empty while the set is small */
};

struct listener {
    struct list link;
    cache_change_fn *changed;
    void (*progressed)(void *arg, struct cache *c);
    void *arg;
};

struct cache {
    struct loop *loop;
    struct api *api;
    struct api_watch *watch;
    const struct kind *kind;
    struct map objects; /* "namespace/name" -> struct object */
    struct set all;
    struct map places;                     /* "namespace/name" -> index into `all` + 1 */
    struct map indexes[CACHE_INDEX_COUNT]; /* key -> struct set */
    struct list listeners;
    struct map remembered; /* "namespace/name" of what cache_remember() put and the list did not name yet */
    uint64_t revision;
    bool synced;
};

struct str cache_key(struct buf *to, struct str namespace_, struct str name)
{
    buf_clear(to);
    buf_add(to, namespace_);
    buf_add_char(to, '/');
    buf_add(to, name);
    return buf_str(to);
}

/* --- indexes -------------------------------------------------------------------------------------------------------- */

typedef void index_key_fn(struct cache *c, enum cache_index index, struct str key, const struct object *o);

static void set_note(struct set *s, size_t i)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);

    map_put(&s->places, cache_key(&key, object_namespace(s->items[i]), object_name(s->items[i])), (void *)(i + 1));
}

static void index_add(struct cache *c, enum cache_index index, struct str key, const struct object *o)
{
    struct set *s = map_get(&c->indexes[index], key);

    if (!s) {
        s = xnew(struct set);
        map_put(&c->indexes[index], key, s);
    }
    GROW(s->items, s->count, s->capacity);
    s->items[s->count++] = o;
    if (s->places.count)
        set_note(s, s->count - 1);
    else if (s->count > SET_SEARCHED_MAX)
        for (size_t i = 0; i < s->count; i++)
            set_note(s, i);
}

static void set_free(struct set *s)
{
    if (!s)
        return;
    map_done(&s->places);
    free(s->items);
    free(s);
}

/* Where the object stands; s->count when it is not there. */
static size_t set_find(const struct set *s, const struct object *o)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    size_t i = 0;

    if (s->places.count) {
        i = (size_t)map_get(&s->places, cache_key(&key, object_namespace(o), object_name(o)));
        return i && s->items[i - 1] == o ? i - 1 : s->count;
    }
    while (i < s->count && s->items[i] != o)
        i++;
    return i;
}

static void set_remove(struct set *s, const struct object *o)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    size_t i = set_find(s, o);

    if (i == s->count)
        return;
    s->items[i] = s->items[--s->count];
    if (!s->places.count)
        return;
    map_del(&s->places, cache_key(&key, object_namespace(o), object_name(o)));
    if (i < s->count)
        set_note(s, i);
}

static void index_remove(struct cache *c, enum cache_index index, struct str key, const struct object *o)
{
    struct set *s = map_get(&c->indexes[index], key);

    if (!s)
        return;
    set_remove(s, o);
    if (s->count == 0)
        set_free(map_del(&c->indexes[index], key));
}

static void index_keys(struct cache *c, const struct object *o, index_key_fn *fn)
{
    struct view root = object_root(o);
    struct view_iter it = { 0 };
    struct str node = view_str_at(root, F_POD_SPEC, F_POD_SPEC_NODE_NAME);

    if (object_namespace(o).n)
        fn(c, CACHE_BY_NAMESPACE, object_namespace(o), o);
    if (node.n)
        fn(c, CACHE_BY_NODE, node, o);
    while (view_next(view_path(root, F_POD_METADATA, F_OBJECT_META_OWNER_REFERENCES), &it)) {
        struct str uid = view_str_at(it.value, F_OWNER_REFERENCE_UID);
        fn(c, CACHE_BY_OWNER, uid, o);
        if (view_bool_at(it.value, false, F_OWNER_REFERENCE_CONTROLLER))
            fn(c, CACHE_BY_CONTROLLER, uid, o);
    }
}

/* --- content -------------------------------------------------------------------------------------------------------- */

/* Put `now` (a reference is taken over) in the place of `old` in `all`; either may be NULL. */
static void all_replace(struct cache *c, struct str key, const struct object *old, const struct object *now)
{
    size_t place = (size_t)map_get(&c->places, key);

    if (old && now) {
        c->all.items[place - 1] = now;
    } else if (now) {
        GROW(c->all.items, c->all.count, c->all.capacity);
        c->all.items[c->all.count++] = now;
        map_put(&c->places, key, (void *)c->all.count);
    } else {
        AUTO_BUF struct buf moved_key = BUF_MAX(KIB);
        const struct object *moved = c->all.items[--c->all.count];
        c->all.items[place - 1] = moved;
        map_del(&c->places, key);
        if (moved != old)
            map_put(&c->places, cache_key(&moved_key, object_namespace(moved), object_name(moved)), (void *)place);
    }
}

static void tell_changed(struct cache *c, const struct object *old, const struct object *now)
{
    list_each (&c->listeners, struct listener, link, l)
        if (l->changed)
            l->changed(l->arg, c, old, now);
}

static void replace(struct cache *c, const struct object *shown, const struct object *now)
{
    AUTO_BUF struct buf buf = BUF_MAX(KIB);
    struct str key = cache_key(&buf, object_namespace(shown), object_name(shown));
    struct object *old = map_get(&c->objects, key);

    if (c->remembered.count)
        map_del(&c->remembered, key);
    if (!old && !now)
        return;
    if (old)
        index_keys(c, old, index_remove);
    all_replace(c, key, old, now);
    if (now) {
        map_put(&c->objects, key, object_ref(now));
        index_keys(c, now, index_add);
    } else {
        map_del(&c->objects, key);
    }
    tell_changed(c, old, now);
    object_unref(old);
}

void cache_remember(struct cache *c, const struct object *o)
{
    AUTO_BUF struct buf buf = BUF_MAX(KIB);

    replace(c, o, o);
    map_put(&c->remembered, cache_key(&buf, object_namespace(o), object_name(o)), c);
}

/* The first list is complete: what it did not name is gone. */
static void drop_remembered(struct cache *c)
{
    AUTO_MAP struct map gone = c->remembered;
    struct str key;
    void *unused;

    c->remembered = (struct map){ 0 };
    for (size_t i = 0; map_next(&gone, &i, &key, &unused);) {
        AUTO_OBJECT struct object *o = object_ref(map_get(&c->objects, key));
        replace(c, o, NULL);
    }
}

static void on_event(void *arg, const struct api_event *event)
{
    struct cache *c = arg;

    switch (event->type) {
    case API_ADDED:
    case API_MODIFIED:
        replace(c, event->object, event->object);
        break;
    case API_DELETED:
        replace(c, event->object, NULL);
        break;
    case API_SYNCED:
        drop_remembered(c);
        c->synced = true;
        break;
    case API_BOOKMARK:
        break;
    }
    c->revision = MAX(c->revision, event->revision);
    list_each (&c->listeners, struct listener, link, l)
        if (l->progressed)
            l->progressed(l->arg, c);
}

struct cache *cache_new(struct loop *loop, struct api *api, const struct api_watch_request *request)
{
    struct cache *c = xnew(struct cache);
    struct api_watch_callbacks cb = { .on_event = on_event, .arg = c };

    c->loop = loop;
    c->api = api;
    c->kind = request->kind;
    list_init(&c->listeners);
    c->watch = api_watch(api, request, &cb);
    return c;
}

void cache_free(struct cache *c)
{
    size_t i = 0;
    struct str key;
    void *value;

    if (!c)
        return;
    c->api->ops->watch_close(c->watch);
    while (map_next(&c->objects, &i, &key, &value))
        object_unref(value);
    for (int index = 0; index < CACHE_INDEX_COUNT; index++) {
        for (i = 0; map_next(&c->indexes[index], &i, &key, &value);)
            set_free(value);
        map_done(&c->indexes[index]);
    }
    list_each (&c->listeners, struct listener, link, l)
        free(l);
    map_done(&c->objects);
    map_done(&c->places);
    map_done(&c->remembered);
    free(c->all.items);
    free(c);
}

void cache_listen(struct cache *c, cache_change_fn *changed, void (*progressed)(void *arg, struct cache *c), void *arg)
{
    struct listener *l = xnew(struct listener);

    *l = (struct listener){ .changed = changed, .progressed = progressed, .arg = arg };
    list_add_tail(&c->listeners, &l->link);
}

void cache_unlisten(struct cache *c, void *arg)
{
    list_each (&c->listeners, struct listener, link, l)
        if (l->arg == arg) {
            list_del(&l->link);
            free(l);
        }
}

const struct kind *cache_kind(const struct cache *c)
{
    return c->kind;
}

bool cache_is_synced(const struct cache *c)
{
    return c->synced;
}

uint64_t cache_revision(const struct cache *c)
{
    return c->revision;
}

size_t cache_count(const struct cache *c)
{
    return c->all.count;
}

const struct object *cache_get(const struct cache *c, struct str namespace_, struct str name)
{
    AUTO_BUF struct buf buf = BUF_MAX(KIB);

    return map_get(&c->objects, cache_key(&buf, namespace_, name));
}

struct objects cache_by(const struct cache *c, enum cache_index index, struct str key)
{
    const struct set *s = map_get(&c->indexes[index], key);

    return s ? (struct objects){ s->items, s->count } : (struct objects){ NULL, 0 };
}

struct objects cache_all(const struct cache *c)
{
    return (struct objects){ c->all.items, c->all.count };
}
