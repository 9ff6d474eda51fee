/* How far the ReplicaSets of a Deployment may be scaled now: arithmetic only. Source: deployment/rolling.go, sync.go, util. */
#include "controllers/deployment.h"

#include <stdlib.h>

static int64_t total(const struct deployment *d)
{
    int64_t n = 0;

    for (size_t i = 0; i < d->sets_count; i++)
        n += d->sets[i].replicas;
    return n;
}

static bool is_old(const struct deployment *d, const struct deployment_set *s)
{
    return s != d->new_set;
}

/* Source: NewRSNewReplicas. */
int64_t deployment_new_set_size(const struct deployment *d)
{
    int64_t have = d->new_set ? d->new_set->replicas : 0, room;

    if (d->recreate)
        return d->replicas;
    room = d->replicas + d->max_surge - total(d);
    if (room <= 0)
        return have;
    return have + MIN(room, d->replicas - have);
}

static bool set_wanted(struct deployment_set *s, int64_t wanted)
{
    s->wanted = wanted;
    return s->wanted != s->replicas;
}

/* Pods that never became healthy cost nothing to remove. Oldest sets first. Returns how many were taken. */
static int64_t remove_unhealthy(struct deployment *d, int64_t limit)
{
    int64_t taken = 0;

    for (size_t i = 0; i < d->sets_count && taken < limit; i++) {
        struct deployment_set *s = &d->sets[i];
        int64_t n;
        if (!is_old(d, s) || s->wanted == 0 || s->available >= s->wanted)
            continue;
        n = MIN(limit - taken, s->wanted - s->available);
        s->wanted -= n;
        taken += n;
    }
    return taken;
}

static void remove_healthy(struct deployment *d, int64_t min_available)
{
    int64_t available = 0, limit;

    for (size_t i = 0; i < d->sets_count; i++)
        available += d->sets[i].available;
    limit = available - min_available;
    for (size_t i = 0; i < d->sets_count && limit > 0; i++) {
        struct deployment_set *s = &d->sets[i];
        int64_t n;
        if (!is_old(d, s) || s->wanted == 0)
            continue;
        n = MIN(limit, s->wanted);
        s->wanted -= n;
        limit -= n;
    }
}

/* Source: reconcileOldReplicaSets. */
static bool scale_old(struct deployment *d)
{
    int64_t old = 0, min_available = d->replicas - d->max_unavailable, missing, limit;
    bool changed = false;

    for (size_t i = 0; i < d->sets_count; i++)
        old += is_old(d, &d->sets[i]) ? d->sets[i].replicas : 0;
    if (old == 0)
        return false;
    missing = d->new_set ? d->new_set->replicas - d->new_set->available : 0;
    limit = total(d) - min_available - missing;
    if (limit <= 0)
        return false;
    remove_unhealthy(d, limit);
    remove_healthy(d, min_available);
    for (size_t i = 0; i < d->sets_count; i++)
        changed |= d->sets[i].wanted != d->sets[i].replicas;
    return changed;
}

bool deployment_roll(struct deployment *d)
{
    /* One direction a pass, as upstream: the next pass sees what this one did. */
    if (d->created)
        return true;
    if (d->new_set && d->new_set->replicas > d->replicas)
        return set_wanted(d->new_set, d->replicas);
    if (d->new_set && set_wanted(d->new_set, deployment_new_set_size(d)))
        return true;
    return scale_old(d);
}

bool deployment_recreate(struct deployment *d, bool old_pods_run)
{
    bool changed = false;

    for (size_t i = 0; i < d->sets_count; i++)
        if (is_old(d, &d->sets[i]))
            changed |= set_wanted(&d->sets[i], 0);
    if (changed || old_pods_run)
        return changed;
    deployment_make_new_set(d);
    return d->created || (d->new_set && set_wanted(d->new_set, d->replicas));
}

/* --- spec.replicas changed ------------------------------------------------------------------------------------------------------- */

static struct deployment_set *only_active(const struct deployment *d)
{
    struct deployment_set *found = NULL;

    for (size_t i = 0; i < d->sets_count; i++) {
        if (d->sets[i].replicas == 0)
            continue;
        if (found)
            return NULL;
        found = &d->sets[i];
    }
    if (!found && d->new_set)
        return d->new_set;
    return found ? found : d->sets_count ? &d->sets[d->sets_count - 1] : NULL;
}

/* Largest first; of equal ones the newer first when growing, the older when shrinking. Source: ReplicaSetsBySize*. */
static int larger_newer(const void *a, const void *b)
{
    const struct deployment_set *x = *(struct deployment_set *const *)a, *y = *(struct deployment_set *const *)b;

    if (x->replicas != y->replicas)
        return x->replicas > y->replicas ? -1 : 1;
    return x->created_ms > y->created_ms ? -1 : x->created_ms < y->created_ms;
}

static int larger_older(const void *a, const void *b)
{
    const struct deployment_set *x = *(struct deployment_set *const *)a, *y = *(struct deployment_set *const *)b;

    if (x->replicas != y->replicas)
        return x->replicas > y->replicas ? -1 : 1;
    return x->created_ms < y->created_ms ? -1 : x->created_ms > y->created_ms;
}

/*
 * The share of a set in the change, rounded to the nearest; what is left over goes to the first. The base is what all sets together
 * were allowed when this one was last scaled, as it noted itself. Source: GetReplicaSetProportion.
 */
static int64_t share(const struct deployment_set *s, int64_t old_total, int64_t new_total, int64_t left)
{
    int64_t base = s->allowed > 0 ? s->allowed : old_total;
    int64_t scaled = base ? (s->replicas * new_total * 2 + base) / (base * 2) : 0;
    int64_t change = scaled - s->replicas;

    return left > 0 ? MIN(MAX(change, 0), left) : MAX(MIN(change, 0), left);
}

bool deployment_scale_proportionally(struct deployment *d)
{
    struct deployment_set *only = only_active(d), **active;
    int64_t old_total = total(d), allowed, left, after = 0;
    size_t count = 0;

    if (only)
        return set_wanted(only, d->replicas);
    if (d->new_set && d->new_set->available >= d->replicas && d->new_set->replicas == d->replicas) {
        /* The new set is whole already: old ones go. */
        for (size_t i = 0; i < d->sets_count; i++)
            if (is_old(d, &d->sets[i]))
                set_wanted(&d->sets[i], 0);
        return true;
    }
    if (d->recreate)
        return false;
    active = arena_alloc_array(d->r->arena, d->sets_count, sizeof(struct deployment_set *));
    for (size_t i = 0; i < d->sets_count; i++)
        if (d->sets[i].replicas > 0)
            active[count++] = &d->sets[i];
    allowed = d->replicas > 0 ? d->replicas + d->max_surge : 0;
    left = allowed - old_total;
    qsort(active, count, sizeof(struct deployment_set *), left > 0 ? larger_newer : larger_older);
    for (size_t i = 0; i < count && left != after; i++) {
        active[i]->wanted = active[i]->replicas + share(active[i], old_total, allowed, left - after);
        after += active[i]->wanted - active[i]->replicas;
    }
    if (count && left != after)
        active[0]->wanted = MAX(active[0]->wanted + left - after, 0);
    return left != 0;
}
