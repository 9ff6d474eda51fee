/*
 * The network between clients and servers: calls that take time, get lost or are answered after nobody waits any more, and watches that
 * break without a word. What an HTTPS client does about it (other servers, relists told as differences) is done here
 * in the same way, so that caches and whoever stands on them are as in earnest.
 */
#include "cluster.h"

#include "kinds/meta.h"
#include "server/object_set.h"

#include <stdlib.h>

#define CALL_MS    3000
#define NOTICED_MS 1000 /* after which a broken stream is noticed */
#define AGAIN_MS   150

struct remote {
    struct api api;
    struct cluster_sim *cluster;
    struct process *client;
    int place, server;
    struct str groups[2];
    struct identity identity;
};

struct call {
    struct list link;
    struct remote *remote;
    int server, tries;
    struct process *process; /* of the server it went to */
    struct arena arena;
    struct api_call what;
    struct api *api;
    struct loop_timer travel, deadline;
    api_done_fn *done;
    void *arg;
    bool answered, returned;
    struct object *result;
    struct error err;
};

enum stream_event { EVENT_OPEN, EVENT_OBJECT };

struct flight { /* an event of a watch on its way */
    struct api_watch *watch;
    uint64_t stream;
    struct loop_timer timer;
    enum api_event_type type;
    struct object *object;
    uint64_t revision;
};

struct far { /* the server's end of a stream; never freed: its process may be gone */
    struct list link;
    struct api_watch *watch; /* the client's end; NULL: closed */
    struct cluster_sim *cluster;
    int server;
    struct process *process;
    uint64_t stream;
    struct api *api;
    struct api_watch *local;
    int64_t free_at_ms;
    bool broken;
};

struct api_watch {
    struct remote *remote;
    struct arena arena;
    struct api_watch_request request;
    struct api_watch_callbacks cb;
    struct object_set known, unseen;
    bool repairing, closed;
    uint64_t stream;
    struct far *far;
    struct loop_timer again;
};

static void call_send(struct call *c);
static void watch_open(void *arg);

static struct remote *remote_of(struct api *api)
{
    return container_of(api, struct remote, api);
}

static void next_server(struct remote *r)
{
    r->server = (r->server + 1) % r->cluster->servers_count;
}

/* --- calls ---------------------------------------------------------------------------------------------------------------------- */

static void call_return(void *arg) /* on the client's loop */
{
    struct call *c = arg;

    if (c->returned)
        return;
    c->returned = true;
    loop_timer_stop(&c->deadline);
    c->done(c->arg, c->err.code ? NULL : c->result, c->err.code ? &c->err : NULL);
}

static void call_over(void *arg) /* the client waits no longer: it may have happened */
{
    struct call *c = arg;

    if (c->returned)
        return;
    next_server(c->remote);
    c->answered = true;
    error_done(&c->err);
    fail(&c->err, ERR_TIMEOUT, "no answer: the change may have been made");
    call_return(c);
}

static bool lost(struct cluster_sim *c, int from, int to)
{
    if (!cluster_linked(c, from, to)) {
        c->cut_messages++;
        return true;
    }
    if (c->loss_percent && sim_chance(c->sim, c->loss_percent)) {
        c->lost_messages++;
        return true;
    }
    return false;
}

static void call_back(void *arg) /* the answer arrives, on the world's loop */
{
    struct call *c = arg;

    if (!lost(c->remote->cluster, c->server, c->remote->place))
        loop_post(c->remote->client->loop, call_return, c);
}

static void on_done(void *arg, const struct object *result, const struct error *err)
{
    struct call *c = arg;

    if (c->answered)
        return;
    c->answered = true;
    c->result = object_ref(result);
    if (err)
        fail(&c->err, err->code, "%s", error_text(err));
    loop_timer_init(&c->travel, c->remote->cluster->sim->world->loop, call_back, c);
    loop_timer_start(&c->travel, cluster_delay_ms(c->remote->cluster));
}

