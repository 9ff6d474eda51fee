/* Controllers and scheduler in the server's process: connected to its API without sockets, fed with what it knows of the nodes. */
#include "main_control.h"

#include "controllers/controllers.h"
#include "scheduler/scheduler.h"
#include "server/ca.h"
#include "server/leader.h"
#include "server/nodes.h"
#include "server/seams.h"
#include "server/state_store.h"

#include <stdlib.h>

#define CATCH_UP_MS 5 /* between two looks at whether the caches are current */

struct control {
    struct server *server;
    struct api *controllers_api, *scheduler_api;
    struct cluster *controllers_cluster, *scheduler_cluster;
    struct facts facts;
    struct nodes_watch *nodes_watch;
    struct controllers *controllers;
    struct scheduler *scheduler;
    struct leader_listener *leader;
    struct loop_timer catch_up;
    uint64_t epoch;
    uint64_t elected_revision; /* of the state: what was written in earlier terms is not above it */
    const char *pod_cidr;
    char *ca_pem;
};

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
                                        .confirmed = node->confirmed,
                                        .fenced = node->fenced,
                                        .last_seen_ms = now_ms - node->last_seen_age_ms,
                                        .applied_endpointslices = node->applied_endpointslices });
}

/* --- the lead: controllers and scheduler run where it is, their caches are filled everywhere ---------------------------- */

static void stop_acting(struct control *c)
{
    loop_timer_stop(&c->catch_up);
    scheduler_stop(TAKE(c->scheduler));
    controllers_stop(TAKE(c->controllers));
    cluster_set_epoch(c->controllers_cluster, 0);
    cluster_set_epoch(c->scheduler_cluster, 0);
}

static void start_acting(struct control *c)
{
    cluster_set_epoch(c->controllers_cluster, c->epoch);
    cluster_set_epoch(c->scheduler_cluster, c->epoch);
    c->controllers = controllers_start(c->controllers_cluster, server_env(c->server), controllers_list,
                                       &(struct controller_config){ .cluster_domain = "cluster.local",
                                                                    .pod_cidr = c->pod_cidr,
                                                                    .service_account_ca_pem = c->ca_pem },
                                       &c->facts);
    c->scheduler = scheduler_start(c->scheduler_cluster, server_env(c->server));
}

static uint64_t revision_of(void *arg, const struct kind *kind)
{
    const struct control *c = arg;

    return MIN(state_kind_revision(server_state(c->server), kind), c->elected_revision + 1);
}

/* What the state held at the election must be in the caches before anybody decides by them; a watch tells at the end of a round. */
static void on_catch_up(void *arg)
{
    struct control *c = arg;

    if (cluster_has_seen(c->controllers_cluster, revision_of, c) &&
        cluster_has_seen(c->scheduler_cluster, revision_of, c))
        start_acting(c);
    else
        loop_timer_start(&c->catch_up, CATCH_UP_MS);
}

static void on_elected(void *arg, uint64_t epoch)
{
    struct control *c = arg;

    c->epoch = epoch;
    c->elected_revision = state_revision(server_state(c->server));
    loop_timer_start(&c->catch_up, 0);
}

static void on_lost(void *arg)
{
    stop_acting(arg);
}

struct control *control_new(struct server *s, const struct control_config *config)
{
    static const struct leader_callbacks callbacks = { on_elected, on_lost };
    struct control *c = xnew(struct control);

    *c = (struct control){ .server = s, .pod_cidr = config->pod_cidr };
    c->controllers_api = api_as(s, "system:kube-controller-manager");
    c->scheduler_api = api_as(s, "system:kube-scheduler");
    c->controllers_cluster = cluster_new(server_loop(s), c->controllers_api);
    c->scheduler_cluster = cluster_new(server_loop(s), c->scheduler_api);
    controllers_warm(c->controllers_cluster, controllers_list);
    scheduler_warm(c->scheduler_cluster);
    c->ca_pem = str_dup(ca_certificate_pem(server_ca(s)));
    facts_init(&c->facts);
    facts_set_settled(&c->facts, nodes_settled(server_nodes(s)), env_monotonic_ms(server_env(s)));
    c->nodes_watch = nodes_on_change(server_nodes(s), on_node, c);
    loop_timer_init(&c->catch_up, server_loop(s), on_catch_up, c);
    c->leader = leader_listen(server_leader(s), &callbacks, c);
    return c;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    stop_acting(c);
    leader_unlisten(c->leader); /* gives the lead to another server */
    nodes_watch_free(c->nodes_watch);
    cluster_free(c->scheduler_cluster);
    cluster_free(c->controllers_cluster);
    c->scheduler_api->ops->free(c->scheduler_api);
    c->controllers_api->ops->free(c->controllers_api);
    facts_done(&c->facts);
    free(c->ca_pem);
    free(c);
}

bool control_is_acting(const struct control *c)
{
    return c->controllers != NULL;
}

/* --- in `klein server` -------------------------------------------------------------------------------------------------- */

static struct control *running; /* one a process */

static int started(struct server *s, void *arg, struct error *err)
{
    (void)err;
    running = control_new(s, arg);
    return 0;
}

static void stopping(struct server *s, void *arg)
{
    (void)s;
    (void)arg;
    control_free(TAKE(running));
}

struct server_hooks control_hooks(const struct control_config *config)
{
    return (struct server_hooks){ .started = started, .stopping = stopping, .arg = (void *)(uintptr_t)config };
}
