/* The API in the same process: calls and watches with a trusted identity. */
#include "world.h"

#include "kinds/api.h"

#include <stdio.h>

struct reply {
    bool done;
    struct object *object;
    enum error_code code;
    char message[256];
};

static void on_reply(void *arg, const struct object *result, const struct error *err)
{
    struct reply *r = arg;
    r->done = true;
    r->object = object_ref(result);
    r->code = err ? err->code : ERR_NONE;
    snprintf(r->message, sizeof(r->message), "%s", err ? error_text(err) : "");
}

static bool is_done(void *arg)
{
    return ((struct reply *)arg)->done;
}

static void call(struct world *w, struct api *api, const struct api_call *c, struct reply *ret)
{
    if (ret->object)
        object_unref(ret->object);
    *ret = (struct reply){ 0 };
    api_call(api, c, on_reply, ret);
    ASSERT(!ret->done); /* never from inside the call */
    ASSERT(loop_sim_run_until(w->loop, is_done, ret, 5000));
}

static struct object *secret(const char *name)
{
    AUTO_FREE char *text = xasprintf(
        "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"%s\"},\"stringData\":{\"a\":\"b\"}}",
        name);
    return object_parse(str_of(text), NULL);
}

TEST("create, get, patch, list and delete in process")
{
    struct world w;
    struct reply r = { 0 };
    world_start(&w);
    struct api *api = server_api(w.server, &identity_server);
    AUTO_OBJECT struct object *body = secret("s");
    struct api_call c = {
        .verb = API_CREATE, .kind = &kind_secret, .namespace_ = STR("default"), .body = body, .grace_seconds = -1
    };
    call(&w, api, &c, &r);
    ASSERT_STR(object_name(r.object), "s");
    ASSERT(object_revision(r.object) > 0);
    call(&w, api, &c, &r);
    ASSERT_INT(r.code, ERR_ALREADY_EXISTS);
    c = (struct api_call){ .verb = API_PATCH,
                           .kind = &kind_secret,
                           .namespace_ = STR("default"),
                           .name = STR("s"),
                           .patch = STR("{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"),
                           .patch_type = API_PATCH_MERGE };
    call(&w, api, &c, &r);
    ASSERT_INT(r.code, ERR_NONE);
    c = (struct api_call){
        .verb = API_LIST, .kind = &kind_secret, .namespace_ = STR("default"), .label_selector = STR("x=y")
    };
    call(&w, api, &c, &r);
    ASSERT_CONTAINS(object_json(r.object), "\"items\":[{\"metadata\":{\"name\":\"s\"");
    c = (struct api_call){ .verb = API_DELETE,
                           .kind = &kind_secret,
                           .namespace_ = STR("default"),
                           .name = STR("s"),
                           .uid_precondition = STR("wrong"),
                           .grace_seconds = -1 };
    call(&w, api, &c, &r);
    ASSERT_INT(r.code, ERR_CONFLICT);
    c.uid_precondition = STR_NONE;
    call(&w, api, &c, &r);
    ASSERT_INT(r.code, ERR_NONE);
    c.verb = API_GET;
    call(&w, api, &c, &r);
    ASSERT_INT(r.code, ERR_NOT_FOUND);
    ASSERT_STR((const char *)r.message, "secrets \"s\" not found");
    object_unref(r.object);
    api->ops->free(api);
    world_stop(&w);
}

TEST("the same rules hold in process: who may not, may not")
{
    struct world w;
    struct reply r = { 0 };
    world_start(&w);
    struct identity nobody = { .user = STR("nobody") };
    struct api *api = server_api(w.server, &nobody);
    struct api_call c = { .verb = API_LIST, .kind = &kind_secret, .namespace_ = STR("default") };
    call(&w, api, &c, &r);
    ASSERT_INT(r.code, ERR_FORBIDDEN);
    ASSERT_CONTAINS((const char *)r.message, "secrets is forbidden: User \"nobody\" cannot list resource \"secrets\"");
    api->ops->free(api);
    world_stop(&w);
}

struct seen {
    char text[4096];
    struct api_watch *watch;
    struct api *api;
    bool close_at_first;
};

static void on_event(void *arg, const struct api_event *e)
{
    static const char *const types[] = { "+", "~", "-", "b", "synced" };
    struct seen *s = arg;
    size_t n = strlen(s->text);
    struct str name = e->object ? object_name(e->object) : STR_NONE;
    snprintf(s->text + n, sizeof(s->text) - n, "%s%.*s ", types[e->type], STR_ARG(name));
    if (s->close_at_first)
        s->api->ops->watch_close(s->watch);
}

TEST("a watch in process lists, says so, and follows")
{
    struct world w;
    struct seen seen = { 0 };
    world_start(&w);
    make_object(&w, "/api/v1/namespaces/default/secrets", "a", "{}");
    struct api *api = server_api(w.server, &identity_server);
    struct api_watch_request request = { .kind = &kind_secret, .namespace_ = STR("default") };
    struct api_watch_callbacks cb = { .on_event = on_event, .arg = &seen };
    seen.watch = api_watch(api, &request, &cb);
    loop_sim_run_until_idle(w.loop);
    make_object(&w, "/api/v1/namespaces/default/secrets", "b", "{}");
    ask(&w, "DELETE", "/api/v1/namespaces/default/secrets/a", NULL);
    loop_sim_run_until_idle(w.loop);
    ASSERT_STR((const char *)seen.text, "+a synced +b -a ");
    api->ops->watch_close(seen.watch);
    api->ops->free(api);
    world_stop(&w);
}

TEST("a watch may be closed inside its own call-back")
{
    struct world w;
    struct seen seen = { .close_at_first = true };
    world_start(&w);
    make_object(&w, "/api/v1/namespaces/default/secrets", "a", "{}");
    make_object(&w, "/api/v1/namespaces/default/secrets", "b", "{}");
    seen.api = server_api(w.server, &identity_server);
    struct api_watch_request request = { .kind = &kind_secret, .namespace_ = STR("default") };
    struct api_watch_callbacks cb = { .on_event = on_event, .arg = &seen };
    seen.watch = api_watch(seen.api, &request, &cb);
    loop_sim_run_until_idle(w.loop);
    make_object(&w, "/api/v1/namespaces/default/secrets", "c", "{}");
    ASSERT_STR((const char *)seen.text, "+a ");
    seen.api->ops->free(seen.api);
    world_stop(&w);
}