static void call_perform(void *arg) /* on the server's loop */
{
    struct call *c = arg;
    struct sim_server *s = &c->remote->cluster->servers[c->server];

    if (s->process != c->process || c->answered)
        return;
    c->api = server_api(s->server, &c->remote->identity);
    api_call(c->api, &c->what, on_done, c);
}

static void call_arrive(void *arg) /* on the world's loop */
{
    struct call *c = arg;
    struct cluster_sim *cluster = c->remote->cluster;

    if (c->answered || lost(cluster, c->remote->place, c->server))
        return;
    if (cluster_is_up(cluster, c->server)) {
        c->process = cluster->servers[c->server].process;
        loop_post(c->process->loop, call_perform, c);
        return;
    }
    next_server(c->remote); /* refused: it certainly did not happen, another one is asked */
    if (++c->tries <= cluster->servers_count * 2) {
        call_send(c);
        return;
    }
    c->answered = true;
    fail(&c->err, ERR_UNAVAILABLE, "no server answers");
    loop_post(c->remote->client->loop, call_return, c);
}

static void call_send(struct call *c)
{
    c->server = c->remote->server;
    loop_timer_init(&c->travel, c->remote->cluster->sim->world->loop, call_arrive, c);
    loop_timer_start(&c->travel, cluster_delay_ms(c->remote->cluster) + c->tries * 20);
}

static void remote_call(struct api *api, const struct api_call *what, api_done_fn *done, void *arg)
{
    struct remote *r = remote_of(api);
    struct call *c = xnew(struct call);
    struct arena *a = &c->arena;

    *c = (struct call){ .remote = r, .what = *what, .done = done, .arg = arg };
    c->what.namespace_ = arena_str(a, what->namespace_);
    c->what.name = arena_str(a, what->name);
    c->what.subresource = arena_str(a, what->subresource);
    c->what.patch = arena_str(a, what->patch);
    c->what.field_manager = arena_str(a, what->field_manager);
    c->what.label_selector = arena_str(a, what->label_selector);
    c->what.field_selector = arena_str(a, what->field_selector);
    c->what.uid_precondition = arena_str(a, what->uid_precondition);
    c->what.body = object_ref(what->body);
    list_add_tail(&r->cluster->calls, &c->link);
    loop_timer_init(&c->deadline, r->client->loop, call_over, c);
    loop_timer_start(&c->deadline, CALL_MS);
    call_send(c);
}

/* --- watches: the server's end --------------------------------------------------------------------------------------------------- */

static void flight_free(struct flight *f)
{
    object_unref(f->object);
    free(f);
}

static void tell(struct api_watch *w, enum api_event_type type, const struct object *o, uint64_t revision)
{
    struct api_event event = { .type = type, .object = o, .revision = revision };

    w->cb.on_event(w->cb.arg, &event);
}

/* After a loss only the differences are told. */
static void tell_object(struct api_watch *w, struct flight *f)
{
    const struct object *o = f->object;
    AUTO_OBJECT struct object *before = object_ref(object_set_get(&w->known, object_namespace(o), object_name(o)));

    object_unref(object_set_del(&w->unseen, object_namespace(o), object_name(o)));
    if (f->type == API_DELETED) {
        object_unref(object_set_del(&w->known, object_namespace(o), object_name(o)));
        tell(w, API_DELETED, o, f->revision);
        return;
    }
    object_unref(object_set_put(&w->known, object_ref(o)));
    if (!w->repairing || !before)
        tell(w, f->type, o, f->revision);
    else if (object_revision(before) != object_revision(o))
        tell(w, API_MODIFIED, o, f->revision);
}

