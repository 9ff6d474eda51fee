/* What the parts of one agent share. Everything lives on one loop. */
#ifndef NODE_AGENT_STATE_H
#define NODE_AGENT_STATE_H

#include "base/map.h"
#include "client/events.h"
#include "network/network.h"
#include "node/agent.h"
#include "node/cgroup.h"
#include "node/images.h"
#include "node/runtime.h"
#include "node/sources.h"
#include "transport/http_client.h"

struct node_status;
struct status_streams;
struct servers;
struct contact;

struct agent {
    struct loop *loop;
    struct env *env;
    const struct agent_config *config;
    char *data, *run; /* DATA, DATA/run (a tmpfs) */
    struct servers *servers;
    struct http_client *http; /* servers_client(): to a server that answers, with the node's certificate */
    struct contact *contact;  /* NULL: a machine without pods */
    struct api *api;
    struct runtime *runtime;
    struct cgroups *cgroups;
    struct images *images;
    struct sources *sources;
    struct volume_folders *volume_folders;
    struct network *network;
    struct event_recorder *events;
    struct node_status *node_status;
    struct status_streams *status_streams;
    struct list log_sessions; /* endpoint.c */
    struct map pods;          /* uid -> struct pod */
    struct api_watch *pod_watch;
    const struct agent_role *role;
    void *role_state;
    bool pods_synced; /* the first list of pods has come */
    bool can_lower_oom_score;
    uint64_t capabilities;           /* our own bounding set: containers can have no more */
    int64_t milli_cpu, memory_bytes; /* of the machine */
    const char *cluster_domain, *dns_address;
};

struct pod *agent_find_pod(const struct agent *a, struct str namespace_, struct str name, struct str uid);
/* Call-backs of the watch of this node's pods, and of sources_new(); arg is the agent. */
void agent_pod_event(void *agent, const struct api_event *event);
void agent_source_changed(void *agent, const struct kind *kind, struct str namespace_);
/* Does a pod that is or was here use the claim? For volume_folders_start(); arg is the agent. */
bool agent_uses_claim(void *agent, struct str namespace_, struct str claim);
/* The plan of this pod said forget. */
void agent_forget_pod(struct agent *a, struct pod *p);

#endif
