/* Carrying out a plan on the objects a test sees, the way the API server would. */
#include "base/time.h"
#include "client/internal.h"
#include "kinds/fields.h"
#include "object/mergepatch.h"
#include "seen.h"

#include <stdlib.h>

static struct value *metadata_of(struct seen *s, struct value *tree)
{
    return value_make_object(&s->arena, tree, F_POD_METADATA);
}

static struct str now_text(struct seen *s)
{
    char text[TIME_TEXT_SIZE];

    return arena_str(&s->arena, str_of(time_format(s->now_ms, text)));
}

static bool has_finalizers(const struct value *tree)
{
    const struct value *list = value_path(tree, F_POD_METADATA, F_OBJECT_META_FINALIZERS);

    if (!list || !list->items_count) /* a Namespace has its own */
        list = value_path(tree, F_NAMESPACE_SPEC, F_NAMESPACE_SPEC_FINALIZERS);
    return list && list->items_count;
}

/* Put a changed object back: it gets a new revision; what was only waiting for its finalizers goes. */
static void put_back(struct seen *s, const struct plan_step *step, struct value *tree)
{
    struct value *metadata = metadata_of(s, tree);

    value_del(metadata, F_OBJECT_META_RESOURCE_VERSION);
    if (value_get(metadata, F_OBJECT_META_DELETION_TIMESTAMP) && !has_finalizers(tree) && step->kind != &kind_pod)
        seen_remove(s, step->kind, arena_strdup(&s->arena, step->namespace_), arena_strdup(&s->arena, step->name));
    else
        seen_put(s, step->kind, tree);
}

static void create(struct seen *s, const struct plan_step *step)
{
    struct value *tree = value_of_view(&s->arena, object_root(step->body)), *metadata = metadata_of(s, tree);

    if (seen_get(s, step->kind, step->namespace_, step->name))
        FAIL("a plan creates %s %.*s, which is there already", step->kind->kind, STR_ARG(step->name));
    value_set(&s->arena, metadata, F_OBJECT_META_UID,
              arena_printf(&s->arena, "made-%llu", (unsigned long long)++s->uids));
    value_set(&s->arena, metadata, F_OBJECT_META_CREATION_TIMESTAMP, now_text(s));
    if (step->kind != &kind_pod)
        value_set_int(&s->arena, metadata, F_OBJECT_META_GENERATION, 1);
    seen_put(s, step->kind, value_copy_all(&s->arena, tree));
}

/* The resourceVersion a write carries must be the one that is there; this is what a conflict is. */
static void check_guard(const struct plan_step *step, const struct object *old, struct str revision)
{
    uint64_t guard = 0;

    if (!old)
        FAIL("a plan changes %s %.*s, which is not there", step->kind->kind, STR_ARG(step->name));
    if (!str_eq(object_uid(old), step->uid))
        FAIL("a plan changes %s %.*s of another uid", step->kind->kind, STR_ARG(step->name));
    if (revision.n && (!str_to_u64(revision, &guard) || guard != object_revision(old)))
        FAIL("conflict: a plan changes %s %.*s twice, or as it no longer is", step->kind->kind, STR_ARG(step->name));
}

static void raise_generation(struct seen *s, struct value *tree, const struct object *old)
{
    int64_t generation = view_int_at(object_root(old), 0, F_POD_METADATA, F_OBJECT_META_GENERATION);
    const struct value *spec = value_of_view(&s->arena, view_get(object_root(old), F_POD_SPEC));

    if (generation && !value_equal(value_get(tree, F_POD_SPEC), spec))
        value_set_int(&s->arena, metadata_of(s, tree), F_OBJECT_META_GENERATION, generation + 1);
}

static void change(struct seen *s, const struct plan_step *step, struct value *wanted)
{
    const struct object *old = seen_get(s, step->kind, step->namespace_, step->name);
    struct value *tree = value_of_view(&s->arena, object_root(old));

    check_guard(step, old, value_to_str(value_path(wanted, F_POD_METADATA, F_OBJECT_META_RESOURCE_VERSION)));
    if (str_is(step->subresource, "status")) {
        value_put(&s->arena, tree, F_POD_STATUS, value_get(wanted, F_POD_STATUS));
    } else {
        tree = wanted;
        raise_generation(s, tree, old);
    }
    put_back(s, step, value_copy_all(&s->arena, tree));
}

