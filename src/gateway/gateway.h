/*
 * The gateway: Ingress resources carried out by HAProxy at an address outsiders reach.
 *
 * It follows the cluster through its own watches (Ingress, IngressClass, Service, EndpointSlice, TLS Secrets) and keeps running on
 * its last knowledge while no server answers. Endpoint changes go through HAProxy's runtime API, without a reload; a reload happens
 * only for structure (a backend more or less, a certificate). HAProxy outlives this process and is found again.
 *
 *   watches -> plan.c (pure: what should be) -> config.c (files) and runtime.c (commands) -> haproxy.c (the process)
 *
 * Ingresses of another controller's class are left alone: those whose IngressClass object names a controller that is not ours.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "base/env.h"
#include "kinds/api.h"
#include "loop/loop.h"

#define GATEWAY_CONTROLLER "klein.dev/gateway" /* IngressClass.spec.controller */

struct gateway_config {
    const char *folder;             /* configuration, certificates, sockets; mode 0700 */
    const char *listen_ip;          /* NULL: all addresses */
    const char *publish_ip;         /* written into Ingress.status; NULL: not written */
    const char *zone;               /* endpoints of this zone get most of the requests; NULL: all are alike */
    uint16_t http_port, https_port; /* 0: 80, 443 */
};

struct gateway;

struct gateway *gateway_start(struct loop *loop, struct env *env, struct api *api, const struct gateway_config *config,
                              struct error *err);
void gateway_stop(struct gateway *g);       /* HAProxy goes on; NULL is fine */
void gateway_remove_all(struct gateway *g); /* HAProxy ends, files go */

/* The greatest EndpointSlice revision in force in HAProxy, for acknowledged removal; on_applied is called when it grows. */
uint64_t gateway_applied_revision(const struct gateway *g);
void gateway_on_applied(struct gateway *g, void (*applied)(void *arg, uint64_t revision), void *arg);

#endif
