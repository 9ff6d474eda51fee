/*
 * A watch over HTTPS that never ends by itself: list in pages, watch, and again whenever the stream is lost.
 *
 * What has been told to the caller is kept by "namespace/name", so that after a new list only the differences are told.
 *
 *   LISTING --last page--> WATCHING --stream ends--> WAITING --timer--> WATCHING (or LISTING after 410)
 */
#define LOG_PART "client"
#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "client/https_internal.h"
#include "client/internal.h"
#include "kinds/fields.h"

#include <stdlib.h>

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS   SECOND_MS
#define SILENCE_MAX_MS   (90 * SECOND_MS) /* the server sends a bookmark a minute at least */
#define PAGE_MAX         (64 * MIB)
#define LINE_MAX_BYTES   (4 * MIB) /* one event: an object and a little around it */

struct api_watch {
    struct https_api *api;
    struct loop *loop;
    const struct kind *kind;
    char *namespace_, *label_selector, *field_selector;
    struct api_watch_callbacks cb;
    struct map known;  /* "namespace/name" -> struct object, as told */
    struct map listed; /* of the list under way */
    uint64_t revision; /* 0: list first */
    uint64_t list_revision;
    struct http_call *call;
    struct buf line;
    int status;       /* of the watch's answer */
    bool out_of_step; /* the stream under way is to be ended and the kind listed anew */
    int failures;
    struct loop_timer retry, silence;
    bool *closed; /* set while a call-back runs: the caller may close inside */
};

static void start(struct api_watch *w);

static void drop(struct map *m)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(m, &i, &key, &value))
        object_unref(value);
    map_done(m);
}

static struct api_watch_request request_of(const struct api_watch *w)
{
    return (struct api_watch_request){
        .kind = w->kind,
        .namespace_ = str_of(w->namespace_),
        .label_selector = str_of(w->label_selector),
        .field_selector = str_of(w->field_selector),
    };
}

/* Returns false when the caller closed the watch inside. */
static bool tell(struct api_watch *w, enum api_event_type type, const struct object *o, uint64_t revision)
{
    bool closed = false;

    w->closed = &closed;
    w->cb.on_event(w->cb.arg, &(struct api_event){ type, o, revision });
    if (closed)
        return false;
    w->closed = NULL;
    return true;
}

static bool forget(struct api_watch *w, struct str key, uint64_t revision)
{
    struct object *old = map_del(&w->known, key);
    bool open = old ? tell(w, API_DELETED, old, revision) : true;

    object_unref(old);
    return open;
}

static bool learn(struct api_watch *w, struct str key, const struct object *o)
{
    struct object *old = map_get(&w->known, key);

    if (old && object_revision(old) == object_revision(o) && str_eq(object_uid(old), object_uid(o)))
        return true;
    if (old && !str_eq(object_uid(old), object_uid(o)) && !forget(w, key, object_revision(o)))
        return false;
    old = map_put(&w->known, key, object_ref(o));
    object_unref(old);
    return tell(w, old ? API_MODIFIED : API_ADDED, o, object_revision(o));
}

static void lost(struct api_watch *w, const struct error *err)
{
    int64_t wait_ms = MIN(BACKOFF_FIRST_MS << MIN(w->failures, 10), BACKOFF_MAX_MS);
    bool closed = false;

    loop_timer_stop(&w->silence);
    w->call = NULL;
    w->failures++;
    wait_ms += (int64_t)env_random_below(loop_env(w->loop), (uint64_t)wait_ms / 2 + 1);
    loop_timer_start(&w->retry, wait_ms);
    if (!w->cb.on_lost || !err)
        return;
    w->closed = &closed;
    w->cb.on_lost(w->cb.arg, err);
    if (!closed)
        w->closed = NULL;
}

/* --- listing ------------------------------------------------------------------------------------------------------- */

static void list_next(struct api_watch *w, struct str continue_);

static bool list_finished(struct api_watch *w)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(&w->known, &i, &key, &value))
        if (!map_has(&w->listed, key) && !forget(w, key, w->list_revision))
            return false;
    for (i = 0; map_next(&w->listed, &i, &key, &value);)
        if (!learn(w, key, value))
            return false;
    drop(&w->listed);
    w->revision = w->list_revision;
    return tell(w, API_SYNCED, NULL, w->revision);
}

