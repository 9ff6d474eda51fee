/* Pulling images: one pull per name, one fetch per layer, at most a few threads. */
#include "node/images_internal.h"

#include "base/file.h"
#include "node/layer.h"
#include "object/value.h"
#define LOG_PART "node"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void pull_free(struct pull *p)
{
    for (size_t i = 0; i < p->credentials_count; i++) {
        free(p->credentials[i].host);
        secret_done(&p->credentials[i].username);
        secret_done(&p->credentials[i].password);
    }
    free(p->credentials);
    free(p->waiters);
    buf_done(&p->config);
    error_done(&p->err);
    arena_done(&p->arena);
    free(p);
}

void job_free(struct job *j)
{
    error_done(&j->err);
    free(j->waiting);
    free(j);
}

/* --- the threads' side ---------------------------------------------------------------------------------------------- */

static struct registry *open_registry(struct job *j, struct error *err)
{
    struct images *s = j->images;
    struct registry_options o = { .mirrors = s->mirrors,
                                  .mirrors_count = s->mirrors_count,
                                  .credentials = j->pull->credentials,
                                  .credentials_count = j->pull->credentials_count,
                                  .stop = &s->stop };
    return registry_open(&o, &j->pull->ref, err);
}

static int read_manifest(struct pull *p, struct str text, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, text, NULL, err);
    struct value *layers = value_get_str(v, STR("layers"));
    struct str config = value_to_str(value_get_str(value_get_str(v, STR("config")), STR("digest")));

    if (!v)
        return error_context(err, "manifest of %.*s", STR_ARG(p->ref.full));
    if (!image_digest_is_valid(config) || value_type(layers) != VALUE_ARRAY)
        return fail(err, ERR_INVALID, "the manifest of %.*s is not one of an image", STR_ARG(p->ref.full));
    if (layers->items_count > IMAGE_LAYERS_MAX)
        return fail(err, ERR_TOO_LARGE, "the image %.*s has more than %d layers", STR_ARG(p->ref.full),
                    IMAGE_LAYERS_MAX);
    memcpy(p->config_digest, config.p, config.n);
    for (uint32_t i = 0; i < layers->items_count; i++) {
        struct str digest = value_to_str(value_get_str(layers->items[i], STR("digest")));
        int64_t size = value_to_int(value_get_str(layers->items[i], STR("size")), -1);
        if (!image_digest_is_valid(digest) || size < 0)
            return fail(err, ERR_INVALID, "the manifest of %.*s names a bad layer", STR_ARG(p->ref.full));
        struct wanted_layer *w = &p->layers[p->layers_count++];
        *w = (struct wanted_layer){ .size_bytes = size };
        memcpy(w->digest, digest.p, digest.n);
    }
    return 0;
}

static int resolve(struct job *j, struct error *err)
{
    struct pull *p = j->pull;
    AUTO_BUF struct buf manifest = BUF_MAX(MANIFEST_MAX_BYTES);
    struct registry *r = open_registry(j, err);

    if (!r)
        return -1;
    int result = registry_manifest(r, p->ref.digest.n ? p->ref.digest : p->ref.tag, &manifest, p->digest, err);
    if (result == 0)
        result = read_manifest(p, buf_str(&manifest), err);
    if (result == 0)
        result = registry_blob(r, str_of(p->config_digest), &p->config, err);
    registry_close(r);
    return result;
}

static int fetch_layer(struct job *j, struct error *err)
{
    const char *folder = j->images->store.folder;
    AUTO_FREE char *blob = xasprintf("%s/layers/%u.blob", folder, j->number);
    AUTO_FREE char *target = xasprintf("%s/layers/%u", folder, j->number);
    AUTO_FD int fd = open(blob, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct layer_limits limits = { .stop = &j->images->stop };
    struct registry *r = fd >= 0 ? open_registry(j, err) : NULL;

    if (fd < 0)
        return fail_sys(err, errno, "create '%s'", blob);
    unlink(blob); /* the space is free again when the descriptor closes, whatever happens */
    if (!r)
        return -1;
    int result = registry_blob_to_file(r, str_of(j->layer->digest), j->layer->size_bytes, fd, err);
    registry_close(r);
    if (result == 0 && (lseek(fd, 0, SEEK_SET) < 0 || mkdir(target, 0755) < 0))
        result = fail_sys(err, errno, "create '%s'", target);
    if (result == 0)
        result = layer_unpack(fd, target, &limits, &j->bytes, err);
    if (result == 0) {
        AUTO_FD int root = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0 || syncfs(root) < 0) /* once a layer, before the index calls it whole */
            result = fail_sys(err, errno, "sync '%s'", target);
    }
    if (result < 0)
        file_remove_tree(target, NULL);
    return result;
}

