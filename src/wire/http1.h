/*
 * HTTP/1.1 as a byte machine, both roles, over llhttp in strict mode.
 *
 * One message at a time: http1_feed() stops after the end of a message and says how much it used; the caller feeds the
 * rest when it wants the next one. So pipelining is bounded by the caller's buffer.
 *
 * What it refuses beyond llhttp, because proxies disagree about it (request smuggling): folded headers, bare CR or LF,
 * a missing or repeated Host, Transfer-Encoding in HTTP/1.0, together with Content-Length, repeated, or other than
 * "chunked", white space before a colon, absolute and authority targets, CONNECT. Trailers are read and dropped.
 * Source: RFC 9112; RFC 9110.
 */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H

#include "base/buf.h"
#include "wire/http.h"

enum http1_role { HTTP1_SERVER, HTTP1_CLIENT };

struct http1_callbacks {
    void (*on_request)(void *arg, const struct http_request *r);   /* servers; valid until the end of the message */
    void (*on_response)(void *arg, const struct http_response *r); /* clients; likewise. Not called for 1xx but 101 */
    void (*on_body)(void *arg, struct str bytes);
    void (*on_end)(void *arg);
};

struct http1;
struct http1 *http1_new(enum http1_role role, const struct http_limits *limits, const struct http1_callbacks *cb,
                        void *arg);
void http1_free(struct http1 *h);
/* Clients: the method of the request whose answer comes next (HEAD has no body). */
void http1_expect(struct http1 *h, struct str method);

/*
 * Feed bytes; stops after a message's end. ERR_BAD_REQUEST (400), ERR_TOO_LARGE (431); after an error the connection is
 * of no use. ret_used <= bytes.n.
 */
int http1_feed(struct http1 *h, struct str bytes, size_t *ret_used, struct error *err);
/* The peer will send no more: ends a response that goes on until the end of the connection; else an error. */
int http1_finish(struct http1 *h, struct error *err);
bool http1_in_message(const struct http1 *h); /* some byte of a message has come and its end has not */
bool http1_in_head(const struct http1 *h);    /* ... and its head is not complete */
bool http1_keep_alive(const struct http1 *h); /* valid from the head on: may another message follow? */

/* --- writing --- */

/* Headers must be valid (http_is_token, http_is_field_value): a bad one is left out, so nothing can be injected. */
void http1_write_request(struct buf *to, const struct http_request *r, bool chunked);
/* content_length -1 with chunked: Transfer-Encoding; -1 without: until the connection closes. */
void http1_write_response(struct buf *to, const struct http_response *r, bool chunked, bool close);
void http1_write_chunk_head(struct buf *to, size_t n); /* then the n bytes, then CRLF */
#define HTTP1_CHUNK_END  STR("\r\n")
#define HTTP1_CHUNK_LAST STR("0\r\n\r\n")

#endif
