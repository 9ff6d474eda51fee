/*
 * The gRPC health question, grpc.health.v1.Health/Check, as bytes: one HTTP/2 connection with prior knowledge, one request, and only as
 * much of the answer as decides. No I/O. Sources: RFC 9113, RFC 7541 (literals without indexing), grpc/health/v1/health.proto.
 *
 * Only DATA frames are read: SERVING is a message with status 1. Errors come as trailers without a message, and count as not serving.
 */
#ifndef NODE_CHECK_GRPC_H
#define NODE_CHECK_GRPC_H

#include "base/buf.h"

#define GRPC_ANSWER_MAX (64 * KIB)

void grpc_health_request(struct buf *to, struct str authority, struct str service);

enum grpc_health { GRPC_MORE, GRPC_SERVING, GRPC_NOT_SERVING, GRPC_BROKEN };
/* Everything received so far; GRPC_MORE: not decided yet. */
enum grpc_health grpc_health_answer(struct str received);

#endif
