/* What the agent answers on its tunnel: docs/reference/agent-protocol.md, section 3. */
#ifndef NODE_ENDPOINT_H
#define NODE_ENDPOINT_H

#include "node/agent_state.h"
#include "transport/http_exchange.h"

/* The handler given to tunnel_agent_new(); arg is the agent. */
void endpoint_handle(struct http_exchange *x, void *agent);

/* A container ended: whoever follows its log gets the rest and the end. */
void endpoint_container_ended(struct agent *a, struct str uid, struct str container);

/* GET /status-stream: lines go to whoever listens. */
struct status_streams;
struct status_streams *status_streams_new(struct agent *agent);
void status_streams_free(struct status_streams *s);
void status_streams_add(struct status_streams *s, struct http_exchange *x);
/* The revision of EndpointSlices in force on this node. */
void status_streams_set_applied(struct status_streams *s, uint64_t revision);
void status_streams_changed(struct status_streams *s); /* contact_write_report() would write something else */

#endif