static void tell_synced(struct api_watch *w, uint64_t revision)
{
    struct object_set gone = object_set_snapshot(&w->unseen);
    struct object_cursor at;

    sim_trace(w->remote->cluster->sim, "%s: synced %s at %llu%s", w->remote->client->name, w->request.kind->kind,
              (unsigned long long)revision, w->repairing ? ", again" : "");
    object_set_done(&w->unseen);
    object_set_seek(&gone, STR_NONE, STR_NONE, &at);
    for (const struct object *o; !w->closed && (o = object_cursor_next(&at));) {
        AUTO_OBJECT struct object *kept = object_ref(o);
        object_unref(object_set_del(&w->known, object_namespace(o), object_name(o)));
        tell(w, API_DELETED, kept, revision);
    }
    object_set_done(&gone);
    w->repairing = false;
    if (!w->closed)
        tell(w, API_SYNCED, NULL, revision);
}

static void flight_land(void *arg) /* on the client's loop */
{
    struct flight *f = arg;
    struct api_watch *w = f->watch;

    if (!w->closed && w->stream == f->stream) {
        if (f->type == API_SYNCED)
            tell_synced(w, f->revision);
        else if (f->type == API_BOOKMARK)
            tell(w, API_BOOKMARK, f->object, f->revision);
        else
            tell_object(w, f);
    }
    flight_free(f);
}

static void stream_lost(void *arg) /* on the client's loop, when it is noticed */
{
    struct api_watch *w = arg;

    if (w->closed)
        return;
    sim_trace(w->remote->cluster->sim, "%s: its watch of %s is lost", w->remote->client->name, w->request.kind->kind);
    w->stream++;
    w->far = NULL;
    w->repairing = true;
    object_set_done(&w->unseen);
    w->unseen = object_set_snapshot(&w->known);
    next_server(w->remote);
    if (w->cb.on_lost)
        w->cb.on_lost(w->cb.arg, NULL);
    if (!w->closed)
        watch_open(w);
}

struct notice {
    struct loop_timer timer;
    struct api_watch *watch;
    uint64_t stream;
};

static void notice(void *arg)
{
    struct notice *x = arg;

    if (!x->watch->closed && x->watch->stream == x->stream)
        stream_lost(x->watch);
    free(x);
}

static void stream_break(struct api_watch *w, uint64_t stream)
{
    struct notice *x = xnew(struct notice);

    *x = (struct notice){ .watch = w, .stream = stream };
    loop_timer_init(&x->timer, w->remote->client->loop, notice, x);
    loop_timer_start(&x->timer, NOTICED_MS);
}

static void far_break(struct far *f)
{
    if (f->broken)
        return;
    f->broken = true;
    if (f->watch)
        stream_break(f->watch, f->stream);
}

static void flight_arrive(void *arg) /* on the world's loop */
{
    struct flight *f = arg;
    struct api_watch *w = f->watch;
    struct far *far = w->far;

    if (w->closed || w->stream != f->stream || !far || far->broken) {
        flight_free(f);
    } else if (lost(w->remote->cluster, far->server, w->remote->place)) {
        far_break(far);
        flight_free(f);
    } else {
        loop_post(w->remote->client->loop, flight_land, f);
    }
}

static void on_event(void *arg, const struct api_event *event) /* on the server's loop */
{
    struct far *far = arg;
    struct cluster_sim *c = far->cluster;
    struct flight *f;

    if (!far->watch || far->broken)
        return;
    f = xnew(struct flight);
    *f = (struct flight){ .watch = far->watch,
                          .stream = far->stream,
                          .type = event->type,
                          .object = object_ref(event->object),
                          .revision = event->revision };
    loop_timer_init(&f->timer, c->sim->world->loop, flight_arrive, f);
    int64_t arrives_ms = sim_now_ms(c->sim) + cluster_delay_ms(c);
    far->free_at_ms = MAX(far->free_at_ms, arrives_ms); /* a stream keeps its order */
    loop_timer_start(&f->timer, far->free_at_ms - sim_now_ms(c->sim));
}

