/* Deployment: rolling from one pod template to the next, with a history to go back to. */
#include "controllers/deployment.h"

#include "controllers/controllers.h"
#include "controllers/pod.h"
#include "kinds/fields.h"
#include "object/intstr.h"
#include "object/selector.h"

static int read_limits(struct deployment *d, struct error *err)
{
    struct view rolling = view_path(d->spec, F_DEPLOYMENT_SPEC_STRATEGY, F_DEPLOYMENT_STRATEGY_ROLLING_UPDATE);
    struct intstr surge = intstr_of_view(view_get(rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_SURGE), INTSTR_INT(0));
    struct intstr unavailable =
        intstr_of_view(view_get(rolling, F_ROLLING_UPDATE_DEPLOYMENT_MAX_UNAVAILABLE), INTSTR_INT(0));

    if (d->recreate)
        return 0;
    if (intstr_scale(surge, d->replicas, true, &d->max_surge, err) < 0 ||
        intstr_scale(unavailable, d->replicas, false, &d->max_unavailable, err) < 0)
        return -1;
    /* Both may round to zero; then nothing could ever move, so one may be missing. Source: ResolveFenceposts. */
    if (d->max_surge == 0 && d->max_unavailable == 0)
        d->max_unavailable = 1;
    d->max_unavailable = MIN(d->max_unavailable, d->replicas);
    return 0;
}

static int deployment_init(struct deployment *d, struct reconcile *r, struct error *err)
{
    struct view root = object_root(r->object);

    *d = (struct deployment){ .r = r, .object = r->object, .spec = view_get(root, F_DEPLOYMENT_SPEC) };
    d->replicas = view_int_at(d->spec, 1, F_DEPLOYMENT_SPEC_REPLICAS);
    d->paused = view_bool_at(d->spec, false, F_DEPLOYMENT_SPEC_PAUSED);
    d->recreate = str_is(view_str_at(d->spec, F_DEPLOYMENT_SPEC_STRATEGY, F_DEPLOYMENT_STRATEGY_TYPE), "Recreate");
    d->terminating = pod_is_terminating(r->object);
    d->collisions = view_int_at(root, 0, F_DEPLOYMENT_STATUS, F_DEPLOYMENT_STATUS_COLLISION_COUNT);
    if (read_limits(d, err) < 0)
        return -1;
    return deployment_find_sets(d, err);
}

/* Pods of old templates that still run: Recreate starts nothing new before they are gone. */
static bool old_pods_run(const struct deployment *d)
{
    struct reconcile *r = d->r;

    for (size_t i = 0; i < d->sets_count; i++) {
        struct objects pods;
        if (!d->sets[i].object || &d->sets[i] == d->new_set)
            continue;
        pods = reconcile_by(r, &kind_pod, CACHE_BY_CONTROLLER, object_uid(d->sets[i].object));
        for (size_t k = 0; k < pods.count; k++)
            if (!pod_is_finished(pods.items[k]))
                return true;
    }
    return false;
}

/* Was spec.replicas changed since the sets were last scaled? Each set notes what it was scaled for. */
static bool is_scaling(const struct deployment *d)
{
    for (size_t i = 0; i < d->sets_count; i++) {
        const struct deployment_set *s = &d->sets[i];
        struct view annotations;
        int64_t desired;
        if (!s->object || s->replicas == 0)
            continue;
        annotations = view_path(object_root(s->object), F_POD_METADATA, F_OBJECT_META_ANNOTATIONS);
        if (str_to_i64(view_str(view_get_str(annotations, STR(ANNOTATION_DESIRED))), &desired) &&
            desired != d->replicas)
            return true;
    }
    return false;
}

static int reconcile(struct reconcile *r, struct error *err)
{
    struct deployment d;

    if (!r->object)
        return 0;
    if (view_count(view_path(object_root(r->object), F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_SELECTOR)) == 0) {
        plan_event(r, &kind_deployment, r->object, "Warning", "SelectingAll",
                   "This deployment is selecting all pods. A non-empty selector is required.");
        return 0;
    }
    if (deployment_init(&d, r, err) < 0)
        return -1;
    if (d.terminating) {
        deployment_write_status(&d);
        return 0;
    }
    if (d.paused || is_scaling(&d)) {
        deployment_scale_proportionally(&d);
        if (d.paused)
            deployment_clean_history(&d);
    } else if (d.recreate) {
        deployment_recreate(&d, old_pods_run(&d));
    } else {
        deployment_make_new_set(&d);
        deployment_roll(&d);
    }
    deployment_write_scales(&d);
    if (!d.paused && deployment_is_complete(&d))
        deployment_clean_history(&d);
    if (!d.revised)
        deployment_write_status(&d);
    return 0;
}

static bool selects(struct view deployment, struct view labels)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };

    return label_selector_of_view(&selector, view_path(deployment, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_SELECTOR),
                                  NULL) == 0 &&
           label_selector_matches(&selector, labels);
}

const struct controller controller_deployment = {
    .name = "deployment",
    .kind = &kind_deployment,
    .triggers = { { &kind_replicaset, BY_CONTROLLER }, { &kind_replicaset, BY_SELECTOR } },
    .reads = { &kind_pod },
    .selects = selects,
    .reconcile = reconcile,
};
