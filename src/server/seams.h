/*
 * What identity, authorization, admission and the agents' side offer the core of the server; the core calls these.
 *
 * Order at start: server_ca() opens the PKI (blocking, before the TLS context is made); then the parts of parts.def; then
 * bootstrap_objects() once, before the listener opens; then requests.
 */
#ifndef SERVER_SEAMS_H
#define SERVER_SEAMS_H

#include "server/ca.h"
#include "server/request.h"

/* The PKI of this server: DATA_FOLDER/pki, or in memory without a data folder. Opened by part `ca`, the first in parts.def. */
struct ca *server_ca(struct server *s);
/* A TLS context for the listener from the present serving certificate; asks clients for certificates. A new reference. */
struct tls_context *server_tls_context(struct server *s, struct error *err);
/* Of the core: the serving certificate was renewed; give new connections a new server_tls_context(). */
void server_reload_tls(struct server *s);

/*
 * What every cluster has: namespaces, default roles and bindings, priority classes, the Service default/kubernetes with its
 * endpoints, service account objects of klein's own. Made where absent, repaired where RBAC's autoupdate says so. done comes once.
 */
void bootstrap_objects(struct server *s, server_done_fn *done, void *arg);

/* Handler of a path of paths.def; NULL when there is none. */
subresource_handler *path_find(struct str path);

#define PATH(path, handler) enum phase_result handler(struct request *r);
#include "server/paths.def"
#undef PATH

/* The decision on a request's own attributes, without HTTP: for handlers that ask about something further. */
struct authz_attributes {
    const struct identity *identity;
    bool is_resource;
    struct str verb, group, version, resource, subresource, namespace_, name;
    struct str path;           /* when it is no resource */
    struct str field_selector; /* of list, watch and deletecollection: the node authorizer looks at it */
};
/* *ret_reason (may be NULL) is in the arena: why not, "" when there is nothing to tell. */
bool authz_allows(struct server *s, struct arena *arena, const struct authz_attributes *a, struct str *ret_reason);
/* Sets ERR_FORBIDDEN with upstream's text and details. Returns -1. */
int authz_forbid(const struct authz_attributes *a, struct str reason, struct error *err);

#endif
