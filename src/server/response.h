/*
 * Answers: a Status from an error, an object in the form the client asked for, bodies whole or in pieces, gzip.
 */
#ifndef SERVER_RESPONSE_H
#define SERVER_RESPONSE_H

#include "server/request.h"

#define RESPONSE_BYTES_MAX (64 * MIB)  /* of one answer that is built whole */
#define GZIP_FROM_BYTES    (128 * KIB) /* upstream: defaultGzipThresholdBytes */

/* meta/v1 Status of an error, and of a success with details of the object it is about. */
struct value *status_of_error(struct arena *a, const struct error *err);
struct value *status_of_success(struct request *r, const struct object *about);

/* The same object in another form; appended to `to`. */
int response_write_object(struct request *r, struct buf *to, const struct object *o, struct error *err);
int response_write_tree(struct request *r, struct buf *to, const struct schema *schema, const struct value *tree,
                        struct error *err);

/* Head with Content-Type, Audit-Id, Cache-Control, warnings; `extra` may be NULL. Strings live in the request's arena. */
struct http_response response_head(struct request *r, int status, struct str content_type,
                                   const struct http_header *extra, size_t extra_count);
/* Answer the exchange: takes the content of `body`. The exchange is gone afterwards. */
void response_send(struct request *r, int status, struct str content_type, struct buf *body,
                   const struct http_header *extra, size_t extra_count);

/*
 * A body in pieces: what is added gathers and goes out in chunks, compressed when the client likes. A body that ends before the first
 * chunk is full is answered whole, with its length.
 */
struct body_stream;
struct body_stream *body_stream_new(struct request *r, struct str content_type); /* free by end or abort */
struct buf *body_stream_buf(struct body_stream *b); /* append here; at most one item between two flushes */
bool body_stream_flush(struct body_stream *b);      /* false: wait for on_drained of the exchange before adding more */
void body_stream_end(struct body_stream *b);
void body_stream_abort(struct body_stream *b); /* NULL is fine */

#endif
