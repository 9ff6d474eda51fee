/*
 * A claim that names no class gets the default one; of several, the one made last. Source: plugin/pkg/admission/storage/storageclass.
 */
#include "base/time.h"
#include "kinds/claim.h"
#include "kinds/fields.h"
#include "server/admission.h"

static bool applies(const struct request *r)
{
    return admission_is_create(r, &kind_persistentvolumeclaim);
}

struct search {
    const struct object *found;
    int64_t made_ms;
};

static bool find_default(void *arg, const struct object *class)
{
    struct search *s = arg;
    struct view metadata = view_get(object_root(class), F_STORAGE_CLASS_METADATA);
    struct view mark =
        view_get_str(view_get(metadata, F_OBJECT_META_ANNOTATIONS), STR("storageclass.kubernetes.io/is-default-class"));
    int64_t made_ms = 0;

    if (!str_is(view_str(mark), "true"))
        return true;
    time_parse(view_str_at(metadata, F_OBJECT_META_CREATION_TIMESTAMP), &made_ms);
    if (!s->found || made_ms > s->made_ms ||
        (made_ms == s->made_ms && str_cmp(object_name(class), object_name(s->found)) < 0))
        *s = (struct search){ class, made_ms };
    return true;
}

static enum phase_result mutate(struct request *r, struct value *tree)
{
    struct value *spec = value_make_object(&r->arena, tree, F_PERSISTENT_VOLUME_CLAIM_SPEC);
    struct value *annotations = value_path(tree, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
    struct search s = { 0 };

    if (value_type(value_get(spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_STORAGE_CLASS_NAME)) == VALUE_STRING ||
        value_get_str(annotations, STR(CLAIM_CLASS_ANNOTATION)))
        return PHASE_DONE; /* "" asks for a volume without a class */
    state_each(server_state(r->server), &kind_storageclass, STR_NONE, find_default, &s);
    if (s.found)
        value_set(&r->arena, spec, F_PERSISTENT_VOLUME_CLAIM_SPEC_STORAGE_CLASS_NAME,
                  arena_str(&r->arena, object_name(s.found)));
    return PHASE_DONE;
}

const struct admission_step admission_default_storage_class = {
    .name = "DefaultStorageClass",
    .applies = applies,
    .mutate = mutate,
};