/* List items have no apiVersion and kind of their own; objects that are handed out do. */
static struct object *item_object(const struct api_watch *w, struct view item, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *tree = value_object(&a);
    struct view_iter it = { 0 };

    value_set(&a, tree, F_POD_API_VERSION,
              w->kind->group[0] ? arena_printf(&a, "%s/%s", w->kind->group, w->kind->version)
                                : str_of(w->kind->version));
    value_set_text(&a, tree, F_POD_KIND, w->kind->kind);
    while (view_next(item, &it))
        if (!str_is(it.key, "apiVersion") && !str_is(it.key, "kind"))
            value_put_str(&a, tree, it.key, value_of_view(&a, it.value));
    return object_new(tree, err);
}

static int take_page(struct api_watch *w, const struct object *page, struct error *err)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    struct view_iter it = { 0 };

    while (view_next(view_get(object_root(page), F_POD_LIST_ITEMS), &it)) {
        struct object *o = item_object(w, it.value, err);
        if (!o)
            return -1;
        object_unref(map_put(&w->listed, cache_key(&key, object_namespace(o), object_name(o)), o));
    }
    w->list_revision = object_revision(page);
    return 0;
}

static void on_page(void *arg, const struct http_response *head, struct str body, const struct error *fetch_err)
{
    struct api_watch *w = arg;
    AUTO_ERROR struct error err = { 0 };
    struct object *page = NULL;

    w->call = NULL;
    if (fetch_err)
        fail(&err, fetch_err->code, "%s", error_text(fetch_err));
    else if (head->status != 200)
        status_to_error(body, head->status, &err);
    else
        page = object_parse_limit(body, PAGE_MAX, &err);
    if (!page || take_page(w, page, &err) < 0) {
        object_unref(page);
        drop(&w->listed);
        lost(w, &err);
        return;
    }
    struct str more = view_str_at(object_root(page), F_POD_LIST_METADATA, F_LIST_META_CONTINUE);
    if (more.n)
        list_next(w, more);
    else if (list_finished(w))
        start(w);
    object_unref(page);
}

static void list_next(struct api_watch *w, struct str continue_)
{
    AUTO_BUF struct buf target = BUF_MAX(16 * KIB);
    struct api_watch_request request = request_of(w);
    struct http_header accept = { STR("Accept"), STR("application/json") };

    target_write_list(&target, &request, continue_);
    w->call = http_client_fetch(w->api->client,
                                &(struct http_call_request){
                                    .method = STR("GET"),
                                    .target = buf_str(&target),
                                    .headers = &accept,
                                    .headers_count = 1,
                                    .bearer = w->api->bearer.n ? &w->api->bearer : NULL,
                                    .total_timeout_ms = 60 * SECOND_MS,
                                },
                                PAGE_MAX, on_page, w);
}

/* The stream is out of step with what was told: nothing more of it is taken, and it ends in the next round of the loop. */
static void list_again(struct api_watch *w)
{
    w->out_of_step = true;
    w->revision = 0;
    loop_timer_start(&w->silence, 0);
}

/* --- watching ------------------------------------------------------------------------------------------------------ */

static bool take_event(struct api_watch *w, struct str line)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    AUTO_ERROR struct error err = { 0 };
    AUTO_OBJECT struct object *event = object_parse_limit(line, OBJECT_SIZE_MAX + KIB, &err);
    struct view root = object_root(event), changed = view_get(root, F_WATCH_EVENT_OBJECT);
    struct str type = view_str_at(root, F_WATCH_EVENT_TYPE);
    bool open = true;

    if (str_is(type, "ERROR")) {
        /* 410: history is gone, list again. Any other error ends the stream; the same revision is tried again. */
        if (view_int_at(changed, 0, F_STATUS_CODE) == 410)
            w->revision = 0;
        return true;
    }
    AUTO_OBJECT struct object *o = event ? object_of_view(changed, &err) : NULL;
    if (!o) {
        log_warn("a watch event could not be read: listing again", KV("kind", "%s", w->kind->kind), KV_ERR(&err));
        list_again(w);
        return true;
    }
    uint64_t revision = object_revision(o);
    w->failures = 0;
    w->revision = MAX(w->revision, revision);
    cache_key(&key, object_namespace(o), object_name(o));
    if (str_is(type, "BOOKMARK"))
        open = tell(w, API_BOOKMARK, o, revision);
    else if (str_is(type, "DELETED"))
        open = forget(w, buf_str(&key), revision);
    else
        open = learn(w, buf_str(&key), o);
    return open;
}

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct api_watch *w = arg;

    (void)call;
    w->status = head->status;
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    struct api_watch *w = arg;
    struct str line;

    (void)call;
    if (w->out_of_step)
        return;
    loop_timer_start(&w->silence, SILENCE_MAX_MS);
    buf_add(&w->line, bytes);
    if (w->status != 200)
        return;
    if (w->line.full) {
        log_warn("a watch event is too large: listing again", KV("kind", "%s", w->kind->kind));
        list_again(w);
        return;
    }
    struct str rest = buf_str(&w->line);
    while (str_find(rest, '\n') >= 0) {
        str_next(&rest, '\n', &line);
        /* take_event may close the watch and with it w->line: copy what is needed first. */
        AUTO_FREE char *copy = str_dup(line);
        size_t used = (size_t)(rest.p - w->line.p);
        buf_drop(&w->line, used);
        if (line.n && !take_event(w, (struct str){ copy, line.n }))
            return;
        if (w->out_of_step)
            return;
        rest = buf_str(&w->line);
    }
}

