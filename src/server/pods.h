/* Actions on pods that are not plain reads and writes: binding, eviction. Streams are in stream.h. */
#ifndef SERVER_PODS_H
#define SERVER_PODS_H

#include "server/request.h"

/* The API with the server's own identity, for what an action does on behalf of its caller. Lives as long as the server. */
struct api *server_own_api(struct server *s);

#endif
