/* The caches of one process, one per kind, opened when somebody asks first. */
#include "client/cache.h"

#include <stdlib.h>

struct cluster {
    struct loop *loop;
    struct api *api;
    struct cache **caches; /* by kind_index() */
    uint64_t epoch;
};

struct cluster *cluster_new(struct loop *loop, struct api *api)
{
    struct cluster *c = xnew(struct cluster);

    c->loop = loop;
    c->api = api;
    c->caches = xcalloc(kinds_count, sizeof(struct cache *));
    return c;
}

void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < kinds_count; i++)
        cache_free(c->caches[i]);
    free(c->caches);
    free(c);
}

struct cache *cluster_cache(struct cluster *c, const struct kind *kind)
{
    struct cache **place = &c->caches[kind_index(kind)];

    if (!*place)
        *place = cache_new(c->loop, c->api, &(struct api_watch_request){ .kind = kind });
    return *place;
}

struct cache *cluster_cache_if_open(const struct cluster *c, const struct kind *kind)
{
    return c->caches[kind_index(kind)];
}

bool cluster_is_synced(const struct cluster *c)
{
    for (size_t i = 0; i < kinds_count; i++)
        if (c->caches[i] && !cache_is_synced(c->caches[i]))
            return false;
    return true;
}

struct api *cluster_api(struct cluster *c)
{
    return c->api;
}

struct loop *cluster_loop(struct cluster *c)
{
    return c->loop;
}

void cluster_set_epoch(struct cluster *c, uint64_t epoch)
{
    c->epoch = epoch;
}

uint64_t cluster_epoch(const struct cluster *c)
{
    return c->epoch;
}

bool cluster_has_seen(const struct cluster *c, uint64_t (*revision_of)(void *arg, const struct kind *kind), void *arg)
{
    for (size_t i = 0; i < kinds_count; i++)
        if (c->caches[i] &&
            (!cache_is_synced(c->caches[i]) || cache_revision(c->caches[i]) < revision_of(arg, kinds[i])))
            return false;
    return true;
}
