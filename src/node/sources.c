/* One watch per referred object. */
#include "node/sources.h"

#include "base/codec.h"
#include "base/file.h"
#include "base/map.h"
#include "kinds/fields.h"
#include "node/json_out.h"
#define LOG_PART "node"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COPY_MAX (64 * MIB)
#define SAVE_MS  500

struct source {
    struct sources *sources;
    const struct kind *kind;
    char *namespace_, *name; /* name "" for a whole namespace */
    unsigned holds;
    struct api_watch *watch;
    bool synced;        /* the server told, or the file did */
    struct map objects; /* name -> struct object */
    struct loop_timer save;
    char *volume; /* of a claim: the PersistentVolume it is bound to, held with it; NULL */
};

struct sources {
    struct loop *loop;
    struct api *api;
    char *folder;
    source_changed *changed;
    void *arg;
    struct map map; /* "plural/namespace/name" -> struct source */
};

static char *key_of(const struct kind *kind, struct str namespace_, struct str name)
{
    return xasprintf("%s/%.*s/%.*s", kind->plural, STR_ARG(namespace_), STR_ARG(name));
}

struct sources *sources_new(struct loop *loop, struct api *api, const char *folder, source_changed *changed, void *arg)
{
    struct sources *s = xnew(struct sources);
    *s = (struct sources){ .loop = loop, .api = api, .folder = xstrdup(folder), .changed = changed, .arg = arg };
    file_mkdirs(folder, 0700, NULL);
    return s;
}

/* A claim alone tells nothing: the volume it names is watched with it. */
static void follow_claim(struct source *c)
{
    const struct object *claim = map_get(&c->objects, str_of(c->name));
    struct str now =
        view_str_at(object_root(claim), F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME);
    char *before = c->volume;

    if (c->kind != &kind_persistentvolumeclaim || (before ? str_is(now, before) : !now.n))
        return;
    c->volume = now.n ? str_dup(now) : NULL;
    if (now.n)
        sources_hold(c->sources, &kind_persistentvolume, STR_NONE, now);
    if (before)
        sources_release(c->sources, &kind_persistentvolume, STR_NONE, str_of(before));
    free(before);
}

static void source_free(struct source *c)
{
    struct str name;
    void *o;

    loop_timer_stop(&c->save);
    if (c->watch)
        c->sources->api->ops->watch_close(c->watch);
    for (size_t i = 0; map_next(&c->objects, &i, &name, &o);)
        object_unref(o);
    map_done(&c->objects);
    free(c->volume);
    free(c->namespace_);
    free(c->name);
    free(c);
}

void sources_free(struct sources *s)
{
    struct str key;
    void *c;

    if (!s)
        return;
    for (size_t i = 0; map_next(&s->map, &i, &key, &c);)
        source_free(c); /* with all the others: nothing is released one by one */
    map_done(&s->map);
    free(s->folder);
    free(s);
}

/* --- the copy on tmpfs ----------------------------------------------------------------------------------------------- */

static char *copy_path(const struct source *c)
{
    AUTO_FREE char *key = key_of(c->kind, str_of(c->namespace_), str_of(c->name));
    char hex[SHA256_HEX_SIZE];
    return xasprintf("%s/%s", c->sources->folder, sha256_hex(str_of(key), hex));
}

/* Everything known, also that nothing is there: [OBJECT, ...]. */
static void save_copy(void *arg)
{
    const struct source *c = arg;
    AUTO_FREE char *path = copy_path(c);
    AUTO_FREE char *fresh = xasprintf("%s.new", path);
    AUTO_BUF struct buf text = BUF_MAX(COPY_MAX);
    struct json_out j = { .to = &text };
    struct str name;
    void *o;

    json_array(&j, NULL);
    for (size_t i = 0; map_next(&c->objects, &i, &name, &o);)
        json_raw(&j, NULL, object_json(o));
    json_array_end(&j);
    AUTO_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!text.full && fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n)
        rename(fresh, path);
}

