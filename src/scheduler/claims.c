/* The claims of a pod that has found its node. */
#include "scheduler/claims.h"

#include "kinds/claim.h"
#include "object/value.h"

static struct cache *cache_of(const struct storage *s, const struct kind *kind)
{
    for (size_t i = 0; i < STORAGE_KINDS; i++)
        if (cache_kind(s->caches[i]) == kind)
            return s->caches[i];
    return NULL;
}

static const struct object *storage_get(void *arg, const struct kind *kind, struct str namespace_, struct str name)
{
    return cache_get(cache_of(arg, kind), namespace_, name);
}

static const struct object *storage_at(void *arg, const struct kind *kind, size_t i)
{
    struct objects all = cache_all(cache_of(arg, kind));

    return i < all.count ? all.items[i] : NULL;
}

struct scheduler_storage storage_open(struct storage *s, struct cluster *cluster)
{
    static const struct kind *const kinds_[STORAGE_KINDS] = { &kind_persistentvolumeclaim, &kind_persistentvolume,
                                                              &kind_storageclass };

    for (size_t i = 0; i < STORAGE_KINDS; i++)
        s->caches[i] = cluster_cache(cluster, kinds_[i]);
    return (struct scheduler_storage){ storage_get, storage_at, s };
}

static struct view volumes_of(const struct object *pod)
{
    return view_path(object_root(pod), F_POD_SPEC, F_POD_SPEC_VOLUMES);
}

bool claims_any(const struct object *pod)
{
    struct view_iter it = { 0 };

    while (view_next(volumes_of(pod), &it))
        if (view_present(view_get(it.value, F_VOLUME_PERSISTENT_VOLUME_CLAIM)) ||
            view_present(view_get(it.value, F_VOLUME_EPHEMERAL)))
            return true;
    return false;
}

bool claims_name(const struct object *pod, struct str claim_name)
{
    AUTO_ARENA struct arena a = { 0 };
    struct view_iter it = { 0 };

    while (view_next(volumes_of(pod), &it))
        if (str_eq(pod_claim_name(object_root(pod), it.value, &a), claim_name))
            return true;
    return false;
}

enum claims_state claims_look(const struct scheduler_storage *storage, const struct object *pod, claim_unbound_fn *fn,
                              void *arg)
{
    AUTO_ARENA struct arena a = { 0 };
    enum claims_state state = CLAIMS_BOUND;
    struct view_iter it = { 0 };

    while (view_next(volumes_of(pod), &it)) {
        struct str name = pod_claim_name(object_root(pod), it.value, &a);
        const struct object *claim;

        if (!name.n)
            continue;
        claim =
            storage->get ? storage->get(storage->arg, &kind_persistentvolumeclaim, object_namespace(pod), name) : NULL;
        if (!claim || view_present(view_path(object_root(claim), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)))
            return CLAIMS_GONE;
        if (claim_is_bound(object_root(claim)))
            continue;
        state = CLAIMS_UNBOUND;
        if (fn)
            fn(arg, claim);
    }
    return state;
}

struct str claim_selected_node(const struct object *claim)
{
    struct view annotations = view_path(object_root(claim), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);

    return view_str(view_get_str(annotations, STR(CLAIM_SELECTED_NODE)));
}

void claim_patch_node(struct buf *patch, const struct object *claim, struct str node)
{
    buf_addf(patch, "{\"metadata\":{\"uid\":\"%.*s\",\"annotations\":{\"" CLAIM_SELECTED_NODE "\":",
             STR_ARG(object_uid(claim)));
    json_write_str(patch, node);
    buf_add_text(patch, "}}}");
}