static void on_done(struct http_call *call, const struct error *err, void *arg)
{
    struct api_watch *w = arg;
    AUTO_ERROR struct error status = { 0 };

    (void)call;
    if (!err && w->status != 200) {
        status_to_error(buf_str(&w->line), w->status, &status);
        if (w->status == 410)
            w->revision = 0;
        err = &status;
    }
    lost(w, err);
}

static void watch_start(struct api_watch *w)
{
    static const struct http_call_callbacks callbacks = { .on_head = on_head, .on_body = on_body, .on_done = on_done };
    AUTO_BUF struct buf target = BUF_MAX(16 * KIB);
    struct api_watch_request request = request_of(w);
    struct http_header accept = { STR("Accept"), STR("application/json") };

    buf_clear(&w->line);
    w->status = 0;
    w->out_of_step = false;
    target_write_watch(&target, &request, w->revision);
    w->call = http_client_call(w->api->client,
                               &(struct http_call_request){
                                   .method = STR("GET"),
                                   .target = buf_str(&target),
                                   .headers = &accept,
                                   .headers_count = 1,
                                   .bearer = w->api->bearer.n ? &w->api->bearer : NULL,
                               },
                               &callbacks, w);
    loop_timer_start(&w->silence, SILENCE_MAX_MS);
}

static void start(struct api_watch *w)
{
    if (w->revision)
        watch_start(w);
    else
        list_next(w, STR_NONE);
}

static void on_retry(void *arg)
{
    start(arg);
}

static void on_silence(void *arg)
{
    struct api_watch *w = arg;
    AUTO_ERROR struct error err = { 0 };

    if (w->out_of_step)
        fail(&err, ERR_INTERNAL, "the stream held what could not be read");
    else
        fail(&err, ERR_TIMEOUT, "nothing heard from the server for %lld s", (long long)(SILENCE_MAX_MS / SECOND_MS));
    if (w->call)
        http_call_cancel(w->call);
    lost(w, &err);
}

struct api_watch *https_watch_open(struct api *api, const struct api_watch_request *request,
                                   const struct api_watch_callbacks *cb)
{
    struct api_watch *w = xnew(struct api_watch);

    w->api = container_of(api, struct https_api, base);
    w->loop = http_client_loop(w->api->client);
    w->kind = request->kind;
    w->namespace_ = str_dup(request->namespace_);
    w->label_selector = str_dup(request->label_selector);
    w->field_selector = str_dup(request->field_selector);
    w->cb = *cb;
    w->line = (struct buf)BUF_MAX(LINE_MAX_BYTES);
    loop_timer_init(&w->retry, w->loop, on_retry, w);
    loop_timer_init(&w->silence, w->loop, on_silence, w);
    loop_timer_start(&w->retry, 0);
    return w;
}

void https_watch_close(struct api_watch *w)
{
    if (!w)
        return;
    if (w->closed)
        *w->closed = true;
    if (w->call)
        http_call_cancel(w->call);
    loop_timer_stop(&w->retry);
    loop_timer_stop(&w->silence);
    drop(&w->known);
    drop(&w->listed);
    buf_done(&w->line);
    free(w->namespace_);
    free(w->label_selector);
    free(w->field_selector);
    free(w);
}
