/*
 * The templates a StatefulSet had, as ControllerRevisions: what `kubectl rollout history` lists and `undo` patches the set with.
 * The data of one is a strategic merge patch that replaces the template. Source: pkg/controller/history, getPatch().
 */
#include "base/codec.h"
#include "controllers/own.h"
#include "controllers/pod.h"
#include "controllers/statefulset.h"
#include "kinds/fields.h"
#include "object/selector.h"

#include <stdio.h>
#include <stdlib.h>

static struct view data_template(const struct object *revision)
{
    return view_path(object_root(revision), F_CONTROLLER_REVISION_DATA, F_STATEFUL_SET_SPEC,
                     F_STATEFUL_SET_SPEC_TEMPLATE);
}

struct view stateful_template_of(const struct statefulset *s, const struct stateful_revision *revision)
{
    /* The update revision is what the set says now. */
    return revision->object && !str_eq(revision->name, s->update.name)
               ? data_template(revision->object)
               : view_get(s->spec, F_STATEFUL_SET_SPEC_TEMPLATE);
}

static int older_first(const void *a, const void *b)
{
    const struct stateful_revision *x = a, *y = b;

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return str_cmp(x->name, y->name);
}

static bool has_template(struct arena *a, const struct object *revision, const struct value *template)
{
    struct value *theirs = value_of_view(a, data_template(revision));

    value_del_str(theirs, STR("$patch"));
    return value_equal(theirs, template);
}

static struct str hash_of(struct statefulset *s)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    AUTO_BUF struct buf text = BUF_MAX(4 * MIB);
    char digits[16], *safe = arena_alloc(s->r->arena, sizeof(digits));

    buf_add(&text, view_json(view_get(s->spec, F_STATEFUL_SET_SPEC_TEMPLATE)));
    if (s->collisions)
        buf_add_i64(&text, s->collisions);
    snprintf(digits, sizeof(digits), "%u", fnv32a(buf_str(&text)));
    memset(safe, 0, sizeof(digits));
    for (size_t i = 0; digits[i]; i++)
        safe[i] = alphabet[(unsigned char)digits[i] % (sizeof(alphabet) - 1)];
    return str_of(safe);
}

static struct value *revision_tree(struct statefulset *s, struct str name, struct str hash, int64_t number)
{
    struct arena *a = s->r->arena;
    struct view template = view_get(s->spec, F_STATEFUL_SET_SPEC_TEMPLATE);
    struct view labels = view_path(template, F_POD_TEMPLATE_SPEC_METADATA, F_OBJECT_META_LABELS);
    struct view annotations = view_path(object_root(s->object), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
    struct value *tree = value_object(a), *metadata, *data = value_object(a), *copy;

    value_set_text(a, tree, F_POD_API_VERSION, "apps/v1");
    value_set_text(a, tree, F_POD_KIND, "ControllerRevision");
    metadata = value_make_object(a, tree, F_POD_METADATA);
    value_set(a, metadata, F_OBJECT_META_NAME, name);
    value_set(a, metadata, F_OBJECT_META_NAMESPACE, s->r->namespace_);
    value_put(a, metadata, F_OBJECT_META_LABELS, value_of_view(a, labels));
    value_put_str(a, value_make_object(a, metadata, F_OBJECT_META_LABELS), STR(LABEL_REVISION_HASH),
                  value_str(a, hash));
    value_put(a, metadata, F_OBJECT_META_ANNOTATIONS, value_of_view(a, annotations)); /* with the change cause */
    own_set_controller(a, tree, &kind_statefulset, s->object);
    copy = value_of_view(a, template);
    value_put_str(a, copy, STR("$patch"), value_text(a, "replace"));
    value_put(a, value_make_object(a, data, F_STATEFUL_SET_SPEC), F_STATEFUL_SET_SPEC_TEMPLATE, copy);
    value_put(a, tree, F_CONTROLLER_REVISION_DATA, data);
    value_set_int(a, tree, F_CONTROLLER_REVISION_REVISION, number);
    return tree;
}

static void create_revision(struct statefulset *s, int64_t number)
{
    struct str hash = hash_of(s);
    struct str name = arena_printf(s->r->arena, "%.*s-%.*s", STR_ARG(s->r->name), STR_ARG(hash));

    s->update = (struct stateful_revision){ .name = name, .number = number };
    if (reconcile_get(s->r, &kind_controllerrevision, s->r->namespace_, name)) {
        s->collisions++; /* changes the hash of the next pass */
        s->collided = true;
        return;
    }
    plan_create(s->r, &kind_controllerrevision, s->r->namespace_, revision_tree(s, name, hash, number));
}

/* The newest gets a number above all others: after a rollback an old template is the newest again. */
static void renumber(struct statefulset *s, struct stateful_revision *revision, int64_t number)
{
    struct value *patch = value_object(s->r->arena);

    value_set_int(s->r->arena, patch, F_CONTROLLER_REVISION_REVISION, number);
    plan_patch(s->r, &kind_controllerrevision, revision->object, patch, "");
    revision->number = number;
}

int stateful_find_revisions(struct statefulset *s, struct error *err)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    struct arena *a = s->r->arena;
    struct value *template = value_of_view(a, view_get(s->spec, F_STATEFUL_SET_SPEC_TEMPLATE));
    struct str current =
        view_str_at(object_root(s->object), F_STATEFUL_SET_STATUS, F_STATEFUL_SET_STATUS_CURRENT_REVISION);
    struct stateful_revision *found = NULL;
    int64_t highest = 0;
    struct objects all;

