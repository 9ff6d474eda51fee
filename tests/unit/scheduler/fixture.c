/* A cluster for one decision. */
#include "fixture.h"

#include "kinds/kinds.h"

static struct object *object_of(const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *text = xstrdup(json);

    for (char *c = text; *c; c++)
        if (*c == '\'')
            *c = '"';
    struct object *o = object_parse(str_of(text), &err);
    if (!o)
        FAIL("%s in %s", error_text(&err), json);
    return o;
}

static const struct object *storage_get(void *arg, const struct kind *kind, struct str namespace_, struct str name)
{
    const struct place *p = arg;

    (void)namespace_;
    for (size_t i = 0; i < p->storage_count; i++)
        if (p->storage_kinds[i] == kind && str_eq(object_name(p->storage[i]), name))
            return p->storage[i];
    return NULL;
}

static const struct object *storage_at(void *arg, const struct kind *kind, size_t n)
{
    const struct place *p = arg;

    for (size_t i = 0; i < p->storage_count; i++)
        if (p->storage_kinds[i] == kind && n-- == 0)
            return p->storage[i];
    return NULL;
}

void place_storage(struct place *p, const struct kind *kind, const char *json)
{
    ASSERT(p->storage_count < ARRAY_SIZE(p->storage));
    p->storage[p->storage_count] = object_of(json);
    p->storage_kinds[p->storage_count++] = kind;
}

void place_init(struct place *p)
{
    kinds_init();
    *p = (struct place){ 0 };
    p->view.storage = (struct scheduler_storage){ storage_get, storage_at, p };
}

void place_done(struct place *p)
{
    scheduler_view_done(&p->view);
    for (size_t i = 0; i < p->storage_count; i++)
        object_unref(p->storage[i]);
    arena_done(&p->arena);
}

void place_node_json(struct place *p, const char *json)
{
    AUTO_OBJECT struct object *o = object_of(json);

    scheduler_view_set_node(&p->view, o);
}

void place_node(struct place *p, const char *name, const char *zone, const char *spec)
{
    AUTO_FREE char *json =
        xasprintf("{'metadata':{'name':'%s','labels':{'kubernetes.io/hostname':'%s',"
                  "'topology.kubernetes.io/zone':'%s'}},'spec':{%s},'status':{'allocatable':{'cpu':'4',"
                  "'memory':'8Gi','pods':'110'}}}",
                  name, name, zone, spec);

    place_node_json(p, json);
}

void place_pod(struct place *p, const char *node, const char *json)
{
    AUTO_OBJECT struct object *o = object_of(json);
    /* Tests rarely care for the uid: it is the number of the pod. */
    AUTO_FREE char *text = xasprintf("{\"metadata\":{\"uid\":\"bound-%zu\",%.*s", p->view.pods.count,
                                     STR_ARG(str_from(object_json(o), sizeof("{\"metadata\":{") - 1)));
    AUTO_OBJECT struct object *with_uid = object_of(text);

    ASSERT(str_starts(object_json(o), STR("{\"metadata\":{")));
    scheduler_view_set_pod(&p->view, with_uid, str_of(node));
}

const char *place_random(struct place *p, const char *json, uint64_t random)
{
    AUTO_OBJECT struct object *o = object_of(json);
    struct pod_info *pod = pod_info_new(o);
    struct decision d = schedule(&p->view, pod, random, &p->arena);
    const char *answer = d.node ? arena_strdup(&p->arena, str_of(d.node->name)) : arena_strdup(&p->arena, d.message);

    pod_info_free(pod);
    return answer;
}

const char *place(struct place *p, const char *json)
{
    return place_random(p, json, 0);
}
