/*
 * VolumeBinding: a pod goes where its volumes can be used, and where those that are still to be found can be had.
 * Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding.
 */
#include "kinds/claim.h"
#include "object/selector.h"
#include "scheduler/framework.h"

#define CLAIMS_MAX 256

struct wanted {
    const struct object *claim;
    struct node_selector reach; /* of the volume it is bound to */
    bool bound, reaches_all;
    struct str selected; /* node the claim is being given a volume on */
    bool made_there;     /* a provisioner makes one on any node */
};

struct state {
    struct wanted *wanted;
    size_t count;
};

static const struct object *get(struct cycle *c, const struct kind *kind, struct str namespace_, struct str name)
{
    return c->view->storage.get ? c->view->storage.get(c->view->storage.arg, kind, namespace_, name) : NULL;
}

static int add_bound(struct cycle *c, struct wanted *w, struct error *err)
{
    struct str name =
        view_str_at(object_root(w->claim), F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME);
    const struct object *volume = get(c, &kind_persistentvolume, STR_NONE, name);
    struct view required = view_path(object_root(volume), F_PERSISTENT_VOLUME_SPEC,
                                     F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY, F_VOLUME_NODE_AFFINITY_REQUIRED);

    if (!volume)
        return fail(err, ERR_INVALID, "persistentvolumeclaim \"%.*s\" bound to non-existent persistentvolume \"%.*s\"",
                    STR_ARG(object_name(w->claim)), STR_ARG(name));
    w->bound = true;
    w->reaches_all = !view_present(required);
    return w->reaches_all ? 0 : node_selector_of_view(&w->reach, required, err);
}

static int add_unbound(struct cycle *c, struct wanted *w, struct error *err)
{
    struct view root = object_root(w->claim);
    struct str class_name = storage_class_of(root);
    const struct object *class = class_name.n ? get(c, &kind_storageclass, STR_NONE, class_name) : NULL;
    struct view annotations = view_path(root, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
    struct str mode = view_str_at(object_root(class), F_STORAGE_CLASS_VOLUME_BINDING_MODE);

    if (!str_is(mode, "WaitForFirstConsumer") ||
        view_str_at(root, F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME).n)
        return fail(err, ERR_INVALID, "pod has unbound immediate PersistentVolumeClaims");
    w->selected = view_str(view_get_str(annotations, STR(CLAIM_SELECTED_NODE)));
    w->made_there =
        !str_is(view_str_at(object_root(class), F_STORAGE_CLASS_PROVISIONER), "kubernetes.io/no-provisioner");
    return 0;
}

static int prefilter(struct cycle *c, struct error *err)
{
    struct view root = object_root(c->pod->object), volumes = view_path(root, F_POD_SPEC, F_POD_SPEC_VOLUMES);
    struct state *s = arena_new(c->arena, struct state);
    struct view_iter it = { 0 };

    cycle_state(c) = s;
    s->wanted = arena_alloc_array(c->arena, MIN(view_count(volumes), CLAIMS_MAX) + 1, sizeof(*s->wanted));
    while (view_next(volumes, &it) && s->count < CLAIMS_MAX) {
        struct str name = pod_claim_name(root, it.value, c->arena);
        struct wanted *w = &s->wanted[s->count];

        if (!name.n)
            continue;
        *w = (struct wanted){ .claim = get(c, &kind_persistentvolumeclaim, object_namespace(c->pod->object), name) };
        if (!w->claim)
            return fail(err, ERR_INVALID, "persistentvolumeclaim \"%.*s\" not found", STR_ARG(name));
        if (view_present(view_path(object_root(w->claim), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)))
            return fail(err, ERR_INVALID, "persistentvolumeclaim \"%.*s\" is being deleted", STR_ARG(name));
        s->count++;
        if ((claim_is_bound(object_root(w->claim)) ? add_bound(c, w, err) : add_unbound(c, w, err)) < 0)
            return -1;
    }
    return 0;
}

static bool is_taken(const struct object *const *taken, size_t count, const struct object *volume)
{
    for (size_t i = 0; i < count; i++)
        if (taken[i] == volume)
            return true;
    return false;
}

/* A volume that is free, fits and can be used on the node; not one of `taken`. */
static const struct object *find_volume(struct cycle *c, const struct object *claim, const struct node_info *n,
                                        const struct object *const *taken, size_t count)
{
    const struct object *volume;

    for (size_t i = 0;
         c->view->storage.at && (volume = c->view->storage.at(c->view->storage.arg, &kind_persistentvolume, i)); i++) {
        struct view root = object_root(volume), spec = view_get(root, F_PERSISTENT_VOLUME_SPEC);
        struct view required = view_path(spec, F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY, F_VOLUME_NODE_AFFINITY_REQUIRED);
        AUTO_NODE_SELECTOR struct node_selector reach = { 0 };

        if (view_present(view_get(spec, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF)) || is_taken(taken, count, volume) ||
            view_present(view_path(root, F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)) ||
            claim_mismatch(object_root(claim), root) || !claim_selects(object_root(claim), root))
            continue;
        if (!view_present(required) || (node_selector_of_view(&reach, required, NULL) == 0 &&
                                        node_selector_matches(&reach, object_root(n->object))))
            return volume;
    }
    return NULL;
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);
    const struct object *taken[CLAIMS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].bound && !s->wanted[i].reaches_all &&
            !node_selector_matches(&s->wanted[i].reach, object_root(n->object)))
            return "node(s) didn't match PersistentVolume's node affinity";
    for (size_t i = 0; i < s->count; i++) {
        const struct wanted *w = &s->wanted[i];

        if (w->bound)
            continue;
        if (w->selected.n && !str_is(w->selected, n->name))
            return "node(s) didn't find available persistent volumes to bind";
        if (w->made_there)
            continue;
        taken[count] = find_volume(c, w->claim, n, taken, count);
        if (!taken[count++])
            return "node(s) didn't find available persistent volumes to bind";
    }
    return NULL;
}

static void done(struct cycle *c)
{
    struct state *s = cycle_state(c);

    for (size_t i = 0; s && i < s->count; i++)
        node_selector_done(&s->wanted[i].reach);
}

const struct plugin plugin_volumebinding = {
    .name = "VolumeBinding",
    .prefilter = prefilter,
    .filter = filter,
    .done = done,
};
