/* What images.c (life, what is here) and image_pull.c (threads, pulls) share. */
#ifndef NODE_IMAGES_INTERNAL_H
#define NODE_IMAGES_INTERNAL_H

#include "base/map.h"
#include "node/image_store.h"

#include <pthread.h>

struct waiter {
    image_pulled_fn *done;
    void *arg; /* NULL: forgotten */
};

/* One image being fetched. Threads only read name, ref and credentials. */
struct pull {
    struct images *images;
    struct arena arena;
    struct image_ref ref;
    struct registry_credentials *credentials;
    size_t credentials_count;
    struct waiter *waiters;
    size_t waiters_count, waiters_capacity;
    int64_t began_ms;
    /* what the manifest said */
    struct buf config;
    char digest[72], config_digest[72];
    struct wanted_layer {
        char digest[72];
        int64_t size_bytes;
    } layers[IMAGE_LAYERS_MAX];
    size_t layers_count;
    size_t missing; /* layers still under way */
    bool fetched;
    struct error err;
};

/* Work of one thread: resolve a name, or fetch a layer. */
struct job {
    struct list link;
    struct images *images;
    struct pull *pull;          /* whose registry and credentials are used */
    struct wanted_layer *layer; /* NULL: resolve the name */
    uint32_t number;
    int64_t bytes;
    struct error err;
    struct pull **waiting; /* pulls that want this layer */
    size_t waiting_count, waiting_capacity;
};

struct images {
    struct loop *loop;
    struct image_store store;
    struct registry_mirror *mirrors;
    size_t mirrors_count;
    int gc_high_percent, gc_low_percent;
    struct map pulls;      /* completed name -> struct pull */
    struct map layer_jobs; /* digest -> struct job */
    bool stop;             /* read by the threads */
    pthread_mutex_t mutex; /* guards queue and threads */
    pthread_cond_t idle;
    struct list queue;
    unsigned threads;
};

void pull_free(struct pull *p);
void job_free(struct job *j);

#endif
