/*
 * What this process knows of the cluster: one cache per kind, kept current by a list and a watch, with indexes.
 *
 * Objects are borrowed: valid until the next round of the loop, or as long as the caller holds object_ref(). A cache never goes
 * back: after a lost watch it shows what it last knew until the new list has come. One loop owns a cluster and its caches.
 * Cost: about 150 bytes an object besides the object itself, which in the server's own process is shared with its state.
 */
#ifndef CLIENT_CACHE_H
#define CLIENT_CACHE_H

#include "kinds/api.h"
#include "loop/loop.h"

struct cache;
struct cluster;

/* Indexes every cache has; a key that is not there gives an empty set. */
enum cache_index {
    CACHE_BY_NAMESPACE,  /* metadata.namespace */
    CACHE_BY_CONTROLLER, /* uid of the owner reference with controller=true */
    CACHE_BY_OWNER,      /* uid of every owner reference */
    CACHE_BY_NODE,       /* spec.nodeName (Pods) */
    CACHE_INDEX_COUNT
};

struct cluster *cluster_new(struct loop *loop, struct api *api);
void cluster_free(struct cluster *c);
/* The cache of a kind; the first call starts its watch. Never NULL. */
struct cache *cluster_cache(struct cluster *c, const struct kind *kind);
struct cache *cluster_cache_if_open(const struct cluster *c,
                                    const struct kind *kind); /* NULL when nobody asked for it */
bool cluster_is_synced(const struct cluster *c);              /* every open cache has its first list */
struct api *cluster_api(struct cluster *c);
struct loop *cluster_loop(struct cluster *c);
/* The leader's term its plans are made in: every write of a plan carries it, and the store compares it. 0: none. */
void cluster_set_epoch(struct cluster *c, uint64_t epoch);
uint64_t cluster_epoch(const struct cluster *c);
/* Has every open cache seen at least the revision that `revision_of` names for its kind? */
bool cluster_has_seen(const struct cluster *c, uint64_t (*revision_of)(void *arg, const struct kind *kind), void *arg);

/* A cache of part of a kind (a node's pods), outside any cluster. */
struct cache *cache_new(struct loop *loop, struct api *api, const struct api_watch_request *request);
void cache_free(struct cache *c);

/* old NULL: new; now NULL: gone. Called after the cache has changed; borrowed for the call. */
typedef void cache_change_fn(void *arg, struct cache *c, const struct object *old, const struct object *now);
/* changed may be NULL; progressed (may be NULL) is called after every event, also bookmarks and SYNCED. */
void cache_listen(struct cache *c, cache_change_fn *changed, void (*progressed)(void *arg, struct cache *c), void *arg);
void cache_unlisten(struct cache *c, void *arg);

/*
 * Show an object as an earlier process kept it, until the first list has come: whatever that does not name is gone then.
 * Before the loop's first turn; the cache counts as synced only with its list.
 */
void cache_remember(struct cache *c, const struct object *o);

const struct kind *cache_kind(const struct cache *c);
bool cache_is_synced(const struct cache *c);
uint64_t cache_revision(const struct cache *c); /* everything up to here has been seen */
size_t cache_count(const struct cache *c);
const struct object *cache_get(const struct cache *c, struct str namespace_, struct str name); /* NULL when absent */

struct objects {
    const struct object *const *items;
    size_t count;
};
struct objects cache_by(const struct cache *c, enum cache_index index, struct str key); /* in no particular order */
struct objects cache_all(const struct cache *c);

#endif
