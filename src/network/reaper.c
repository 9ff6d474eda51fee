/* Clears up behind pods and endpoints that are gone, on a worker: the kernel waits some 30 ms to delete a link, and lists connections
 * of the whole machine. */
#include "network/conntrack.h"
#include "network/internal.h"

#include <linux/netlink.h>
#include <stdlib.h>

#define LOG_PART "network"
#include "base/log.h"

struct reap {                       /* outlives the network when that stops meanwhile */
    struct netlink rtnl, conntrack; /* opened on the loop's thread: a socket belongs to the namespace it was made in */
    int *links;                     /* by index */
    size_t links_count, links_capacity, ips_capacity;
    struct conntrack_forget forget;
    struct error err;
};

struct reaper {
    struct network *network;
    struct loop_task task;
    struct reap *next; /* what this round gathered */
};

static void work(void *arg)
{
    struct reap *r = arg;

    conntrack_forget(&r->conntrack, &r->forget, &r->err);
    for (size_t i = 0; i < r->links_count; i++)
        link_delete_index(&r->rtnl, r->links[i], &r->err);
}

static void done(void *arg)
{
    struct reap *r = arg;

    if (r->err.code)
        log_warn("not all cleared up behind pods or endpoints", KV_ERR(&r->err));
    error_done(&r->err);
    netlink_close(&r->rtnl);
    netlink_close(&r->conntrack);
    free(r->links);
    free(r->forget.ips);
    free(r->forget.targets);
    free(r);
}

static bool open_sockets(struct reap *r)
{
    return netlink_open(&r->rtnl, NETLINK_ROUTE, &r->err) == 0 &&
           netlink_open(&r->conntrack, NETLINK_NETFILTER, &r->err) == 0;
}

static void start(void *arg)
{
    struct reaper *reaper = arg;
    struct reap *r = TAKE(reaper->next);

    if (!r)
        return;
    if (open_sockets(r))
        loop_work(reaper->network->loop, work, done, r);
    else
        done(r);
}

struct reaper *reaper_new(struct network *n)
{
    struct reaper *r = xnew(struct reaper);

    r->network = n;
    r->task = (struct loop_task){ .fn = start, .arg = r };
    return r;
}

void reaper_free(struct reaper *r)
{
    if (!r)
        return;
    loop_defer_cancel(&r->task);
    if (r->next) {
        if (open_sockets(r->next))
            work(r->next);
        done(r->next);
    }
    free(r);
}

static struct reap *gathered(struct reaper *r)
{
    if (!r->next)
        r->next = xnew(struct reap);
    loop_defer(r->network->loop, &r->task);
    return r->next;
}

/* By index, not by name: the pod's next sandbox may have made a link of the same name before the worker gets there. */
void reaper_add_pod(struct reaper *r, const char *link, uint32_t ip)
{
    struct reap *reap = gathered(r);
    struct link_info info;

    GROW(reap->forget.ips, reap->forget.ips_count, reap->ips_capacity);
    reap->forget.ips[reap->forget.ips_count++] = ip;
    if (link_find(&r->network->rtnl, link, &info, NULL) < 0)
        return;
    GROW(reap->links, reap->links_count, reap->links_capacity);
    reap->links[reap->links_count++] = info.index;
}

void reaper_add_targets(struct reaper *r, const struct service_target *targets, size_t count)
{
    struct conntrack_forget *f = &gathered(r)->forget;

    f->targets = xrealloc(f->targets, (f->targets_count + count) * sizeof(*targets));
    memcpy(f->targets + f->targets_count, targets, count * sizeof(*targets));
    f->targets_count += count;
}