static void job_finished(void *arg);

static void *thread_main(void *arg)
{
    struct images *s = arg;

    pthread_mutex_lock(&s->mutex);
    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED) && !list_empty(&s->queue)) {
        struct job *j = list_first(&s->queue, struct job, link);
        list_del(&j->link);
        pthread_mutex_unlock(&s->mutex);
        if (j->layer)
            fetch_layer(j, &j->err);
        else
            resolve(j, &j->err);
        loop_post(s->loop, job_finished, j);
        pthread_mutex_lock(&s->mutex);
    }
    s->threads--;
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static void start_job(struct images *s, struct job *j)
{
    pthread_t thread;
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 512 * KIB);
    pthread_mutex_lock(&s->mutex);
    list_add_tail(&s->queue, &j->link);
    if (s->threads < IMAGE_THREADS_MAX && pthread_create(&thread, &attr, thread_main, s) == 0)
        s->threads++;
    pthread_mutex_unlock(&s->mutex);
    pthread_attr_destroy(&attr);
}

/* --- the loop's side -------------------------------------------------------------------------------------------------- */

static void finish(struct pull *p, struct image *image)
{
    struct images *s = p->images;
    struct image_pulled result = { .image = image,
                                   .took_ms = loop_now_ms(s->loop) - p->began_ms,
                                   .cached = !p->fetched };

    map_del(&s->pulls, p->ref.full);
    if (image)
        image->used_wall_ms = env_wall_ms(loop_env(s->loop));
    for (size_t i = 0; i < p->waiters_count; i++) {
        if (p->waiters[i].arg)
            p->waiters[i].done(p->waiters[i].arg, &result, image ? NULL : &p->err);
    }
    pull_free(p);
    if (image)
        images_collect(s);
}

static struct image *make_image(struct pull *p, struct error *err)
{
    struct images *s = p->images;
    struct object *config = object_parse(buf_str(&p->config), err);

    if (!config)
        return NULL;
    struct image *image = xnew(struct image);
    image->config = config;
    image->id = xstrdup(p->config_digest);
    image->digest = xstrdup(p->digest);
    image->names = xcalloc(1, sizeof(char *));
    image->names[image->names_count++] = str_dup(p->ref.full);
    image->layers = xcalloc(p->layers_count + 1, sizeof(uint32_t));
    for (size_t i = 0; i < p->layers_count; i++) {
        const struct stored_layer *l = image_store_layer(&s->store, str_of(p->layers[i].digest));
        bool again = false;
        for (size_t k = i + 1; k < p->layers_count; k++)
            again = again || strcmp(p->layers[i].digest, p->layers[k].digest) == 0;
        if (!l || again) /* overlayfs takes a folder once: the topmost place counts */
            continue;
        image->layers[image->layers_count++] = l->number;
        image->size_bytes += l->bytes;
    }
    return image;
}

static void add_name(struct image *image, struct str name)
{
    image->names = xrealloc(image->names, (image->names_count + 1) * sizeof(char *));
    image->names[image->names_count++] = str_dup(name);
}

static void complete(struct pull *p)
{
    struct images *s = p->images;
    struct image *image = images_find(s, str_of(p->config_digest));
    AUTO_ERROR struct error err = { 0 };

    if (image && image_has_name(image, p->ref.full)) {
        finish(p, image);
        return;
    }
    if (image) { /* the same image under another name */
        for (size_t i = 0; i < s->store.images_count; i++) {
            struct image *other = s->store.images[i];
            for (size_t k = 0; other != image && k < other->names_count; k++) {
                if (str_is(p->ref.full, other->names[k])) {
                    free(other->names[k]);
                    other->names[k] = other->names[--other->names_count];
                }
            }
        }
        add_name(image, p->ref.full);
    } else {
        image = make_image(p, &p->err);
        if (image)
            image_store_add(&s->store, image);
    }
    if (image && image_store_save(&s->store, &err) < 0)
        log_warn("the index of images could not be written", KV_ERR(&err));
    finish(p, image);
}

static void layer_failed(struct pull *p, const struct error *err)
{
    if (p->err.code == ERR_NONE)
        fail(&p->err, err->code, "%s", error_text(err));
}

