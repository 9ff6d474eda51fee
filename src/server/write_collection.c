/* Deletecollection: every object that matches, deleted one by one through the phases, a few at a time. */
#include "server/local.h"
#include "server/read.h"
#include "server/server_internal.h"

#include <stdlib.h>

#define AT_ONCE   16
#define COUNT_MAX 1000000

struct collection {
    struct request *request;
    struct object_set set; /* keeps the objects alive */
    const struct object **objects;
    size_t count, capacity, next, running;
    struct error err;
};

static void finish(struct collection *c)
{
    struct request *r = c->request;
    object_set_done(&c->set);
    free(c->objects);
    bool failed = c->err.code != ERR_NONE;
    if (failed)
        error_move(&r->err, &c->err);
    r->result_is_status = true;
    request_resume(r, failed ? PHASE_FAILED : PHASE_DONE);
}

static void on_deleted(void *arg, const struct object *result, const struct error *err);

static void delete_next(struct collection *c)
{
    struct request *r = c->request;
    const struct delete_options *o = &r->delete_options;
    const struct object *target = c->objects[c->next++];
    const char *propagation = str_empty(o->propagation) ? NULL : arena_strdup(&r->arena, o->propagation);
    if (o->orphan_dependents_set)
        propagation = o->orphan_dependents ? "Orphan" : "Background";
    struct api_call call = {
        .verb = API_DELETE,
        .kind = r->kind,
        .namespace_ = object_namespace(target),
        .name = object_name(target),
        .uid_precondition = object_uid(target),
        .grace_seconds = o->grace_s,
        .propagation = propagation,
        .dry_run = r->options.dry_run,
        .epoch = r->epoch,
    };
    c->running++;
    /* The right to delete the collection covers its members (upstream: rest.CollectionDeleter runs below authorization). */
    local_call(r->server, &identity_server, &call, on_deleted, c);
}

static void on_deleted(void *arg, const struct object *result, const struct error *err)
{
    (void)result;
    struct collection *c = arg;
    c->running--;
    if (err && err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT && c->err.code == ERR_NONE)
        fail(&c->err, err->code, "%s", error_text(err));
    if (c->err.code == ERR_NONE && c->next < c->count)
        delete_next(c);
    else if (c->running == 0)
        finish(c);
}

enum phase_result write_deletecollection(struct request *r)
{
    struct filter filter;
    if (filter_parse(&filter, r->kind, request_namespace(r), r->options.label_selector, r->options.field_selector,
                     &r->err) < 0) {
        filter_done(&filter);
        return PHASE_FAILED;
    }
    struct collection *c = arena_new(&r->arena, struct collection);
    struct object_cursor at;
    c->request = r;
    c->set = state_snapshot(r->server->state, r->kind);
    object_set_seek(&c->set, filter.namespace_, STR_NONE, &at);
    for (const struct object *o; c->count < COUNT_MAX && (o = object_cursor_next(&at));) {
        if (!str_empty(filter.namespace_) && !str_eq(object_namespace(o), filter.namespace_))
            break;
        if (!filter_matches(&filter, o))
            continue;
        GROW(c->objects, c->count, c->capacity);
        c->objects[c->count++] = o;
    }
    filter_done(&filter);
    if (c->count == 0) {
        object_set_done(&c->set);
        r->result_is_status = true;
        return PHASE_DONE;
    }
    for (size_t i = 0; i < AT_ONCE && c->next < c->count; i++)
        delete_next(c);
    return PHASE_WAIT;
}
