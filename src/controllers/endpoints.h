/* What Endpoints and EndpointSlices share: the pods behind a Service, and which of their ports are meant. */
#ifndef CONTROLLERS_ENDPOINTS_H
#define CONTROLLERS_ENDPOINTS_H

#include "client/controller.h"

struct endpoint_pod {
    const struct object *pod;
    struct str ip;
    bool serving;    /* Ready, or published although not ready; also while terminating */
    bool in_service; /* gets new connections: serving, not terminating, its node heard */
};

struct endpoint_pods {
    struct endpoint_pod *items;
    size_t count;
};

bool service_has_selector(const struct object *service);
bool service_is_headless(const struct object *service);
bool service_selects(struct view service, struct view labels);

/* The Service's pods that have an address and have not ended, ordered by name. */
struct endpoint_pods endpoint_pods_of(struct reconcile *r, const struct object *service);
/* A ServicePort's number on this pod; 0 when the pod has no port of that name. */
int64_t endpoint_target_port(struct view service_port, const struct object *pod);
/* Services with a pod on the node: when it falls silent or its zone changes. */
void endpoint_services_of_node(struct cluster *cluster, const struct object *node, trigger_emit_fn *emit, void *arg);

#endif
