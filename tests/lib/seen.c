/* A cluster as somebody sees it: a fake API that only lists what the test put there. */
#include "seen.h"

#include "client/internal.h"
#include "kinds/fields.h"
#include "loop/sim.h"
#include "object/value.h"

struct api_watch {
    struct seen *seen;
    const struct kind *kind;
    struct api_watch_callbacks cb;
    struct api_watch *next;
    bool closed;
};

static void tell(struct api_watch *w, enum api_event_type type, const struct object *o)
{
    if (!w->closed)
        w->cb.on_event(w->cb.arg, &(struct api_event){ type, o, w->seen->revision });
}

static void first_list(void *arg)
{
    struct api_watch *w = arg;

    for (size_t i = 0; i < w->seen->count; i++)
        if (w->seen->kinds[i] == w->kind)
            tell(w, API_ADDED, w->seen->objects[i]);
    tell(w, API_SYNCED, NULL);
}

static struct api_watch *fake_watch(struct api *api, const struct api_watch_request *request,
                                    const struct api_watch_callbacks *cb)
{
    struct seen *s = container_of(api, struct seen, api);
    struct api_watch *w = xnew(struct api_watch);

    *w = (struct api_watch){ .seen = s, .kind = request->kind, .cb = *cb, .next = s->watches };
    s->watches = w;
    loop_post(s->loop, first_list, w);
    return w;
}

static void fake_watch_close(struct api_watch *w)
{
    w->closed = true;
}

static void fake_call(struct api *api, const struct api_call *call, api_done_fn *done, void *arg)
{
    (void)api;
    (void)call;
    (void)done;
    (void)arg;
    FAIL("a pure function called the API");
}

static const struct api_ops fake_ops = { .call = fake_call, .watch = fake_watch, .watch_close = fake_watch_close };

void seen_init(struct seen *s)
{
    kinds_init();
    memset(s, 0, sizeof(*s));
    env_sim_init(&s->env, 1, SEEN_NOW_MS);
    s->loop = loop_new_sim(&s->env);
    s->api.ops = &fake_ops;
    s->cluster = cluster_new(s->loop, &s->api);
    s->now_ms = SEEN_NOW_MS;
    s->random = 42;
    s->config = (struct controller_config){ .cluster_domain = "cluster.local",
                                            .pod_cidr = "10.244.0.0/16",
                                            .service_account_ca_pem = "CA",
                                            .node_monitor_grace_ms = 1000 };
    facts_init(&s->facts);
}

void seen_done(struct seen *s)
{
    plan_done(&s->plan);
    live_answers_done(&s->live);
    cluster_free(s->cluster);
    facts_done(&s->facts);
    loop_free(s->loop);
    while (s->watches) {
        struct api_watch *w = s->watches;
        s->watches = w->next;
        free(w);
    }
    for (size_t i = 0; i < s->count; i++)
        object_unref(s->objects[i]);
    arena_done(&s->plan_arena);
    arena_done(&s->arena);
}

static void put_default(struct seen *s, struct value *o, name_id field, struct str text)
{
    if (!value_get(o, field))
        value_set(&s->arena, o, field, text);
}

static struct object *complete(struct seen *s, const struct kind *kind, const struct value *tree)
{
    AUTO_ERROR struct error err = { 0 };
    struct value *whole = value_object(&s->arena), *metadata;

    value_set(&s->arena, whole, F_POD_API_VERSION,
              kind->group[0] ? arena_printf(&s->arena, "%s/%s", kind->group, kind->version) : str_of(kind->version));
    value_set_text(&s->arena, whole, F_POD_KIND, kind->kind);
    for (uint32_t i = 0; i < tree->members_count; i++)
        if (tree->members[i].id != F_POD_API_VERSION && tree->members[i].id != F_POD_KIND)
            value_put_str(&s->arena, whole, tree->members[i].name, tree->members[i].value);
    metadata = value_make_object(&s->arena, whole, F_POD_METADATA);
    struct str name = value_to_str(value_get(metadata, F_OBJECT_META_NAME));
    if (kind->namespaced)
        put_default(s, metadata, F_OBJECT_META_NAMESPACE, STR("default"));
    put_default(s, metadata, F_OBJECT_META_UID, arena_printf(&s->arena, "%.*s-uid", STR_ARG(name)));
    s->revision++;
    put_default(s, metadata, F_OBJECT_META_RESOURCE_VERSION,
                arena_printf(&s->arena, "%llu", (unsigned long long)s->revision));
    struct object *o = object_new(whole, &err);
    if (!o)
        FAIL("%s", error_text(&err));
    return o;
}

static ptrdiff_t find(const struct seen *s, const struct kind *kind, struct str namespace_, struct str name)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->kinds[i] == kind && str_eq(object_name(s->objects[i]), name) &&
            str_eq(object_namespace(s->objects[i]), namespace_))
            return (ptrdiff_t)i;
    return -1;
}

