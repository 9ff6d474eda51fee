/*
 * What HAProxy should do, as a value: a pure function of what the watches show.
 *
 * Routes are keys of two maps (exact, prefix), backends are Services with the endpoints that serve now. Everything in it
 * has been checked to consist of harmless characters, so that neither configuration nor commands can be injected into; what is
 * not harmless is left out and named in `refused`.
 */
#ifndef GATEWAY_PLAN_H
#define GATEWAY_PLAN_H

#include "base/arena.h"
#include "base/map.h"
#include "client/cache.h"

struct gateway_server {
    struct str name;    /* "10-244-1-5-8080-1a2b3c4d": address, and which pod has it */
    struct str address; /* "10.244.1.5:8080" */
    bool far; /* in another zone than the gateway: used little while a near one is there, and at once when none is */
};

struct gateway_backend {
    struct str name; /* "be_NAMESPACE_SERVICE_PORT": '_' cannot stand in the parts */
    struct gateway_server *servers;
    size_t count, capacity;
    struct gateway_server *lost; /* would serve if their node were heard: what runs there has no end of its own */
    size_t lost_count, lost_capacity;
};

struct gateway_route {
    struct str key; /* host + path, see plan.c */
    struct str backend;
};

struct gateway_routes {
    struct gateway_route *items;
    size_t count, capacity;
    struct map by_key; /* key -> name of the backend, zero-terminated */
};

struct gateway_refusal {
    const struct object *ingress; /* borrowed from the cache: valid in the round the plan was made in */
    struct str text;
};

struct gateway_certificate {
    struct str name; /* file: "NAMESPACE_SECRET" */
    struct str pem;  /* certificate chain and key */
    struct str *hosts;
    size_t count, capacity;
};

struct gateway_plan {
    struct arena arena;
    struct gateway_routes exact, prefix;
    struct gateway_backend **backends; /* ordered by name */
    size_t backends_count, backends_capacity;
    struct gateway_certificate **certificates;
    size_t certificates_count, certificates_capacity;
    struct map by_name; /* of backends */
    struct gateway_refusal *refused;
    size_t refused_count, refused_capacity;
};

struct gateway_seen {
    struct cache *ingresses, *classes, *services, *slices, *secrets;
    struct str zone; /* the gateway's; empty: unknown */
};

void gateway_plan_make(struct gateway_plan *ret, const struct gateway_seen *seen);
void gateway_plan_done(struct gateway_plan *p);
bool gateway_is_ours(const struct gateway_seen *seen, const struct object *ingress);

#endif
