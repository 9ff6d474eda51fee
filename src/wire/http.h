/*
 * What HTTP/1.1, HTTP/2 and in-process calls share: heads of requests and responses, and the limits on them.
 *
 * Values are borrowed: they live as long as the message they came with (an arena or a parser says so). Header names
 * are lower case. Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2).
 */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include "base/arena.h"
#include "base/error.h"

struct http_header {
    struct str name, value;
};

enum http_version { HTTP_1_0 = 10, HTTP_1_1 = 11, HTTP_2 = 20 };

struct http_request {
    struct str method;                 /* "GET" */
    struct str target;                 /* as sent: "/api/v1/pods?watch=1"; always starts with "/" (or is "*") */
    struct str path;                   /* before the "?", still percent-encoded */
    struct str query;                  /* after the "?", still percent-encoded */
    struct str host;                   /* Host or :authority */
    const struct http_header *headers; /* without Host and pseudo headers */
    size_t headers_count;
    int64_t content_length; /* -1: unknown (streamed); 0: no body */
    enum http_version version;
    bool upgrade; /* HTTP/1.1 "Connection: upgrade" with an Upgrade header */
    bool expect_continue;
};

struct http_response {
    int status;
    const struct http_header *headers;
    size_t headers_count;
    int64_t content_length; /* received: -1 unknown */
};

/* Limits with reasons: kubectl sends heads of about 1 KiB; service account tokens and exec commands make them longer. */
struct http_limits {
    size_t head_max_bytes;   /* 0: 64 KiB, request line and headers together */
    size_t headers_max;      /* 0: 100 */
    size_t target_max_bytes; /* 0: 16 KiB */
};
struct http_limits http_limits_or_default(const struct http_limits *l);

/* The first header of that (lower case) name; STR_NONE when absent. */
struct str http_header_get(const struct http_header *headers, size_t count, struct str name);
static inline struct str http_request_header(const struct http_request *r, struct str name)
{
    return http_header_get(r->headers, r->headers_count, name);
}
static inline struct str http_response_header(const struct http_response *r, struct str name)
{
    return http_header_get(r->headers, r->headers_count, name);
}
/* Does a comma separated header value hold this token (ASCII, any case)? "keep-alive, Upgrade" has "upgrade". */
bool http_value_has_token(struct str value, struct str token);
/* The next "name=value" of a query, decoded into the arena ("+" is a space); false at the end. */
bool http_query_next(struct str *query, struct arena *arena, struct str *ret_name, struct str *ret_value);
/* The first value of a name in a query, decoded; false when absent. */
bool http_query_get(struct str query, struct arena *arena, struct str name, struct str *ret_value);
bool http_query_has(struct str query, struct str name);

bool http_is_token(struct str s);         /* RFC 9110, 5.6.2 */
bool http_is_field_value(struct str s);   /* RFC 9110, 5.5: no control bytes, no outer white space */
const char *http_status_text(int status); /* "Not Found"; "Status" for the unknown */
bool http_status_has_body(int status, struct str request_method); /* RFC 9110, 6.4.1 */

/* Sets target, path and query, all of them parts of `target`. */
void http_request_set_target(struct http_request *r, struct str target);
/* Copy a request or headers into an arena: everything it points to is then the arena's. */
struct http_request *http_request_copy(struct arena *a, const struct http_request *r);
struct http_header *http_headers_copy(struct arena *a, const struct http_header *headers, size_t count);

#endif
