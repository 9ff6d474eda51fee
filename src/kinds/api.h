/*
 * The API as a caller sees it: one call, one watch. It is the common language of `client` (which calls, over HTTPS or
 * in the same process) and of `server` (which offers the in-process way): same identity, same rules, same errors.
 *
 * Everything is asynchronous on the caller's loop: exactly one `done` per call, never from inside api_call() itself. Objects
 * passed in are referenced, objects handed out are borrowed for the time of the call-back (object_ref() to keep them).
 */
#ifndef KINDS_API_H
#define KINDS_API_H

#include "kinds/kinds.h"

enum api_verb { API_GET, API_LIST, API_CREATE, API_UPDATE, API_PATCH, API_DELETE, API_DELETE_COLLECTION };

enum api_patch { API_PATCH_JSON, API_PATCH_MERGE, API_PATCH_STRATEGIC, API_PATCH_APPLY };

struct api_call {
    enum api_verb verb;
    const struct kind *kind;
    struct str namespace_, name, subresource; /* empty where they do not apply */
    const struct object *body;                /* create, update, and objects like Binding or Eviction; may be NULL */
    struct str patch;                         /* API_PATCH: the patch text */
    enum api_patch patch_type;
    struct str field_manager; /* may be empty */
    bool force;               /* apply */
    bool dry_run;
    struct str label_selector, field_selector; /* list, delete collection */
    struct str uid_precondition;               /* delete: fails with ERR_CONFLICT when another uid is there */
    uint64_t revision_precondition;            /* delete: resourceVersion; 0 = none */
    const char *propagation;                   /* delete: "Background", "Foreground", "Orphan"; NULL = default */
    int64_t grace_seconds;                     /* delete; -1 = default */
    uint64_t epoch;     /* the leader's term, compared by the store in the same transaction; 0 = none */
    int64_t timeout_ms; /* 0 = 30 s */
};

/* result: the object, or for lists the List object; NULL on failure, then err is set. */
typedef void api_done_fn(void *arg, const struct object *result, const struct error *err);

enum api_event_type { API_ADDED, API_MODIFIED, API_DELETED, API_BOOKMARK, API_SYNCED };

struct api_event {
    enum api_event_type type;
    const struct object *object; /* NULL for API_SYNCED; for API_BOOKMARK only its revision counts */
    uint64_t revision;
};

struct api_watch_request {
    const struct kind *kind;
    struct str namespace_; /* empty = all */
    struct str label_selector, field_selector;
};

/*
 * List, then watch, then list again whenever the watch is lost: the caller sees ADDED for every object, one API_SYNCED with the
 * revision, then changes. After a loss it sees only the differences (DELETED for what vanished meanwhile carries the last known object),
 * and another API_SYNCED. Reconnects by itself with back-off until closed. on_lost (may be NULL) tells that the stream is down.
 */
struct api_watch_callbacks {
    void (*on_event)(void *arg, const struct api_event *event);
    void (*on_lost)(void *arg, const struct error *err);
    void *arg;
};

struct api_watch;
struct api; /* one caller's identity and way to the servers */

struct api_ops {
    void (*call)(struct api *api, const struct api_call *call, api_done_fn *done, void *arg);
    struct api_watch *(*watch)(struct api *api, const struct api_watch_request *request,
                               const struct api_watch_callbacks *cb);
    void (*watch_close)(struct api_watch *watch); /* no call-back after this returns */
    void (*free)(struct api *api);
};

struct api {
    const struct api_ops *ops;
};

static inline void api_call(struct api *api, const struct api_call *call, api_done_fn *done, void *arg)
{
    api->ops->call(api, call, done, arg);
}
static inline struct api_watch *api_watch(struct api *api, const struct api_watch_request *request,
                                          const struct api_watch_callbacks *cb)
{
    return api->ops->watch(api, request, cb);
}

#endif
