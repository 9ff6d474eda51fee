/* Which volume fits a claim, and what a new one looks like. Source: pv_controller.go, volume/util FindMatchingVolume. */
#include "controllers/pod.h"
#include "controllers/volumes.h"
#include "kinds/fields.h"
#include "object/quantity.h"
#include "object/selector.h"

struct view volume_annotation(const struct object *o, const char *name)
{
    return view_get_str(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS), str_of(name));
}

static struct view claim_ref(const struct object *volume)
{
    return view_path(object_root(volume), F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
}

bool volume_is_reserved(const struct object *volume)
{
    return view_present(claim_ref(volume));
}

bool volume_is_for(const struct object *volume, const struct object *claim)
{
    struct view ref = claim_ref(volume);
    struct str uid = view_str_at(ref, F_OBJECT_REFERENCE_UID);

    return str_eq(view_str_at(ref, F_OBJECT_REFERENCE_NAME), object_name(claim)) &&
           str_eq(view_str_at(ref, F_OBJECT_REFERENCE_NAMESPACE), object_namespace(claim)) &&
           (!uid.n || str_eq(uid, object_uid(claim)));
}

/* --- fitting ------------------------------------------------------------------------------------------------------- */

static bool reaches(const struct object *volume, const struct object *node)
{
    struct view required = view_path(object_root(volume), F_PERSISTENT_VOLUME_SPEC,
                                     F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY, F_VOLUME_NODE_AFFINITY_REQUIRED);
    struct node_selector selector = { 0 };
    bool matches;

    if (!node || !view_present(required))
        return true;
    matches =
        node_selector_of_view(&selector, required, NULL) == 0 && node_selector_matches(&selector, object_root(node));
    node_selector_done(&selector);
    return matches;
}

const struct object *claim_match(struct reconcile *r, const struct object *node)
{
    struct objects all = reconcile_all(r, &kind_persistentvolume);
    const struct object *best = NULL;

    for (size_t i = 0; i < all.count; i++) {
        const struct object *volume = all.items[i];
        int order;

        if (volume_is_reserved(volume) || pod_is_terminating(volume) ||
            claim_mismatch(object_root(r->object), object_root(volume)) ||
            !claim_selects(object_root(r->object), object_root(volume)) || !reaches(volume, node))
            continue;
        order = best ? quantity_cmp(volume_capacity(object_root(volume)), volume_capacity(object_root(best))) : -1;
        if (order < 0 || (order == 0 && str_cmp(object_name(volume), object_name(best)) < 0))
            best = volume;
    }
    return best;
}

/* --- a new one ----------------------------------------------------------------------------------------------------- */

/* Only on this node; by the label others expect, or by name where somebody took the label away. */
static void set_affinity(struct arena *a, struct value *spec, const struct object *node)
{
    static const char hostname[] = "kubernetes.io/hostname";
    struct str label = view_str(view_get_str(view_path(object_root(node), F_POD_METADATA, F_OBJECT_META_LABELS),
                                             STR("kubernetes.io/hostname")));
    struct value *required, *term = value_object(a), *wanted = value_object(a);

    value_set_text(a, wanted, F_NODE_SELECTOR_REQUIREMENT_KEY, label.n ? hostname : "metadata.name");
    value_set_text(a, wanted, F_NODE_SELECTOR_REQUIREMENT_OPERATOR, "In");
    value_append(a, value_make_array(a, wanted, F_NODE_SELECTOR_REQUIREMENT_VALUES),
                 value_str(a, label.n ? label : object_name(node)));
    value_append(
        a,
        value_make_array(a, term, label.n ? F_NODE_SELECTOR_TERM_MATCH_EXPRESSIONS : F_NODE_SELECTOR_TERM_MATCH_FIELDS),
        wanted);
    required = value_make_object(a, value_make_object(a, spec, F_PERSISTENT_VOLUME_SPEC_NODE_AFFINITY),
                                 F_VOLUME_NODE_AFFINITY_REQUIRED);
    value_append(a, value_make_array(a, required, F_NODE_SELECTOR_NODE_SELECTOR_TERMS), term);
}

static struct value *reference_to_claim(struct reconcile *r)
{
    struct value *ref = value_object(r->arena);

    value_set_text(r->arena, ref, F_OBJECT_REFERENCE_KIND, "PersistentVolumeClaim");
    value_set_text(r->arena, ref, F_OBJECT_REFERENCE_API_VERSION, "v1");
    value_set(r->arena, ref, F_OBJECT_REFERENCE_NAMESPACE, r->namespace_);
    value_set(r->arena, ref, F_OBJECT_REFERENCE_NAME, r->name);
    value_set(r->arena, ref, F_OBJECT_REFERENCE_UID, object_uid(r->object));
    return ref;
}

struct value *claim_new_volume(struct reconcile *r, const struct object *class, const struct object *node)
{
    struct arena *a = r->arena;
    struct view claim = view_get(object_root(r->object), F_PERSISTENT_VOLUME_CLAIM_SPEC);
    struct str name = arena_printf(a, "pvc-%.*s", STR_ARG(object_uid(r->object)));
    struct str policy = view_str_at(object_root(class), F_STORAGE_CLASS_RECLAIM_POLICY);
    struct value *tree = value_object(a), *metadata = value_make_object(a, tree, F_POD_METADATA), *spec;

    value_set_text(a, tree, F_POD_API_VERSION, "v1");
    value_set_text(a, tree, F_POD_KIND, "PersistentVolume");
    value_set(a, metadata, F_OBJECT_META_NAME, name);
    value_put_str(a, value_make_object(a, metadata, F_OBJECT_META_LABELS), STR(VOLUME_NODE_LABEL),
                  value_str(a, object_name(node)));
    value_put_str(a, value_make_object(a, metadata, F_OBJECT_META_ANNOTATIONS), STR(VOLUME_PROVISIONER_ANNOTATION),
                  value_text(a, VOLUME_PROVISIONER));
    value_append(a, value_make_array(a, metadata, F_OBJECT_META_FINALIZERS), value_text(a, VOLUME_FOLDER_FINALIZER));
    spec = value_make_object(a, tree, F_PERSISTENT_VOLUME_SPEC);
    value_put_str(a, value_make_object(a, spec, F_PERSISTENT_VOLUME_SPEC_CAPACITY), STR("storage"),
                  value_of_view(a, view_get_str(view_path(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC_RESOURCES,
                                                          F_VOLUME_RESOURCE_REQUIREMENTS_REQUESTS),
                                                STR("storage"))));
    value_put(a, spec, F_PERSISTENT_VOLUME_SPEC_ACCESS_MODES,
              value_of_view(a, view_get(claim, F_PERSISTENT_VOLUME_CLAIM_SPEC_ACCESS_MODES)));
    value_put(a, spec, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF, reference_to_claim(r));
    value_set(a, spec, F_PERSISTENT_VOLUME_SPEC_PERSISTENT_VOLUME_RECLAIM_POLICY, policy.n ? policy : STR("Delete"));
    value_set(a, spec, F_PERSISTENT_VOLUME_SPEC_STORAGE_CLASS_NAME, object_name(class));
    value_set_text(a, spec, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE, "Filesystem");
    /* Relative to the node's own folder for volumes: where that is, is the node's affair. */
    value_set(a, value_make_object(a, spec, F_PERSISTENT_VOLUME_SPEC_LOCAL), F_LOCAL_VOLUME_SOURCE_PATH, name);
    set_affinity(a, spec, node);
    return tree;
}
