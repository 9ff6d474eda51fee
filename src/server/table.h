/*
 * meta.k8s.io/v1 Table: the columns of `kubectl get`, computed here from the kind's row. Written as JSON text, piece by
 * piece, so that a list of any length streams.
 */
#ifndef SERVER_TABLE_H
#define SERVER_TABLE_H

#include "server/request.h"

void table_write_columns(struct buf *to, const struct kind *k); /* "columnDefinitions":[...] */
/* One row; `include` is "None", "Metadata" (also "") or "Object". */
void table_write_row(struct buf *to, const struct kind *k, const struct object *o, struct str include, int64_t now_ms);
/* A whole table of one object; columns may be left out (later events of a watch). */
void table_write_one(struct buf *to, const struct kind *k, const struct object *o, struct str include, int64_t now_ms,
                     bool columns);
/* {"kind":"PartialObjectMetadata",...} of an object. */
void partial_write(struct buf *to, const struct object *o);

#endif
