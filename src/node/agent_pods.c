/* The pods of this node: appearing, changing and vanishing as the server tells, found by name, forgotten. */
#include "node/contact.h"
#include "base/time.h"
#include "kinds/claim.h"
#include "kinds/fields.h"
#include "node/pod.h"
#define LOG_PART "node"
#include "base/log.h"

struct pod *agent_find_pod(const struct agent *a, struct str namespace_, struct str name, struct str uid)
{
    struct str key;
    void *value;

    if (uid.n) {
        struct pod *p = map_get(&a->pods, uid);
        return p && str_eq(p->name, name) && str_eq(p->namespace_, namespace_) ? p : NULL;
    }
    struct pod *found = NULL;
    for (size_t i = 0; map_next(&a->pods, &i, &key, &value);) {
        struct pod *p = value;
        if (str_eq(p->name, name) && str_eq(p->namespace_, namespace_) && (!found || found->facts.deleting))
            found = p;
    }
    return found;
}

static void remove_files(void *arg)
{
    pod_remove_files(arg);
}

static void free_later(void *arg)
{
    pod_free(arg);
}

void agent_forget_pod(struct agent *a, struct pod *p)
{
    map_del(&a->pods, p->uid);
    contact_pods_changed(a->contact);
    log_info("pod is gone", KV("pod", "%.*s/%.*s", STR_ARG(p->namespace_), STR_ARG(p->name)));
    loop_work(a->loop, remove_files, free_later, p);
}

static void pod_appeared(struct agent *a, const struct object *object)
{
    AUTO_ERROR struct error err = { 0 };
    struct str phase = view_str_at(object_root(object), F_POD_STATUS, F_POD_STATUS_PHASE);
    struct pod *p = map_get(&a->pods, object_uid(object));

    if (p) {
        pod_update(p, object);
        return;
    }
    bool over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
    bool deleting = view_present(view_path(object_root(object), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
    if (over && !deleting)
        return; /* it ended here once; nothing is left to run */
    p = pod_new(a, object, &err);
    if (!p) {
        log_error("a pod cannot be run", KV_STR("pod", object_name(object)), KV_ERR(&err));
        return;
    }
    log_info("pod is new", KV("pod", "%.*s/%.*s", STR_ARG(p->namespace_), STR_ARG(p->name)));
    p->muted = p->facts.status_current = over;
    map_put(&a->pods, p->uid, p);
    contact_pods_changed(a->contact);
    pod_save_object(p);
    pod_save(p);
    pod_update(p, object);
}

/* The object vanished: a forced deletion, or the node was away while it happened. */
static void pod_vanished(struct agent *a, struct str uid)
{
    struct pod *p = map_get(&a->pods, uid);

    if (!p || p->facts.deleted)
        return;
    pod_begin_deletion(p,
                       p->facts.deleting
                           ? p->facts.grace_ms
                           : view_int_at(pod_spec(p), 30, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS) * SECOND_MS,
                       true);
    pod_touch(p);
}

/* The first list is complete: pods from disk that it does not hold are gone. */
static void pods_are_synced(struct agent *a)
{
    struct str key;
    void *value;

    a->pods_synced = true;
    for (size_t i = 0; map_next(&a->pods, &i, &key, &value);) {
        if (((struct pod *)value)->recovered)
            pod_vanished(a, key);
    }
}

void agent_pod_event(void *arg, const struct api_event *event)
{
    struct agent *a = arg;

    switch (event->type) {
    case API_ADDED:
    case API_MODIFIED:
        pod_appeared(a, event->object);
        break;
    case API_DELETED:
        pod_vanished(a, object_uid(event->object));
        break;
    case API_SYNCED:
        pods_are_synced(a);
        break;
    case API_BOOKMARK:
        break;
    }
}

bool agent_uses_claim(void *arg, struct str namespace_, struct str claim)
{
    const struct agent *a = arg;
    struct str key;
    void *value;

    for (size_t i = 0; map_next(&a->pods, &i, &key, &value);) {
        AUTO_ARENA struct arena arena = { 0 };
        const struct pod *p = value;
        struct view root = object_root(p->object);

        if (!str_eq(p->namespace_, namespace_))
            continue;
        for (struct view_iter it = { 0 }; view_next(view_path(root, F_POD_SPEC, F_POD_SPEC_VOLUMES), &it);)
            if (str_eq(pod_claim_name(root, it.value, &arena), claim))
                return true;
    }
    return false;
}

void agent_source_changed(void *arg, const struct kind *kind, struct str namespace_)
{
    struct agent *a = arg;
    struct str key;
    void *value;
    bool cluster_wide = kind == &kind_service || kind == &kind_persistentvolume;
    bool content = kind != &kind_service;

    for (size_t i = 0; map_next(&a->pods, &i, &key, &value);) {
        struct pod *p = value;
        if (!cluster_wide && !str_eq(p->namespace_, namespace_))
            continue;
        for (size_t k = 0; k < p->facts.containers_count; k++)
            p->facts.containers[k].create_retry_ms = 0; /* what it waited for may be here */
        if (content)
            pod_refresh_content(p);
        pod_touch(p);
    }
}
