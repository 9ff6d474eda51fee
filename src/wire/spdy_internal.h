/* What the files of SPDY share. */
#ifndef WIRE_SPDY_INTERNAL_H
#define WIRE_SPDY_INTERNAL_H

#include "wire/spdy.h"

#include <zlib.h>

struct str spdy_dictionary(void);

/* Header blocks: one zlib stream each way for the whole connection. */
struct spdy_headers {
    z_stream deflate, inflate;
    size_t max_bytes; /* of one block, inflated */
};
void spdy_headers_init(struct spdy_headers *h, size_t max_bytes);
void spdy_headers_done(struct spdy_headers *h);
void spdy_headers_write(struct spdy_headers *h, const struct http_header *headers, size_t count, struct buf *to);
/* The headers live in the arena. */
int spdy_headers_read(struct spdy_headers *h, struct str block, struct arena *a, struct http_header **ret,
                      size_t *ret_count, struct error *err);

#endif
