/* See front.h. */
#include "front.h"

#include "kinds/fields.h"

struct waiting {
    struct front *f;
    bool done;
    int rc;
};

static void on_ready(void *arg, const struct error *err)
{
    struct front *f = arg;
    if (err)
        FAIL("the server does not start: %s", error_text(err));
    f->ready = true;
}

static bool is_true(void *flag)
{
    return *(bool *)flag;
}

void front_start(struct front *f, const struct server_config *config)
{
    struct server_config c = config ? *config : (struct server_config){ 0 };
    *f = (struct front){ 0 };
    env_sim_init(&f->sim, test_seed(), FRONT_WALL_MS);
    f->loop = loop_new_sim(&f->sim);
    c.loop = f->loop;
    f->server = server_new(&c);
    server_start(f->server, on_ready, f);
    ASSERT(loop_sim_run_until(f->loop, is_true, &f->ready, 10000));
    f->admin = front_api(f, "admin", "system:masters");
}

static void on_stopped(void *arg, UNUSED const struct error *err)
{
    ((struct front *)arg)->stopped = true;
}

void front_stop(struct front *f)
{
    f->admin->ops->free(f->admin);
    server_stop(f->server, on_stopped, f);
    ASSERT(loop_sim_run_until(f->loop, is_true, &f->stopped, 60000));
    object_unref(f->result);
    error_done(&f->err);
    loop_free(f->loop);
}

struct api *front_api(struct front *f, const char *user, const char *group)
{
    struct str groups[] = { STR("system:authenticated"), str_of(group) };
    return server_api(f->server,
                      &(struct identity){ .user = str_of(user), .groups = groups, .groups_count = group[0] ? 2 : 1 });
}

static void on_done(void *arg, const struct object *result, const struct error *err)
{
    struct waiting *w = arg;
    w->done = true;
    w->rc = err ? -1 : 0;
    w->f->result = object_ref(result);
    if (!err)
        return;
    fail(&w->f->err, err->code, "%s", error_text(err));
    for (size_t i = 0; i < err->causes_count; i++)
        error_add_cause(&w->f->err, err->causes[i].reason, str_of(err->causes[i].field), "%s", err->causes[i].message);
    w->f->err.retry_after_s = err->retry_after_s;
}

int front_call(struct front *f, struct api *api, struct api_call call)
{
    struct waiting w = { .f = f };
    object_unref(f->result);
    f->result = NULL;
    error_done(&f->err);
    api_call(api, &call, on_done, &w);
    if (!loop_sim_run_until(f->loop, is_true, &w.done, 60000))
        FAIL("the call was not answered within a minute");
    return w.rc;
}

static const struct kind *kind_of(const struct object *o)
{
    struct str version = view_str_at(object_root(o), F_POD_API_VERSION), group = STR_NONE, rest = version;
    if (str_find(version, '/') >= 0) {
        str_cut(&rest, '/', &group);
        version = rest;
    }
    const struct kind *kind = kind_find(group, version, view_str_at(object_root(o), F_POD_KIND));
    if (!kind)
        FAIL("no such kind: %.*s", STR_ARG(object_json(o)));
    return kind;
}

int front_create_in(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name,
                    const char *subresource, const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_OBJECT struct object *body = object_parse(str_of(json), &err);
    ASSERT_OK(body, &err);
    return front_call(f, api,
                      (struct api_call){ .verb = API_CREATE,
                                         .kind = kind,
                                         .namespace_ = str_of(namespace_),
                                         .name = str_of(name),
                                         .subresource = str_of(subresource),
                                         .body = body,
                                         .grace_seconds = -1 });
}

int front_create(struct front *f, struct api *api, const char *namespace_, const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_OBJECT struct object *body = object_parse(str_of(json), &err);
    ASSERT_OK(body, &err);
    const struct kind *kind = kind_of(body);
    return front_call(f, api,
                      (struct api_call){ .verb = API_CREATE,
                                         .kind = kind,
                                         .namespace_ = str_of(namespace_),
                                         .name = object_name(body),
                                         .body = body,
                                         .grace_seconds = -1 });
}

int front_update(struct front *f, struct api *api, const char *subresource, const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_OBJECT struct object *body = object_parse(str_of(json), &err);
    ASSERT_OK(body, &err);
    return front_call(f, api,
                      (struct api_call){ .verb = API_UPDATE,
                                         .kind = kind_of(body),
                                         .namespace_ = object_namespace(body),
                                         .name = object_name(body),
                                         .subresource = str_of(subresource),
                                         .body = body,
                                         .grace_seconds = -1 });
}

int front_patch(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name,
                const char *subresource, const char *merge)
{
    return front_call(f, api,
                      (struct api_call){ .verb = API_PATCH,
                                         .kind = kind,
                                         .namespace_ = str_of(namespace_),
                                         .name = str_of(name),
                                         .subresource = str_of(subresource),
                                         .patch = str_of(merge),
                                         .patch_type = API_PATCH_MERGE,
                                         .grace_seconds = -1 });
}

int front_delete(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name)
{
    return front_call(f, api,
                      (struct api_call){ .verb = API_DELETE,
                                         .kind = kind,
                                         .namespace_ = str_of(namespace_),
                                         .name = str_of(name),
                                         .grace_seconds = -1 });
}

int front_get(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name)
{
    return front_call(f, api,
                      (struct api_call){ .verb = API_GET,
                                         .kind = kind,
                                         .namespace_ = str_of(namespace_),
                                         .name = str_of(name),
                                         .grace_seconds = -1 });
}

struct str front_result(struct front *f, const char *path)
{
    struct str rest = str_of(path), part;
    struct view v = object_root(f->result);
    uint64_t i;
    while (str_next(&rest, '.', &part))
        v = str_to_u64(part, &i) ? view_item(v, i) : view_get_str(v, part);
    return view_type(v) == VALUE_STRING ? view_str(v) : view_json(v);
}

void front_pass(struct front *f, int64_t ms)
{
    loop_sim_advance(f->loop, ms);
}
