/*
 * Watch over HTTP: a watcher's events as frames on an open answer, with bookmarks and an end.
 *
 * Source: apiserver/pkg/endpoints/handlers/watch.go; "Resource versions" of the API concepts; KEP-956, KEP-3157.
 */
#include "server/negotiate.h"
#include "server/read.h"
#include "server/response.h"
#include "server/server_internal.h"
#include "server/watcher.h"

#include "base/time.h"

#define EVENT_BYTES_MAX   (8 * MIB)
#define BOOKMARK_EVERY_MS MINUTE_MS
#define TIMEOUT_MIN_MS    (30 * MINUTE_MS) /* upstream: --min-request-timeout, and as much again at random */
#define QUEUED_MAX_BYTES  (16 * MIB)       /* a reader with so much unread is dropped */

struct watch {
    struct request *request;
    struct watcher *watcher;
    struct watch_format format;
    struct buf gathered; /* events of this round */
    struct loop_task flush;
    struct loop_timer bookmark, timeout;
    bool initial_bookmark; /* announce the end of the initial events */
    bool full, ended;
};

static void end(struct watch *w, bool cleanly)
{
    struct request *r = w->request;
    if (w->ended)
        return;
    w->ended = true;
    watcher_free(w->watcher);
    loop_timer_stop(&w->bookmark);
    loop_timer_stop(&w->timeout);
    loop_defer_cancel(&w->flush);
    if (cleanly && w->gathered.n)
        http_exchange_write_copy(r->exchange, buf_str(&w->gathered));
    buf_done(&w->gathered);
    if (cleanly)
        http_exchange_end(TAKE(r->exchange));
    else
        http_exchange_abort(TAKE(r->exchange));
    request_resume(r, PHASE_ANSWERED);
}

/* All events of a round go out as one piece. False: the client must read first, or the watch is over and gone. */
static bool send_gathered(struct watch *w)
{
    if (w->gathered.n == 0)
        return !w->full;
    w->full = !http_exchange_write_copy(w->request->exchange, buf_str(&w->gathered));
    buf_clear(&w->gathered);
    if (http_exchange_queued_bytes(w->request->exchange) > QUEUED_MAX_BYTES) {
        end(w, false);
        return false;
    }
    return !w->full;
}

static void flush(void *arg)
{
    send_gathered(arg);
}

static bool gather(struct watch *w)
{
    loop_defer(w->request->server->loop, &w->flush);
    return !w->full && w->gathered.n < 256 * KIB;
}

static void fail_frames(struct watch *w)
{
    /* One object that cannot be encoded must not look like a watch without it. */
    end(w, false);
}

static bool on_event(void *arg, enum watch_event_type type, const struct object *o, struct change *c)
{
    struct watch *w = arg;
    if (watch_frame(&w->gathered, &w->format, type, o, c, env_wall_ms(w->request->server->env), &w->request->err) < 0) {
        fail_frames(w);
        return false;
    }
    if (gather(w))
        return true;
    /* Much in one round: write what is there; go on when the client has read it. */
    return send_gathered(w);
}

static void on_synced(void *arg, uint64_t revision)
{
    struct watch *w = arg;
    if (!w->initial_bookmark)
        return;
    if (watch_frame_bookmark(&w->gathered, &w->format, revision, true, &w->request->err) < 0)
        fail_frames(w);
    else
        gather(w);
}

static void on_failed(void *arg, const struct error *err)
{
    struct watch *w = arg;
    watch_frame_error(&w->gathered, &w->format, err, NULL);
    end(w, true);
}

static void on_bookmark(void *arg)
{
    struct watch *w = arg;
    uint64_t revision = watcher_revision(w->watcher);
    loop_timer_start(&w->bookmark, BOOKMARK_EVERY_MS);
    if (revision == 0 || w->full)
        return;
    if (watch_frame_bookmark(&w->gathered, &w->format, revision, false, &w->request->err) < 0)
        fail_frames(w);
    else
        gather(w);
}

static void on_timeout(void *arg)
{
    struct watch *w = arg;
    uint64_t revision = watcher_revision(w->watcher);
    if (w->request->options.allow_bookmarks && revision && !w->full)
        watch_frame_bookmark(&w->gathered, &w->format, revision, false, NULL);
    end(w, true);
}

static void on_drained(struct http_exchange *x, void *user)
{
    (void)x;
    struct request *r = user;
    struct watch *w = r->perform;
    w->full = false;
    watcher_resume(w->watcher);
}

