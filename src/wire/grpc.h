/*
 * gRPC's own few bytes, for calls over HTTP/2: the prefix of each message, and the status in the trailers.
 *
 *     struct grpc_reader r;
 *     grpc_reader_init(&r, 4 * MIB);
 *     if (grpc_reader_feed(&r, bytes, err) < 0) ...          received bytes, in any pieces
 *     while (grpc_reader_next(&r, &message)) ...             whole messages, in order
 *     if (!grpc_reader_is_between(&r)) ...                   the stream ended inside a message
 *
 * A message longer than the reader's maximum, or a compressed one (we never ask for it), is an error as soon as its prefix is there,
 * so nothing is gathered for it. Source: grpc/grpc doc/PROTOCOL-HTTP2.md, doc/statuscodes.md.
 */
#ifndef WIRE_GRPC_H
#define WIRE_GRPC_H

#include "base/buf.h"
#include "wire/http.h"

#define GRPC_PREFIX_SIZE 5

enum grpc_status {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
};
#define GRPC_NO_STATUS (-1) /* the transport failed before a status came: nobody knows what happened */
#define GRPC_NOT_SENT  (-2) /* nothing of the call has left */

/* Reserve n bytes of message behind their prefix: write them there. NULL and `full` when the buffer's maximum is passed. */
char *grpc_frame(struct buf *to, size_t n);

struct grpc_reader {
    struct buf in;
    size_t at; /* of the next message in `in` */
    size_t message_max;
};
void grpc_reader_init(struct grpc_reader *r, size_t message_max_bytes);
void grpc_reader_done(struct grpc_reader *r);
/* Errors: ERR_TOO_LARGE, ERR_INTERNAL (compressed). Nothing may be fed after one. */
int grpc_reader_feed(struct grpc_reader *r, struct str bytes, struct error *err);
/* *ret_message is valid until the next feed. False: no whole message is there. */
bool grpc_reader_next(struct grpc_reader *r, struct str *ret_message);
bool grpc_reader_is_between(const struct grpc_reader *r);

/*
 * The status in trailers (or in the head of an answer without a body). GRPC_OK, or another status with err set: the server's
 * message, decoded, at most 1 KiB of it. GRPC_UNKNOWN when there is no readable status.
 */
int grpc_status_read(const struct http_header *headers, size_t count, struct error *err);
enum error_code grpc_error_code(int status);

/* The value of "grpc-timeout" for so many milliseconds: "250m". At most 8 digits are allowed. */
#define GRPC_TIMEOUT_SIZE 16
char *grpc_timeout_text(int64_t ms, char text[GRPC_TIMEOUT_SIZE]);

#endif
