/* Removing the folders of deleted volumes. */
#include "node/volumes/folders.h"

#include "base/map.h"
#include "base/time.h"
#include "kinds/claim.h"
#define LOG_PART "node"
#include "base/log.h"

#include <stdlib.h>

#define RETRY_MS (2 * SECOND_MS)

struct volume_folders {
    struct loop *loop;
    struct api *api;
    char *volumes;
    volume_in_use_fn *in_use;
    void *arg;
    struct api_watch *watch;
    struct map ending; /* name -> struct object: deleted, and kept by our finalizer */
    struct map busy;   /* name -> non-NULL: being removed */
    struct loop_timer retry;
    unsigned work;
    bool stopped;
};

struct removal {
    struct volume_folders *folders;
    struct object *volume;
    char *name;
    struct error err;
    bool failed;
};

static void look(struct volume_folders *f);

static void free_when_idle(struct volume_folders *f)
{
    if (!f->stopped || f->work)
        return;
    map_done(&f->ending);
    map_done(&f->busy);
    free(f->volumes);
    free(f);
}

static void removal_free(struct removal *r)
{
    object_unref(r->volume);
    error_done(&r->err);
    free(r->name);
    free(r);
}

static void on_patched(void *arg, const struct object *result, const struct error *err)
{
    struct removal *r = arg;
    struct volume_folders *f = r->folders;

    (void)result;
    f->work--;
    if (!f->stopped) {
        map_del(&f->busy, str_of(r->name));
        if (err && err->code != ERR_NOT_FOUND) /* the next look does it again: removing what is gone is nothing */
            log_warn("a volume's folder is removed, which could not be told yet", KV("volume", "%s", r->name),
                     KV_ERR(err));
    }
    removal_free(r);
    free_when_idle(f);
}

/* All finalizers but ours, guarded by the revision they were read at. */
static void write_patch(struct buf *patch, const struct object *volume)
{
    struct view_iter it = { 0 };
    bool first = true;

    buf_addf(patch, "{\"metadata\":{\"uid\":\"%.*s\",\"resourceVersion\":\"%llu\",\"finalizers\":[",
             STR_ARG(object_uid(volume)), (unsigned long long)object_revision(volume));
    while (view_next(view_path(object_root(volume), F_POD_METADATA, F_OBJECT_META_FINALIZERS), &it)) {
        if (str_is(view_str(it.value), VOLUME_FOLDER_FINALIZER))
            continue;
        if (!first)
            buf_add_char(patch, ',');
        json_write_str(patch, view_str(it.value));
        first = false;
    }
    buf_add_text(patch, "]}}");
}

static void tell(void *arg)
{
    struct removal *r = arg;
    struct volume_folders *f = r->folders;
    AUTO_BUF struct buf patch = BUF_MAX(64 * KIB);

    if (f->stopped || r->failed) {
        if (r->failed)
            log_warn("a volume's folder could not be removed; trying again", KV("volume", "%s", r->name),
                     KV_ERR(&r->err));
        f->work--;
        if (!f->stopped)
            map_del(&f->busy, str_of(r->name));
        removal_free(r);
        free_when_idle(f);
        return;
    }
    log_info("volume is deleted; its folder is removed", KV("volume", "%s", r->name));
    write_patch(&patch, r->volume);
    api_call(f->api,
             &(struct api_call){ .verb = API_PATCH,
                                 .kind = &kind_persistentvolume,
                                 .name = str_of(r->name),
                                 .patch = buf_str(&patch),
                                 .patch_type = API_PATCH_MERGE,
                                 .grace_seconds = -1 },
             on_patched, r);
}

static void remove_now(void *arg)
{
    struct removal *r = arg;

    r->failed = volume_folder_remove(r->folders->volumes, r->name, &r->err) < 0;
}

static void begin(struct volume_folders *f, struct object *volume)
{
    struct view ref = view_path(object_root(volume), F_PERSISTENT_VOLUME_SPEC, F_PERSISTENT_VOLUME_SPEC_CLAIM_REF);
    struct removal *r;

    if (map_has(&f->busy, object_name(volume)) ||
        f->in_use(f->arg, view_str_at(ref, F_OBJECT_REFERENCE_NAMESPACE), view_str_at(ref, F_OBJECT_REFERENCE_NAME)))
        return;
    r = xnew(struct removal);
    r->folders = f;
    r->volume = object_ref(volume);
    r->name = str_dup(object_name(volume));
    map_put(&f->busy, object_name(volume), f);
    f->work++;
    loop_work(f->loop, remove_now, tell, r);
}

static void look(struct volume_folders *f)
{
    struct str name;
    void *volume;

    for (size_t i = 0; map_next(&f->ending, &i, &name, &volume);)
        begin(f, volume);
    if (f->ending.count && !loop_timer_running(&f->retry))
        loop_timer_start(&f->retry, RETRY_MS);
}

static void on_retry(void *arg)
{
    look(arg);
}

/* Ours is the last hold: nobody is bound to it any more. */
static bool is_ending(const struct object *volume)
{
    struct view metadata = view_get(object_root(volume), F_POD_METADATA);
    struct view finalizers = view_get(metadata, F_OBJECT_META_FINALIZERS);
    struct view_iter it = { 0 };
    bool ours = false, protected = false;

    while (view_next(finalizers, &it)) {
        ours |= str_is(view_str(it.value), VOLUME_FOLDER_FINALIZER);
        protected |= str_is(view_str(it.value), "kubernetes.io/pv-protection");
    }
    return view_present(view_get(metadata, F_OBJECT_META_DELETION_TIMESTAMP)) && ours && !protected;
}

static void on_event(void *arg, const struct api_event *event)
{
    struct volume_folders *f = arg;

    if (event->type == API_ADDED || event->type == API_MODIFIED) {
        if (is_ending(event->object))
            object_unref(map_put(&f->ending, object_name(event->object), object_ref(event->object)));
        else
            object_unref(map_del(&f->ending, object_name(event->object)));
        look(f);
    } else if (event->type == API_DELETED) {
        object_unref(map_del(&f->ending, object_name(event->object)));
    }
}

struct volume_folders *volume_folders_start(struct loop *loop, struct api *api, const char *volumes,
                                            const char *node_name, volume_in_use_fn *in_use, void *arg)
{
    struct volume_folders *f = xnew(struct volume_folders);
    AUTO_FREE char *selector = xasprintf(VOLUME_NODE_LABEL "=%s", node_name);
    struct api_watch_request request = { .kind = &kind_persistentvolume, .field_selector = str_of(selector) };
    struct api_watch_callbacks cb = { .on_event = on_event, .arg = f };

    *f = (struct volume_folders){ .loop = loop, .api = api, .volumes = xstrdup(volumes), .in_use = in_use, .arg = arg };
    loop_timer_init(&f->retry, loop, on_retry, f);
    f->watch = api_watch(api, &request, &cb);
    return f;
}

void volume_folders_stop(struct volume_folders *f)
{
    struct str name;
    void *volume;

    if (!f)
        return;
    f->stopped = true;
    f->api->ops->watch_close(f->watch);
    loop_timer_stop(&f->retry);
    for (size_t i = 0; map_next(&f->ending, &i, &name, &volume);)
        object_unref(volume);
    free_when_idle(f);
}
