/* Does a pod tolerate a taint? */
#include "scheduler/tolerate.h"

#include "kinds/fields.h"

bool tolerates_taint(const struct pod_info *pod, struct str key, struct str value, struct str effect)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(pod->object), F_POD_SPEC, F_POD_SPEC_TOLERATIONS), &it)) {
        struct str its_effect = view_str_at(it.value, F_TOLERATION_EFFECT),
                   its_key = view_str_at(it.value, F_TOLERATION_KEY);
        if ((its_effect.n && !str_eq(its_effect, effect)) || (its_key.n && !str_eq(its_key, key)))
            continue;
        if (str_is(view_str_at(it.value, F_TOLERATION_OPERATOR), "Exists") ||
            (its_key.n && str_eq(view_str_at(it.value, F_TOLERATION_VALUE), value)))
            return true;
    }
    return false;
}