static void layer_settled(struct pull *p)
{
    if (--p->missing > 0)
        return;
    if (p->err.code != ERR_NONE)
        finish(p, NULL);
    else
        complete(p);
}

static void want_layer(struct pull *p, struct wanted_layer *w)
{
    struct images *s = p->images;
    struct job *j = map_get(&s->layer_jobs, str_of(w->digest));

    if (image_store_layer(&s->store, str_of(w->digest)))
        return;
    p->missing++;
    p->fetched = true;
    if (!j) {
        j = xnew(struct job);
        *j = (struct job){ .images = s, .pull = p, .layer = w, .number = s->store.next_number++ };
        map_put(&s->layer_jobs, str_of(w->digest), j);
        start_job(s, j);
    }
    GROW(j->waiting, j->waiting_count, j->waiting_capacity);
    j->waiting[j->waiting_count++] = p;
}

static void resolved(struct job *j)
{
    struct pull *p = j->pull;

    error_move(&p->err, &j->err);
    job_free(j);
    if (p->err.code != ERR_NONE) {
        finish(p, NULL);
        return;
    }
    p->missing = 1; /* until all layers are asked for */
    for (size_t i = 0; i < p->layers_count; i++)
        want_layer(p, &p->layers[i]);
    layer_settled(p);
}

static void layer_done(struct job *j)
{
    struct images *s = j->images;

    map_del(&s->layer_jobs, str_of(j->layer->digest));
    if (j->err.code == ERR_NONE)
        image_store_add_layer(&s->store, str_of(j->layer->digest), j->number, j->bytes);
    for (size_t i = 0; i < j->waiting_count; i++) {
        if (j->err.code != ERR_NONE)
            layer_failed(j->waiting[i], &j->err);
        layer_settled(j->waiting[i]);
    }
    job_free(j);
}

static void job_finished(void *arg)
{
    struct job *j = arg;
    if (j->layer)
        layer_done(j);
    else
        resolved(j);
}

static void copy_credentials(struct pull *p, const struct registry_credentials *credentials, size_t count)
{
    p->credentials = xcalloc(count + 1, sizeof(*p->credentials));
    for (size_t i = 0; i < count; i++) {
        struct registry_credentials *c = &p->credentials[p->credentials_count++];
        c->host = xstrdup(credentials[i].host);
        secret_set(&c->username, secret_reveal(&credentials[i].username));
        secret_set(&c->password, secret_reveal(&credentials[i].password));
    }
}

/* A bad name is told in a later round too. */
struct bad_name {
    image_pulled_fn *done;
    void *arg;
    struct error err;
};

static void tell_bad_name(void *arg)
{
    struct bad_name *b = arg;
    struct image_pulled none = { 0 };
    b->done(b->arg, &none, &b->err);
    error_done(&b->err);
    free(b);
}

void images_pull(struct images *s, struct str name, const struct registry_credentials *credentials,
                 size_t credentials_count, image_pulled_fn *done, void *arg)
{
    struct pull *p = xnew(struct pull);
    AUTO_ERROR struct error err = { 0 };

    p->config.max = CONFIG_MAX_BYTES;
    if (image_ref_parse(&p->arena, name, &p->ref, &err) < 0) {
        struct bad_name *b = xnew(struct bad_name);
        *b = (struct bad_name){ .done = done, .arg = arg };
        error_move(&b->err, &err);
        loop_post(s->loop, tell_bad_name, b);
        pull_free(p);
        return;
    }
    struct pull *running = map_get(&s->pulls, p->ref.full);
    if (running) {
        pull_free(p);
        p = running;
    } else {
        p->images = s;
        p->began_ms = loop_now_ms(s->loop);
        copy_credentials(p, credentials, credentials_count);
        map_put(&s->pulls, p->ref.full, p);
        struct job *j = xnew(struct job);
        *j = (struct job){ .images = s, .pull = p };
        start_job(s, j);
    }
    GROW(p->waiters, p->waiters_count, p->waiters_capacity);
    p->waiters[p->waiters_count++] = (struct waiter){ done, arg };
}

void images_pull_forget(struct images *s, void *arg)
{
    struct str key;
    void *value;

    for (size_t i = 0; map_next(&s->pulls, &i, &key, &value);) {
        struct pull *p = value;
        for (size_t k = 0; k < p->waiters_count; k++) {
            if (p->waiters[k].arg == arg)
                p->waiters[k].arg = NULL;
        }
    }
}
