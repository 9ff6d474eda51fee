/* The members of etcd, each asked how it is. */
#include "base/time.h"
#include "server/servers_internal.h"
#include "server/servers_plan.h"

#include <stdlib.h>

struct learner { /* seen as one since then */
    struct list link;
    uint64_t id;
    int64_t since_ms;
    bool still;
};

struct asking {
    struct servers *servers;
    struct arena arena;
    struct etcd_member *members;
    struct plan_member *plan;
    size_t count, waiting;
    servers_members_fn *done;
    void *arg;
};

struct one {
    struct asking *asking;
    size_t i;
};

static struct str first_of(const struct str *urls, size_t count)
{
    return count ? urls[0] : STR_NONE;
}

static const struct str *copy_urls(struct arena *a, const struct str *urls, size_t count)
{
    struct str *to = arena_alloc(a, MAX(count, (size_t)1) * sizeof(*to));

    for (size_t i = 0; i < count; i++)
        to[i] = arena_str(a, urls[i]);
    return to;
}

static int64_t learner_ms(struct servers *v, uint64_t id)
{
    int64_t now_ms = loop_now_ms(v->server->loop);

    list_each (&v->learners, struct learner, link, l)
        if (l->id == id) {
            l->still = true;
            return now_ms - l->since_ms;
        }
    struct learner *l = xnew(struct learner);
    *l = (struct learner){ .id = id, .since_ms = now_ms, .still = true };
    list_add_tail(&v->learners, &l->link);
    return 0;
}

static void forget_learners(struct servers *v, bool all)
{
    list_each (&v->learners, struct learner, link, l) {
        if (all || !l->still) {
            list_del(&l->link);
            free(l);
        } else {
            l->still = false;
        }
    }
}

static void take_members(struct asking *k, const struct etcd_member *members, size_t count)
{
    k->count = count;
    k->members = arena_alloc(&k->arena, MAX(count, (size_t)1) * sizeof(*k->members));
    k->plan = arena_alloc(&k->arena, MAX(count, (size_t)1) * sizeof(*k->plan));
    for (size_t i = 0; i < count; i++) {
        const struct etcd_member *m = &members[i];
        k->members[i] = (struct etcd_member){ .id = m->id,
                                              .name = arena_str(&k->arena, m->name),
                                              .learner = m->learner,
                                              .peer_urls = copy_urls(&k->arena, m->peer_urls, m->peer_urls_count),
                                              .client_urls = copy_urls(&k->arena, m->client_urls, m->client_urls_count),
                                              .peer_urls_count = m->peer_urls_count,
                                              .client_urls_count = m->client_urls_count };
        k->plan[i] = (struct plan_member){ .id = m->id,
                                           .name = k->members[i].name,
                                           .peer_url = first_of(k->members[i].peer_urls, m->peer_urls_count),
                                           .learner = m->learner,
                                           .learner_ms = m->learner ? learner_ms(k->servers, m->id) : 0 };
    }
    forget_learners(k->servers, false);
}

static void end(struct asking *k, const struct error *err)
{
    k->done(k->arg, k->plan, k->members, k->count, err);
    arena_done(&k->arena);
    free(k);
}

static void on_status(void *arg, const struct etcd_status *status, const struct error *err)
{
    struct one *one = arg;
    struct asking *k = one->asking;

    /* Healthy is who answers as itself and knows a leader. */
    k->plan[one->i].healthy = !err && status->member_id == k->plan[one->i].id && status->leader != 0;
    k->plan[one->i].leader = !err && status->leader == k->plan[one->i].id;
    k->plan[one->i].db_bytes = err ? 0 : status->db_bytes;
    k->plan[one->i].db_in_use_bytes = err ? 0 : status->db_in_use_bytes;
    if (--k->waiting == 0)
        end(k, NULL);
}

static void on_members(void *arg, UNUSED uint64_t id, const struct etcd_member *members, size_t count,
                       const struct error *err)
{
    struct asking *k = arg;

    if (err) {
        end(k, err);
        return;
    }
    take_members(k, members, count);
    k->waiting = 1;
    for (size_t i = 0; i < k->count; i++) {
        struct str url = first_of(k->members[i].client_urls, k->members[i].client_urls_count);
        if (!url.n)
            continue; /* never started */
        struct one *one = arena_new(&k->arena, struct one);
        *one = (struct one){ k, i };
        k->waiting++;
        etcd_admin_status(k->servers->local->admin, url, on_status, one);
    }
    if (--k->waiting == 0)
        end(k, NULL);
}

void servers_members_ask(struct servers *v, servers_members_fn *done, void *arg)
{
    struct asking *k = xnew(struct asking);

    k->servers = v;
    k->done = done;
    k->arg = arg;
    etcd_admin_member_list(v->local->admin, on_members, k);
}

void servers_members_stop(struct servers *v)
{
    forget_learners(v, true);
}