static void tell_all(struct seen *s, const struct kind *kind, enum api_event_type type, const struct object *o)
{
    loop_sim_run_until_idle(s->loop);
    for (struct api_watch *w = s->watches; w; w = w->next)
        if (w->kind == kind)
            tell(w, type, o);
}

const struct object *seen_get(const struct seen *s, const struct kind *kind, struct str namespace_, struct str name)
{
    ptrdiff_t at = find(s, kind, namespace_, name);

    return at < 0 ? NULL : s->objects[at];
}

const struct object *seen_put(struct seen *s, const struct kind *kind, const struct value *tree)
{
    struct object *o = complete(s, kind, tree);
    ptrdiff_t at = find(s, kind, object_namespace(o), object_name(o));

    tell_all(s, kind, at < 0 ? API_ADDED : API_MODIFIED, o);
    if (at >= 0) {
        object_unref(s->objects[at]);
    } else {
        at = (ptrdiff_t)s->count++;
        ASSERT(s->count <= ARRAY_SIZE(s->objects));
    }
    s->objects[at] = o;
    s->kinds[at] = kind;
    return o;
}

const struct object *seen_add(struct seen *s, const struct kind *kind, const char *format, ...)
{
    AUTO_ERROR struct error err = { 0 };
    va_list args;
    struct str text;
    struct value *tree;

    va_start(args, format);
    text = arena_vprintf(&s->arena, format, args);
    va_end(args);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\'')
            ((char *)(uintptr_t)text.p)[i] = '"';
    tree = value_parse(&s->arena, text, NULL, &err);
    if (!tree)
        FAIL("%s in %.*s", error_text(&err), STR_ARG(text));
    return seen_put(s, kind, tree);
}

void seen_remove(struct seen *s, const struct kind *kind, const char *namespace_, const char *name)
{
    ptrdiff_t at = find(s, kind, str_of(namespace_), str_of(name));

    ASSERT(at >= 0);
    const struct object *o = s->objects[at];
    s->count--;
    s->objects[at] = s->objects[s->count];
    s->kinds[at] = s->kinds[s->count];
    tell_all(s, kind, API_DELETED, o);
    object_unref(o);
}

static void write_step(struct buf *to, const struct plan_step *p)
{
    static const char *const verbs[] = { "create", "update", "patch", "delete", "post", "event", "read" };

    if (p->type == STEP_EVENT) {
        buf_addf(to, "event %s %.*s\n", p->event_reason, STR_ARG(p->event_message));
        return;
    }
    buf_addf(to, "%s %s", verbs[p->type], p->kind->kind);
    if (p->subresource.n)
        buf_addf(to, "/%.*s", STR_ARG(p->subresource));
    buf_add_char(to, ' ');
    if (p->namespace_.n)
        buf_addf(to, "%.*s/", STR_ARG(p->namespace_));
    buf_add(to, p->name);
    if (p->type == STEP_UPDATE && p->subresource.n)
        buf_addf(to, " %.*s", STR_ARG(view_json(view_get(object_root(p->body), F_POD_STATUS))));
    else if (p->type == STEP_PATCH || p->type == STEP_POST)
        buf_addf(to, " %.*s", STR_ARG(object_json(p->body)));
    if (p->propagation)
        buf_addf(to, " %s", p->propagation);
    buf_add_char(to, '\n');
}

struct str seen_plan(struct seen *s, const struct controller *c, const char *namespace_, const char *name)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * MIB);
    AUTO_ERROR struct error err = { 0 };

    plan_done(&s->plan);
    plan_init(&s->plan, &s->plan_arena);
    s->plan.live = &s->live;
    if (c->kind)
        cluster_cache(s->cluster, c->kind);
    for (const struct trigger *t = c->triggers; t->kind; t++)
        cluster_cache(s->cluster, t->kind);
    for (const struct kind *const *kind = c->reads; *kind; kind++)
        cluster_cache(s->cluster, *kind);
    loop_sim_run_until_idle(s->loop);
    s->facts.now_ms = env_monotonic_ms(&s->env.env);
    struct reconcile r = {
        .arena = &s->plan_arena,
        .controller = c,
        .config = &s->config,
        .cluster = s->cluster,
        .facts = &s->facts,
        .namespace_ = str_of(namespace_),
        .name = str_of(name),
        .object = c->kind ? cache_get(cluster_cache(s->cluster, c->kind), str_of(namespace_), str_of(name)) : NULL,
        .now_ms = s->now_ms,
        .random = s->random,
        .plan = &s->plan,
    };
    if (c->reconcile(&r, &err) < 0)
        return arena_printf(&s->arena, "failed: %s", error_text(&err));
    for (size_t i = 0; i < s->plan.count; i++)
        write_step(&text, &s->plan.steps[i]);
    return arena_str(&s->arena, buf_str(&text));
}
