/* A container's image: here already, pulled, or waited for, by imagePullPolicy. Source: kubelet's image_manager.go. */
#include "base/time.h"
#include "kinds/fields.h"
#include "node/pod.h"
#include "node/pull_secrets.h"

#include <stdlib.h>

static void set_waiting(struct container_facts *f, const char *reason, char *message)
{
    free(f->waiting_reason);
    free(f->waiting_message);
    f->waiting_reason = reason ? xstrdup(reason) : NULL;
    f->waiting_message = message;
}

static void use_image(struct pod_container *c, struct image *image, struct str name)
{
    struct container_facts *f = c->facts;
    AUTO_ARENA struct arena a = { 0 };
    struct image_ref ref;

    if (c->image != image) {
        images_use(c->pod->agent->images, image);
        if (c->image)
            images_unuse(c->pod->agent->images, c->image);
        c->image = image;
    }
    free(f->image_id);
    free(f->image_digest);
    f->image_id = xstrdup(image->id);
    f->image_digest = image_ref_parse(&a, name, &ref, NULL) == 0
                          ? xasprintf("%.*s/%.*s@%s", STR_ARG(ref.host), STR_ARG(ref.repository), image->digest)
                          : xstrdup(image->digest);
    f->image = IMAGE_READY;
    f->image_backoff_ms = 0;
    set_waiting(f, NULL, NULL);
}

static void pull_failed(struct pod_container *c, struct str name, const struct error *err)
{
    struct container_facts *f = c->facts;
    bool invalid = err->code == ERR_INVALID && str_contains(str_of(error_text(err)), STR("invalid reference format"));
    const char *reason = invalid ? "InvalidImageName" : "ErrImagePull";

    f->image = IMAGE_FAILED;
    f->image_backoff_ms = f->image_backoff_ms ? MIN(2 * f->image_backoff_ms, BACKOFF_MAX_MS) : BACKOFF_FIRST_MS;
    f->image_retry_ms = loop_now_ms(c->pod->agent->loop) + f->image_backoff_ms;
    if (invalid) {
        set_waiting(f, reason,
                    xasprintf("Failed to apply default image tag \"%.*s\": %s", STR_ARG(name), error_text(err)));
        pod_event(c->pod, c, "Warning", "InspectFailed", "Failed to apply default image tag \"%.*s\": %s",
                  STR_ARG(name), error_text(err));
        pod_event(c->pod, c, "Warning", "Failed", "Error: InvalidImageName");
        return;
    }
    set_waiting(f, reason, xasprintf("failed to pull and unpack image \"%.*s\": %s", STR_ARG(name), error_text(err)));
    pod_event(c->pod, c, "Warning", "Failed", "Failed to pull image \"%.*s\": %s", STR_ARG(name), error_text(err));
    pod_event(c->pod, c, "Warning", "Failed", "Error: ErrImagePull");
}

static void on_pulled(void *arg, const struct image_pulled *result, const struct error *err)
{
    struct pod_container *c = arg;
    struct str name = view_str_at(pod_container_view(c->pod, c->index), F_CONTAINER_IMAGE);

    c->pulling = false;
    if (result->image) {
        use_image(c, result->image, name);
        pod_event(c->pod, c, "Normal", "Pulled",
                  "Successfully pulled image \"%.*s\" in %lldms (%lldms including waiting). Image size: %lld bytes.",
                  STR_ARG(name), (long long)result->took_ms, (long long)result->took_ms,
                  (long long)result->image->size_bytes);
    } else {
        pull_failed(c, name, err);
    }
    pod_touch(c->pod);
}

/* False while a pull secret is not known yet; absent ones are left out, as upstream does. */
static bool collect_credentials(const struct pod *p, struct registry_credentials *to, size_t *ret_count)
{
    *ret_count = 0;
    for (struct view_iter it = { 0 }; view_next(view_get(pod_spec(p), F_POD_SPEC_IMAGE_PULL_SECRETS), &it);) {
        enum source_state state;
        const struct object *o = source_get(p->agent->sources, &kind_secret, p->namespace_,
                                            view_str_at(it.value, F_LOCAL_OBJECT_REFERENCE_NAME), &state);
        if (state == SOURCE_PENDING)
            return false;
        if (o)
            *ret_count = pull_secret_read(object_root(o), to, *ret_count, PULL_CREDENTIALS_MAX);
    }
    return true;
}

static void pull(struct pod_container *c, struct str name)
{
    struct registry_credentials credentials[PULL_CREDENTIALS_MAX];
    size_t count = 0;

    if (collect_credentials(c->pod, credentials, &count)) {
        pod_event(c->pod, c, "Normal", "Pulling", "Pulling image \"%.*s\"", STR_ARG(name));
        c->facts->image = IMAGE_PULLING;
        c->pulling = true;
        images_pull(c->pod->agent->images, name, credentials, count, on_pulled, c);
    } else {
        c->facts->image = IMAGE_FAILED; /* the secret wakes the pod when it comes */
        c->facts->image_retry_ms = loop_now_ms(c->pod->agent->loop) + 200;
    }
    pull_credentials_done(credentials, count);
}

void container_want_image(struct pod_container *c)
{
    struct view spec = pod_container_view(c->pod, c->index);
    struct str name = view_str_at(spec, F_CONTAINER_IMAGE), policy = view_str_at(spec, F_CONTAINER_IMAGE_PULL_POLICY);
    struct container_facts *f = c->facts;
    struct image *image = images_find(c->pod->agent->images, name);
    bool always = str_is(policy, "Always"), never = str_is(policy, "Never");

    if (image && !always) {
        use_image(c, image, name);
        pod_event(c->pod, c, "Normal", "Pulled", "Container image \"%.*s\" already present on machine", STR_ARG(name));
        return;
    }
    if (never) {
        f->image = IMAGE_FAILED;
        f->image_retry_ms = loop_now_ms(c->pod->agent->loop) + BACKOFF_FIRST_MS;
        set_waiting(f, "ErrImageNeverPull",
                    xasprintf("Container image \"%.*s\" is not present with pull policy of Never", STR_ARG(name)));
        pod_event(c->pod, c, "Warning", "ErrImageNeverPull",
                  "Container image \"%.*s\" is not present with pull policy of Never", STR_ARG(name));
        pod_event(c->pod, c, "Warning", "Failed", "Error: ErrImageNeverPull");
        return;
    }
    if (f->image == IMAGE_FAILED && f->waiting_reason && strcmp(f->waiting_reason, "ErrImagePull") == 0)
        pod_event(c->pod, c, "Normal", "BackOff", "Back-off pulling image \"%.*s\"", STR_ARG(name));
    pull(c, name);
}
