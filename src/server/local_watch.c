/*
 * In-process watches: objects by reference, straight from the watcher. A loss (the ring was overrun) is repaired here: what
 * changed meanwhile is told as differences, as kinds/api.h promises.
 */
#include "server/local.h"
#include "server/server_internal.h"
#include "server/watcher.h"

#include <stdlib.h>

#define RETRY_MS 200

struct api_watch {
    struct server *server;
    const struct kind *kind;
    struct arena arena; /* identity and selectors */
    const struct identity *identity;
    struct api_watch_request request;
    struct api_watch_callbacks cb;
    struct watcher *watcher;
    struct object_set known;  /* what the caller has seen, in the storage's form */
    struct object_set unseen; /* after a loss: known objects the new list has not named yet */
    bool repairing, busy, closed;
    struct loop_timer retry;
};

static void start(void *arg);

/* Hand out one event; the caller may close the watch inside. */
static void tell(struct api_watch *w, enum api_event_type type, const struct object *o, uint64_t revision)
{
    AUTO_OBJECT struct object *shown = o ? alias_object(w->kind, o) : NULL;
    struct api_event event = { .type = type, .object = shown, .revision = revision };
    w->cb.on_event(w->cb.arg, &event);
}

static void remember(struct api_watch *w, enum watch_event_type type, const struct object *o)
{
    if (type == WATCH_DELETED)
        object_unref(object_set_del(&w->known, object_namespace(o), object_name(o)));
    else
        object_unref(object_set_put(&w->known, object_ref(o)));
}

/* While repairing, an object that is known already is news only when its revision is another. */
static bool repair(struct api_watch *w, const struct object *o)
{
    const struct object *before = object_set_get(&w->known, object_namespace(o), object_name(o));
    object_unref(object_set_del(&w->unseen, object_namespace(o), object_name(o)));
    if (!before) {
        tell(w, API_ADDED, o, object_revision(o));
    } else if (!str_eq(object_uid(before), object_uid(o))) {
        tell(w, API_DELETED, before, object_revision(o));
        if (!w->closed)
            tell(w, API_ADDED, o, object_revision(o));
    } else if (object_revision(before) != object_revision(o)) {
        tell(w, API_MODIFIED, o, object_revision(o));
    }
    return !w->closed;
}

static void free_watch(struct api_watch *w)
{
    object_set_done(&w->known);
    object_set_done(&w->unseen);
    arena_done(&w->arena);
    free(w);
}

static bool leave(struct api_watch *w)
{
    w->busy = false;
    if (!w->closed)
        return true;
    free_watch(w);
    return false;
}

static bool on_event(void *arg, enum watch_event_type type, const struct object *o, struct change *c)
{
    static const enum api_event_type types[] = {
        [WATCH_ADDED] = API_ADDED,
        [WATCH_MODIFIED] = API_MODIFIED,
        [WATCH_DELETED] = API_DELETED,
    };
    struct api_watch *w = arg;
    w->busy = true;
    if (w->repairing && !c)
        repair(w, o);
    else
        tell(w, types[type], o, object_revision(o));
    if (!w->closed)
        remember(w, type, o);
    return leave(w);
}

static void on_synced(void *arg, uint64_t revision)
{
    struct api_watch *w = arg;
    w->busy = true;
    struct object_cursor at;
    struct object_set gone = object_set_snapshot(&w->unseen);
    object_set_done(&w->unseen);
    object_set_seek(&gone, STR_NONE, STR_NONE, &at);
    for (const struct object *o; !w->closed && (o = object_cursor_next(&at));) {
        remember(w, WATCH_DELETED, o);
        tell(w, API_DELETED, o, revision);
    }
    object_set_done(&gone);
    w->repairing = false;
    if (!w->closed)
        tell(w, API_SYNCED, NULL, revision);
    leave(w);
}

static void lost(struct api_watch *w, const struct error *err)
{
    watcher_free(TAKE(w->watcher));
    w->repairing = true;
    object_set_done(&w->unseen);
    w->unseen = object_set_snapshot(&w->known);
    w->busy = true;
    if (w->cb.on_lost)
        w->cb.on_lost(w->cb.arg, err);
    if (leave(w))
        loop_timer_start(&w->retry, RETRY_MS);
}

static void on_failed(void *arg, const struct error *err)
{
    lost(arg, err);
}

/* Same rules in process: who may not watch is told so, again and again, until the roles change. */
static int may_watch(struct api_watch *w, struct error *err)
{
    struct authz_attributes attributes = {
        .identity = w->identity,
        .is_resource = true,
        .verb = STR("watch"),
        .group = str_of(w->kind->group),
        .version = str_of(w->kind->version),
        .resource = str_of(w->kind->plural),
        .namespace_ = w->request.namespace_,
        .field_selector = w->request.field_selector,
    };
    AUTO_ARENA struct arena a = { 0 };
    struct str reason = STR_NONE;
    if (w->server->config.allow_all || authz_allows(w->server, &a, &attributes, &reason))
        return 0;
    return authz_forbid(&attributes, reason, err);
}

static void start(void *arg)
{
    static const struct watcher_callbacks callbacks = { on_event, on_synced, on_failed };
    struct api_watch *w = arg;
    AUTO_ERROR struct error err = { 0 };
    struct filter filter = { 0 };
    if (may_watch(w, &err) < 0 || filter_parse(&filter, w->kind, w->kind->namespaced ? w->request.namespace_ : STR_NONE,
                                               w->request.label_selector, w->request.field_selector, &err) < 0) {
        filter_done(&filter);
        lost(w, &err);
        return;
    }
    w->watcher = watcher_new(w->server->state, w->server->loop, &filter, true, 0, &callbacks, w);
}

struct api_watch *local_watch(struct server *s, const struct identity *identity,
                              const struct api_watch_request *request, const struct api_watch_callbacks *cb)
{
    struct api_watch *w = xnew(struct api_watch);
    struct identity *who = arena_new(&w->arena, struct identity);
    *who = identity_copy(&w->arena, identity);
    w->server = s;
    w->kind = request->kind;
    w->identity = who;
    w->request = (struct api_watch_request){
        .kind = request->kind,
        .namespace_ = arena_str(&w->arena, request->namespace_),
        .label_selector = arena_str(&w->arena, request->label_selector),
        .field_selector = arena_str(&w->arena, request->field_selector),
    };
    w->cb = *cb;
    loop_timer_init(&w->retry, s->loop, start, w);
    loop_timer_start(&w->retry, 0);
    return w;
}

void local_watch_close(struct api_watch *w)
{
    if (!w)
        return;
    loop_timer_stop(&w->retry);
    watcher_free(TAKE(w->watcher));
    w->closed = true;
    if (!w->busy)
        free_watch(w);
}
