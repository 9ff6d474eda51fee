/*
 * What a cluster needs before its first user: made where absent at every start, repaired where it may be.
 *
 * Like upstream's start hooks: a role or binding that says autoupdate=true gets its missing rules and subjects back, what was added
 * stays; everything else that exists is left alone. bootstrap_objects() (seams.h) is the door.
 */
#ifndef SERVER_RBAC_BOOTSTRAP_H
#define SERVER_RBAC_BOOTSTRAP_H

#include "server/seams.h"

/* One object that must be there; the tree is complete (apiVersion, kind, metadata). */
struct bootstrap_item {
    const struct kind *kind;
    struct value *wanted;
};
struct bootstrap_items {
    struct bootstrap_item *items;
    size_t count, capacity;
};
void bootstrap_add(struct bootstrap_items *l, const struct kind *kind, struct value *wanted);

/* The fixed objects of the facts. */
int bootstrap_add_facts(struct arena *a, struct bootstrap_items *l, struct error *err);
/* Namespaces, the Service default/kubernetes, its Endpoints and EndpointSlice, the join token's secret. */
void bootstrap_add_namespaces(struct arena *a, struct bootstrap_items *l);
void bootstrap_add_kubernetes_service(struct server *s, struct arena *a, struct bootstrap_items *l);
#define BOOTSTRAP_ADDRESSES_MAX 16
struct bootstrap_address {
    char ip[ADDRESS_TEXT_SIZE];
    uint16_t port;
};
/* Endpoints and EndpointSlice of default/kubernetes that lead to these servers (at least one, all on one port; put in order). */
void bootstrap_add_kubernetes_endpoints(struct arena *a, struct bootstrap_items *l, struct bootstrap_address *at,
                                        size_t count);
/* TOKENID.TOKENSECRET.CAHASH of a new token, to be written to bootstrap_join_token_path() once the secret stands; "" when there is one already. */
struct str bootstrap_add_join_token(struct server *s, struct arena *a, struct bootstrap_items *l);
struct str bootstrap_join_token_path(struct server *s, struct arena *a);

/* The present object with what is missing put back; NULL when nothing is missing or it must not be touched. */
struct value *bootstrap_repair(struct arena *a, const struct kind *kind, const struct value *wanted,
                               const struct object *now);

/* Where the API is reached from outside: config's advertise, else the first address that is not loopback. "https://10.0.0.1:6443". */
struct str bootstrap_api_url(struct server *s, struct arena *a);
void bootstrap_api_address(struct server *s, char ret_ip[ADDRESS_TEXT_SIZE], uint16_t *ret_port);

#endif
