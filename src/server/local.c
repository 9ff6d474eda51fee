/* In-process calls: the same phases as over HTTP, with a trusted identity and objects by reference. */
#include "server/local.h"

#include "server/server_internal.h"

#include <stdlib.h>

struct local_call {
    api_done_fn *done;
    void *arg;
    struct object *body; /* r->tree borrows its strings */
};

struct local_api {
    struct api api;
    struct server *server;
    struct arena arena;
    struct identity identity;
};

static const char *const verbs[] = {
    [API_GET] = "get",
    [API_LIST] = "list",
    [API_CREATE] = "create",
    [API_UPDATE] = "update",
    [API_PATCH] = "patch",
    [API_DELETE] = "delete",
    [API_DELETE_COLLECTION] = "deletecollection",
};

static const enum patch_type patches[] = {
    [API_PATCH_JSON] = PATCH_JSON,
    [API_PATCH_MERGE] = PATCH_MERGE,
    [API_PATCH_STRATEGIC] = PATCH_STRATEGIC,
    [API_PATCH_APPLY] = PATCH_APPLY,
};

static void fill_info(struct request *r, const struct api_call *c)
{
    struct arena *a = &r->arena;
    r->info = (struct request_info){
        .is_resource = true,
        .verb = str_of(verbs[c->verb]),
        .group = str_of(c->kind->group),
        .version = str_of(c->kind->version),
        .resource = str_of(c->kind->plural),
        .namespace_ = c->kind->namespaced ? arena_str(a, c->namespace_) : STR_NONE,
        .name = arena_str(a, c->name),
        .subresource = arena_str(a, c->subresource),
        .path = STR("/"),
    };
}

static void fill_options(struct request *r, const struct api_call *c)
{
    struct arena *a = &r->arena;
    r->options.dry_run = c->dry_run;
    r->options.force = c->force;
    r->options.label_selector = arena_str(a, c->label_selector);
    r->options.field_selector = arena_str(a, c->field_selector);
    r->options.field_manager = str_empty(c->field_manager) ? STR("klein") : arena_str(a, c->field_manager);
    r->options.validation = FIELD_VALIDATION_IGNORE;
    r->delete_options.grace_s = c->verb == API_DELETE || c->verb == API_DELETE_COLLECTION ? c->grace_seconds : -1;
    r->delete_options.uid = arena_str(a, c->uid_precondition);
    if (c->revision_precondition)
        r->delete_options.resource_version = arena_printf(a, "%llu", (unsigned long long)c->revision_precondition);
    r->delete_options.propagation = arena_str(a, str_of(c->propagation));
    r->epoch = c->epoch;
}

static void start(void *arg)
{
    request_start(arg);
}

void local_call(struct server *s, const struct identity *identity, const struct api_call *c, api_done_fn *done,
                void *arg)
{
    struct request *r = request_new(s, REQUEST_LOCAL);
    r->identity = identity_copy(&r->arena, identity);
    r->local = arena_new(&r->arena, struct local_call);
    *r->local = (struct local_call){ .done = done, .arg = arg, .body = object_ref(c->body) };
    fill_info(r, c);
    fill_options(r, c);
    if (c->verb == API_PATCH) {
        r->body = arena_str(&r->arena, c->patch);
        r->patch_type = patches[c->patch_type];
        r->body_type = c->patch_type == API_PATCH_APPLY ? MEDIA_YAML : MEDIA_JSON;
    } else if (c->body) {
        r->tree = value_of_view(&r->arena, object_root(c->body));
    }
    if (s->stopping) {
        fail(&r->err, ERR_UNAVAILABLE, "the server is stopping");
        r->phase = PHASE_OF_encode;
    }
    loop_post(s->loop, start, r);
}

void local_answer(struct request *r)
{
    struct local_call *c = r->local;
    api_done_fn *done = TAKE(c->done);
    if (!done)
        return; /* told before: encode_late() */
    if (r->err.code != ERR_NONE)
        done(c->arg, NULL, &r->err);
    else
        done(c->arg, r->result, NULL);
}

struct value *local_body_tree(struct request *r)
{
    return value_of_view(&r->arena, object_root(r->local->body));
}

void local_release(struct request *r)
{
    if (r->local)
        object_unref(TAKE(r->local->body));
}

/* --- struct api ------------------------------------------------------------------------------------------------------------- */

static struct local_api *local_of(struct api *api)
{
    return container_of(api, struct local_api, api);
}

static void api_call_(struct api *api, const struct api_call *call, api_done_fn *done, void *arg)
{
    struct local_api *l = local_of(api);
    local_call(l->server, &l->identity, call, done, arg);
}

static struct api_watch *api_watch_(struct api *api, const struct api_watch_request *request,
                                    const struct api_watch_callbacks *cb)
{
    struct local_api *l = local_of(api);
    return local_watch(l->server, &l->identity, request, cb);
}

static void api_free(struct api *api)
{
    struct local_api *l = local_of(api);
    arena_done(&l->arena);
    free(l);
}

struct api *server_api(struct server *s, const struct identity *identity)
{
    static const struct api_ops ops = { api_call_, api_watch_, local_watch_close, api_free };
    struct local_api *l = xnew(struct local_api);
    l->api.ops = &ops;
    l->server = s;
    l->identity = identity_copy(&l->arena, identity);
    return &l->api;
}
