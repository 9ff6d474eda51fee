/*
 * The images of one node: pulled from registries, kept as overlayfs layers by digest, found by name, removed when the disk fills.
 *
 * Calls and call-backs on the loop's thread; the work is done by at most IMAGE_THREADS_MAX threads that exist only while
 * there is something to pull. Pulls of one name, and layers shared by several pulls, are fetched once. What was pulled is
 * kept in DATA/images: layers/N (folders), index.json. A crash leaves either a whole layer or garbage that the next start removes.
 */
#ifndef NODE_IMAGES_H
#define NODE_IMAGES_H

#include "loop/loop.h"
#include "node/registry.h"
#include "object/object.h"

#define IMAGE_THREADS_MAX 4
#define IMAGE_LAYERS_MAX  120 /* what overlayfs takes in one mount with our short paths */

struct image {
    char *id;     /* "sha256:..." of the configuration */
    char *digest; /* "sha256:..." the name stood for */
    char **names; /* completed names: "docker.io/library/nginx:latest" */
    size_t names_count;
    uint32_t *layers; /* numbers of layer folders, lowest first */
    size_t layers_count;
    int64_t size_bytes;
    struct object *config; /* the OCI image configuration */
    int64_t used_wall_ms;
    unsigned users; /* containers that exist on it */
};

struct images;

struct images_config {
    const char *folder;                    /* DATA/images */
    const struct registry_mirror *mirrors; /* copied */
    size_t mirrors_count;
    int gc_high_percent, gc_low_percent; /* 0: 85 and 80, as kubelet's */
};

struct images *images_new(struct loop *loop, const struct images_config *config, struct error *err);
/* Waits for the threads (which are told to stop); waiting pulls are not answered. */
void images_free(struct images *s);

/* By a name as written in a pod, or by id. NULL when it is not here. The image lives until it is removed: hold it with images_use(). */
struct image *images_find(struct images *s, struct str name);
void images_use(struct images *s, struct image *image);
void images_unuse(struct images *s, struct image *image);

struct image_pulled {
    struct image *image; /* NULL on failure */
    int64_t took_ms;
    bool cached; /* nothing had to be fetched but the manifest */
};
typedef void image_pulled_fn(void *arg, const struct image_pulled *result, const struct error *err);
/* Credentials are copied. */
void images_pull(struct images *s, struct str name, const struct registry_credentials *credentials,
                 size_t credentials_count, image_pulled_fn *done, void *arg);
/* No answer comes any more to this arg; the pull goes on. */
void images_pull_forget(struct images *s, void *arg);

/* For mounting: "/…/layers/7:/…/layers/3", topmost first; an image without layers gives an empty folder. */
struct str images_lower(const struct images *s, struct arena *a, const struct image *image);
size_t images_count(const struct images *s);
struct image *images_at(const struct images *s, size_t i);
/* Remove unused images, least recently used first, while the disk is fuller than allowed. Called after pulls and by the agent now and then. */
void images_collect(struct images *s);

#endif
