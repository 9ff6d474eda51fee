/* Watch events as bytes, in each format; a change is encoded once for all who watch it. */
#ifndef SERVER_WATCH_FRAMES_H
#define SERVER_WATCH_FRAMES_H

#include "server/request.h"

struct change_frames;
void change_frames_free(struct change_frames *f); /* NULL is fine */

enum watch_event_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK, WATCH_ERROR };

struct watch_format {
    const struct kind *kind;
    enum media_type type; /* MEDIA_JSON or MEDIA_PROTOBUF */
    enum media_as as;
    struct str include_object;
    bool columns_sent; /* Table: the first event brings the columns */
};
/* Append one event about a stored object. `c` may be NULL (initial events); when the object is c->object its bytes are shared. */
int watch_frame(struct buf *to, struct watch_format *f, enum watch_event_type type, const struct object *o,
                struct change *c, int64_t now_ms, struct error *err);
/* A bookmark: only kind and revision count. `initial_end`: the initial events of a streaming list are complete. */
int watch_frame_bookmark(struct buf *to, const struct watch_format *f, uint64_t revision, bool initial_end,
                         struct error *err);
/* A Status as the last event. */
int watch_frame_error(struct buf *to, const struct watch_format *f, const struct error *status, struct error *err);

#endif