static void on_gone(struct http_exchange *x, void *user)
{
    (void)x;
    struct request *r = user;
    r->gone = true;
    end(r->perform, false);
}

/* The server stops: a clean end, so that the client comes back elsewhere with its revision. */
static void cancel(struct request *r)
{
    end(r->perform, true);
}

static int check(struct request *r, struct error *err)
{
    const struct request_options *o = &r->options;
    if (r->answer_type == MEDIA_YAML)
        return fail(err, ERR_NOT_ACCEPTABLE,
                    "only the following media types are accepted: application/json;stream=watch, "
                    "application/vnd.kubernetes.protobuf;stream=watch");
    if (!o->send_initial_events_set) {
        if (o->revision_match == MATCH_UNSET)
            return 0;
        fail(err, ERR_INVALID,
             "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is "
             "forbidden for "
             "watch unless sendInitialEvents is provided");
        error_add_cause(err, "FieldValueForbidden", STR("resourceVersionMatch"),
                        "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        return -1;
    }
    if (o->revision_match == MATCH_NOT_OLDER_THAN && (o->allow_bookmarks || !o->send_initial_events))
        return 0;
    const char *why = o->revision_match == MATCH_NOT_OLDER_THAN
                          ? "allowWatchBookmarks: Forbidden: sendInitialEvents requires setting allowWatchBookmarks"
                          : "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch "
                            "to NotOlderThan";
    struct str rest = str_of(why), field;
    str_cut(&rest, ':', &field);
    fail(err, ERR_INVALID, "ListOptions.meta.k8s.io \"\" is invalid: %s", why);
    error_add_cause(err, "FieldValueForbidden", field, "%.*s", STR_ARG(str_trim(rest)));
    return -1;
}

static void start_timers(struct watch *w)
{
    struct request *r = w->request;
    struct loop *loop = r->server->loop;
    int64_t ms = r->options.timeout_s > 0 ? r->options.timeout_s * SECOND_MS
                                          : TIMEOUT_MIN_MS + (int64_t)env_random_below(r->server->env, TIMEOUT_MIN_MS);
    loop_timer_init(&w->timeout, loop, on_timeout, w);
    loop_timer_start(&w->timeout, ms);
    loop_timer_init(&w->bookmark, loop, on_bookmark, w);
    if (r->options.allow_bookmarks)
        loop_timer_start(&w->bookmark, BOOKMARK_EVERY_MS);
}

enum phase_result watch_start(struct request *r)
{
    static const struct watcher_callbacks watcher_callbacks = { on_event, on_synced, on_failed };
    static const struct http_exchange_callbacks exchange_callbacks = { .on_drained = on_drained, .on_gone = on_gone };
    struct filter filter = { 0 };
    uint64_t revision = 0;
    if (check(r, &r->err) < 0 || filter_parse(&filter, r->kind, request_namespace(r), r->options.label_selector,
                                              r->options.field_selector, &r->err) < 0) {
        filter_done(&filter);
        return PHASE_FAILED;
    }
    str_to_u64(r->options.resource_version, &revision);
    if (r->gone) {
        filter_done(&filter);
        http_exchange_abort(TAKE(r->exchange));
        return PHASE_ANSWERED;
    }
    struct watch *w = arena_new(&r->arena, struct watch);
    r->perform = w;
    w->request = r;
    w->gathered.max = EVENT_BYTES_MAX;
    w->flush = (struct loop_task){ .fn = flush, .arg = w };
    w->format = (struct watch_format){ r->kind, r->answer_type, r->answer_as, r->options.include_object, false };
    /* No revision, or 0: begin with what is there. A revision: what came after it. sendInitialEvents says so itself. */
    bool initial = r->options.send_initial_events_set ? r->options.send_initial_events : revision == 0;
    w->initial_bookmark = r->options.send_initial_events;
    struct http_response head =
        response_head(r, 200,
                      r->answer_type == MEDIA_PROTOBUF ? STR("application/vnd.kubernetes.protobuf;stream=watch")
                                                       : STR("application/json"),
                      NULL, 0);
    http_exchange_set_callbacks(r->exchange, &exchange_callbacks, r);
    http_exchange_start(r->exchange, &head);
    w->watcher = watcher_new(r->server->state, r->server->loop, &filter, initial,
                             revision ? revision : WATCHER_FROM_PRESENT, &watcher_callbacks, w);
    start_timers(w);
    r->cancel = cancel;
    return PHASE_WAIT;
}
