/*
 * WebSocket, both roles, as a byte machine: frames in and out, the opening handshake's headers, no sockets.
 *
 * Messages are delivered in pieces as they arrive (first/last say where they begin and end), so a long message never
 * needs memory. Pings are answered by the machine itself. After a protocol error or a close handshake ws_state() is
 * WS_CLOSED: send the output, then close the bytes below. Source: RFC 6455.
 */
#ifndef WIRE_WEBSOCKET_H
#define WIRE_WEBSOCKET_H

#include "base/buf.h"
#include "base/env.h"
#include "base/error.h"

struct websocket;
enum ws_role { WS_SERVER, WS_CLIENT };
enum ws_state { WS_OPEN, WS_CLOSING, WS_CLOSED };
enum ws_close {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED = 1003,
    WS_NO_STATUS = 1005,
    WS_ABNORMAL = 1006,
    WS_INVALID_DATA = 1007,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_INTERNAL_ERROR = 1011
};

struct ws_callbacks {
    /* A piece of a message. Bytes are valid during the call. Text is checked to be UTF-8 when it is complete or cut. */
    void (*on_message)(struct websocket *ws, bool text, struct str bytes, bool first, bool last, void *arg);
    void (*on_pong)(struct websocket *ws, struct str payload, void *arg); /* may be NULL */
    void (*on_close)(struct websocket *ws, uint16_t code, struct str reason,
                     void *arg); /* the peer's; once; may be NULL */
};
struct ws_options {
    size_t message_max_bytes; /* 0: no limit (pieces are delivered as they come); else 1009 */
    size_t output_max_bytes;  /* 0: 64 MiB; more queued is an error of ours: closed with 1011 */
};

/* env: masking keys of a client. */
struct websocket *ws_new(enum ws_role role, const struct ws_options *o, const struct ws_callbacks *cb, void *arg,
                         struct env *env);
void ws_free(struct websocket *ws);
enum ws_state ws_state(const struct websocket *ws);
/* Received bytes. -1 with err on a protocol error: a close frame with the right code is in the output. */
int ws_feed(struct websocket *ws, struct str bytes, struct error *err);
void ws_send(struct websocket *ws, bool text, struct str bytes); /* one message, one frame */
void ws_send_parts(struct websocket *ws, bool text, struct str head,
                   struct str body);                    /* one frame of two parts: a channel number and its bytes */
void ws_ping(struct websocket *ws, struct str payload); /* at most 125 bytes */
void ws_close(struct websocket *ws, uint16_t code, struct str reason); /* starts the close handshake */
struct buf *ws_output(struct websocket *ws); /* bytes to send; the caller drops what it sent */

/* --- opening handshake --- */
#define WS_ACCEPT_SIZE 29
bool ws_accept_key(struct str key,
                   char ret[WS_ACCEPT_SIZE]);      /* Sec-WebSocket-Accept; false when key is not 16 bytes in base64 */
void ws_random_key(struct env *env, char ret[25]); /* a client's Sec-WebSocket-Key */
/* The first of `ours` (ends in NULL) that the client's Sec-WebSocket-Protocol offers; NULL: none in common. */
const char *ws_choose_protocol(struct str offered, const char *const *ours);

#endif
