/* Recording Events: equal ones are counted, floods are cut. Source: client-go tools/record/events_cache.go. */
#define LOG_PART "events"
#include "client/events.h"

#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "object/value.h"

#include <stdio.h>
#include <stdlib.h>

#define KNOWN_MAX       4096 /* remembered equal events and objects; both are forgotten together when full */
#define BURST           25
#define REFILL_MS       (5 * MINUTE_MS)
#define WRITES_OPEN_MAX 1000
#define MESSAGE_MAX     1024 /* upstream's limit of Event.message */

struct known { /* an Event that was written */
    char name[280];
    int64_t count;
    char first[TIME_TEXT_SIZE];
};

struct budget { /* token bucket of one object */
    double tokens;
    int64_t at_ms;
};

struct event_recorder {
    struct loop *loop;
    struct api *api;
    char *component, *host;
    struct map known;   /* object uid, reason, message -> struct known */
    struct map budgets; /* object uid -> struct budget */
    size_t open;
    bool freed; /* writes are still open: the last answer frees */
};

static void forget(struct map *m)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(m, &i, &key, &value))
        free(value);
    map_clear(m);
}

struct event_recorder *event_recorder_new(struct loop *loop, struct api *api, const char *component, const char *host)
{
    struct event_recorder *r = xnew(struct event_recorder);

    r->loop = loop;
    r->api = api;
    r->component = xstrdup(component);
    r->host = host ? xstrdup(host) : NULL;
    return r;
}

static void destroy(struct event_recorder *r)
{
    forget(&r->known);
    forget(&r->budgets);
    map_done(&r->known);
    map_done(&r->budgets);
    free(r->component);
    free(r->host);
    free(r);
}

void event_recorder_free(struct event_recorder *r)
{
    if (!r)
        return;
    r->freed = true;
    if (!r->open)
        destroy(r);
}

static bool is_allowed(struct event_recorder *r, struct str uid, int64_t now_ms)
{
    struct budget *b = map_get(&r->budgets, uid);

    if (!b) {
        if (r->budgets.count >= KNOWN_MAX)
            forget(&r->budgets);
        b = xnew(struct budget);
        *b = (struct budget){ BURST, now_ms };
        map_put(&r->budgets, uid, b);
    }
    b->tokens = MIN(b->tokens + (double)(now_ms - b->at_ms) / (double)REFILL_MS, BURST);
    b->at_ms = now_ms;
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}

struct write {
    struct event_recorder *recorder;
    char *key; /* in recorder->known */
};

static void on_written(void *arg, const struct object *result, const struct error *err)
{
    struct write *w = arg;
    struct event_recorder *r = w->recorder;

    (void)result;
    r->open--;
    if (err && !r->freed)
        free(map_del(&r->known, str_of(w->key))); /* it has expired, or never came to be: the next one is created */
    free(w->key);
    free(w);
    if (err && !r->freed && err->code != ERR_NOT_FOUND && err->code != ERR_FORBIDDEN)
        log_warn("an Event could not be written and is given up", KV_ERR(err));
    if (r->freed && !r->open)
        destroy(r);
}

static void send(struct event_recorder *r, struct str key, const struct api_call *call)
{
    struct write *w = xnew(struct write);

    *w = (struct write){ r, str_dup(key) };
    r->open++;
    api_call(r->api, call, on_written, w);
}

static struct value *involved(struct arena *a, const struct kind *kind, const struct object *about,
                              const char *field_path)
{
    struct value *o = value_object(a);

    value_set(a, o, F_OBJECT_REFERENCE_KIND, str_of(kind->kind));
    if (object_namespace(about).n)
        value_set(a, o, F_OBJECT_REFERENCE_NAMESPACE, object_namespace(about));
    value_set(a, o, F_OBJECT_REFERENCE_NAME, object_name(about));
    value_set(a, o, F_OBJECT_REFERENCE_UID, object_uid(about));
    value_set(a, o, F_OBJECT_REFERENCE_API_VERSION,
              kind->group[0] ? arena_printf(a, "%s/%s", kind->group, kind->version) : str_of(kind->version));
    value_set(a, o, F_OBJECT_REFERENCE_RESOURCE_VERSION,
              arena_printf(a, "%llu", (unsigned long long)object_revision(about)));
    if (field_path)
        value_set_text(a, o, F_OBJECT_REFERENCE_FIELD_PATH, field_path);
    return o;
}

