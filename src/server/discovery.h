/*
 * What the server says about itself: /api, /apis and below, /version, /openapi, health, metrics, and the list at "/".
 */
#ifndef SERVER_DISCOVERY_H
#define SERVER_DISCOVERY_H

#include "server/request.h"

#define SERVER_VERSION "v1.36.0+klein"

/* Handler of a path of discovery.def; NULL when there is none. */
subresource_handler *discovery_find(struct str path);

/* Answer with an ETag; a client that has it already (If-None-Match) gets 304. */
enum phase_result answer_with_etag(struct request *r, struct str content_type, struct str body);

#define DISCOVERY_PATH(path, handler) enum phase_result handler(struct request *r);
#include "server/discovery.def"
#undef DISCOVERY_PATH

#endif
