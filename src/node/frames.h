/*
 * Frames of exec and attach between server and agent: one byte channel, four bytes length (big-endian), payload.
 * Source: docs/reference/agent-protocol.md, section 3. No I/O: bytes in, frames out.
 */
#ifndef NODE_FRAMES_H
#define NODE_FRAMES_H

#include "base/buf.h"
#include "base/error.h"

#define FRAME_MAX 65536

enum frame_channel {
    FRAME_STDIN = 0,
    FRAME_STDOUT = 1,
    FRAME_STDERR = 2,
    FRAME_RESULT = 3,
    FRAME_SIZE = 4,
    FRAME_STDIN_END = 255
};

struct frames {
    struct buf pending; /* less than one frame */
};
typedef void frame_fn(void *arg, enum frame_channel channel, struct str payload);

void frames_init(struct frames *f);
void frames_done(struct frames *f);
/* fn for each complete frame. -1: the peer broke the protocol. */
int frames_feed(struct frames *f, struct str bytes, frame_fn *fn, void *arg, struct error *err);
/* Longer payloads become several frames. */
void frame_write(struct buf *to, enum frame_channel channel, struct str payload);

#endif