static void far_listed(void *arg, const struct object *result, const struct error *err) /* on the server's loop */
{
    struct far *far = arg;
    struct api_watch_callbacks cb = { .on_event = on_event, .arg = far };

    (void)result;
    if (err)
        far_break(far);
    else if (far->watch)
        far->local = api_watch(far->api, &far->watch->request, &cb);
}

/* A list that is consistent comes first, as over HTTP: a watch must not begin before what its client has seen elsewhere. */
static void far_open(void *arg)
{
    struct far *far = arg;
    struct sim_server *s = &far->cluster->servers[far->server];

    if (s->process != far->process || !far->watch)
        return;
    far->api = server_api(s->server, &far->watch->remote->identity);
    api_call(far->api,
             &(struct api_call){ .verb = API_LIST,
                                 .kind = far->watch->request.kind,
                                 .namespace_ = far->watch->request.namespace_,
                                 .field_selector = far->watch->request.field_selector,
                                 .grace_seconds = -1 },
             far_listed, far);
}

static void far_close(void *arg)
{
    struct far *far = arg;

    if (far->local && !far->process->dead)
        far->api->ops->watch_close(far->local);
    far->local = NULL;
}

/* --- watches: the client's end ---------------------------------------------------------------------------------------------------- */

static void watch_try(void *arg) /* on the client's loop */
{
    struct api_watch *w = arg;
    struct remote *r = w->remote;
    struct cluster_sim *c = r->cluster;

    if (!cluster_is_up(c, r->server) || !cluster_linked(c, r->place, r->server) ||
        !cluster_linked(c, r->server, r->place)) {
        next_server(r);
        watch_open(w);
        return;
    }
    struct far *far = xnew(struct far);
    *far = (struct far){ .watch = w, .cluster = c, .server = r->server, .stream = ++w->stream };
    far->process = c->servers[r->server].process;
    list_add_tail(&c->streams, &far->link);
    w->far = far;
    loop_post(far->process->loop, far_open, far);
}

static void watch_open(void *arg)
{
    struct api_watch *w = arg;

    loop_timer_start(&w->again, AGAIN_MS + (int64_t)env_random_below(&w->remote->client->env.env, 50));
}

static struct api_watch *remote_watch(struct api *api, const struct api_watch_request *request,
                                      const struct api_watch_callbacks *cb)
{
    struct api_watch *w = xnew(struct api_watch);

    w->remote = remote_of(api);
    w->cb = *cb;
    w->request = (struct api_watch_request){
        .kind = request->kind,
        .namespace_ = arena_str(&w->arena, request->namespace_),
        .label_selector = arena_str(&w->arena, request->label_selector),
        .field_selector = arena_str(&w->arena, request->field_selector),
    };
    loop_timer_init(&w->again, w->remote->client->loop, watch_try, w);
    loop_timer_start(&w->again, 0);
    return w;
}

static void remote_watch_close(struct api_watch *w)
{
    if (!w)
        return;
    w->closed = true;
    loop_timer_stop(&w->again);
    if (w->far) {
        w->far->watch = NULL;
        if (!w->far->process->dead)
            loop_post(w->far->process->loop, far_close, w->far);
    }
}

static void remote_free(struct api *api)
{
    (void)api; /* calls on their way point at it */
}

struct api *remote_api(struct cluster_sim *c, struct process *client, int place, const char *user, const char *group)
{
    static const struct api_ops ops = { remote_call, remote_watch, remote_watch_close, remote_free };
    struct remote *r = xnew(struct remote);

    *r = (struct remote){ .api = { &ops }, .cluster = c, .client = client, .place = place };
    r->server = place % c->servers_count;
    r->groups[0] = str_of(group);
    r->groups[1] = STR("system:authenticated");
    r->identity = (struct identity){ .user = str_of(user), .groups = r->groups, .groups_count = 2 };
    return &r->api;
}

void remote_crashed(struct cluster_sim *c, int server)
{
    list_each (&c->streams, struct far, link, f)
        if (f->server == server && f->process == c->servers[server].process)
            far_break(f);
}
