/* The images that are here: found by name, held while used, removed when the disk fills. */
#include "node/images_internal.h"

#include "base/time.h"
#define LOG_PART "node"
#include "base/log.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#define MIN_AGE_MS (2 * MINUTE_MS) /* kubelet's --minimum-image-ttl-duration */

struct images *images_new(struct loop *loop, const struct images_config *config, struct error *err)
{
    struct images *s = xnew(struct images);

    s->loop = loop;
    s->gc_high_percent = config->gc_high_percent ? config->gc_high_percent : 85;
    s->gc_low_percent = config->gc_low_percent ? config->gc_low_percent : 80;
    s->mirrors = xcalloc(config->mirrors_count + 1, sizeof(*s->mirrors));
    for (size_t i = 0; i < config->mirrors_count; i++)
        s->mirrors[s->mirrors_count++] =
            (struct registry_mirror){ xstrdup(config->mirrors[i].host), xstrdup(config->mirrors[i].url) };
    list_init(&s->queue);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->idle, NULL);
    if (image_store_open(&s->store, config->folder, err) < 0) {
        images_free(s);
        return NULL;
    }
    return s;
}

void images_free(struct images *s)
{
    struct str key;
    void *value;

    if (!s)
        return;
    __atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
    pthread_mutex_lock(&s->mutex);
    while (s->threads > 0)
        pthread_cond_wait(&s->idle, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    list_each (&s->queue, struct job, link, j) {
        list_del(&j->link);
        if (!j->layer)
            job_free(j);
    }
    for (size_t i = 0; map_next(&s->layer_jobs, &i, &key, &value);)
        job_free(value);
    for (size_t i = 0; map_next(&s->pulls, &i, &key, &value);)
        pull_free(value);
    map_done(&s->layer_jobs);
    map_done(&s->pulls);
    for (size_t i = 0; i < s->mirrors_count; i++) {
        free(s->mirrors[i].host);
        free(s->mirrors[i].url);
    }
    free(s->mirrors);
    image_store_done(&s->store);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* --- what is here -------------------------------------------------------------------------------------------------------- */

struct image *images_find(struct images *s, struct str name)
{
    AUTO_ARENA struct arena a = { 0 };
    struct image_ref ref;

    for (size_t i = 0; i < s->store.images_count; i++) {
        if (str_is(name, s->store.images[i]->id))
            return s->store.images[i];
    }
    if (image_ref_parse(&a, name, &ref, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < s->store.images_count; i++) {
        if (image_has_name(s->store.images[i], ref.full))
            return s->store.images[i];
    }
    return NULL;
}

void images_use(struct images *s, struct image *image)
{
    image->users++;
    image->used_wall_ms = env_wall_ms(loop_env(s->loop));
}

void images_unuse(struct images *s, struct image *image)
{
    assert(image->users > 0);
    image->users--;
    image->used_wall_ms = env_wall_ms(loop_env(s->loop));
}

struct str images_lower(const struct images *s, struct arena *a, const struct image *image)
{
    struct buf text = BUF_MAX(4096);

    for (size_t i = image->layers_count; i-- > 0;)
        buf_addf(&text, "%s%s/layers/%u", text.n ? ":" : "", s->store.folder, image->layers[i]);
    if (!text.n)
        buf_addf(&text, "%s/layers/empty", s->store.folder);
    struct str result = text.full ? STR_NONE : arena_str(a, buf_str(&text));
    buf_done(&text);
    return result;
}

size_t images_count(const struct images *s)
{
    return s->store.images_count;
}

struct image *images_at(const struct images *s, size_t i)
{
    return s->store.images[i];
}

static int disk_percent(const struct images *s)
{
    struct statvfs v;
    if (statvfs(s->store.folder, &v) < 0 || v.f_blocks == 0)
        return 0;
    return 100 - (int)(v.f_bavail * 100 / v.f_blocks);
}

static struct image *oldest_unused(const struct images *s, int64_t now_ms)
{
    struct image *oldest = NULL;

    for (size_t i = 0; i < s->store.images_count; i++) {
        struct image *image = s->store.images[i];
        if (image->users == 0 && now_ms - image->used_wall_ms > MIN_AGE_MS &&
            (!oldest || image->used_wall_ms < oldest->used_wall_ms))
            oldest = image;
    }
    return oldest;
}

void images_collect(struct images *s)
{
    int64_t now_ms = env_wall_ms(loop_env(s->loop));
    bool removed = false;
    struct image *image;

    if (s->pulls.count > 0 || disk_percent(s) < s->gc_high_percent)
        return; /* a pull may be about to use layers that nobody uses yet */
    while (disk_percent(s) > s->gc_low_percent && (image = oldest_unused(s, now_ms))) {
        log_info("image removed to make room", KV("image", "%s", image->names_count ? image->names[0] : image->id));
        image_store_remove(&s->store, image);
        removed = true;
    }
    if (removed)
        image_store_save(&s->store, NULL);
}