    if (label_selector_of_view(&selector, view_get(s->spec, F_STATEFUL_SET_SPEC_SELECTOR), err) < 0)
        return -1;
    all = own_claim(s->r, &kind_statefulset, s->object, &kind_controllerrevision, &selector);
    s->revisions = arena_alloc_array(a, all.count + 1, sizeof(*s->revisions));
    for (size_t i = 0; i < all.count; i++)
        if (!pod_is_terminating(all.items[i]))
            s->revisions[s->revisions_count++] = (struct stateful_revision){
                .object = all.items[i],
                .name = object_name(all.items[i]),
                .number = view_int_at(object_root(all.items[i]), 0, F_CONTROLLER_REVISION_REVISION),
            };
    qsort(s->revisions, s->revisions_count, sizeof(*s->revisions), older_first);
    for (size_t i = 0; i < s->revisions_count; i++) {
        highest = s->revisions[i].number;
        if (has_template(a, s->revisions[i].object, template))
            found = &s->revisions[i];
    }
    if (pod_is_terminating(s->object) && !found)
        found = s->revisions_count ? &s->revisions[s->revisions_count - 1] : NULL;
    if (found && found != &s->revisions[s->revisions_count - 1] && !pod_is_terminating(s->object))
        renumber(s, found, highest + 1);
    if (found)
        s->update = *found;
    else if (!pod_is_terminating(s->object))
        create_revision(s, highest + 1);
    s->current = s->update;
    for (size_t i = 0; i < s->revisions_count; i++)
        if (str_eq(s->revisions[i].name, current))
            s->current = s->revisions[i];
    return 0;
}

static bool is_live(const struct statefulset *s, struct str name)
{
    if (str_eq(name, s->current.name) || str_eq(name, s->update.name))
        return true;
    for (size_t i = 0; i < s->pods.count; i++)
        if (str_eq(stateful_revision_of(s->pods.items[i]), name))
            return true;
    return false;
}

void stateful_clean_history(struct statefulset *s)
{
    int64_t limit = view_int_at(s->spec, 10, F_STATEFUL_SET_SPEC_REVISION_HISTORY_LIMIT), old = 0;

    for (size_t i = 0; i < s->revisions_count; i++)
        old += !is_live(s, s->revisions[i].name);
    for (size_t i = 0; i < s->revisions_count && old > limit; i++) {
        if (is_live(s, s->revisions[i].name))
            continue;
        plan_delete(s->r, &kind_controllerrevision, s->revisions[i].object, NULL, -1);
        old--;
    }
}
