/*
 * A pod that says nothing else stays on a node that is not ready or unreachable for the configured time.
 * Source: plugin/pkg/admission/defaulttolerationseconds; flags --default-not-ready-toleration-seconds and
 * --default-unreachable-toleration-seconds.
 */
#include "kinds/fields.h"
#include "server/admission.h"

static bool applies(const struct request *r)
{
    return admission_is_create(r, &kind_pod) || admission_is_update(r, &kind_pod);
}

static bool tolerates(const struct value *tolerations, const char *key)
{
    for (uint32_t i = 0; value_type(tolerations) == VALUE_ARRAY && i < tolerations->items_count; i++) {
        struct str its_key = value_to_str(value_get(tolerations->items[i], F_TOLERATION_KEY));
        struct str effect = value_to_str(value_get(tolerations->items[i], F_TOLERATION_EFFECT));
        if ((str_is(its_key, key) || str_empty(its_key)) && (str_is(effect, "NoExecute") || str_empty(effect)))
            return true;
    }
    return false;
}

static void tolerate(struct arena *a, struct value *spec, const char *key, int64_t seconds)
{
    if (seconds < 0 || tolerates(value_get(spec, F_POD_SPEC_TOLERATIONS), key))
        return;
    struct value *toleration = value_object(a);
    value_set_text(a, toleration, F_TOLERATION_KEY, key);
    value_set_text(a, toleration, F_TOLERATION_OPERATOR, "Exists");
    value_set_text(a, toleration, F_TOLERATION_EFFECT, "NoExecute");
    value_set_int(a, toleration, F_TOLERATION_TOLERATION_SECONDS, seconds);
    value_append(a, value_make_array(a, spec, F_POD_SPEC_TOLERATIONS), toleration);
}

static enum phase_result mutate(struct request *r, struct value *tree)
{
    const struct server_config *config = server_config(r->server);
    struct value *spec = value_make_object(&r->arena, tree, F_POD_SPEC);
    tolerate(&r->arena, spec, "node.kubernetes.io/not-ready", config->default_not_ready_toleration_s);
    tolerate(&r->arena, spec, "node.kubernetes.io/unreachable", config->default_unreachable_toleration_s);
    return PHASE_DONE;
}

const struct admission_step admission_default_toleration_seconds = {
    .name = "DefaultTolerationSeconds",
    .applies = applies,
    .mutate = mutate,
};
