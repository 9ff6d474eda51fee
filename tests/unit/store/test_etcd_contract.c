/* The contract of the store on the etcd engine: one member, each test with a prefix of its own. */
#define ENGINE_KEEPS  1
#define ENGINE_SHARED 1
#include "contract.h"

#include "etcd_cluster.h"
#include "store/etcd.h"

static struct etcd_cluster cluster;
static int prefixes;

static void cluster_stop(void)
{
    etcd_cluster_stop(&cluster);
}

static struct store *open_as(struct fixture *f, const char *server, store_change_fn *fn, void *arg, struct error *err)
{
    if (!cluster.count) {
        etcd_cluster_start(&cluster, ETCD_MEMBERS, NULL);
        atexit(cluster_stop);
    }
    if (!f->folder[0])
        snprintf(f->folder, sizeof(f->folder), "t%d", ++prefixes);
    return store_open_etcd(f->loop, env_system(),
                           &(struct store_etcd_options){ .endpoints = cluster.endpoints,
                                                         .endpoints_count = (size_t)cluster.count,
                                                         .prefix = str_of(f->folder),
                                                         .server = str_of(server) },
                           fn, arg, err);
}

static struct store *open_engine(struct fixture *f, struct error *err)
{
    return open_as(f, "server-a", on_change, f, err);
}

static struct store *open_another(struct fixture *f, store_change_fn *fn, void *arg, struct error *err)
{
    return open_as(f, "server-b", fn, arg, err);
}

static void fixture_cleanup(struct fixture *f)
{
    etcd_cluster_settle(f->loop);
}