static void patch(struct seen *s, const struct plan_step *step)
{
    const struct object *old = seen_get(s, step->kind, step->namespace_, step->name);
    struct value *change = value_of_view(&s->arena, object_root(step->body));

    check_guard(step, old, value_to_str(value_path(change, F_POD_METADATA, F_OBJECT_META_RESOURCE_VERSION)));
    put_back(
        s, step,
        value_copy_all(&s->arena, merge_patch_apply(&s->arena, value_of_view(&s->arena, object_root(old)), change)));
}

static void add_finalizer(struct seen *s, struct value *tree, const char *name)
{
    value_append(&s->arena, value_make_array(&s->arena, metadata_of(s, tree), F_OBJECT_META_FINALIZERS),
                 value_text(&s->arena, name));
}

static void delete (struct seen *s, const struct plan_step *step)
{
    const struct object *old = seen_get(s, step->kind, step->namespace_, step->name);
    struct value *tree = value_of_view(&s->arena, object_root(old));
    bool has_node = value_path(tree, F_POD_SPEC, F_POD_SPEC_NODE_NAME) != NULL;

    check_guard(step, old, STR_NONE);
    if (step->revision && step->revision != object_revision(old))
        FAIL("conflict: a plan deletes %s %.*s as it no longer is", step->kind->kind, STR_ARG(step->name));
    if (step->propagation && str_is(str_of(step->propagation), "Foreground"))
        add_finalizer(s, tree, "foregroundDeletion");
    if (step->propagation && str_is(str_of(step->propagation), "Orphan"))
        add_finalizer(s, tree, "orphan");
    if (!has_finalizers(tree) && !(step->kind == &kind_pod && has_node && step->grace_seconds != 0)) {
        seen_remove(s, step->kind, arena_strdup(&s->arena, step->namespace_), arena_strdup(&s->arena, step->name));
        return;
    }
    value_set(&s->arena, metadata_of(s, tree), F_OBJECT_META_DELETION_TIMESTAMP, now_text(s));
    put_back(s, step, value_copy_all(&s->arena, tree));
}

static void read_live(struct seen *s, const struct plan_step *step)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    const struct object *o = seen_get(s, step->kind, step->namespace_, step->name);
    struct live_answer *answer = xnew(struct live_answer);

    *answer = (struct live_answer){ o ? LIVE_PRESENT : LIVE_ABSENT, o ? str_dup(object_uid(o)) : NULL };
    map_put(&s->live, live_key(&key, step->kind, step->namespace_, step->name), answer);
}

static size_t carry_out(struct seen *s, const struct plan_step *step)
{
    switch (step->type) {
    case STEP_CREATE:
        create(s, step);
        return 1;
    case STEP_UPDATE:
        change(s, step, value_of_view(&s->arena, object_root(step->body)));
        return 1;
    case STEP_PATCH:
        patch(s, step);
        return 1;
    case STEP_DELETE:
        delete (s, step);
        return 1;
    case STEP_LIVE_READ:
        read_live(s, step);
        return 1;
    case STEP_POST:
    case STEP_EVENT:
        break;
    }
    return 0;
}

size_t seen_apply(struct seen *s)
{
    size_t writes = 0;

    live_answers_done(&s->live);
    for (size_t i = 0; i < s->plan.count; i++)
        writes += carry_out(s, &s->plan.steps[i]);
    return writes;
}

int seen_settle(struct seen *s, const struct controller *c, const char *namespace_, const char *name)
{
    for (int passes = 1; passes <= 20; passes++) {
        struct str text = seen_plan(s, c, namespace_, name);
        if (str_starts(text, STR("failed: ")))
            FAIL("%.*s", STR_ARG(text));
        s->random++;
        if (seen_apply(s) == 0)
            return passes;
    }
    FAIL("%s does not come to rest; its last plan:\n%.*s", c->name, STR_ARG(seen_plan(s, c, namespace_, name)));
}
