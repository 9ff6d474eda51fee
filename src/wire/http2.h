/*
 * HTTP/2 as a byte machine, both roles, over nghttp2.
 *
 * Bytes in by http2_feed(), bytes out by http2_pull(). Bodies to send are pulled from the caller when there is room in
 * the peer's windows, so nothing is queued here. Received bytes are the caller's to hold; the stream's window opens
 * again by http2_consume(), the connection's at once: a stream that nobody reads stops itself and no other.
 *
 * Floods end the session with ENHANCE_YOUR_CALM: resets (rapid reset, CVE-2023-44487), pings, settings, priorities and empty
 * frames have one budget that refills with time. nghttp2 itself bounds CONTINUATION frames and unanswered acknowledgements.
 * Source: RFC 9113; RFC 7541.
 */
#ifndef WIRE_HTTP2_H
#define WIRE_HTTP2_H

#include "base/buf.h"
#include "wire/http.h"

enum http2_role { HTTP2_SERVER, HTTP2_CLIENT };

#define HTTP2_NO_ERROR          0
#define HTTP2_INTERNAL_ERROR    2
#define HTTP2_REFUSED_STREAM    7
#define HTTP2_CANCEL            8
#define HTTP2_ENHANCE_YOUR_CALM 11
#define HTTP2_PREFACE_SIZE      24

/* `user` is what http2_set_user() or http2_request() gave for the stream. */
struct http2_callbacks {
    /* heads are valid during the call; `end`: no body follows */
    void (*on_request)(void *arg, int32_t id, const struct http_request *r, bool end);
    void (*on_response)(void *arg, int32_t id, void *user, const struct http_response *r, bool end);
    void (*on_data)(void *arg, int32_t id, void *user, struct str bytes);
    void (*on_end)(void *arg, int32_t id, void *user);                   /* the peer's body has ended */
    void (*on_closed)(void *arg, int32_t id, void *user, uint32_t code); /* once per stream that was told or opened */
    void (*on_goaway)(void *arg, int32_t last_id, uint32_t code);        /* may be NULL */
    void (*on_pong)(void *arg, uint64_t payload);                        /* may be NULL */
    /*
     * Fill in up to n bytes of the stream's body. Returns how many; 0 with *ret_end false: nothing now, call
     * http2_resume() when there is. *ret_end: these were the last.
     */
    size_t (*read_body)(void *arg, int32_t id, void *user, char *to, size_t n, bool *ret_end);
    /* clients; the headers after the body; may be NULL. on_end follows */
    void (*on_trailers)(void *arg, int32_t id, void *user, const struct http_header *headers, size_t count);
};

struct http2_options { /* 0 means the value in brackets */
    struct http_limits limits;
    uint32_t streams_max;              /* [250] of the peer */
    uint32_t stream_window_bytes;      /* [64 KiB] ours for receiving */
    uint32_t connection_window_bytes;  /* [1 MiB] */
    uint32_t flood_burst, flood_per_s; /* [1000, 100] resets and control frames */
    bool plain;                        /* clients: not over TLS; requests say scheme http instead of https */
};

struct http2;
struct http2 *http2_new(enum http2_role role, const struct http2_options *o, const struct http2_callbacks *cb,
                        void *arg);
void http2_free(struct http2 *h);
/* -1: err; pull what is left (a GOAWAY) and close. now_ms: monotonic. */
int http2_feed(struct http2 *h, struct str bytes, int64_t now_ms, struct error *err);
/* The next bytes to send, valid until the next call of any function here; empty: nothing now. */
int http2_pull(struct http2 *h, struct str *ret, struct error *err);
bool http2_wants_close(const struct http2 *h); /* nothing more will be read or written */

/* Servers. head with end: no body. After it, read_body is asked. */
int http2_respond(struct http2 *h, int32_t id, const struct http_response *head, bool end);
void http2_continue(struct http2 *h, int32_t id); /* 100 */
/* Clients: returns the stream's id, or -1 (no more ids or the peer is going). */
int32_t http2_request(struct http2 *h, const struct http_request *r, bool end, void *user);
void http2_resume(struct http2 *h, int32_t id); /* read_body has something again */
void http2_reset(struct http2 *h, int32_t id, uint32_t code);
/* Resets the stream, with CANCEL; callbacks for it get user NULL from now on. */
void http2_forget(struct http2 *h, int32_t id);
void http2_consume(struct http2 *h, int32_t id, size_t n);
void http2_ping(struct http2 *h, uint64_t payload);
void http2_goaway(struct http2 *h); /* no new streams; the open ones go on */
void http2_set_user(struct http2 *h, int32_t id, void *user);
size_t http2_streams_count(const struct http2 *h);
uint32_t http2_peer_streams_max(const struct http2 *h);

#endif
