/* GET /klein/v1/nodes/NAME/removal: held until the pod is out of every node's rules. */
#include "server/nodes_removal.h"

#include "kinds/fields.h"
#include "server/nodes.h"
#include "server/server_internal.h"

#include <stdlib.h>

struct removals {
    struct server *server;
    struct state_listener *listener;
    struct nodes_watch *watch;
    struct list waiting; /* struct removal */
    size_t count;
    uint64_t slices_revision; /* of the latest change of any EndpointSlice */
    struct loop_task look;    /* look at everyone waiting, once a round */
};

struct removal { /* in the request's arena */
    struct list link;
    struct request *request;
    struct removals *all;
    struct str namespace_, uid;
    uint64_t revision; /* to be applied everywhere; 0: still ready in a slice */
    struct loop_timer deadline;
};

static bool names_ready(struct view endpoint, struct str uid)
{
    return str_eq(view_str_at(endpoint, F_ENDPOINT_TARGET_REF, F_OBJECT_REFERENCE_UID), uid) &&
           view_bool_at(endpoint, true, F_ENDPOINT_CONDITIONS, F_ENDPOINT_CONDITIONS_READY);
}

struct search {
    struct str uid;
    bool ready;
    const struct nodes *nodes;
};

static bool look_slice(void *arg, const struct object *slice)
{
    struct search *s = arg;
    struct view endpoints = view_get(object_root(slice), F_ENDPOINT_SLICE_ENDPOINTS);
    struct view_iter it = { 0 };
    while (!s->ready && view_next(endpoints, &it))
        s->ready = names_ready(it.value, s->uid);
    return !s->ready;
}

static void applied_min(void *arg, const struct node_facts *f)
{
    uint64_t *min = arg;
    if (f->connected && !f->silent && f->applied_endpointslices < *min)
        *min = f->applied_endpointslices;
}

/* A server that just started does not know yet who is connected: each Node of the API is waited for. */
static bool is_here(void *arg, const struct object *node)
{
    struct search *s = arg;
    struct node_facts facts;
    s->ready = nodes_get(s->nodes, object_name(node), &facts) && facts.connected;
    return s->ready;
}

static bool all_are_here(struct server *s)
{
    struct search search = { .ready = true, .nodes = server_nodes(s) };
    if (!nodes_settled(search.nodes))
        state_each(server_state(s), &kind_node, STR_NONE, is_here, &search);
    return search.ready;
}

/* True when nothing new can reach the pod any more. */
static bool is_done(struct removal *w)
{
    struct server *s = w->all->server;
    uint64_t applied = UINT64_MAX;
    if (!w->revision) {
        struct search search = { .uid = w->uid };
        state_each(server_state(s), &kind_endpointslice, w->namespace_, look_slice, &search);
        if (search.ready)
            return false;
        /* Whatever removed it is not newer than the latest change of any slice: waiting for that one is enough. */
        w->revision = MAX(w->all->slices_revision, (uint64_t)1);
    }
    nodes_each(server_nodes(s), applied_min, &applied);
    return w->all->slices_revision == 0 || (applied >= w->revision && all_are_here(s));
}

static void finish(struct removal *w, bool acknowledged)
{
    struct request *r = w->request;
    list_del(&w->link);
    w->all->count--;
    loop_timer_stop(&w->deadline);
    request_resume(r, request_answer(r, 200, STR("application/json"),
                                     acknowledged ? STR("{\"acknowledged\":true}") : STR("{\"acknowledged\":false}")));
}

static void deadline(void *arg)
{
    finish(arg, false);
}

static void look(void *arg)
{
    struct removals *all = arg;
    list_each (&all->waiting, struct removal, link, w)
        if (is_done(w))
            finish(w, true);
}

static void slice_changed(void *arg, const struct change *c)
{
    struct removals *all = arg;
    if (c->kind != &kind_endpointslice)
        return;
    all->slices_revision = c->revision;
    if (all->count)
        loop_defer(server_loop(all->server), &all->look);
}

static void node_changed(void *arg, UNUSED const struct node_facts *f)
{
    struct removals *all = arg;
    if (all->count)
        loop_defer(server_loop(all->server), &all->look);
}

enum phase_result nodes_removal(struct request *r)
{
    struct removals *all = server_part(r->server, SERVER_PART_nodes_removal);
    struct removal *w = arena_new(&r->arena, struct removal);
    struct str query = r->exchange ? r->exchange->request->query : STR_NONE;
    *w = (struct removal){ .request = r, .all = all };
    if (!http_query_get(query, &r->arena, STR("namespace"), &w->namespace_) ||
        !http_query_get(query, &r->arena, STR("uid"), &w->uid) || str_empty(w->namespace_) || str_empty(w->uid))
        return request_fail(r, ERR_BAD_REQUEST, "namespace and uid are required");
    if (is_done(w))
        return request_answer(r, 200, STR("application/json"), STR("{\"acknowledged\":true}"));
    if (all->count >= REMOVALS_MAX)
        return request_answer(r, 200, STR("application/json"), STR("{\"acknowledged\":false}"));
    list_add_tail(&all->waiting, &w->link);
    all->count++;
    loop_timer_init(&w->deadline, server_loop(r->server), deadline, w);
    loop_timer_start(&w->deadline, REMOVAL_TIMEOUT_MS);
    return PHASE_WAIT;
}

static bool newest(void *arg, const struct object *slice)
{
    struct removals *all = arg;
    all->slices_revision = MAX(all->slices_revision, object_revision(slice));
    return true;
}

int nodes_removal_init(struct server *s, UNUSED struct error *err)
{
    struct removals *all = xnew(struct removals);
    all->server = s;
    all->look = (struct loop_task){ .fn = look, .arg = all };
    list_init(&all->waiting);
    state_each(server_state(s), &kind_endpointslice, STR_NONE, newest, all);
    all->listener = state_listen(server_state(s), NULL, slice_changed, all);
    all->watch = nodes_on_change(server_nodes(s), node_changed, all);
    server_part_set(s, SERVER_PART_nodes_removal, all);
    return 0;
}

void nodes_removal_done(struct server *s)
{
    struct removals *all = server_part(s, SERVER_PART_nodes_removal);
    if (!all)
        return;
    list_each (&all->waiting, struct removal, link, w)
        finish(w, false);
    loop_defer_cancel(&all->look);
    state_unlisten(all->listener);
    nodes_watch_free(all->watch);
    free(all);
    server_part_set(s, SERVER_PART_nodes_removal, NULL);
}
