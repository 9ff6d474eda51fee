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

void place_init(struct place *p)
{
    kinds_init();
    *p = (struct place){ 0 };
}

void place_done(struct place *p)
{
    scheduler_view_done(&p->view);
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
