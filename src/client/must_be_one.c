/* Which pods must be one. */
#include "client/must_be_one.h"

#include "kinds/fields.h"

bool pod_must_be_one(const struct object *pod)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_OWNER_REFERENCES), &it))
        if (view_bool_at(it.value, false, F_OWNER_REFERENCE_CONTROLLER) &&
            str_is(view_str_at(it.value, F_OWNER_REFERENCE_KIND), "StatefulSet"))
            return true;
    it = (struct view_iter){ 0 };
    while (view_next(view_path(object_root(pod), F_POD_SPEC, F_POD_SPEC_VOLUMES), &it))
        if (view_present(view_get(it.value, F_VOLUME_PERSISTENT_VOLUME_CLAIM)) ||
            view_present(view_get(it.value, F_VOLUME_EPHEMERAL)))
            return true;
    return false;
}
