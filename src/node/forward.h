/* Connections into a pod: port forwarding into its network namespace, and HTTP to its address. */
#ifndef NODE_FORWARD_H
#define NODE_FORWARD_H

#include "node/agent_state.h"
#include "transport/http_exchange.h"

/* Connect to 127.0.0.1 (else ::1) inside the namespace, then join with the exchange. Answers x in every case. */
void forward_port(struct agent *a, struct http_exchange *x, const char *netns_path, uint16_t port);
/* The request goes to the pod's address as HTTP/1.1, the answer back as it is. Answers x in every case. */
void forward_http(struct agent *a, struct http_exchange *x, const char *ip, uint16_t port, struct str rest);

/* A Status as an answer; used by all of the agent's endpoints. */
void answer_error(struct http_exchange *x, const struct error *err);

#endif