/* Objects without a namespace have their Events in "default". */
static struct str event_namespace(const struct object *about)
{
    return object_namespace(about).n ? object_namespace(about) : STR("default");
}

static void create(struct event_recorder *r, struct str key, const struct known *k, const struct kind *kind,
                   const struct object *about, const char *field_path, const char *type, const char *reason,
                   struct str message)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    struct value *event = value_object(&a);
    struct value *metadata, *source;

    value_set_text(&a, event, F_EVENT_API_VERSION, "v1");
    value_set_text(&a, event, F_EVENT_KIND, "Event");
    metadata = value_make_object(&a, event, F_EVENT_METADATA);
    value_set_text(&a, metadata, F_OBJECT_META_NAME, k->name);
    value_set(&a, metadata, F_OBJECT_META_NAMESPACE, event_namespace(about));
    value_put(&a, event, F_EVENT_INVOLVED_OBJECT, involved(&a, kind, about, field_path));
    value_set_text(&a, event, F_EVENT_REASON, reason);
    value_set(&a, event, F_EVENT_MESSAGE, message);
    value_set_text(&a, event, F_EVENT_TYPE, type);
    source = value_make_object(&a, event, F_EVENT_SOURCE);
    value_set_text(&a, source, F_EVENT_SOURCE_COMPONENT, r->component);
    if (r->host)
        value_set_text(&a, source, F_EVENT_SOURCE_HOST, r->host);
    value_set_text(&a, event, F_EVENT_FIRST_TIMESTAMP, k->first);
    value_set_text(&a, event, F_EVENT_LAST_TIMESTAMP, k->first);
    value_set_int(&a, event, F_EVENT_COUNT, 1);
    value_set_text(&a, event, F_EVENT_REPORTING_COMPONENT, r->component);
    value_set_text(&a, event, F_EVENT_REPORTING_INSTANCE, r->host ? r->host : "");
    struct object *body = object_new(event, &err);
    if (!body) {
        log_warn("an Event could not be made and is given up", KV_ERR(&err));
        return;
    }
    send(r, key,
         &(struct api_call){ .verb = API_CREATE,
                             .kind = &kind_event,
                             .namespace_ = event_namespace(about),
                             .body = body,
                             .grace_seconds = -1 });
    object_unref(body);
}

static void count_again(struct event_recorder *r, struct str key, struct known *k, const struct object *about,
                        int64_t now_ms)
{
    AUTO_BUF struct buf patch = BUF_MAX(KIB);
    char now[TIME_TEXT_SIZE];

    buf_addf(&patch, "{\"count\":%lld,\"lastTimestamp\":\"%s\"}", (long long)++k->count, time_format(now_ms, now));
    send(r, key,
         &(struct api_call){ .verb = API_PATCH,
                             .kind = &kind_event,
                             .namespace_ = event_namespace(about),
                             .name = str_of(k->name),
                             .patch = buf_str(&patch),
                             .patch_type = API_PATCH_MERGE,
                             .grace_seconds = -1 });
}

void event_record(struct event_recorder *r, const struct kind *kind, const struct object *about, const char *field_path,
                  const char *type, const char *reason, struct str message)
{
    AUTO_BUF struct buf key = BUF_MAX(4 * KIB);
    struct env *env = loop_env(r->loop);
    int64_t now_ms = env_wall_ms(env);
    struct known *k;

    message = str_part(message, 0, MESSAGE_MAX);
    if (r->open >= WRITES_OPEN_MAX || !is_allowed(r, object_uid(about), env_monotonic_ms(env)))
        return;
    buf_addf(&key, "%.*s|%s|%s|%s|%.*s", STR_ARG(object_uid(about)), type, reason, field_path ? field_path : "",
             STR_ARG(message));
    k = map_get(&r->known, buf_str(&key));
    if (k) {
        count_again(r, buf_str(&key), k, about, now_ms);
        return;
    }
    if (r->known.count >= KNOWN_MAX)
        forget(&r->known);
    k = xnew(struct known);
    k->count = 1;
    time_format(now_ms, k->first);
    snprintf(k->name, sizeof(k->name), "%.*s.%016llx", STR_ARG(str_part(object_name(about), 0, 230)),
             (unsigned long long)env_random_u64(env));
    map_put(&r->known, buf_str(&key), k);
    create(r, buf_str(&key), k, kind, about, field_path, type, reason, message);
}