static void load_copy(struct source *c)
{
    AUTO_FREE char *path = copy_path(c);
    AUTO_BUF struct buf text = BUF_MAX(COPY_MAX);
    AUTO_ARENA struct arena a = { 0 };
    const struct value *list = file_read(path, &text, NULL) == 0 ? value_parse(&a, buf_str(&text), NULL, NULL) : NULL;

    if (value_type(list) != VALUE_ARRAY)
        return;
    for (uint32_t i = 0; i < list->items_count; i++) {
        struct object *o = object_new(list->items[i], NULL);
        if (o)
            object_unref(map_put(&c->objects, object_name(o), o));
    }
    c->synced = true;
}

/* --- the watch ---------------------------------------------------------------------------------------------------------- */

static void on_event(void *arg, const struct api_event *event)
{
    struct source *c = arg;

    switch (event->type) {
    case API_ADDED:
    case API_MODIFIED:
        object_unref(map_put(&c->objects, object_name(event->object), object_ref(event->object)));
        c->synced = c->synced || c->name[0];
        break;
    case API_DELETED:
        object_unref(map_del(&c->objects, object_name(event->object)));
        break;
    case API_SYNCED:
        if (c->synced)
            return;
        c->synced = true;
        break;
    case API_BOOKMARK:
        return;
    }
    if (!c->synced)
        return;
    follow_claim(c);
    if (c->name[0])
        save_copy(c);
    else if (!loop_timer_running(&c->save))
        loop_timer_start(&c->save, SAVE_MS); /* many services change at once: one copy for all */
    c->sources->changed(c->sources->arg, c->kind, str_of(c->namespace_));
}

void sources_hold(struct sources *s, const struct kind *kind, struct str namespace_, struct str name)
{
    AUTO_FREE char *key = key_of(kind, namespace_, name);
    struct source *c = map_get(&s->map, str_of(key));

    if (c) {
        c->holds++;
        return;
    }
    c = xnew(struct source);
    *c = (struct source){
        .sources = s, .kind = kind, .namespace_ = str_dup(namespace_), .name = str_dup(name), .holds = 1
    };
    loop_timer_init(&c->save, s->loop, save_copy, c);
    map_put(&s->map, str_of(key), c);
    load_copy(c);
    follow_claim(c);
    AUTO_FREE char *selector = name.n ? xasprintf("metadata.name=%.*s", STR_ARG(name)) : xstrdup("");
    struct api_watch_request request = { .kind = kind, .namespace_ = namespace_, .field_selector = str_of(selector) };
    struct api_watch_callbacks cb = { .on_event = on_event, .arg = c };
    c->watch = api_watch(s->api, &request, &cb);
}

void sources_release(struct sources *s, const struct kind *kind, struct str namespace_, struct str name)
{
    AUTO_FREE char *key = key_of(kind, namespace_, name);
    struct source *c = map_get(&s->map, str_of(key));

    if (!c || --c->holds > 0)
        return;
    map_del(&s->map, str_of(key));
    if (c->volume)
        sources_release(s, &kind_persistentvolume, STR_NONE, str_of(c->volume));
    AUTO_FREE char *path = copy_path(c);
    unlink(path);
    source_free(c);
}

const struct object *source_get(const struct sources *s, const struct kind *kind, struct str namespace_,
                                struct str name, enum source_state *ret_state)
{
    AUTO_FREE char *key = key_of(kind, namespace_, name);
    const struct source *c = map_get(&s->map, str_of(key));
    const struct object *o = c ? map_get(&c->objects, name) : NULL;

    *ret_state = o ? SOURCE_PRESENT : c && c->synced ? SOURCE_ABSENT : SOURCE_PENDING;
    return o;
}

const struct object *source_at(const struct sources *s, const struct kind *kind, struct str namespace_, size_t i,
                               enum source_state *ret_state)
{
    AUTO_FREE char *key = key_of(kind, namespace_, STR_NONE);
    const struct source *c = map_get(&s->map, str_of(key));
    struct str name;
    void *o = NULL;

    *ret_state = c && c->synced ? SOURCE_PRESENT : SOURCE_PENDING;
    if (!c || !c->synced)
        return NULL;
    for (size_t k = 0, n = 0; map_next(&c->objects, &k, &name, &o); n++) {
        if (n == i)
            return o;
    }
    return NULL;
}
