/* A plan: what one pass wants done, frozen as it is said. */
#include "client/internal.h"
#include "kinds/fields.h"

#include <stdlib.h>

void plan_init(struct plan *p, struct arena *arena)
{
    *p = (struct plan){ .arena = arena, .wake_after_ms = -1 };
}

void plan_done(struct plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        object_unref(p->steps[i].body);
        object_unref(p->steps[i].about);
    }
    free(p->steps);
    p->steps = NULL;
    p->count = p->capacity = 0;
}

static struct plan_step *add(struct plan *p, struct plan_step step)
{
    GROW(p->steps, p->count, p->capacity);
    step.namespace_ = arena_str(p->arena, step.namespace_);
    step.name = arena_str(p->arena, step.name);
    step.uid = arena_str(p->arena, step.uid);
    step.subresource = arena_str(p->arena, step.subresource);
    p->steps[p->count] = step;
    return &p->steps[p->count++];
}

/* A tree klein itself built does not freeze only when it is larger than any object may be: then the write will fail loudly. */
static const struct object *freeze(const struct value *tree)
{
    return object_new(tree, NULL);
}

static struct plan_step about(int type, const struct kind *kind, const struct object *old)
{
    return (struct plan_step){
        .type = type,
        .kind = kind,
        .namespace_ = object_namespace(old),
        .name = object_name(old),
        .uid = object_uid(old),
        .grace_seconds = -1,
    };
}

void plan_create(struct reconcile *r, const struct kind *kind, struct str namespace_, const struct value *tree)
{
    struct str name = value_to_str(value_path(tree, F_POD_METADATA, F_OBJECT_META_NAME));

    add(r->plan, (struct plan_step){
                     .type = STEP_CREATE, .kind = kind, .namespace_ = namespace_, .name = name, .body = freeze(tree) });
}

void plan_update(struct reconcile *r, const struct kind *kind, const struct object *old, const struct value *tree,
                 const char *subresource)
{
    struct plan_step step = about(STEP_UPDATE, kind, old);

    step.subresource = str_of(subresource);
    step.body = freeze(tree);
    add(r->plan, step);
}

void plan_patch(struct reconcile *r, const struct kind *kind, const struct object *old, const struct value *patch,
                const char *subresource)
{
    struct plan_step step = about(STEP_PATCH, kind, old);
    struct value *guarded = value_copy(r->arena, patch);

    /* The uid makes the patch fail with a conflict when another object of the same name has taken the place. */
    value_set(r->arena, value_make_object(r->arena, guarded, F_POD_METADATA), F_OBJECT_META_UID, object_uid(old));
    step.subresource = str_of(subresource);
    step.body = freeze(guarded);
    add(r->plan, step);
}

void plan_delete(struct reconcile *r, const struct kind *kind, const struct object *old, const char *propagation,
                 int64_t grace_seconds)
{
    struct plan_step step = about(STEP_DELETE, kind, old);

    step.propagation = propagation;
    step.grace_seconds = grace_seconds;
    add(r->plan, step);
}

void plan_delete_unchanged(struct reconcile *r, const struct kind *kind, const struct object *old,
                           const char *propagation)
{
    struct plan_step step = about(STEP_DELETE, kind, old);

    step.propagation = propagation;
    step.revision = object_revision(old);
    add(r->plan, step);
}

void plan_post(struct reconcile *r, const struct kind *kind, const struct object *old, const char *subresource,
               const struct value *body)
{
    struct plan_step step = about(STEP_POST, kind, old);

    step.subresource = str_of(subresource);
    step.body = freeze(body);
    add(r->plan, step);
}

void plan_event(struct reconcile *r, const struct kind *kind, const struct object *object, const char *type,
                const char *reason, const char *format, ...)
{
    struct plan_step step = about(STEP_EVENT, kind, object);
    va_list args;

    va_start(args, format);
    step.event_message = arena_vprintf(r->plan->arena, format, args);
    va_end(args);
    step.about = object_ref(object);
    step.event_type = type;
    step.event_reason = reason;
    add(r->plan, step);
}

void plan_wake(struct reconcile *r, int64_t after_ms)
{
    struct plan *p = r->plan;

    if (p->wake_after_ms < 0 || after_ms < p->wake_after_ms)
        p->wake_after_ms = MAX(after_ms, 0);
}

void plan_live_read(struct reconcile *r, const struct kind *kind, struct str namespace_, struct str name)
{
    add(r->plan, (struct plan_step){ .type = STEP_LIVE_READ, .kind = kind, .namespace_ = namespace_, .name = name });
}

struct str live_key(struct buf *to, const struct kind *kind, struct str namespace_, struct str name)
{
    buf_clear(to);
    buf_addf(to, "%s.%s/%.*s/%.*s", kind->plural, kind->group, STR_ARG(namespace_), STR_ARG(name));
    return buf_str(to);
}

enum live reconcile_live(const struct reconcile *r, const struct kind *kind, struct str namespace_, struct str name,
                         struct str *ret_uid)
{
    AUTO_BUF struct buf buf = BUF_MAX(KIB);
    const struct live_answer *answer =
        r->plan->live ? map_get(r->plan->live, live_key(&buf, kind, namespace_, name)) : NULL;

    if (ret_uid)
        *ret_uid = answer && answer->uid ? str_of(answer->uid) : STR_NONE;
    return answer ? answer->live : LIVE_UNKNOWN;
}

void live_answers_done(struct map *live)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(live, &i, &key, &value)) {
        struct live_answer *answer = value;
        free(answer->uid);
        free(answer);
    }
    map_done(live);
}
