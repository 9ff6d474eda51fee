/* An API that a test plays. */
#include "fake.h"

#include "kinds/fields.h"
#include "object/value.h"

#include <stdlib.h>

struct api_watch {
    struct fake *fake;
    const struct kind *kind;
    struct api_watch_callbacks cb;
    struct api_watch *next;
    bool closed, listed;
};

static void tell(struct api_watch *w, enum api_event_type type, const struct object *o)
{
    if (!w->closed)
        w->cb.on_event(w->cb.arg, &(struct api_event){ type, o, w->fake->revision });
}

static void first_list(void *arg)
{
    struct api_watch *w = arg;

    if (w->fake->hold_lists || w->listed)
        return;
    w->listed = true;
    for (size_t i = 0; i < w->fake->count; i++)
        if (w->fake->kinds[i] == w->kind)
            tell(w, API_ADDED, w->fake->objects[i]);
    tell(w, API_SYNCED, NULL);
}

static struct api_watch *watch(struct api *api, const struct api_watch_request *request,
                               const struct api_watch_callbacks *cb)
{
    struct fake *f = container_of(api, struct fake, api);
    struct api_watch *w = xnew(struct api_watch);

    *w = (struct api_watch){ .fake = f, .kind = request->kind, .cb = *cb, .next = f->watches };
    f->watches = w;
    loop_post(f->loop, first_list, w);
    return w;
}

static void watch_close(struct api_watch *w)
{
    w->closed = true;
}

static void call(struct api *api, const struct api_call *c, api_done_fn *done, void *arg)
{
    struct fake *f = container_of(api, struct fake, api);

    ASSERT(f->calls_count < FAKE_MAX);
    f->calls[f->calls_count++] = (struct fake_call){
        .verb = c->verb,
        .kind = c->kind,
        .namespace_ = str_dup(c->namespace_),
        .name = str_dup(c->name.n ? c->name : object_name(c->body)),
        .subresource = str_dup(c->subresource),
        .text = str_dup(c->body ? object_json(c->body) : c->patch),
        .done = done,
        .arg = arg,
    };
}

static const struct api_ops ops = { .call = call, .watch = watch, .watch_close = watch_close };

void fake_init(struct fake *f)
{
    kinds_init();
    memset(f, 0, sizeof(*f));
    env_sim_init(&f->env, test_seed(), 1795219200000);
    f->loop = loop_new_sim(&f->env);
    f->api.ops = &ops;
    f->revision = 1;
}

static void call_free(struct fake_call *c)
{
    free(c->namespace_);
    free(c->name);
    free(c->subresource);
    free(c->text);
}

void fake_done(struct fake *f)
{
    while (f->calls_count) /* whoever asked and has gone still gets its answer */
        fake_answer(f, 0, NULL, ERR_UNAVAILABLE);
    loop_sim_run_until_idle(f->loop);
    loop_free(f->loop);
    while (f->watches) {
        struct api_watch *w = f->watches;
        f->watches = w->next;
        free(w);
    }
    for (size_t i = 0; i < f->count; i++)
        object_unref(f->objects[i]);
    arena_done(&f->arena);
}

static struct object *object_of(struct fake *f, const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *text = xstrdup(json);

    for (char *c = text; *c; c++)
        if (*c == '\'')
            *c = '"';
    struct value *tree = value_parse(&f->arena, arena_str(&f->arena, str_of(text)), NULL, &err), *metadata;
    if (!tree)
        FAIL("%s in %s", error_text(&err), json);
    metadata = value_make_object(&f->arena, tree, F_POD_METADATA);
    if (!value_get(metadata, F_OBJECT_META_NAMESPACE))
        value_set_text(&f->arena, metadata, F_OBJECT_META_NAMESPACE, "default");
    if (!value_get(metadata, F_OBJECT_META_UID))
        value_set(&f->arena, metadata, F_OBJECT_META_UID, value_to_str(value_get(metadata, F_OBJECT_META_NAME)));
    value_set(&f->arena, metadata, F_OBJECT_META_RESOURCE_VERSION,
              arena_printf(&f->arena, "%llu", (unsigned long long)++f->revision));
    return object_new(tree, &err);
}

static ptrdiff_t find(struct fake *f, const struct kind *kind, struct str name)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->kinds[i] == kind && str_eq(object_name(f->objects[i]), name))
            return (ptrdiff_t)i;
    return -1;
}

static void tell_all(struct fake *f, const struct kind *kind, enum api_event_type type, const struct object *o)
{
    fake_run(f);
    for (struct api_watch *w = f->watches; w; w = w->next)
        if (w->kind == kind && w->listed)
            tell(w, type, o);
}

const struct object *fake_put(struct fake *f, const struct kind *kind, const char *json)
{
    struct object *o = object_of(f, json);
    ptrdiff_t at = find(f, kind, object_name(o));

    tell_all(f, kind, at < 0 ? API_ADDED : API_MODIFIED, o);
    if (at < 0) {
        ASSERT(f->count < FAKE_MAX);
        at = (ptrdiff_t)f->count++;
    } else {
        object_unref(f->objects[at]);
    }
    f->objects[at] = o;
    f->kinds[at] = kind;
    return o;
}

void fake_remove(struct fake *f, const struct kind *kind, const char *name)
{
    ptrdiff_t at = find(f, kind, str_of(name));

    ASSERT(at >= 0);
    const struct object *o = f->objects[at];
    f->count--;
    f->objects[at] = f->objects[f->count];
    f->kinds[at] = f->kinds[f->count];
    f->revision++;
    tell_all(f, kind, API_DELETED, o);
    object_unref(o);
}

void fake_release_lists(struct fake *f)
{
    f->hold_lists = false;
    for (struct api_watch *w = f->watches; w; w = w->next)
        first_list(w);
    fake_run(f);
}

struct str fake_calls(struct fake *f)
{
    static const char *const verbs[] = { "get", "list", "create", "update", "patch", "delete", "deletecollection" };
    AUTO_BUF struct buf text = BUF_MAX(MIB);

    fake_run(f);
    for (size_t i = 0; i < f->calls_count; i++) {
        const struct fake_call *c = &f->calls[i];
        buf_addf(&text, "%s %s%s%s %s/%s\n", verbs[c->verb], c->kind->kind, c->subresource[0] ? "/" : "",
                 c->subresource, c->namespace_, c->name);
    }
    return arena_str(&f->arena, buf_str(&text));
}

void fake_answer(struct fake *f, size_t i, const char *json, enum error_code code)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_OBJECT struct object *result = json ? object_of(f, json) : NULL;
    struct fake_call c;

    ASSERT(i < f->calls_count);
    c = f->calls[i];
    memmove(&f->calls[i], &f->calls[i + 1], (f->calls_count - i - 1) * sizeof(c));
    f->calls_count--;
    if (code)
        fail(&err, code, "the test says no");
    c.done(c.arg, result, code ? &err : NULL);
    call_free(&c);
}

void fake_run(struct fake *f)
{
    loop_sim_run_until_idle(f->loop);
}

void fake_advance(struct fake *f, int64_t ms)
{
    loop_sim_advance(f->loop, ms);
}
