/* Controllers and scheduler in the server's process: connected to its API without sockets, fed with what it knows of the nodes. */
#include "main_control.h"

#include "controllers/controllers.h"
#include "scheduler/scheduler.h"
#include "server/ca.h"
#include "server/nodes.h"
#include "server/seams.h"

#include <stdlib.h>

struct control {
    struct server *server;
    struct api *controllers_api, *scheduler_api;
    struct cluster *controllers_cluster, *scheduler_cluster;
    struct facts facts;
    struct nodes_watch *nodes_watch;
    struct controllers *controllers;
    struct scheduler *scheduler;
    char *ca_pem;
};

static struct control control;

/* Their rights come from RBAC like everybody's: roles klein:controllers, klein:scheduler and upstream's own. */
static struct api *api_as(struct server *s, const char *user)
{
    const struct str groups[] = { STR("system:authenticated") };

    return server_api(s,
                      &(struct identity){ .user = str_of(user), .groups = groups, .groups_count = ARRAY_SIZE(groups) });
}

static void on_node(void *arg, const struct node_facts *node)
{
    struct control *c = arg;
    int64_t now_ms = env_monotonic_ms(server_env(c->server));

    if (!node) {
        facts_set_settled(&c->facts, nodes_settled(server_nodes(c->server)), now_ms);
        return;
    }
    facts_set_node(&c->facts, node->name,
                   &(struct fact_node){ .connected = node->connected,
                                        .silent = node->silent,
                                        .last_seen_ms = now_ms - node->last_seen_age_ms,
                                        .applied_endpointslices = node->applied_endpointslices });
}

static int started(struct server *s, void *arg, struct error *err)
{
    const struct control_config *config = arg;
    struct control *c = &control;

    (void)err;
    *c = (struct control){ .server = s };
    c->controllers_api = api_as(s, "system:kube-controller-manager");
    c->scheduler_api = api_as(s, "system:kube-scheduler");
    c->controllers_cluster = cluster_new(server_loop(s), c->controllers_api);
    c->scheduler_cluster = cluster_new(server_loop(s), c->scheduler_api);
    c->ca_pem = str_dup(ca_certificate_pem(server_ca(s)));
    facts_init(&c->facts);
    facts_set_settled(&c->facts, nodes_settled(server_nodes(s)), env_monotonic_ms(server_env(s)));
    c->controllers = controllers_start(c->controllers_cluster, server_env(s), controllers_list,
                                       &(struct controller_config){ .cluster_domain = "cluster.local",
                                                                    .pod_cidr = config->pod_cidr,
                                                                    .service_account_ca_pem = c->ca_pem },
                                       &c->facts);
    c->nodes_watch = nodes_on_change(server_nodes(s), on_node, c);
    c->scheduler = scheduler_start(c->scheduler_cluster, server_env(s));
    return 0;
}

static void stopping(struct server *s, void *arg)
{
    struct control *c = &control;

    (void)s;
    (void)arg;
    nodes_watch_free(c->nodes_watch);
    scheduler_stop(c->scheduler);
    controllers_stop(c->controllers);
    cluster_free(c->scheduler_cluster);
    cluster_free(c->controllers_cluster);
    c->scheduler_api->ops->free(c->scheduler_api);
    c->controllers_api->ops->free(c->controllers_api);
    facts_done(&c->facts);
    free(c->ca_pem);
}

struct server_hooks control_hooks(const struct control_config *config)
{
    return (struct server_hooks){ .started = started, .stopping = stopping, .arg = (void *)(uintptr_t)config };
}
