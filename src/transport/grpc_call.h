/*
 * gRPC calls over the HTTP client: one message for one, or streams of them in both directions.
 *
 *     struct grpc_call *call = grpc_call_new(client, &(struct grpc_call_request){
 *         .method = "/etcdserverpb.KV/Range", .message = packed, .message_max = 64 * MIB, .timeout_ms = 250 }, &callbacks, arg);
 *
 * The client speaks HTTP/2 (http2_only) and is somebody else's. on_done comes exactly once, in a later round, after all
 * on_message; then the call is gone. Errors there: the server's status (wire/grpc.h tells which code) with its message, or what
 * the HTTP client says: ERR_UNAVAILABLE, ERR_TIMEOUT (the deadline), ERR_UNAUTHORIZED. A call is never repeated, except one that was
 * certainly not processed (see http_client.h).
 */
#ifndef TRANSPORT_GRPC_CALL_H
#define TRANSPORT_GRPC_CALL_H

#include "transport/http_client.h"
#include "wire/grpc.h"

struct grpc_call;

struct grpc_call_request {
    const char *method;      /* "/package.Service/Method" */
    struct str message;      /* packed; copied */
    bool stream;             /* more messages follow by grpc_call_send(): do not end our direction */
    size_t message_max;      /* of an answer; 0: 4 MiB */
    int64_t timeout_ms;      /* until the end of the answer, told to the server too; 0: none */
    int64_t head_timeout_ms; /* until the answer begins; 0: timeout_ms, or 30 s without one */
};
struct grpc_call_callbacks {
    void (*on_message)(struct grpc_call *call, struct str message, void *arg); /* valid during the call; may be NULL */
    /* status: of wire/grpc.h, GRPC_NO_STATUS or GRPC_NOT_SENT when the transport failed; err NULL exactly for GRPC_OK */
    void (*on_done)(struct grpc_call *call, int status, const struct error *err, void *arg);
};
struct grpc_call *grpc_call_new(struct http_client *c, const struct grpc_call_request *request,
                                const struct grpc_call_callbacks *cb, void *arg);
void grpc_call_send(struct grpc_call *call, struct str message); /* streams; copies */
void grpc_call_end(struct grpc_call *call);                      /* streams: our direction ends */
void grpc_call_cancel(struct grpc_call *call);                   /* no call-back any more; NULL is fine */

#endif
