/*
 * SPDY/3.1 as kubectl speaks it for exec, attach and port-forward after "Upgrade: SPDY/3.1": a byte machine.
 *
 * Both roles (the client for tests and for proxying). Streams carry their headers ("streamtype": "stdin", ...) and
 * bytes both ways. Limits: streams, header block size (also inflated), frame size.
 *
 * Flow control: we open the peer's windows by spdy_consume(), as the draft asks. The peer's windows are not heeded:
 * moby/spdystream, the library of kubectl, never opens them, so that a server that waited would stop after 64 KiB.
 * The bytes below are what holds a fast writer back: send spdy_output() to the channel, and when channel_write() says
 * false, produce nothing until on_drained.
 * Source: SPDY Protocol draft 3.1.
 */
#ifndef WIRE_SPDY_H
#define WIRE_SPDY_H

#include "base/buf.h"
#include "base/error.h"
#include "wire/http.h"

struct spdy;
enum spdy_role { SPDY_SERVER, SPDY_CLIENT };
enum spdy_reset {
    SPDY_PROTOCOL_ERROR = 1,
    SPDY_INVALID_STREAM = 2,
    SPDY_REFUSED_STREAM = 3,
    SPDY_CANCEL = 5,
    SPDY_INTERNAL_ERROR = 6,
    SPDY_FLOW_CONTROL_ERROR = 7,
    SPDY_STREAM_IN_USE = 8,
    SPDY_STREAM_CLOSED = 9
};

struct spdy_callbacks { /* all may be NULL */
    /* The peer opened a stream: answer with spdy_reply() or spdy_reset(). Header values are valid during the call. */
    void (*on_stream)(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, bool fin,
                      void *arg);
    void (*on_reply)(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, bool fin, void *arg);
    void (*on_data)(struct spdy *s, uint32_t id, struct str bytes, bool fin, void *arg); /* later: spdy_consume() */
    void (*on_reset)(struct spdy *s, uint32_t id, uint32_t status, void *arg);
    void (*on_goaway)(struct spdy *s, uint32_t last_id, void *arg);
};
struct spdy_options {
    size_t streams_max;            /* 0: 100 */
    size_t header_block_max_bytes; /* 0: 16 KiB, inflated */
    uint32_t window_bytes;         /* 0: 64 KiB, ours for receiving */
};

struct spdy *spdy_new(enum spdy_role role, const struct spdy_options *o, const struct spdy_callbacks *cb, void *arg);
void spdy_free(struct spdy *s);
int spdy_feed(struct spdy *s, struct str bytes,
              struct error *err);        /* -1: a GOAWAY is in the output; send it and close */
struct buf *spdy_output(struct spdy *s); /* bytes to send; the caller drops what it sent */

uint32_t spdy_open(struct spdy *s, const struct http_header *headers, size_t count, bool fin); /* 0: too many */
void spdy_reply(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, bool fin);
bool spdy_data(struct spdy *s, uint32_t id, struct str bytes,
               bool fin);                                 /* copies; false: the stream is not open for writing */
void spdy_consume(struct spdy *s, uint32_t id, size_t n); /* n delivered bytes are dealt with: opens the window again */
void spdy_reset(struct spdy *s, uint32_t id, enum spdy_reset status);
void spdy_ping(struct spdy *s);
void spdy_goaway(struct spdy *s);
bool spdy_stream_is_open(const struct spdy *s, uint32_t id);
size_t spdy_streams_count(const struct spdy *s);

#endif
