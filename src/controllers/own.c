/* Owning objects: owner references, adoption, release. */
#include "controllers/own.h"

#include "kinds/fields.h"

static struct view owners_of(const struct object *o)
{
    return view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_OWNER_REFERENCES);
}

struct view own_controller(const struct object *o)
{
    struct view_iter it = { 0 };

    while (view_next(owners_of(o), &it))
        if (view_bool_at(it.value, false, F_OWNER_REFERENCE_CONTROLLER))
            return it.value;
    return VIEW_ABSENT;
}

bool own_is_controlled_by(const struct object *o, const struct object *owner)
{
    return str_eq(view_str_at(own_controller(o), F_OWNER_REFERENCE_UID), object_uid(owner));
}

static struct value *reference(struct arena *a, const struct kind *kind, const struct object *owner)
{
    struct value *ref = value_object(a);

    value_set(a, ref, F_OWNER_REFERENCE_API_VERSION,
              kind->group[0] ? arena_printf(a, "%s/%s", kind->group, kind->version) : str_of(kind->version));
    value_set_text(a, ref, F_OWNER_REFERENCE_KIND, kind->kind);
    value_set(a, ref, F_OWNER_REFERENCE_NAME, object_name(owner));
    value_set(a, ref, F_OWNER_REFERENCE_UID, object_uid(owner));
    value_set_bool(a, ref, F_OWNER_REFERENCE_CONTROLLER, true);
    value_set_bool(a, ref, F_OWNER_REFERENCE_BLOCK_OWNER_DELETION, true);
    return ref;
}

void own_set_controller(struct arena *a, struct value *tree, const struct kind *owner_kind, const struct object *owner)
{
    struct value *metadata = value_make_object(a, tree, F_POD_METADATA);
    struct value *owners = value_make_array(a, metadata, F_OBJECT_META_OWNER_REFERENCES);

    value_append(a, owners, reference(a, owner_kind, owner));
}

/* The whole list is patched, guarded by the resourceVersion: somebody else may be adopting at the same time. */
static void plan_owners(struct reconcile *r, const struct kind *kind, const struct object *o, struct value *owners)
{
    struct value *patch = value_object(r->arena);
    struct value *metadata = value_make_object(r->arena, patch, F_POD_METADATA);

    value_put(r->arena, metadata, F_OBJECT_META_OWNER_REFERENCES, owners);
    value_set(r->arena, metadata, F_OBJECT_META_RESOURCE_VERSION,
              arena_printf(r->arena, "%llu", (unsigned long long)object_revision(o)));
    plan_patch(r, kind, o, patch, "");
}

static void plan_adopt(struct reconcile *r, const struct kind *owner_kind, const struct object *owner,
                       const struct kind *kind, const struct object *o)
{
    struct value *owners = value_of_view(r->arena, owners_of(o));

    if (!owners)
        owners = value_array(r->arena);
    value_append(r->arena, owners, reference(r->arena, owner_kind, owner));
    plan_owners(r, kind, o, owners);
}

static void plan_release(struct reconcile *r, const struct object *owner, const struct kind *kind,
                         const struct object *o)
{
    struct value *owners = value_of_view(r->arena, owners_of(o));

    for (size_t i = owners->items_count; i-- > 0;)
        if (str_eq(value_to_str(value_get(owners->items[i], F_OWNER_REFERENCE_UID)), object_uid(owner)))
            value_remove(owners, i);
    plan_owners(r, kind, o, owners->items_count ? owners : value_null(r->arena));
}

static bool is_terminating(const struct object *o)
{
    return view_present(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
}

struct objects own_claim(struct reconcile *r, const struct kind *owner_kind, const struct object *owner,
                         const struct kind *kind, const struct label_selector *selector)
{
    return own_claim_members(r, owner_kind, owner, kind, selector, NULL);
}

struct objects own_claim_members(struct reconcile *r, const struct kind *owner_kind, const struct object *owner,
                                 const struct kind *kind, const struct label_selector *selector,
                                 own_member_fn *is_member)
{
    struct objects all = reconcile_by(r, kind, CACHE_BY_NAMESPACE, object_namespace(owner));
    const struct object **claimed = arena_alloc_array(r->arena, all.count + 1, sizeof(*claimed));
    size_t count = 0;

    for (size_t i = 0; i < all.count; i++) {
        const struct object *o = all.items[i];
        struct view labels = view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_LABELS);
        bool matches = label_selector_matches(selector, labels) && (!is_member || is_member(owner, o));

        if (own_is_controlled_by(o, owner)) {
            if (matches)
                claimed[count++] = o;
            else if (!is_terminating(owner))
                plan_release(r, owner, kind, o);
        } else if (matches && !view_present(own_controller(o)) && !is_terminating(owner) && !is_terminating(o)) {
            plan_adopt(r, owner_kind, owner, kind, o);
            claimed[count++] = o;
        }
    }
    return (struct objects){ claimed, count };
}
